/* See stream.h. */
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

enum { SILENCE_MAX_MS = 10000, ROOM_BYTES = 256 * 1024 };

static bool refuse(char *problem, const char *what, struct bytes detail) {
    snprintf(problem, PROBLEM_BYTES, "%s%.*s", what, (int)(detail.size < 160 ? detail.size : 160),
             (const char *)detail.data);
    return false;
}

bool stream_open(struct stream *stream, const struct target *target, char *problem) {
    *stream = (struct stream){.fd = endpoint_connect(&target->endpoint),
                              .driver = target->driver,
                              .setup = &target->setup,
                              .out = BUF_EMPTY,
                              .in = BUF_EMPTY};
    if (stream->fd >= 0 && fcntl(stream->fd, F_SETFL, O_NONBLOCK) == 0) return true;
    return refuse(problem, "cannot connect: ", bytes_of(strerror(errno), strlen(strerror(errno))));
}

void stream_close(struct stream *stream) {
    if (stream->fd >= 0) close(stream->fd);
    buf_fini(&stream->out);
    buf_fini(&stream->in);
    stream->fd = -1;
}

void stream_add(struct stream *stream, const struct template *template, struct fill *fill) {
    uint8_t *room = buf_reserve(&stream->out, template->text.size);
    fill->number = stream->added++;
    if (room) stream->out.size += template_write(template, room, fill);
}

void stream_add_bytes(struct stream *stream, struct bytes request) {
    buf_append(&stream->out, request.data, request.size);
    stream->added++;
}

/* Sends what the socket takes; false if the connection is gone. */
static bool send_some(struct stream *stream, size_t *sent) {
    while (*sent < stream->out.size) {
        ssize_t size = send(stream->fd, stream->out.data + *sent, stream->out.size - *sent, MSG_NOSIGNAL);
        if (size < 0 && errno == EINTR) continue;
        if (size <= 0) return size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
        *sent += (size_t)size;
    }
    return true;
}

/* Reads once and counts the whole replies. */
static bool receive_some(struct stream *stream, uint32_t *answered, char *problem) {
    uint8_t *room = buf_reserve(&stream->in, ROOM_BYTES);
    ssize_t size = room ? recv(stream->fd, room, ROOM_BYTES, 0) : 0;
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return true;
    if (size <= 0) return refuse(problem, "the server hung up", bytes_of("", 0));
    stream->in.size += (size_t)size;
    struct bytes rest = buf_bytes(&stream->in);
    for (struct reply reply; rest.size > 0;) {
        long whole = stream->driver->scan(stream->setup, rest, &reply);
        if (whole == SCAN_MORE) break;
        if (whole == SCAN_MALFORMED) return refuse(problem, "a reply is malformed", bytes_of("", 0));
        if (reply.kind == REPLY_ERROR) return refuse(problem, "the server answers: ", reply.value);
        if (stream->on_reply && !stream->on_reply(stream->context, &reply))
            return refuse(problem, "a reply is not what it must be", bytes_of("", 0));
        ++*answered;
        rest = bytes_of(rest.data + whole, rest.size - (size_t)whole);
    }
    memmove(stream->in.data, rest.data, rest.size);
    stream->in.size = rest.size;
    return true;
}

bool stream_play(struct stream *stream, char *problem) {
    size_t sent = 0;
    uint32_t answered = 0;
    bool is_fine = !stream->out.is_failed || refuse(problem, "not enough memory", bytes_of("", 0));
    while (is_fine && answered < stream->added) {
        if (!send_some(stream, &sent)) return refuse(problem, "the server hung up", bytes_of("", 0));
        short events = sent < stream->out.size ? POLLIN | POLLOUT : POLLIN;
        struct pollfd waited = {.fd = stream->fd, .events = events};
        if (poll(&waited, 1, SILENCE_MAX_MS) == 0) return refuse(problem, "no answer for ten seconds", bytes_of("", 0));
        if (waited.revents & ~POLLOUT) is_fine = receive_some(stream, &answered, problem);
    }
    buf_clear(&stream->out);
    stream->added = 0;
    return is_fine;
}
