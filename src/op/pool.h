/* What the operations on pools share: how a pool's session begins, whatever brings it in - an acquire that makes one,
 * pool.add, pool.load, or session.create with a pool.
 *
 * Always true: a session that enters a pool takes the pool's lifetime in place of the namespace's, under the
 * namespace's caps, and its limits are copied into it then. Any thread. */
#ifndef OP_POOL_H
#define OP_POOL_H

#include "op/draft.h"

/* Fills the pool part of an engine's options; options->env must stand already. For whoever opens an engine. */
void pool_engine_options(struct engine_options *options);

/* Takes the namespace and sees that it may have pools. False: request->error says why not. */
bool pool_take_namespace(struct request *request, struct bytes given);

/* Writes a map with the name of a pool, its policy and its counts. */
void pool_write_state(struct buf *out, struct bytes name, const struct pool_state *state);

/* For rules: makes a draft that draft_begin has begun a session of `pool`, with the pool's lifetime, and the given
 * members of `timeouts` (may be NULL) in its place. draft->usage is filled, in the input's scratch, for the rule to
 * change. False: *error says why not. */
bool pool_draft_enter(const struct update_input *input, struct bytes pool, const struct timeouts *timeouts,
                      struct session *draft, struct usage **usage, struct error *error);

/* The rule of pool.add on `args`; `request` is whom it serves. */
enum outcome pool_add_by(const struct request *request, const struct args_pool_add *args,
                         const struct update_input *input, struct session *draft, struct error *error);

#endif
