/* sessiond-dump: the command line. See dump.h. */
#define _GNU_SOURCE /* getopt_long */
#include "dump/dump.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>

static const char help[] =
    "usage: sessiond-dump [OPTIONS] COMMAND DIR [DESTINATION]\n"
    "\n"
    "Looks at a data directory of sessiond, which is never changed; a server may run on it.\n"
    "\n"
    "  verify DIR        reads every frame and effect as a start would; exit code 1 if it would be refused\n"
    "  print DIR         a line for each frame and effect\n"
    "  export DIR        a line of JSON for each session, as a start would have it\n"
    "  backup DIR DEST   copies what is needed for a start, also from under a running server, and verifies the copy;\n"
    "                    DEST is made, or is empty\n"
    "\n"
    "  --encryption-key-file FILE   keys of encryption at rest, as the server has them\n"
    "  --at MS                      export: the moment, in milliseconds since 1970 on the server's clock\n"
    "  --with-keys                  backup: the file `keys` too, without which tokens and handles are lost\n"
    "  --help, --version\n";

int dump_fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("sessiond-dump: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return DUMP_BAD;
}

/* ---------------------------------------------------------------- keys */

enum { KEY_TEXT_MAX = 64 * 1024 };

static bool read_keys(const char *path, struct seal_keys *out) {
    uint8_t text[KEY_TEXT_MAX];
    const char *why = NULL;
    FILE *file = fopen(path, "re");
    size_t size = file ? fread(text, 1, sizeof text, file) : 0;
    if (!file || ferror(file))
        dump_fail("%s cannot be read: %s", path, strerror(errno));
    else if (size == sizeof text)
        dump_fail("%s is too long for a file of encryption keys; name another", path);
    else if (!seal_keys_read(bytes_of(text, size), out, &why))
        dump_fail("%s %s", path, why);
    cipher_wipe(text, sizeof text);
    bool is_done = file && size < sizeof text && !ferror(file) && !why;
    if (file) fclose(file);
    return is_done;
}

/* ---------------------------------------------------------------- the command line */

struct command {
    const char *name;
    int (*run)(struct dump *dump);
    int paths;
};

static const struct command commands[] = {
    {"verify", dump_verify, 1}, {"print", dump_print, 1}, {"export", dump_export, 1}, {"backup", dump_backup, 2}};

static int usage(const char *what) {
    fprintf(stderr, "sessiond-dump: %s; see sessiond-dump --help\n", what);
    return DUMP_USAGE;
}

static bool read_moment(const char *text, int64_t *out) {
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    *out = value;
    return *text && !*end && errno == 0 && value > 0 && time_is_possible(value);
}

static int run(const struct command *command, struct dump *dump) {
    char error[DIRECTORY_ERROR_MAX];
    if (!directory_open(&dump->directory, dump->path, DIRECTORY_LOOK, error)) return dump_fail("%s", error);
    int code = command->run(dump);
    directory_close(&dump->directory);
    if (fflush(stdout) != 0 || ferror(stdout)) return dump_fail("the output cannot be written: %s", strerror(errno));
    return code;
}

static int dispatch(struct dump *dump, char **arguments, int count) {
    if (count == 0) return usage("a command is missing");
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        const struct command *command = &commands[i];
        if (strcmp(arguments[0], command->name) != 0) continue;
        if (count != command->paths + 1)
            return usage(command->paths == 1 ? "the command takes one directory" : "backup takes two directories");
        dump->path = arguments[1];
        dump->destination = command->paths == 2 ? arguments[2] : NULL;
        return run(command, dump);
    }
    return usage("there is no such command");
}

static const struct option long_options[] = {{"encryption-key-file", required_argument, NULL, 'k'},
                                             {"at", required_argument, NULL, 'a'},
                                             {"with-keys", no_argument, NULL, 'w'},
                                             {"help", no_argument, NULL, 'h'},
                                             {"version", no_argument, NULL, 'v'},
                                             {NULL, 0, NULL, 0}};

int main(int argc, char **argv) {
    struct dump dump = {.keys = NULL};
    struct seal_keys keys;
    int option, code;
    if (!cipher_open()) return dump_fail("the system has no source of chance");
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        switch (option) {
        case 'k':
            if (!read_keys(optarg, &keys)) return DUMP_BAD;
            dump.keys = &keys;
            break;
        case 'a':
            if (!read_moment(optarg, &dump.at_ms)) return usage("--at takes milliseconds since 1970");
            break;
        case 'w': dump.has_keys_file = true; break;
        case 'h': fputs(help, stdout); return DUMP_DONE;
        case 'v': puts("sessiond-dump " SESSIOND_VERSION); return DUMP_DONE;
        default: return DUMP_USAGE; /* getopt_long has said why */
        }
    }
    code = dispatch(&dump, argv + optind, argc - optind);
    if (dump.keys) seal_keys_wipe(&keys);
    return code;
}
