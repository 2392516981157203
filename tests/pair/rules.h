/* What both of the pair test's engines are given: an environment, how sessions begin, and what is to become of one. */
#ifndef PAIR_RULES_H
#define PAIR_RULES_H

#include "base/prng.h"
#include "sessiond/engine.h"

extern const struct env pair_env;
/* What pair_env draws from here on depends on the seed alone, so that a seed that is run alone is the same story. */
void rules_start(uint64_t seed);

/* What a write asks for; the texts are borrowed. */
struct put {
    bool is_removal, ends, renames;
    int64_t idle_timeout_ms;
    struct bytes tags, id, new_id;
    struct usage usage;
};

/* Tags of a session, or those that an acquire asks for (is_wanted): of a few, or where there are many of eight bits. A
 * session has most of them, and one, two or three are asked for. They stay until the next ones. */
struct bytes tags_draw(struct prng *prng, bool is_many, bool is_wanted);

/* The id as text, of 23 characters at most. */
void copy_id(char out[24], struct bytes id);

/* One drawn at random, without ids. */
struct put put_draw(struct prng *prng, struct bytes tags);

/* What engine_options.pool_session_begin wants. */
void rule_begin(const struct policy *policy, const struct pool_policy *pool, int64_t at_ms, struct session *draft,
                struct usage *usage);

/* Rules of an UPDATE and of a MOVE, whose arguments are a struct put. */
enum outcome rule_put(const struct update_input *input, struct session *draft, struct error *error);
enum outcome rule_rename(const struct update_input *input, struct session *draft, struct error *error);

#endif
