/* What the tests of the gate share: a core with one loop whose journal is the test's. Its mark stands still until the
 * test moves it, and the loop advances only when it was woken. */
#ifndef UNIT_SERVER_GATE_RIG_H
#define UNIT_SERVER_GATE_RIG_H

#include "rig.h"

#include "server/internal.h"

#define SET(id)     "['web', '" id "', 1]"
#define GET(id)     "['web', '" id "', {'fields': ['data']}]"
#define WRITTEN(id) "[1, " #id ", null, {'version': " #id ", 'expires_at': 1767312000000}]\n"
#define GOT(id)     "[1, " #id ", null, {'data': 1}]\n"
#define PONG(id)    "[1, " #id ", null, {'now': 1767225600000}]\n"
#define UNKNOWN(id)                                                                                                    \
    "[1, " #id ", {'code': 'STORAGE', 'message': 'The server's disk failed before this was safe, and it is not known " \
    "whether it was kept; ask again when the server was restarted.'}, null]\n"
#define ONCE "['web', 'a', 1, {'op_id': 42}]"

static struct rig rig;
static struct {
    struct journal journal;
    uint64_t awaited[2]; /* by loop; 0: nothing */
    bool is_woken[2];
    unsigned awaits;
} disk;
static unsigned notified;

static inline void disk_wake_who_waits(unsigned loop_index) {
    bool is_failed = atomic_load(&disk.journal.state) == JOURNAL_FAILED;
    if (!disk.awaited[loop_index] || (!is_failed && journal_mark(&disk.journal) < disk.awaited[loop_index])) return;
    disk.awaited[loop_index] = 0;
    disk.is_woken[loop_index] = true;
}

static inline void disk_await(struct journal *self, unsigned loop_index, uint64_t version) {
    cr_assert_eq(self, &disk.journal);
    cr_assert_gt(version, 0u);
    disk.awaited[loop_index] = version;
    disk.awaits++;
    disk_wake_who_waits(loop_index);
}

static inline void wake(void *context, unsigned loop_index) {
    (void)context;
    disk.is_woken[loop_index] = true;
}

static inline void note(void *context, struct conn *conn) {
    (void)context, (void)conn;
    notified++;
}

static inline void setup(void) {
    memset(&disk, 0, sizeof disk);
    disk.journal = (struct journal){.busy_from = INT64_MAX, .await = disk_await};
    notified = 0;
    rig_open_with(&rig, &disk.journal, wake);
    server_loop_on_output(rig.loop, note, NULL);
}

static inline void teardown(void) {
    rig_close(&rig);
}

/* A loop that was woken advances, as a shell has it do; the others sleep on. */
static inline void end_turn(void) {
    server_loop_leave(rig.loop);
    server_loop_enter(rig.loop);
    if (!disk.is_woken[0]) return;
    disk.is_woken[0] = false;
    server_loop_advance(rig.loop, rig.now_ms, 100);
    end_turn();
}

static inline void set_mark(uint64_t version) {
    end_turn();
    atomic_store(&disk.journal.mark, version);
    disk_wake_who_waits(0);
    end_turn();
}

static inline void set_state(enum journal_state state) {
    end_turn();
    atomic_store(&disk.journal.state, state);
    disk_wake_who_waits(0);
    end_turn();
}

static inline void feed(int64_t msgid, const char *method, const char *params) {
    rig_add(&rig, msgid, method, params);
    rig_feed(&rig);
}

/* How often `code` stands in what was answered. */
static inline unsigned count_of(const char *code) {
    char *text = rig_take(&rig);
    unsigned count = 0;
    for (const char *at = text; (at = strstr(at, code)); at++) count++;
    free(text);
    return count;
}

static inline uint64_t metric_of(enum metric metric) {
    return rig.loop->metrics.values[metric];
}

/* Whether `text` stands anywhere in these bytes. */
static inline bool holds(const uint8_t *at, size_t size, const char *text) {
    return at && memmem(at, size, text, strlen(text));
}

#endif
