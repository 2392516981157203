/* The limit of a user with many sessions, against what each session says of itself: which are alive, how old they are
 * and since when they are idle is read before each login, one by one, and so is who must be ended for it. */
#include "base/prng.h"
#include "contract.h"

#include <stdlib.h>
#include <string.h>

enum { MEMBERS_MAX = 160, LIMIT_LEAST = 17, LIMIT_MOST = 40, NAME_BYTES = 16 };

struct member {
    char id[NAME_BYTES];
    struct session session; /* as it was read; bytes are not looked at */
    bool is_living;         /* a living one of the user's */
};

struct limit_play {
    struct world world;
    struct prng prng;
    struct member members[MEMBERS_MAX];
    unsigned count, made;
    int64_t max;
    enum session_limit_policy policy;
};

static void configure(struct limit_play *play) {
    static const enum session_limit_policy policies[] = {SESSION_LIMIT_POLICY_REJECT, SESSION_LIMIT_POLICY_EVICT_OLDEST,
                                                         SESSION_LIMIT_POLICY_EVICT_IDLE};
    play->policy = policies[prng_below(&play->prng, 3)];
    if (prng_happens(&play->prng, 1, 3)) play->max = prng_between(&play->prng, LIMIT_LEAST, LIMIT_MOST);
    struct policy_change change = policy_set((struct policy_change){0}, POLICY_MAX_SESSIONS_PER_USER, play->max);
    change = policy_set(change, POLICY_SESSION_LIMIT_POLICY, play->policy);
    contract_configure(&play->world, "web", policy_set(change, POLICY_RETENTION_MS, 300));
}

/* ---- what each says of itself */

static void read_member(struct limit_play *play, struct member *member, bool *is_there) {
    struct verb verb = contract_get(&play->world, "web", member->id, true);
    *is_there = verb.is_found;
    member->is_living = verb.is_found && bytes_equal(verb.session.user, TEXT("ann")) &&
                        session_is_alive(&verb.session, play->world.now_ms);
    member->session = verb.session;
}

/* Reads all, forgets those that are gone, and answers how many of the user's are alive. */
static int64_t read_members(struct limit_play *play) {
    int64_t living = 0;
    for (unsigned i = 0; i < play->count;) {
        bool is_there;
        read_member(play, &play->members[i], &is_there);
        if (!is_there) {
            play->members[i] = play->members[--play->count];
            continue;
        }
        living += play->members[i++].is_living;
    }
    return living;
}

static bool is_ended_before(const struct limit_play *play, const struct session *a, const struct session *b) {
    bool goes_by_idle = play->policy == SESSION_LIMIT_POLICY_EVICT_IDLE;
    if (goes_by_idle && a->last_active_at != b->last_active_at) return a->last_active_at < b->last_active_at;
    if (a->created_at != b->created_at) return a->created_at < b->created_at;
    return a->birth < b->birth;
}

/* How many of the living are to be ended before this one, and how many at most: of those that were brought along with
 * one created_at none is the older. */
struct place {
    int64_t first, last;
};

static struct place place_of(const struct limit_play *play, const struct member *member) {
    struct place place = {0, 0};
    for (unsigned i = 0; i < play->count; i++) {
        const struct member *other = &play->members[i];
        if (!other->is_living || other == member) continue;
        place.first += is_ended_before(play, &other->session, &member->session);
        place.last += !is_ended_before(play, &member->session, &other->session);
    }
    return place;
}

static struct member *draw(struct limit_play *play) {
    return play->count ? &play->members[prng_below(&play->prng, play->count)] : NULL;
}

/* ---- what happens */

static struct member *add_member(struct limit_play *play) {
    struct member *member = &play->members[play->count++];
    *member = (struct member){.is_living = false};
    snprintf(member->id, sizeof(member->id), "s%u", play->made++);
    return member;
}

static struct put draw_put(struct limit_play *play) {
    struct put put = {.user = TEXT("ann")};
    if (prng_happens(&play->prng, 1, 3)) put.idle_timeout_ms = prng_between(&play->prng, 20, 4000);
    if (prng_happens(&play->prng, 1, 8)) put.absolute_timeout_ms = prng_between(&play->prng, 20, 4000);
    /* One that is brought along from elsewhere, and stands among the others. */
    if (prng_happens(&play->prng, 1, 8)) put.created_at = play->world.now_ms - prng_between(&play->prng, 0, 2000);
    return put;
}

/* So many were ended for the one that came, and those whose turn it was. */
static void check_ended(struct limit_play *play, const struct member *coming, int64_t excess) {
    int64_t ended = 0;
    for (unsigned i = 0; i < play->count; i++) {
        const struct member *member = &play->members[i];
        if (!member->is_living || member == coming) continue;
        struct verb after = contract_get(&play->world, "web", member->id, true);
        struct place place = place_of(play, member);
        bool is_ended = place.last < excess || (place.first < excess && after.session.status == STATUS_REVOKED);
        CHECK_EQUAL(after.session.status, is_ended ? STATUS_REVOKED : member->session.status);
        ended += is_ended;
    }
    CHECK_EQUAL(ended, excess);
}

