/* sessiond-ceiling: the least that a server on libuv can cost. It answers so many bytes for every so many bytes, and
 * looks at none of them; both sizes stand in a connection's first eight bytes, big endian. One thread, one loop.
 *
 * The measured server's CPU time above this one's is what its own work costs; the rest is the kernel's and libuv's. It
 * follows the shape of a good server: one write per read, tried at once, and no reading while a write is under way. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { READ_BYTES = 64 * 1024, GREETING_BYTES = 8, WRITE_BYTES_MAX = 4 << 20, SIZE_MAX_BYTES = 1 << 20 };

struct client {
    uv_tcp_t stream;
    uv_write_t write;
    uint8_t greeting[GREETING_BYTES];
    size_t greeting_size;
    size_t request_bytes, reply_bytes;
    size_t pending_bytes; /* of a request that is not whole yet */
};

static char read_room[READ_BYTES];
static char *replies; /* WRITE_BYTES_MAX of filling, for everybody */

static void on_closed(uv_handle_t *handle) {
    free(handle->data);
}
static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *room);

static void on_room(uv_handle_t *handle, size_t wanted, uv_buf_t *room) {
    (void)handle, (void)wanted;
    *room = uv_buf_init(read_room, sizeof read_room);
}

static void on_written(uv_write_t *write, int status) {
    struct client *client = write->data;
    if (status < 0)
        uv_close((uv_handle_t *)&client->stream, on_closed);
    else
        uv_read_start((uv_stream_t *)&client->stream, on_room, on_read);
}

static void answer(struct client *client, size_t bytes) {
    uv_stream_t *stream = (uv_stream_t *)&client->stream;
    uv_buf_t out = uv_buf_init(replies, (unsigned)bytes);
    int written = uv_try_write(stream, &out, 1);
    if (written == (int)bytes) return;
    if (written < 0 && written != UV_EAGAIN) {
        uv_close((uv_handle_t *)stream, on_closed);
        return;
    }
    if (written > 0) out = uv_buf_init(replies, (unsigned)(bytes - (size_t)written));
    client->write.data = client;
    uv_read_stop(stream);
    uv_write(&client->write, stream, &out, 1, on_written);
}

static size_t big_endian(const uint8_t *at) {
    return (size_t)at[0] << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
}

/* Takes the greeting out of what came; answers how many bytes it was, or -1 if it is impossible. */
static ssize_t take_greeting(struct client *client, const char *bytes, size_t size) {
    size_t missing = GREETING_BYTES - client->greeting_size;
    size_t taken = size < missing ? size : missing;
    memcpy(client->greeting + client->greeting_size, bytes, taken);
    client->greeting_size += taken;
    if (client->greeting_size < GREETING_BYTES) return (ssize_t)taken;
    client->request_bytes = big_endian(client->greeting);
    client->reply_bytes = big_endian(client->greeting + 4);
    bool is_possible = client->request_bytes >= 1 && client->request_bytes <= SIZE_MAX_BYTES &&
                       client->reply_bytes >= 1 && client->reply_bytes <= SIZE_MAX_BYTES;
    return is_possible ? (ssize_t)taken : -1;
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *room) {
    struct client *client = stream->data;
    ssize_t skipped = 0;
    if (size == 0) return;
    if (size > 0 && client->greeting_size < GREETING_BYTES) skipped = take_greeting(client, room->base, (size_t)size);
    if (size < 0 || skipped < 0) {
        uv_close((uv_handle_t *)stream, on_closed);
        return;
    }
    if (client->greeting_size < GREETING_BYTES) return;
    client->pending_bytes += (size_t)(size - skipped);
    size_t requests = client->pending_bytes / client->request_bytes;
    /* What does not fit into one write is answered by the next read; a batch of sensible depth fits. */
    if (requests * client->reply_bytes > WRITE_BYTES_MAX) requests = WRITE_BYTES_MAX / client->reply_bytes;
    client->pending_bytes -= requests * client->request_bytes;
    if (requests) answer(client, requests * client->reply_bytes);
}

static void on_connection(uv_stream_t *listener, int status) {
    struct client *client = status < 0 ? NULL : calloc(1, sizeof *client);
    if (!client) return;
    uv_tcp_init(listener->loop, &client->stream);
    client->stream.data = client;
    if (uv_accept(listener, (uv_stream_t *)&client->stream) != 0) {
        uv_close((uv_handle_t *)&client->stream, on_closed);
        return;
    }
    uv_tcp_nodelay(&client->stream, 1);
    uv_read_start((uv_stream_t *)&client->stream, on_room, on_read);
}

static int port_of(const uv_tcp_t *listener) {
    struct sockaddr_in address;
    int size = sizeof address;
    if (uv_tcp_getsockname(listener, (struct sockaddr *)&address, &size) != 0) return 0;
    return ntohs(address.sin_port);
}

int main(int argc, char **argv) {
    struct sockaddr_in address;
    uv_tcp_t listener;
    uv_loop_t *loop = uv_default_loop();
    int port = argc == 3 && strcmp(argv[1], "--port") == 0 ? atoi(argv[2]) : argc == 1 ? 0 : -1;
    if (port < 0) {
        fprintf(stderr, "usage: sessiond-ceiling [--port N]\n");
        return 2;
    }
    replies = malloc(WRITE_BYTES_MAX);
    if (!replies) return 1;
    memset(replies, 'a', WRITE_BYTES_MAX);
    uv_ip4_addr("127.0.0.1", port, &address);
    uv_tcp_init(loop, &listener);
    int status = uv_tcp_bind(&listener, (const struct sockaddr *)&address, 0);
    if (status == 0) status = uv_listen((uv_stream_t *)&listener, 1024, on_connection);
    if (status != 0) {
        fprintf(stderr, "sessiond-ceiling: cannot listen on 127.0.0.1:%d: %s\n", port, uv_strerror(status));
        return 1;
    }
    printf("event=ready tcp=127.0.0.1:%d\n", port_of(&listener));
    fflush(stdout);
    return uv_run(loop, UV_RUN_DEFAULT);
}
