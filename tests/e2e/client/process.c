/* Processes of a test. Each is killed with the test that started it, so that none is left behind by a failure. */
#define _GNU_SOURCE
#include "process.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* In the child: end with the parent, and become the program. */
static void become(const char *const *arguments, int in, int out, int err) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (in >= 0) dup2(in, 0);
    if (out >= 0) dup2(out, 1);
    if (err >= 0) dup2(err, 2);
    execv(arguments[0], (char *const *)arguments);
    _exit(127);
}

/* The first line that a pipe gives, within a minute: a busy machine takes its time. */
static void read_line(int fd, char *line, size_t size) {
    size_t used = 0;
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    while (used < size - 1 && poll(&poll_fd, 1, 60000) > 0 && read(fd, line + used, 1) == 1)
        if (line[used++] == '\n') break;
    line[used] = '\0';
}

uint16_t port_draw(void) {
    uint16_t chance;
    cr_assert_eq(getentropy(&chance, sizeof chance), 0);
    return (uint16_t)(10000 + chance % 20000);
}

/* Answers whether it is ready; if not, it has ended. */
static bool server_start_at(struct server *server, uint16_t port_number) {
    int out[2];
    char port[8], line[512];
    snprintf(port, sizeof port, "%u", port_number);
    const char *const arguments[] = {SESSIOND_BINARY,     "--port",    port, "--unix-socket",
                                     server->socket_path, "--threads", "1",  NULL};
    cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
    int log = open("/dev/null", O_WRONLY | O_CLOEXEC);
    server->pid = fork();
    if (server->pid == 0) become(arguments, -1, out[1], log);
    close(out[1]);
    close(log);
    read_line(out[0], line, sizeof line);
    close(out[0]);
    if (strstr(line, "event=ready")) return true;
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    return false;
}

void server_start(struct server *server) {
    bool is_chosen = server->port != 0, is_ready = false;
    if (!server->socket_path[0])
        snprintf(server->socket_path, sizeof server->socket_path, "%s/sessiond-test-%d.sock",
                 getenv("TMPDIR") ? getenv("TMPDIR") : P_tmpdir, (int)getpid());
    for (int tries = 0; tries < 20 && !is_ready; tries++) {
        if (!is_chosen) server->port = port_draw();
        is_ready = server_start_at(server, server->port);
        if (!is_ready && is_chosen) usleep(100000);
    }
    cr_assert(is_ready, "sessiond did not start at port %u", server->port);
    snprintf(server->url, sizeof server->url, "sessiond://127.0.0.1:%u/web", server->port);
    snprintf(server->socket_url, sizeof server->socket_url, "sessiond+unix://%s?namespace=web", server->socket_path);
}

void server_kill(struct server *server) {
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    unlink(server->socket_path);
}

/* All that a temporary file holds, as a text. */
static void read_back(FILE *file, char *text, size_t size) {
    rewind(file);
    text[fread(text, 1, size - 1, file)] = '\0';
    fclose(file);
}

static void read_arguments(va_list list, const char *arguments[32]) {
    for (int i = 1; i < 31 && (arguments[i] = va_arg(list, const char *)); i++) continue;
}

void run_program(struct ran *ran, const char *input, const char *program, ...) {
    const char *arguments[32] = {program};
    va_list list;
    va_start(list, program);
    read_arguments(list, arguments);
    va_end(list);
    FILE *in = tmpfile(), *out = tmpfile(), *err = tmpfile();
    fputs(input ? input : "", in);
    rewind(in);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(100);
        become(arguments, fileno(in), fileno(out), fileno(err));
    }
    int status = 0;
    waitpid(pid, &status, 0);
    ran->code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    fclose(in);
    read_back(out, ran->out, sizeof ran->out);
    read_back(err, ran->err, sizeof ran->err);
}

void run_on_terminal(struct ran *ran, const char *keys, const char *program, ...) {
    const char *arguments[32] = {program};
    va_list list;
    va_start(list, program);
    read_arguments(list, arguments);
    va_end(list);
    int fd, status = 0;
    pid_t pid = forkpty(&fd, NULL, NULL, NULL);
    if (pid == 0) {
        alarm(100);
        setenv("TERM", "xterm", 1);
        become(arguments, -1, -1, -1);
    }
    cr_assert_eq(write(fd, keys, strlen(keys)), (ssize_t)strlen(keys));
    size_t used = 0;
    for (ssize_t count = 1; count > 0 && used<sizeof ran->out - 1; used += count> 0 ? (size_t)count : 0)
        count = read(fd, ran->out + used, sizeof ran->out - 1 - used); /* an error is the terminal's end */
    ran->out[used] = ran->err[0] = '\0';
    close(fd);
    waitpid(pid, &status, 0);
    ran->code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
