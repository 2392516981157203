/* What the operations share: how a request is refused, which namespace it means, how a caller's moments are read, and
 * the verbs that most of them ask.
 *
 * Begin functions use these in the order of a sentence: take the namespace, check, ask. Any loop's thread. */
#ifndef OP_REQUEST_H
#define OP_REQUEST_H

#include "op/op.h"
#include "wire/codec.h"

/* The latest moment that is kept, the end of the year 9999; what would lie behind it is cut down to it. */
#define MOMENT_MAX_MS INT64_C(253402300799999)

#define STATUSES_LIVING (STATUS_BIT(STATUS_ACTIVE) | STATUS_BIT(STATUS_PENDING))

/* Fills request->error; answers STEP_ERROR, so that begin can return it. `message` is static. */
enum op_step request_refuse(struct request *request, enum error_code code, const char *message);

/* The same, with the bound that was passed. */
enum op_step request_refuse_limit(struct request *request, enum error_code code, const char *message, int64_t limit);

/* Writes the namespace that is meant into the verb (the given one, or the connection's default) and notes whether it
 * has hash_ids. False: there is neither, and request->error says so. */
bool request_take_namespace(struct request *request, struct bytes given);

/* What the engine knows that id by in the namespace that was taken: the id itself, or with hash_ids its handle, which
 * is written to `buffer`. */
struct bytes request_engine_id(const struct request *request, struct bytes id, char buffer[43]);

/* Writes the session that is meant into the verb. After request_take_namespace. */
void request_take_id(struct request *request, struct bytes id);
/* The same for {handle} and {cookie}. STEP_SUBMIT: it is done. STEP_ANSWER: a cookie whose signature is wrong; there is
 * no such session. STEP_ERROR: request->error says what is wrong. */
enum op_step request_take_choice(struct request *request, const struct id_choice *choice);
/* An encoded, checked array of ids as the engine knows them. The array stays valid until the batch is executed; only
 * one request of a batch may ask. False: memory is lacking, and request->error says so. */
bool request_take_ids(struct request *request, struct bytes ids, struct bytes *out);

/* A new id of the server's for a session of that user, as the engine is to know it; the caller will be shown the id. */
struct bytes request_make_id(struct request *request, struct bytes user);

/* Writes a session as this request may show it: request->fields of it, under `id` only where the caller has that. */
void request_write_record(const struct request *request, struct buf *out, const struct session *session);
/* Checks the limit and the cursor (absent: from the start) of a page that was asked for; STEP_SUBMIT: all is well. */
enum op_step request_check_page(struct request *request, uint64_t limit, struct bytes cursor);
/* A scan's `each` for pages of records: writes one to request->out, until the connection's output mark is reached. */
bool request_stream_record(void *request, const struct session *session);
/* Ends a page: the array of records that stream_begin began, then `cursor` and its value, in a map. */
void request_end_page(const struct request *request, struct buf *out);
/* The same with a token: its id is the one shown, its secret request->secret. */
void request_write_record_with_token(const struct request *request, struct buf *out, const struct session *session);
/* The token alone, as a text. */
void request_write_token(const struct request *request, struct buf *out, struct bytes id);

/* The policy of the namespace that was taken, or the defaults where there is no such namespace yet; until the turn
 * ends. What a rule decides it decides by its input's: between the two the policy may change, all but hash_ids. */
const struct policy *request_policy(const struct request *request);

/* Writes the group that is meant into `kind` and `name`. False: several were given, and request->error says so. */
bool request_take_group(struct request *request, struct bytes user, struct bytes client, struct bytes pool,
                        enum group_kind *kind, struct bytes *name);

/* Makes the secret of a token, for this request. */
void request_make_secret(struct request *request);
/* What a session keeps of a token with that secret; in the request. For rules. */
struct bytes request_begin_token(struct request *request);

/* Asks for an update of the session that was taken by `rule`, which gets the request as its arguments. */
enum op_step request_ask_update(struct request *request, update_rule rule);

/* Takes namespace and id, and asks for an update of `id` by `rule`, which gets the request as its arguments. */
enum op_step request_update(struct request *request, struct bytes given_namespace, struct bytes id, update_rule rule);
/* The same for {handle} and {cookie}. */
enum op_step request_update_choice(struct request *request, struct bytes given_namespace,
                                   const struct id_choice *choice, update_rule rule);
/* The rule to give to the engine for `rule`: it refuses where hash_ids are not what the request found them to be, since
 * its namespace went and came again meanwhile. */
update_rule request_checked_rule(struct request *request, update_rule rule);

/* A caller's moment on the server's clock: 1 for all before the epoch, because 0 means "none" in a record. */
int64_t moment_of(const struct request *request, int64_t given);

/* For rules: the error of a write on what is dead or destroyed. */
enum outcome outcome_gone(const struct update_input *input, struct error *error);
enum outcome outcome_error(struct error *error, enum error_code code, const char *message);

#endif
