/* What the model's files share: state, judgement and changes (model.c), comparing answers (expect.c), and the
 * operations (one.c: on one session; many.c: on groups and namespaces). Each operation answers whether the answer was
 * as expected; model->complaint says why not. */
#ifndef SIM_PARTS_H
#define SIM_PARTS_H

#include "model.h"

#define FIELDS_DEFAULT  (~UINT64_C(0))
#define FIELDS_OF_LISTS (FIELDS_DEFAULT & ~(FIELD_BIT(FIELD_DATA) | FIELD_BIT(FIELD_META)))
#define LIVING          (STATUS_BIT(STATUS_ACTIVE) | STATUS_BIT(STATUS_PENDING))

extern const uint8_t empty_map[1];

/* What stands under an id. */
enum stands { STANDS_NOTHING, STANDS_ALIVE, STANDS_DEAD, STANDS_TOMBSTONE, STANDS_ALIAS };

/* ---- model.c: finding and judging */
struct record *find(struct model *model, unsigned namespace, const char *id);
/* When a retired one that lives until then is forgotten; INT64_MAX: it is none. One that dies before is kept as any
 * that does. */
int64_t record_forgotten_at(const struct model *model, const struct record *record);
/* Whether a dead or destroyed one's id is still refused for its death, if nothing else is left of it. */
bool is_covered(const struct model *model, const struct record *record, int64_t now_ms);
enum stands judge(const struct model *model, const struct record *record, int64_t now_ms);
enum stands look(struct model *model, const struct call *call, int64_t now_ms, struct record **record);
bool is_alive(const struct model *model, const struct record *record, int64_t now_ms);
/* ---- model.c: changes of a record; what is given replaces, nil clears */
void bury(struct model *model, struct record *record, int64_t now_ms);
/* The same, where what happened is told otherwise. */
void entomb(struct record *record, int64_t now_ms);
void note_write(struct model *model, struct record *record, enum event_kind kind, int64_t now_ms);
void set_status(struct model *model, struct record *record, enum status status, const char *reason, const char *by,
                int64_t now_ms);
void set_timeouts(struct record *record, const struct policy *policy, const struct call *call);
void set_deadline(struct record *record, const struct policy *policy, int64_t moment);
void set_deadline_given(struct record *record, const struct policy *policy, const struct number *given);
void set_text(char *member, const struct text *given);
void set_blob(struct bytes *member, const struct blob *given);
struct record begin_record(const struct policy *policy, int64_t now_ms);
int compare_age(const struct record *a, const struct record *b);
/* Stands for an id that the server is about to make. */
#define UNKNOWN_ID "?"
/* The server has made the id. */
void name_unknown(struct model *model, const char *id);
/* Whether the limits admit the draft, under `id` (UNKNOWN_ID: name_unknown says it later), where `old` (alive, or NULL)
 * stands; makes room where the policy says so. */
bool admit(struct model *model, unsigned namespace, const struct record *old, const struct record *draft,
           const char *id, int64_t now_ms);
bool admit_to_pool(struct model *model, unsigned namespace, const struct record *draft, bool is_forced, int64_t now_ms);
/* Stores the draft under namespace and id. */
struct record *publish(struct model *model, unsigned namespace, const char *id, const struct record *draft,
                       int64_t now_ms);
const struct policy *policy_of(const struct model *model, const struct call *call);
/* ---- told.c: what has to be heard */
/* The record's deadline, if it has passed and was not told. */
void told_deadline(struct model *model, struct record *record, int64_t now_ms);
/* What befell the record by now, a deadline that passed before included. Answers one plus its number. */
unsigned told_add(struct model *model, struct record *record, enum event_kind kind, int64_t now_ms);
void told_write(struct model *model, const struct record *record, enum event_kind kind, int64_t at);
/* The namespace goes: before its records do. */
void told_drop(struct model *model, unsigned namespace, int64_t now_ms);
/* ---- expect.c */
bool expect_ok(struct model *model, const struct answer *answer);
bool expect_nil(struct model *model, const struct answer *answer);
bool expect_integer(struct model *model, const struct answer *answer, int64_t expected);
bool expect_bool(struct model *model, const struct answer *answer, bool expected);
bool expect_error(struct model *model, const struct answer *answer, const char *code);
bool expect_record(struct model *model, const struct answer *answer, struct record *record, const char *id,
                   uint64_t fields, int64_t now_ms);
bool expect_deadline(struct model *model, const struct answer *answer, struct record *record, bool has_version);
bool expect_gone(struct model *model, const struct answer *answer, const struct record *record, enum stands stands,
                 int64_t now_ms);
bool expect_version_error(struct model *model, const struct answer *answer, struct record *record, const char *code);

/* ---- many.c */
/* Whether a session.list with these arguments shows the record. */
bool is_listed(const struct model *model, const struct record *record, const struct call *call, int64_t now_ms);
/* Every session of a page: known, wanted, once, in order. Answers how many in *count. */
bool expect_page(struct model *model, const struct call *call, int64_t now_ms, struct bytes sessions,
                 struct record **page, uint32_t *count);
/* ---- client.c */
/* A session enters its client now; before it stands among the records. */
void enter_client(struct model *model, unsigned namespace, const char *name, int64_t now_ms);
/* The session becomes its client's last active one. */
void touch_client(struct model *model, const struct record *record, int64_t now_ms);
/* It has another id now. */
void move_client(struct model *model, const struct record *moved, const char *old_id);
bool do_client(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer);
/* ---- hashed.c: what names a session where callers do not, its id or its handle */
const char *name_of(const struct model *model, const struct record *record);
void name_of_id(const struct model *model, unsigned namespace, const char *id, char *name);
struct record *find_named(struct model *model, unsigned namespace, const char *name);
/* Whether the call may be made where there are hashed ids, or none; else *is_expected says whether the answer was what
 * then comes. */
