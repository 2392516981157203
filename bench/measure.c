/* See measure.h.
 *
 * CPU time comes from schedstat, in nanoseconds: the ticks of /proc/PID/stat are 10 ms, and are sampled, not counted.
 * schedstat has one file for each thread; those that end between two samples are lost, so a server that starts and ends
 * threads while it is measured would look too cheap. None of the measured ones does. */
#define _GNU_SOURCE
#include "measure.h"

#include "worker.h"

#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static bool read_file(const char *path, char *text, size_t size) {
    FILE *file = fopen(path, "re");
    if (!file) return false;
    size_t read = fread(text, 1, size - 1, file);
    text[read] = '\0';
    fclose(file);
    return read > 0;
}

static bool add_threads(struct process_sample *sample, int pid) {
    char path[384], text[128];
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    if (!tasks) return false;
    for (struct dirent *task; (task = readdir(tasks));) {
        unsigned long long cpu_ns, wait_ns;
        if (task->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", pid, task->d_name);
        if (!read_file(path, text, sizeof text) || sscanf(text, "%llu %llu", &cpu_ns, &wait_ns) != 2) continue;
        sample->cpu_ns += cpu_ns;
        sample->wait_ns += wait_ns;
    }
    closedir(tasks);
    return true;
}

/* Children that live: Redis writes its log anew in one. */
static void add_children(struct process_sample *sample, int pid) {
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", pid, pid);
    if (!read_file(path, text, sizeof text)) return; /* none, or a kernel that does not tell */
    char *at = text, *rest;
    for (long child; (child = strtol(at, &rest, 10)) > 0 && rest != at; at = rest) add_threads(sample, (int)child);
}

static bool read_ticks(struct process_sample *sample, int pid) {
    char path[64], text[1024];
    unsigned long user, system;
    long of_children[2];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if (!read_file(path, text, sizeof text)) return false;
    /* The name in parentheses may hold anything; the last one ends it. */
    const char *rest = strrchr(text, ')');
    if (!rest || sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %ld %ld", &user, &system,
                        &of_children[0], &of_children[1]) != 4)
        return false;
    sample->user_ticks = user;
    sample->system_ticks = system;
    sample->cpu_ns += (uint64_t)(of_children[0] + of_children[1]) * (1000000000 / (uint64_t)sysconf(_SC_CLK_TCK));
    return true;
}

static bool read_memory(struct process_sample *sample, int pid) {
    char path[64], text[128];
    unsigned long long resident, shared;
    snprintf(path, sizeof path, "/proc/%d/statm", pid);
    if (!read_file(path, text, sizeof text) || sscanf(text, "%*u %llu %llu", &resident, &shared) != 2) return false;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    sample->rss_bytes = resident * page;
    sample->anonymous_bytes = (resident - shared) * page;
    return true;
}

bool process_sample_take(struct process_sample *sample, int pid) {
    *sample = (struct process_sample){0};
    add_children(sample, pid);
    return add_threads(sample, pid) && read_ticks(sample, pid) && read_memory(sample, pid);
}

uint64_t process_cpu_ns(int pid) {
    clockid_t clock;
    struct timespec time;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) != 0) return 0;
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

uint64_t process_first_thread_cpu_ns(int pid) {
    char path[64], text[128];
    unsigned long long cpu_ns;
    snprintf(path, sizeof path, "/proc/%d/task/%d/schedstat", pid, pid);
    return read_file(path, text, sizeof text) && sscanf(text, "%llu", &cpu_ns) == 1 ? cpu_ns : 0;
}

bool machine_sample_take(struct machine_sample *sample) {
    char text[512];
    unsigned long long user, nice, system, idle, wait, irq, softirq, steal;
    sample->at_ns = monotonic_ns();
    sample->busy_ticks = sample->steal_ticks = 0;
    if (!read_file("/proc/stat", text, sizeof text)) return false;
    if (sscanf(text, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &wait, &irq, &softirq,
               &steal) != 8)
        return false;
    sample->busy_ticks = user + nice + system + irq + softirq;
    sample->steal_ticks = steal;
    return true;
}

struct disturbance machine_disturbance(const struct machine_sample *before, const struct machine_sample *after,
                                       uint64_t own_ns) {
    double tick_ns = 1e9 / (double)sysconf(_SC_CLK_TCK);
    double wall_ns = (double)(after->at_ns - before->at_ns);
    double busy_ns = (double)(after->busy_ticks - before->busy_ticks) * tick_ns;
    double foreign_ns = busy_ns - (double)own_ns;
    if (wall_ns <= 0) return (struct disturbance){0, 0};
    return (struct disturbance){(double)(after->steal_ticks - before->steal_ticks) * tick_ns / wall_ns,
                                foreign_ns > 0 ? foreign_ns / wall_ns : 0};
}

/* The value of a line of /proc/cpuinfo; empty where there is no such line. */
static void read_processor(char *text, size_t size) {
    char line[512];
    FILE *file = fopen("/proc/cpuinfo", "re");
    text[0] = '\0';
    while (file && !text[0] && fgets(line, sizeof line, file)) {
        const char *value = strncmp(line, "model name", 10) == 0 ? strchr(line, ':') : NULL;
        if (value) snprintf(text, size, "%.*s", (int)strcspn(value + 2, "\n"), value + 2);
    }
    if (file) fclose(file);
}

void machine_describe(char *text, size_t size) {
    char processor[128], day[32];
    struct utsname kernel;
    time_t now = time(NULL);
    struct tm utc;
    read_processor(processor, sizeof processor);
    gmtime_r(&now, &utc);
    strftime(day, sizeof day, "%Y-%m-%d", &utc);
    if (uname(&kernel) != 0) kernel.release[0] = '\0';
    snprintf(text, size, "%u cores, %s, Linux %.64s, %s", core_count(), processor[0] ? processor : "unknown",
             kernel.release, day);
}

unsigned core_count(void) {
    cpu_set_t cores;
    return sched_getaffinity(0, sizeof cores, &cores) == 0 ? (unsigned)CPU_COUNT(&cores) : 1;
}

int core_next(int core) {
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return core;
    for (int i = 1; i < CPU_SETSIZE; i++)
        if (CPU_ISSET((unsigned)(core + i) % CPU_SETSIZE, &allowed)) return (core + i) % CPU_SETSIZE;
    return core;
}

bool core_pin(int core, int other) {
    cpu_set_t cores;
    CPU_ZERO(&cores);
    CPU_SET((unsigned)core, &cores);
    CPU_SET((unsigned)other, &cores);
    return sched_setaffinity(0, sizeof cores, &cores) == 0;
}

bool core_avoid(int core) {
    cpu_set_t cores;
    if (sched_getaffinity(0, sizeof cores, &cores) != 0) return false;
    CPU_CLR((unsigned)core, &cores);
    return CPU_COUNT(&cores) > 0 && sched_setaffinity(0, sizeof cores, &cores) == 0;
}
