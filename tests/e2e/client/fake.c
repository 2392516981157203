/* A server in a thread of the test. One connection at a time would do for the tests, but a client that reconnects opens
 * the next before the last is seen to be closed: so up to eight are polled. */
#include "fake.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mp.h"
#include "process.h"
#include "sessiond/client.h"

enum { CONNECTIONS_MAX = 8 };

/* What must be so for a test to mean anything, in release builds too. */
static void must(bool is_so) {
    if (!is_so) abort();
}

struct conn {
    int fd; /* -1: free */
    struct buf in;
};

static void send_all(int fd, const void *bytes, size_t size) {
    const char *at = bytes;
    while (size > 0) {
        ssize_t count = send(fd, at, size, MSG_NOSIGNAL);
        if (count <= 0) return;
        at += count;
        size -= (size_t)count;
    }
}

static void answer_error(struct buf *out, uint64_t msgid, const char *code) {
    mp_write_array(out, 4);
    mp_write_int(out, 1);
    mp_write_uint(out, msgid);
    mp_write_map(out, 2);
    mp_write_string(out, "code");
    mp_write_string(out, code);
    mp_write_string(out, "message");
    mp_write_string(out, "No.");
    mp_write_nil(out);
}

/* What stands before an answer that is no error. */
static void begin_answer(struct buf *out, uint64_t msgid) {
    mp_write_array(out, 4);
    mp_write_int(out, 1);
    mp_write_uint(out, msgid);
    mp_write_nil(out);
}

static void answer_true(struct buf *out, uint64_t msgid) {
    begin_answer(out, msgid);
    mp_write_bool(out, true);
}

static void answer_greeting(struct buf *out, uint64_t msgid, unsigned version) {
    begin_answer(out, msgid);
    mp_write_map(out, 1);
    mp_write_string(out, "version");
    mp_write_uint(out, version ? version : SESSIOND_PROTOCOL_VERSION);
}

/* The op_id of the last argument, if that is a map with one. */
static uint64_t read_op_id(struct bytes params) {
    struct mp_cursor cursor = mp_cursor_of(params);
    uint64_t op_id = 0;
    for (uint32_t left = mp_read_array(&cursor); left > 1; left--) mp_read_value(&cursor, MP_DEPTH_MAX);
    if (mp_peek(&cursor) != MP_MAP) return 0;
    for (uint32_t left = mp_read_map(&cursor); left > 0; left--) {
        bool is_op_id = bytes_equal(mp_read_bytes(&cursor), BYTES_LITERAL("op_id"));
        struct mp_cursor value = mp_cursor_of(mp_read_value(&cursor, MP_DEPTH_MAX));
        if (is_op_id) op_id = (uint64_t)mp_read_int(&value, 0, INT64_MAX);
    }
    return op_id;
}

/* Answers one message; false: the connection is to be closed. */
static bool handle(struct fake *fake, int fd, struct bytes message) {
    struct mp_cursor cursor = mp_cursor_of(message);
    struct buf out = BUF_EMPTY;
    mp_read_array(&cursor);
    mp_read_int(&cursor, 0, 0);
    uint64_t msgid = (uint64_t)mp_read_int(&cursor, 0, UINT32_MAX);
    struct bytes method = mp_read_bytes(&cursor), params = mp_read_value(&cursor, MP_DEPTH_MAX);
    must(cursor.error == MP_OK);
    bool is_greeting = bytes_equal(method, BYTES_LITERAL("server.hello"));
    unsigned number = is_greeting ? 0 : atomic_fetch_add(&fake->request_count, 1) + 1;
    if (number > 0 && number <= FAKE_SEEN_MAX) {
        struct fake_request *seen = &fake->seen[number - 1];
        snprintf(seen->method, sizeof seen->method, "%.*s", (int)method.size, (const char *)method.data);
        seen->op_id = read_op_id(params);
    }
    bool goes_on = true;
    if (fake->mode == FAKE_SILENT)
        goes_on = true;
    else if (fake->mode == FAKE_REFUSES)
        answer_error(&out, msgid, "FORBIDDEN");
    else if (is_greeting)
        answer_greeting(&out, msgid, fake->version);
    else if (fake->mode == FAKE_ANSWERS)
        answer_true(&out, msgid);
    else if (fake->mode == FAKE_SENDS && number == 1)
        send_all(fd, fake->bytes, fake->size);
    else if (fake->mode == FAKE_DROPS && number >= fake->drop_at && number < fake->drop_at + fake->drop_count)
        goes_on = false;
    else if (fake->mode == FAKE_DROPS)
        answer_true(&out, msgid);
    send_all(fd, out.data, out.size);
    buf_fini(&out);
    return goes_on;
}

