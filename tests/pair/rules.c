/* See rules.h. */
#include "pair/rules.h"
#include "support/tag_bits.h"

#include <stdio.h>
#include <string.h>

static struct prng entropy;

void rules_start(uint64_t seed) {
    entropy = prng_of(seed + 5);
}

static void test_random(void *context, void *out, size_t size) {
    (void)context;
    prng_fill(&entropy, out, size);
}
static void test_wake(void *context, unsigned loop_index) {
    (void)context, (void)loop_index;
}
const struct env pair_env = {.random = test_random, .wake = test_wake};

void rule_begin(const struct policy *policy, const struct pool_policy *pool, int64_t at_ms, struct session *draft,
                struct usage *usage) {
    (void)policy;
    draft->status = STATUS_ACTIVE;
    draft->created_at = draft->last_active_at = at_ms;
    draft->absolute_timeout_ms = pool->absolute_timeout_ms;
    draft->idle_timeout_ms = pool->idle_timeout_ms;
    draft->data = BYTES_LITERAL("\x80");
    *usage = (struct usage){.max_usage_count = pool->max_usage_count,
                            .max_error_score = pool->max_error_score,
                            .error_score_decrement = pool->error_score_decrement};
}

struct put put_draw(struct prng *prng, struct bytes tags) {
    struct put put = {.is_removal = prng_happens(prng, 1, 6),
                      .ends = prng_happens(prng, 1, 8),
                      .renames = prng_happens(prng, 1, 8),
                      .idle_timeout_ms = prng_happens(prng, 1, 2) ? prng_between(prng, 1, 300) : 0,
                      .tags = tags};
    put.usage = (struct usage){.usage_count = prng_happens(prng, 1, 3) ? prng_below(prng, 3) : 0,
                               .max_usage_count = 1 + prng_below(prng, 4),
                               .max_error_score = 2,
                               .error_score_decrement = 0.5,
                               .is_forced = prng_happens(prng, 1, 3)};
    return put;
}

enum outcome rule_put(const struct update_input *input, struct session *draft, struct error *error) {
    const struct put *put = input->arguments;
    (void)error;
    if (put->is_removal) return input->old ? OUTCOME_REMOVE : OUTCOME_KEEP;
    if (input->presence == PRESENCE_ALIVE) {
        if (put->ends) {
            draft->status = STATUS_ENDED;
            draft->status_at = input->now_ms;
        }
        draft->last_active_at = input->now_ms;
        return OUTCOME_REPLACE;
    }
    memset(draft, 0, sizeof(*draft));
    draft->id = put->id;
    draft->status = STATUS_ACTIVE;
    draft->pool = BYTES_LITERAL("p");
    draft->tags = put->tags;
    draft->data = BYTES_LITERAL("\x80");
    draft->created_at = draft->last_active_at = input->now_ms;
    draft->idle_timeout_ms = put->idle_timeout_ms;
    draft->usage = &put->usage;
    return OUTCOME_REPLACE;
}

enum outcome rule_rename(const struct update_input *input, struct session *draft, struct error *error) {
    const struct put *put = input->arguments;
    (void)error;
    if (input->presence != PRESENCE_ALIVE) return OUTCOME_KEEP;
    draft->id = put->new_id;
    return OUTCOME_REPLACE;
}

static const struct bytes tag_sets[] = {{NULL, 0},
                                        BYTES_LITERAL("\x91\xa1"
                                                      "a"),
                                        BYTES_LITERAL("\x92\xa1"
                                                      "b\xa1"
                                                      "a")};

struct bytes tags_draw(struct prng *prng, bool is_many, bool is_wanted) {
    static uint8_t text[TAG_BITS_SIZE];
    if (!is_many) return tag_sets[prng_below(prng, 3)];
    if (!is_wanted) return tags_of_bits((unsigned)(prng_below(prng, 256) | prng_below(prng, 256)), text);
    return tags_of_bits(1u << prng_below(prng, 8) | 1u << prng_below(prng, 3) |
                            1u << prng_below(prng, prng_happens(prng, 1, 4) ? 8 : 1),
                        text);
}

void copy_id(char out[24], struct bytes id) {
    snprintf(out, 24, "%.*s", (int)id.size, (const char *)id.data);
}
