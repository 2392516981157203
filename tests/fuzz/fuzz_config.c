/* The option parsers over any text in all their places, and the addresses: what is loaded holds together and says of
 * itself what can be loaded again, what is refused is told in one sentence.
 *
 * The input is a file; behind its first NUL come, each ended by a NUL, lines of the environment (SESSIOND_...) and
 * flags. Flags that name another file are left out: what such a file holds is not this input's. */
#define _GNU_SOURCE /* memfd_create */
#include "config/options.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config/address.h"
#include "fuzz/target.h"

enum { WORDS_MAX = 16 };

struct places {
    char file_flag[64], *arguments[WORDS_MAX + 3], *environment[WORDS_MAX + 1];
    int argument_count;
    unsigned environment_count;
};

static void check_error(const char *error) {
    size_t size = strlen(error);
    REQUIRE(size > 10 && size < OPTIONS_ERROR_MAX);
    /* What was wrong is none of the words that are not the input's. */
    REQUIRE(strncmp(error, "program ", 8) != 0 && strncmp(error, "--config=/proc", 14) != 0);
}

/* Every option of what was loaded is whole, within its bounds, and written as it can be read. */
static void check_options(const struct options *options) {
    struct address address;
    char text[OPTION_TEXT_MAX], error[OPTIONS_ERROR_MAX], flag[OPTION_TEXT_MAX + 64];
    for (size_t i = 0; i < option_count; i++) {
        const struct option_row *row = &option_rows[i];
        option_format(options, row, text);
        if (row->kind != OPTION_TEXT && row->kind != OPTION_CHOICE)
            REQUIRE(option_number(options, row) >= row->min && option_number(options, row) <= row->max);
        if (row->kind == OPTION_TEXT) REQUIRE((int64_t)strlen(text) <= row->max);
        if (strcmp(row->name, "config") == 0) continue;
        snprintf(flag, sizeof flag, "SESSIOND_%s=%s", row->name, text);
        for (char *at = flag; *at != '='; at++)
            if (*at >= 'a' && *at <= 'z') *at -= 'a' - 'A';
        char *environment[] = {
            flag, "SESSIOND_INSECURE=true", "SESSIOND_UNIX_SOCKET=/s", "SESSIOND_MAX_OUTPUT=1G", "SESSIOND_DATA_DIR=/d",
            NULL};
        char *arguments[] = {"program", NULL};
        struct options again;
        enum options_outcome outcome = options_load(&again, 1, arguments, environment, error);
        REQUIRE(outcome == OPTIONS_RUN);
        options_fini(&again);
    }
    REQUIRE(address_parse(options->bind, (int)options->port, &address, error, sizeof error));
}

static void load(const struct places *places, struct options *options) {
    char error[OPTIONS_ERROR_MAX];
    enum options_outcome outcome =
        options_load(options, places->argument_count, places->arguments, places->environment, error);
    if (outcome == OPTIONS_REFUSED)
        check_error(error);
    else if (outcome == OPTIONS_RUN)
        check_options(options);
}

static void add_word(struct places *places, char *word) {
    bool names_file = strncmp(word, "--c", 3) == 0 && strncmp(word, "--connection", 12) != 0;
    if (strncmp(word, "SESSIOND_", 9) == 0) {
        if (strncmp(word, "SESSIOND_CONFIG", 15) != 0 && places->environment_count < WORDS_MAX)
            places->environment[places->environment_count++] = word;
    } else if (!names_file && places->argument_count < WORDS_MAX) {
        places->arguments[places->argument_count++] = word;
    }
}

static void check_address(const char *text) {
    struct address address;
    char error[200], printed[100];
    if (!address_parse(text, 7420, &address, error, sizeof error)) {
        REQUIRE(strlen(error) > 10);
    } else if (!address.is_none) {
        address_format(&address.socket_address, printed, sizeof printed);
        char *colon = strrchr(printed, ':');
        REQUIRE(colon && strcmp(colon, ":7420") == 0);
        *colon = '\0';
        struct address again;
        REQUIRE(address_parse(printed, 7420, &again, error, sizeof error));
        REQUIRE(again.size == address.size && again.is_loopback == address.is_loopback);
        REQUIRE(memcmp(&again.socket_address, &address.socket_address, address.size) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct places places = {.arguments = {"program", places.file_flag}, .argument_count = 2};
    struct options options;
    char *text = malloc(size + 1);
    if (!text) abort();
    if (size) memcpy(text, data, size);
    text[size] = '\0';
    size_t file_size = strlen(text);
    int file = memfd_create("config", MFD_CLOEXEC);
    REQUIRE(file >= 0 && write(file, data, file_size) == (ssize_t)file_size);
    snprintf(places.file_flag, sizeof places.file_flag, "--config=/proc/self/fd/%d", file);
    for (size_t at = file_size + 1; at < size; at += strlen(text + at) + 1) {
        check_address(text + at);
        add_word(&places, text + at);
    }
    load(&places, &options);
    options_fini(&options);
    close(file);
    free(text);
    return 0;
}