/* Reads and answers; false: the connection is over. */
static bool serve(struct fake *fake, struct conn *conn) {
    uint8_t *room = buf_reserve(&conn->in, 65536);
    ssize_t count = recv(conn->fd, room, 65536, 0);
    if (count <= 0) return false;
    conn->in.size += (size_t)count;
    for (;;) {
        struct mp_scan scan = {0};
        enum mp_error error;
        if (conn->in.size == 0 || !mp_scan_feed(&scan, buf_bytes(&conn->in), &error)) return true;
        if (!handle(fake, conn->fd, bytes_of(conn->in.data, scan.scanned))) return false;
        buf_consume(&conn->in, scan.scanned);
    }
}

static void close_conn(struct conn *conn) {
    if (conn->fd >= 0) close(conn->fd);
    conn->fd = -1;
    buf_fini(&conn->in);
}

static void accept_one(struct fake *fake, struct conn *conns) {
    int fd = accept(fake->listener, NULL, NULL);
    for (int i = 0; i < CONNECTIONS_MAX && fd >= 0; i++) {
        if (conns[i].fd >= 0) continue;
        conns[i].fd = fd;
        atomic_fetch_add(&fake->connection_count, 1);
        if (fake->mode == FAKE_SENDS_FIRST) send_all(fd, fake->bytes, fake->size);
        return;
    }
    if (fd >= 0) close(fd);
}

static void *run(void *data) {
    struct fake *fake = data;
    struct conn conns[CONNECTIONS_MAX];
    for (int i = 0; i < CONNECTIONS_MAX; i++) conns[i] = (struct conn){-1, BUF_EMPTY};
    while (!atomic_load(&fake->is_stopping)) {
        struct pollfd polls[CONNECTIONS_MAX + 1] = {{.fd = fake->listener, .events = POLLIN}};
        for (int i = 0; i < CONNECTIONS_MAX; i++) polls[i + 1] = (struct pollfd){.fd = conns[i].fd, .events = POLLIN};
        poll(polls, CONNECTIONS_MAX + 1, 5);
        for (int i = 0; i < CONNECTIONS_MAX; i++)
            if (polls[i + 1].revents && !serve(fake, &conns[i])) close_conn(&conns[i]);
        if (polls[0].revents) accept_one(fake, conns);
    }
    for (int i = 0; i < CONNECTIONS_MAX; i++) close_conn(&conns[i]);
    return NULL;
}

static bool listen_at(struct fake *fake, uint16_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fake->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fake->listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(fake->listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(fake->listener, 64) == 0)
        return true;
    close(fake->listener);
    return false;
}

void fake_start(struct fake *fake) {
    bool is_chosen = fake->port != 0;
    for (int tries = 0; tries < 100; tries++) {
        uint16_t port = is_chosen ? fake->port : port_draw();
        if (listen_at(fake, port)) {
            fake->port = port;
            break;
        }
        if (is_chosen) usleep(100000);
    }
    must(fake->port != 0 && fake->listener >= 0);
    snprintf(fake->url, sizeof fake->url, "sessiond://127.0.0.1:%u/web", fake->port);
    int status = pthread_create(&fake->thread, NULL, run, fake);
    must(status == 0);
}

void fake_stop(struct fake *fake) {
    atomic_store(&fake->is_stopping, true);
    pthread_join(fake->thread, NULL);
    close(fake->listener);
    atomic_store(&fake->is_stopping, false);
}
