/* A line typed into sessiond-cli: it is refused with a sentence, or is one whole request that the server's decoder
 * takes for one. The first byte of the input chooses whether a namespace was given. */
#include "command.h"

#include <string.h>

#include "fuzz/target.h"
#include "request.h"
#include "wire/codec.h"

/* A request without a mistake never puts the connection out of step, whatever the server thinks of its arguments. */
static void check_request(const struct sessiond_request *request) {
    struct frame frame;
    union op_args args;
    struct error error;
    if (request->error) {
        REQUIRE(strlen(request->error->message) > 10);
        return;
    }
    enum decode_state state = codec_decode(buf_bytes(&request->frame), &frame, &args, &error);
    REQUIRE(state == DECODE_OK || state == DECODE_REFUSED);
    REQUIRE(frame.size == request->frame.size && !frame.is_notification);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    char problem[COMMAND_PROBLEM_MAX] = "", *words[WORDS_MAX], *line = malloc(size);
    if (!line) abort();
    memcpy(line, data + 1, size - 1);
    line[size - 1] = '\0';
    size_t length = strlen(line);
    int count = words_split(line, words, problem);
    REQUIRE(count >= -1 && count <= WORDS_MAX);
    if (count < 0) REQUIRE(strlen(problem) > 20);
    for (int i = 0; i < count; i++) REQUIRE(words[i] >= line && words[i] + strlen(words[i]) <= line + length);
    if (count > 0) {
        struct sessiond_request *request =
            command_request(words, (unsigned)count, data[0] & 1 ? "web" : "", NULL, problem);
        if (request)
            check_request(request);
        else
            REQUIRE(strlen(problem) > 10 && strcmp(problem, "Memory is lacking.") != 0);
        sessiond_request_free(request);
    }
    free(line);
    return 0;
}
