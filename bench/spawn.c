/* See spawn.h. */
#define _GNU_SOURCE
#include "spawn.h"

#include "endpoint.h"
#include "measure.h"
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SAID_BYTES_MAX = 4096, WORDS_BYTES = 16384 };
static const uint64_t start_patience_ns = 30000000000u, end_patience_ns = 10000000000u,
                      version_patience_ns = 3000000000u;

static void nap_ms(int ms) {
    poll(NULL, 0, ms);
}

bool program_exists(const char *path) {
    if (strchr(path, '/')) return access(path, X_OK) == 0;
    const char *places = getenv("PATH");
    char candidate[4096];
    while (places && *places) {
        size_t size = strcspn(places, ":");
        snprintf(candidate, sizeof candidate, "%.*s/%s", (int)size, places, path);
        if (access(candidate, X_OK) == 0) return true;
        places += size + (places[size] == ':');
    }
    return false;
}

static bool port_is_free(uint16_t port) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_free = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    if (fd >= 0) close(fd);
    return is_free;
}

/* A port that is free now, and below those that the system hands out by itself: nobody who asks for any port is given
 * it before the server takes it. 0: none was found. */
static uint16_t free_port(void) {
    for (int tries = 0; tries < 1000; tries++) {
        uint16_t chance;
        if (getentropy(&chance, sizeof chance) != 0) return 0;
        uint16_t port = (uint16_t)(10000 + chance % 20000);
        if (port_is_free(port)) return port;
    }
    return 0;
}

static void become(const struct server_recipe *recipe, char *const *arguments, int said_fd, int core, int parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    setpgid(0, 0);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    int nothing = open("/dev/null", O_RDWR);
    dup2(nothing, STDIN_FILENO);
    dup2(said_fd, STDOUT_FILENO);
    dup2(said_fd, STDERR_FILENO);
    if (core >= 0) core_pin(core, recipe->has_two_cores && core_count() > 2 ? core_next(core) : core);
    execvp(recipe->path, arguments);
    dprintf(STDERR_FILENO, "cannot start %s: %s\n", recipe->path, strerror(errno));
    _exit(127);
}

static size_t read_said(int fd, char text[SAID_BYTES_MAX]) {
    ssize_t size = pread(fd, text, SAID_BYTES_MAX - 1, 0);
    text[size > 0 ? size : 0] = '\0';
    return size > 0 ? (size_t)size : 0;
}

/* Finds tcp=HOST:PORT in the ready line. */
static bool read_ready(struct server_process *process) {
    char text[SAID_BYTES_MAX];
    read_said(process->said_fd, text);
    const char *line = strstr(text, "event=ready");
    if (!line) return false;
    const char *at = strstr(line, "tcp="), *end = strchr(line, '\n');
    if (!end || !at || at > end) return false;
    size_t size = strcspn(at + 4, " \n");
    snprintf(process->address, sizeof process->address, "%.*s", (int)size, at + 4);
    return true;
}

static bool takes_connections(const struct server_process *process) {
    struct endpoint endpoint;
    int fd = endpoint_parse(&endpoint, process->address) ? endpoint_connect(&endpoint) : -1;
    if (fd >= 0) close(fd);
    return fd >= 0;
}

static bool wait_until_ready(struct server_process *process, const struct server_recipe *recipe, char *problem,
                             size_t problem_size) {
    uint64_t until_ns = monotonic_ns() + start_patience_ns;
    char text[SAID_BYTES_MAX];
    while (monotonic_ns() < until_ns) {
        if (recipe->says_ready ? read_ready(process) : takes_connections(process)) return true;
        int status;
        if (waitpid(process->pid, &status, WNOHANG) == process->pid) {
            process->pid = 0;
            break;
        }
        nap_ms(10);
    }
    read_said(process->said_fd, text);
    snprintf(problem, problem_size, "%s did not come up: %.160s", recipe->path, text[0] ? text : "it said nothing");
    return false;
}

/* The words of a command line, as they are handed over. */
struct words {
    char *at[ARGUMENTS_MAX + 1];
    unsigned count;
    char room[WORDS_BYTES];
    size_t used;
    bool is_full;
};

static void words_put(struct words *words, const char *text, size_t size) {
    words->is_full = words->is_full || words->used + size >= sizeof words->room;
    if (words->is_full) return;
    memcpy(words->room + words->used, text, size);
    words->used += size;
}

