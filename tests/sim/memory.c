/* max_bytes, max_memory and max_namespaces in the model. It does not know how many bytes a session takes: only that
 * they are no less than its contents and no more than a few times that and a little.
 *
 * So a refusal is believed where the limit may have been reached, and missed where it must have been. What is refused
 * has changed nothing; what ends a session is never refused. */
#include "parts.h"
#include "sessiond/session.h"

#include <string.h>

#define RECORD_MOST  400   /* what a session takes beside its contents */
#define ALIAS_MOST   1000  /* what an old id takes in its grace */
#define ENGINE_MOST  40000 /* what the engine may need beside the record */
#define CONTENT_MOST 2     /* bytes taken for a byte of contents */
#define KEPT_MOST    13000 /* what may be added when the turn ends: notes of what was retired, and stocks for it */

static uint64_t least_of(const struct record *record) {
    return strlen(record->id) + record->data.size + record->meta.size;
}

static uint64_t most_of(const struct record *record) {
    return RECORD_MOST + CONTENT_MOST * (least_of(record) + strlen(record->user) + strlen(record->client) +
                                         strlen(record->pool) + strlen(record->reason) + strlen(record->replaced_by));
}

static bool is_kept(const struct model *model, const struct record *record, int64_t now_ms) {
    enum stands stands = judge(model, record, now_ms);
    return stands == STANDS_ALIVE || stands == STANDS_DEAD || stands == STANDS_ALIAS;
}

static uint64_t sum(const struct model *model, unsigned namespace, bool of_most) {
    uint64_t bytes = 0;
    for (unsigned i = 0; i < model->record_count; i++) {
        const struct record *record = &model->records[i];
        if (record->namespace != namespace || !is_kept(model, record, model->moment)) continue;
        if (record->kind == KIND_RECORD) bytes += of_most ? most_of(record) : least_of(record);
        if (record->kind == KIND_ALIAS) bytes += of_most ? ALIAS_MOST : 0;
    }
    return bytes;
}

bool expect_bytes(struct model *model, unsigned namespace, struct bytes encoded) {
    int64_t got = integer_of(encoded), least = (int64_t)sum(model, namespace, false);
    return got >= least || complain(model, "its sessions should take %lld bytes at least", (long long)least);
}

static bool may_be_too_much(const struct model *model, unsigned namespace, uint64_t most) {
    uint64_t max = model->namespaces[namespace].policy.max_bytes;
    return max && sum(model, namespace, true) + ALIAS_MOST + most > max;
}

static bool may_be_full(const struct model *model, uint64_t most) {
    uint64_t used = model->memory_used[model->memory_used[1] > model->memory_used[0]];
    return model->max_memory && used + ENGINE_MOST + most > model->max_memory;
}

bool may_lack_memory(const struct model *model, unsigned namespace) {
    return may_be_too_much(model, namespace, RECORD_MOST) || may_be_full(model, RECORD_MOST);
}

/* What stood there is replaced by what takes surely more; or nothing is kept under the id. */
static bool surely_grows(const struct model *model, unsigned namespace, const struct record *old,
                         const struct record *draft, const char *id) {
    if (old) return least_of(draft) > most_of(old);
    for (unsigned i = 0; i < model->record_count; i++)
        if (model->records[i].namespace == namespace && strcmp(model->records[i].id, id) == 0)
            return !is_kept(model, &model->records[i], model->moment);
    return true;
}

static bool must_lack(struct model *model, unsigned namespace, const struct record *old, const struct record *draft,
                      const char *id) {
    uint64_t max = model->namespaces[namespace].policy.max_bytes;
    if (!is_nil(model->answer->error) || !status_is_living(draft->status)) return false;
    if (!surely_grows(model, namespace, old, draft, id)) return false;
    model->refusal = "LIMIT";
    if (max && sum(model, namespace, false) - (old ? least_of(old) : 0) + least_of(draft) > max) return true;
    model->refusal = "NO_MEMORY";
    return model->max_memory && model->is_single && !old && model->memory_used[1] > model->max_memory + KEPT_MOST;
}

static bool is_refused_by_bytes(const struct model *model, unsigned namespace) {
    uint64_t max = model->namespaces[namespace].policy.max_bytes;
    return max && answer_is_refused(model->answer, "LIMIT") &&
           integer_of(map_value(model->answer->error, "limit")) == (int64_t)max;
}

/* The server's own limit. */
static bool lacks_memory_of_all(struct model *model, uint64_t most) {
    if (!answer_is_refused(model->answer, "NO_MEMORY")) return false;
    model->refusal = may_be_full(model, most) ? "NO_MEMORY" : "nothing: max_memory is far";
    model->full[1]++;
    return true;
}

bool lacks_memory_for_pool(struct model *model) {
    return model->answer->error.data && lacks_memory_of_all(model, RECORD_MOST);
}

bool lacks_memory(struct model *model, unsigned namespace, const struct record *old, const struct record *draft,
                  const char *id) {
    uint64_t most = draft ? most_of(draft) : most_of(old);
    if (!model->answer->error.data) return false;
    if (is_refused_by_bytes(model, namespace)) {
        model->refusal = may_be_too_much(model, namespace, most) ? "LIMIT" : "nothing: max_bytes is far";
        model->full[0]++;
        return true;
    }
    if (lacks_memory_of_all(model, most)) return true;
    return draft && must_lack(model, namespace, old, draft, id);
}

/* How many others there are: for sure, or perhaps. */
static unsigned count_others(const struct model *model, unsigned namespace, enum existence least) {
    unsigned count = 0;
    for (unsigned i = 0; i < model->namespace_count; i++)
        count += i != namespace && model->namespaces[i].existence >= least;
    return count;
}

bool lacks_namespace(struct model *model, unsigned namespace) {
    bool is_refused = model->answer->error.data && answer_is_refused(model->answer, "LIMIT") &&
                      integer_of(map_value(model->answer->error, "limit")) == (int64_t)model->max_namespaces;
    bool may_be = model->namespaces[namespace].existence != EXISTS_YES &&
                  count_others(model, namespace, EXISTS_MAYBE) >= model->max_namespaces;
    if (is_refused && may_be) model->full[2]++;
    return is_refused && may_be;
}

bool admits_namespace(struct model *model, unsigned namespace) {
    return count_others(model, namespace, EXISTS_YES) < model->max_namespaces ||
           complain(model, "%s should be one namespace too many", model->namespaces[namespace].name);
}
