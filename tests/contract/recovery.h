/* A journal that keeps all effects in memory, engines that are made from them, and a text of all that one can ask an
 * engine, to compare two by. */
#ifndef CONTRACT_RECOVERY_H
#define CONTRACT_RECOVERY_H

#include "base/buf.h"
#include "base/prng.h"
#include "contract.h"

struct kept_journal {
    struct journal journal; /* first */
    struct buf effects;     /* all that was appended, behind the preamble of the engine's opening */
    unsigned appends;
    struct engine *engine; /* whose journal it is, where `flushed` is to be kept */
    uint64_t flushed;      /* what its engine had appended when it was last flushed */
};

/* A world whose engine tells that journal, begun anew. */
struct world recovery_begin(struct kept_journal *kept, unsigned shard_bits);
void recovery_end(struct world *world, struct kept_journal *kept);

/* An engine made from the first `size` bytes of what was kept, whole effects in an order that `prng` chooses (NULL: as
 * they came), at that moment. It tells `journal` what changes. */
struct engine *recovery_open(const struct kept_journal *kept, size_t size, struct prng *prng, unsigned shard_bits,
                             int64_t now_ms, struct journal *journal, struct recovery_counts *counts);

/* What stands under these ids, in lists, counts, clients and policies, as text. with_counts: also what the reaper
 * counts, which needs contract_advance before. */
struct asked {
    const char *const *namespaces, *const *ids, *const *users, *const *clients; /* each ends with NULL */
    bool is_thinned; /* touches may be: a client's updated_at is then not told of each, and not asked for */
};
void recovery_describe(struct world *world, const struct asked *asked, bool with_counts, struct buf *out);

/* Questions about one id of a namespace, one of its users or clients, or itself. */
enum question {
    ASK_GET,
    ASK_GET_DEAD,
    ASK_MANY,
    ASK_KEEP,   /* a rule that changes nothing */
    ASK_REFUSE, /* a rule that refuses */
    ASK_TOUCH_DEAD,
    ASK_LIST,
    ASK_COUNT,
    ASK_CLIENT,
    ASK_POLICY,
    ASK_NAMES,
    QUESTION_COUNT
};
/* Writes the answer as text, and answers which version it depends on. `name`: of the id, user or client. */
uint64_t recovery_ask(struct world *world, enum question question, const char *namespace, const char *name,
                      struct buf *out);
/* Of the effects those that are not newer than `version`. */
void recovery_cut(const struct kept_journal *kept, uint64_t version, struct kept_journal *out);

/* Fails the test and shows the first line that differs. */
void recovery_compare(const struct buf *expected, const struct buf *actual, const char *what);

#endif