static void words_add(struct words *words, const char *word, const char *port, const char *directory) {
    char *start = words->room + words->used;
    while (*word) {
        bool is_port = strncmp(word, "{port}", 6) == 0, is_directory = strncmp(word, "{dir}", 5) == 0;
        if (is_port)
            words_put(words, port, strlen(port));
        else if (is_directory)
            words_put(words, directory, strlen(directory));
        else
            words_put(words, word, 1);
        word += is_port ? 6 : is_directory ? 5 : 1;
    }
    words_put(words, "", 1);
    if (!words->is_full) words->at[words->count++] = start;
}

static bool make_words(struct words *words, struct server_process *process, const struct server_recipe *recipe) {
    char port[16];
    snprintf(port, sizeof port, "%d", free_port());
    snprintf(process->address, sizeof process->address, "127.0.0.1:%s", port);
    *words = (struct words){.count = 0};
    words_add(words, recipe->path, "{port}", "{dir}");
    for (const char *const *at = recipe->arguments; *at; at++) words_add(words, *at, port, process->directory);
    words->at[words->count] = NULL;
    return !words->is_full;
}

bool recipe_has_directory(const struct server_recipe *recipe) {
    for (const char *const *at = recipe->arguments; *at; at++)
        if (strstr(*at, "{dir}")) return true;
    return false;
}

/* Runs the program with --version and keeps its first line. One that does not know the word may do anything, and is
 * ended. */
static void ask_version(struct server_process *process, const struct server_recipe *recipe) {
    char *arguments[] = {(char *)(uintptr_t)recipe->path, (char[]){"--version"}, NULL};
    char text[SAID_BYTES_MAX];
    int fd = memfd_create("version", MFD_CLOEXEC), parent = getpid();
    uint64_t until_ns = monotonic_ns() + version_patience_ns;
    pid_t pid = fd < 0 ? -1 : fork();
    if (pid == 0) become(recipe, arguments, fd, -1, parent);
    while (pid > 0 && waitpid(pid, NULL, WNOHANG) == 0) {
        if (monotonic_ns() > until_ns) kill(pid, SIGKILL);
        nap_ms(2);
    }
    if (pid > 0 && read_said(fd, text))
        snprintf(process->version, sizeof process->version, "%.*s", (int)strcspn(text, "\n"), text);
    if (fd >= 0) close(fd);
}

/* Everything but the name and the directory, which are set. */
static bool start(struct server_process *process, const struct server_recipe *recipe, int core, char *problem,
                  size_t problem_size) {
    struct words words;
    process->said_fd = memfd_create(recipe->name, MFD_CLOEXEC);
    if (!make_words(&words, process, recipe)) {
        snprintf(problem, problem_size, "the command line of %s is too long", recipe->name);
        server_end(process);
        return false;
    }
    if (recipe->role != ROLE_CEILING) ask_version(process, recipe);
    int parent = getpid();
    pid_t pid = process->said_fd < 0 ? -1 : fork();
    if (pid == 0) become(recipe, words.at, process->said_fd, core, parent);
    if (pid < 0) {
        snprintf(problem, problem_size, "cannot fork: %s", strerror(errno));
        server_end(process);
        return false;
    }
    process->pid = pid;
    if (wait_until_ready(process, recipe, problem, problem_size)) return true;
    server_end(process);
    return false;
}

bool server_start_in(struct server_process *process, const struct server_recipe *recipe, const char *directory,
                     int core, char *problem, size_t problem_size) {
    *process = (struct server_process){.name = recipe->name, .said_fd = -1, .is_directory_kept = true};
    snprintf(process->directory, sizeof process->directory, "%s", directory);
    return start(process, recipe, core, problem, problem_size);
}

bool server_start(struct server_process *process, const struct server_recipe *recipe, int core, char *problem,
                  size_t problem_size) {
    *process = (struct server_process){.name = recipe->name, .said_fd = -1};
    if (recipe_has_directory(recipe) && !scratch_make(recipe->scratch, process->directory, problem, problem_size))
        return false;
    return start(process, recipe, core, problem, problem_size);
}

void server_end(struct server_process *process) {
    if (process->pid > 0) {
        uint64_t until_ns = monotonic_ns() + end_patience_ns;
        kill(process->pid, SIGTERM);
        while (waitpid(process->pid, NULL, WNOHANG) == 0) {
            if (monotonic_ns() > until_ns) kill(process->pid, SIGKILL);
            nap_ms(5);
        }
        process->pid = 0;
    }
    if (process->said_fd >= 0) close(process->said_fd);
    process->said_fd = -1;
    if (!process->is_directory_kept) scratch_remove(process->directory);
    process->directory[0] = '\0';
}