/* A session comes to the user: a new one, or one that was another user's. */
static void enter(struct limit_play *play) {
    int64_t living = read_members(play);
    struct member *coming = prng_happens(&play->prng, 1, 6) ? draw(play) : NULL;
    bool comes_back = coming && !coming->is_living && session_is_alive(&coming->session, play->world.now_ms);
    if (!comes_back && play->count == MEMBERS_MAX) return;
    struct put put = draw_put(play);
    if (!comes_back) coming = add_member(play);
    struct verb verb = contract_put(&play->world, "web", coming->id, put);
    bool is_born_dead = !comes_back && put.created_at && put.absolute_timeout_ms &&
                        put.created_at + put.absolute_timeout_ms <= play->world.now_ms;
    int64_t excess = is_born_dead ? 0 : living - play->max + 1;
    bool is_refused = excess > 0 && play->policy == SESSION_LIMIT_POLICY_REJECT;
    CHECK_EQUAL(verb.error.code, is_refused ? ERROR_LIMIT : ERROR_NONE);
    check_ended(play, coming, is_refused || excess < 0 ? 0 : excess);
}

static enum outcome shorten_rule(const struct update_input *input, struct session *draft, struct error *error) {
    (void)error;
    if (input->presence != PRESENCE_ALIVE) return OUTCOME_KEEP;
    draft->absolute_expires_at = *(const int64_t *)input->arguments;
    return OUTCOME_REPLACE;
}

static enum outcome grow_idle_rule(const struct update_input *input, struct session *draft, struct error *error) {
    (void)error;
    if (input->presence != PRESENCE_ALIVE) return OUTCOME_KEEP;
    draft->last_active_at -= *(const int64_t *)input->arguments;
    return OUTCOME_REPLACE;
}

static void run_rule(struct limit_play *play, const char *id, update_rule rule, int64_t argument) {
    struct verb verb = verb_of(VERB_UPDATE, "web", id);
    verb.update.rule = rule;
    verb.update.arguments = &argument;
    contract_submit(&play->world, &verb);
}

/* For its grace the old id answers the same session, which is one all the same. */
static void rename_member(struct limit_play *play, struct member *member) {
    char id[NAME_BYTES];
    snprintf(id, sizeof(id), "s%u", play->made++);
    int64_t grace_ms = prng_happens(&play->prng, 1, 2) ? 50 : 0;
    struct verb verb = contract_move(&play->world, "web", member->id, (struct rename){.id = TEXT(id)}, grace_ms);
    if (verb.outcome == OUTCOME_REPLACE) memcpy(member->id, id, sizeof(id));
}

static void change_one(struct limit_play *play) {
    struct member *member = draw(play);
    int64_t now_ms = play->world.now_ms;
    if (!member) return;
    switch (prng_below(&play->prng, 8)) {
    case 0:
    case 1: contract_touch(&play->world, "web", member->id); break;
    case 2: contract_put(&play->world, "web", member->id, (struct put){.status = STATUS_ENDED}); break;
    case 3: contract_remove(&play->world, "web", member->id); break;
    case 4: run_rule(play, member->id, shorten_rule, now_ms + prng_between(&play->prng, -5, 100)); break;
    case 5: run_rule(play, member->id, grow_idle_rule, prng_between(&play->prng, 0, 500)); break;
    case 6: contract_put(&play->world, "web", member->id, (struct put){.user = TEXT("bob")}); break;
    case 7: rename_member(play, member); break;
    }
}

static void change_all(struct limit_play *play) {
    switch (prng_below(&play->prng, 12)) {
    case 0: contract_end(&play->world, "web", END_CLEAR); break;
    case 1: contract_revoke(&play->world, "web", GROUP_USER, "ann", BYTES_ABSENT); break;
    case 2: contract_end(&play->world, "web", END_PURGE); break;
    default: configure(play);
    }
}

void contract_limit(uint64_t seed, unsigned shard_bits, unsigned steps) {
    static struct limit_play play;
    memset(&play, 0, sizeof(play));
    play.world = contract_open(shard_bits);
    play.prng = prng_of(seed);
    play.max = LIMIT_LEAST;
    configure(&play);
    for (unsigned step = 0; step < steps; step++) {
        uint64_t drawn = prng_below(&play.prng, 100);
        play.world.loop = (unsigned)prng_below(&play.prng, 2);
        if (drawn < 60)
            enter(&play);
        else if (drawn < 84)
            change_one(&play);
        else if (drawn < 92)
            play.world.now_ms += prng_between(&play.prng, 1, 40);
        else if (drawn < 98)
            contract_advance(&play.world);
        else
            change_all(&play);
    }
    play.world.engine->vtable->check(play.world.engine);
    contract_close(&play.world);
}
