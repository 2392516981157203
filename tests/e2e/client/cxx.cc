// client.h is C++ too: this compiles without a warning and uses what C++ treats differently from C.
#include <cstdlib>
#include <cstring>

#include "sessiond/client_async.h"

static void must(bool is_so) {
    if (!is_so) std::abort();
}

int main() {
    sessiond_client *client = nullptr;
    int code = sessiond_client_open("sessionds://refused", nullptr, &client);
    must(code == SESSIOND_ERROR_URL);
    sessiond_set_options options{};
    options.user = SESSIOND_NIL_TEXT;
    options.timeouts.idle_timeout_ms = SESSIOND_ZERO;
    options.mode = SESSIOND_SET_MODE_UPDATE;
    code = sessiond_set(client, "s1", sessiond_bytes{"\x80", 1}, &options, nullptr);
    must(code == SESSIOND_ERROR_URL && std::strlen(sessiond_client_error(client)->message) > 0);
    sessiond_page *list = nullptr;
    code = sessiond_list(client, nullptr, &list);
    must(code == SESSIOND_ERROR_URL);
    sessiond_client_close(client);
    return code == SESSIOND_ERROR_URL ? 0 : 1;
}