bool hashed_admits(struct model *model, const struct call *call, const struct answer *answer, bool *is_expected);
/* Whether a namespace.configure would change hash_ids of a namespace that is there. */
bool hashed_changes(struct model *model, const struct call *call, const struct answer *answer);
/* ---- cookie.c */
/* Standard base64 of 32 bytes, without padding. */
void write_base64(const uint8_t bytes[32], char *out);
/* Whether the call's cookie stands for its id; else *is_expected says whether the answer was what then comes. */
bool cookie_admits(struct model *model, const struct call *call, const struct answer *answer, bool *is_expected);
/* Whether these attributes may be given. */
bool cookie_is_good(const struct cookie_attributes *attributes);
bool do_cookie(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer);
/* ---- status.c */
bool do_status(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer);
/* ---- token.c */
/* What a create says of its token and its binding. */
void token_of_create(struct record *draft, const struct call *call);
/* A touch that may change nothing. */
void thin_touch(struct model *model, const struct call *call, struct record *record, int64_t now_ms);
bool do_validate(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer);
bool do_rotate(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer);
/* ---- purging.c */
bool do_purging(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer);
/* What namespace.describe says of it. */
bool expect_purging(struct model *model, const struct namespace_model *namespace, struct bytes encoded);
/* Forgets the dead of a namespace, as a purge at this moment does. */
void purge_namespace(struct model *model, unsigned namespace, int64_t now_ms);
/* ---- memory.c */
/* Whether the call is refused because `draft` (NULL: a little more of `old`), which would stand under `id` in place of
 * `old` (alive, or NULL), would be too much for max_bytes or max_memory: model->refusal says which, or what is wrong.
 */
bool lacks_memory(struct model *model, unsigned namespace, const struct record *old, const struct record *draft,
                  const char *id);
/* What namespace.describe says that its sessions take. */
bool expect_bytes(struct model *model, unsigned namespace, struct bytes encoded);
/* Whether the call is refused because its namespace would be one too many. */
bool lacks_namespace(struct model *model, unsigned namespace);
/* Whether there may be this namespace beside the others. */
bool admits_namespace(struct model *model, unsigned namespace);
/* Whether a pool is refused that would be a new one. */
bool lacks_memory_for_pool(struct model *model);
/* Whether one more session may have been too much, though the answer does not say so. */
bool may_lack_memory(const struct model *model, unsigned namespace);
/* ---- load.c */
bool do_load(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer);
/* ---- pool.c: finding and judging */
/* Somebody enters: the place that was held the longest is his. */
void take_oldest_hold(struct pool_model *pool);
struct pool_model *find_pool(struct model *model, unsigned namespace, const char *name);
/* What stands for the pool where it was never configured, too. */
struct pool_model *make_pool(struct model *model, unsigned namespace, const char *name);
bool seat_is_usable(const struct model *model, const struct record *record, int64_t now_ms);
bool pool_has_place(struct model *model, const struct pool_model *pool, bool takes_hold, int64_t now_ms);
struct seat *seat_new(struct model *model, const struct pool_policy *policy);
/* The pool's lifetime and a seat, for a draft that enters it. */
void enter_pool(struct model *model, const struct call *call, struct record *draft, const char *pool);
void retire_seat(struct model *model, struct record *record, int64_t now_ms);
void seat_cool(struct model *model, struct record *record, int64_t from);
void lease_end(struct model *model, struct record *record, int64_t at);
struct use *use_find(struct seat *seat, uint64_t number);
bool do_pool_configure(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer);
bool do_pool_reset(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer);
bool do_pool_state(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer);
/* ---- acquire.c */
/* What an acquire would get now. */
enum offer { OFFER_NOTHING, OFFER_SESSION, OFFER_CREATE, OFFER_ASK };
enum offer acquire_offer(struct model *model, const struct call *call, int64_t now_ms, struct record *const *taken,
                         unsigned taken_count);
/* Holds the answer of an acquire that is served now against what may be handed out, and hands it out. */
bool acquire_serve(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer);
bool do_acquire(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer);
/* ---- return.c */
bool do_mark(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer);
bool do_release(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer);
bool do_renew(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer);
/* ---- waiters.c */
/* Serves those who wait and can be served. False: one should have been and was not, or otherwise. */
bool serve_waiters(struct model *model, int64_t now_ms);
/* Their namespace was dropped: they are told that nothing comes any more. */
bool end_waiters(struct model *model, unsigned namespace);
/* ---- one.c and many.c */
bool do_create(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer);
bool do_add(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer);
bool do_get(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer);
bool do_get_many(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer);
bool do_take(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer);
bool do_destroy(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer);
bool do_set(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer);
bool do_patch(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer);
bool do_touch(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer);
bool touch_contradicts(const struct call *call);
bool do_expire(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer);
bool do_regenerate(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer);
bool do_count(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer);
bool do_list(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer);
bool do_revoke_all(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer);
bool do_clear(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer);
bool do_purge(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer);
bool do_drop(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer);
bool do_configure(struct model *model, const struct call *call, const struct answer *answer);
bool do_describe(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer);
bool do_list_names(struct model *model, const struct answer *answer);

#endif
