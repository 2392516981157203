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

/* Writes the namespace that is meant into the verb: the given one, or the connection's default. False: there is
 * neither, and request->error says so. */
bool request_take_namespace(struct request *request, struct bytes given);

/* The policy of the namespace that was taken, or the defaults where there is no such namespace yet; until the turn
 * ends. What a rule decides it decides by its input's: between the two the policy may change, all but hash_ids. */
const struct policy *request_policy(const struct request *request);

/* Writes the group that is meant into `kind` and `name`. False: several were given, and request->error says so. */
bool request_take_group(struct request *request, struct bytes user, struct bytes client, struct bytes pool,
                        enum group_kind *kind, struct bytes *name);

/* Asks for an update of `id` by `rule`, which gets the request as its arguments. */
enum op_step request_update(struct request *request, struct bytes given_namespace, struct bytes id, update_rule rule);

/* A caller's moment on the server's clock: 1 for all before the epoch, because 0 means "none" in a record. */
int64_t moment_of(const struct request *request, int64_t given);

/* Writes {version, expires_at} of a session into a map that has already begun. */
void write_version(struct buf *out, const struct session *session);
void write_expires_at(struct buf *out, const struct session *session);

/* For rules: the error of a write on what is dead or destroyed. */
enum outcome outcome_gone(const struct update_input *input, struct error *error);
enum outcome outcome_error(struct error *error, enum error_code code, const char *message);

#endif
