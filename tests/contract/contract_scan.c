/* Lists and counts. */
#include "base/buf.h"
#include "base/mp.h"
#include "contract.h"

static struct listed listed;

static void fill(struct world *world, int count, bool has_user) {
    char id[16];
    for (int i = 0; i < count; i++) {
        snprintf(id, sizeof(id), "s%d", i);
        struct put put = {.idle_timeout_ms = 100000};
        if (has_user) put.user = BYTES_LITERAL("ann");
        contract_put(world, "web", id, put);
        if (i % 3 == 0) world->now_ms++;
    }
}

static void check_each_once(int count) {
    static bool seen[LIST_MAX];
    memset(seen, 0, sizeof(seen));
    CHECK_EQUAL(listed.count, count);
    for (unsigned i = 0; i < listed.count; i++) {
        int number = atoi(listed.ids[i] + 1);
        CHECK(!seen[number]);
        seen[number] = true;
    }
}

static void lists_a_group_page_by_page_in_order(struct world *world) {
    fill(world, 400, true);
    for (int oldest = 0; oldest < 2; oldest++)
        for (uint32_t page = 1; page <= 1000; page = page * 7) {
            contract_list(world, "web", GROUP_USER, "ann", LIVING, page, oldest, &listed);
            check_each_once(400);
            CHECK(listed.is_total_known);
            CHECK_EQUAL(listed.total, 400);
            CHECK_EQUAL(listed.pages, (400 + page - 1) / page);
            for (unsigned i = 0; i < listed.count; i++)
                CHECK_EQUAL(atoi(listed.ids[i] + 1), oldest ? i : listed.count - 1 - i);
        }
}

/* A page of the living ones of a group (of user ann) or of the namespace. */
static struct verb page_of(bool is_group, uint32_t limit, bool (*each)(void *, const struct session *), void *context) {
    struct verb verb = verb_of(VERB_SCAN, "web", NULL);
    verb.scan.group = is_group ? GROUP_USER : GROUP_NONE;
    verb.scan.group_name = BYTES_LITERAL("ann");
    verb.scan.statuses = LIVING;
    verb.scan.limit = limit;
    verb.scan.each = each;
    verb.scan.context = context;
    return verb;
}

struct place {
    char text[SCAN_CURSOR_MAX];
    size_t size; /* 0: the beginning, or the end */
};

/* Asks from `place` on, which moves to behind what was handed out. */
static void submit_from(struct world *world, struct verb *verb, struct place *place) {
    if (place->size) verb->scan.cursor = bytes_of(place->text, place->size);
    contract_submit(world, verb);
    CHECK_EQUAL(verb->error.code, ERROR_NONE);
    place->size = verb->scan_result.cursor_size;
    memcpy(place->text, verb->scan_result.cursor, place->size);
}

static bool count_each(void *context, const struct session *session) {
    (void)session;
    ++*(unsigned *)context;
    return true;
}

/* A page behind the first costs what it lists, however large the group is, and tells the total that the first counted.
 */
static void lists_the_next_page_of_a_group_without_looking_at_the_others(struct world *world) {
    struct place place = {.size = 0};
    unsigned pages = 0, handed = 0;
    fill(world, 1000, true);
    do {
        struct verb verb = page_of(true, 10, count_each, &handed);
        submit_from(world, &verb, &place);
        CHECK(verb.scan_result.is_total_known && verb.scan_result.total == 1000);
        CHECK(pages == 0 || verb.scan_result.work <= 11);
        pages++;
        if (pages == 50) contract_put(world, "web", "late", (struct put){.user = BYTES_LITERAL("ann")});
    } while (place.size);
    CHECK(pages == 100 && handed == 1000);
}

static void looks_at_no_more_than_it_lists_where_no_total_is_wanted(struct world *world) {
    unsigned handed = 0;
    fill(world, 1000, true);
    struct verb verb = page_of(true, 10, count_each, &handed);
    verb.scan.skips_total = true;
    contract_submit(world, &verb);
    CHECK(handed == 10 && verb.scan_result.cursor_size > 0 && !verb.scan_result.is_total_known);
    CHECK(verb.scan_result.work <= 11);
}

static bool list_is(struct world *world, const char *expected) {
    char ids[LIST_MAX] = "";
    contract_list(world, "web", GROUP_USER, "ann", LIVING, 2, true, &listed);
    for (unsigned i = 0; i < listed.count; i++) strcat(strcat(ids, i ? " " : ""), listed.ids[i]);
    return strcmp(ids, expected) == 0;
}

static void keeps_the_order_in_which_sessions_of_one_millisecond_began(struct world *world) {
    const struct put plain = {.idle_timeout_ms = 100000};
    struct put put = {.idle_timeout_ms = 100000, .user = BYTES_LITERAL("ann")};
    contract_put(world, "web", "a", plain); /* it comes in later, and began first */
    contract_put(world, "web", "d", put);
    contract_put(world, "web", "c", put);
    contract_put(world, "web", "b", put);
    CHECK(list_is(world, "d c b"));
    world->now_ms += 5;
    contract_put(world, "web", "a", plain);
    contract_put(world, "web", "a", put);
    CHECK(list_is(world, "a d c b"));
    /* Over a write, a touch, the way out and in again, and a new id. */
    contract_put(world, "web", "d", put);
    contract_touch(world, "web", "c");
    contract_put(world, "web", "c", (struct put){.clears_user = true});
    CHECK(list_is(world, "a d b"));
    world->now_ms += 20;
    contract_put(world, "web", "c", put);
    contract_move(world, "web", "d", (struct rename){.id = BYTES_LITERAL("z")}, 0);
    CHECK(list_is(world, "a z c b"));
}

/* A loop that was stopped for a while works on what it read before, while the others have gone on. */
static void keeps_the_order_of_a_loop_whose_clock_is_behind(struct world *world) {
    const struct put put = {.idle_timeout_ms = 100000, .user = BYTES_LITERAL("ann")};
    contract_put(world, "web", "e", put);
    contract_put(world, "web", "d", put);
    world->loop = 1;
    world->now_ms = START + 50;
    contract_put(world, "web", "late", put);
    world->loop = 0;
    world->now_ms = START;
    contract_put(world, "web", "c", put);
    contract_put(world, "web", "b", put);
    contract_put(world, "web", "a", put);
    CHECK(list_is(world, "e d c b a late"));
    world->now_ms = START + 1;
    contract_put(world, "web", "1", put);
    contract_put(world, "web", "0", put);
    CHECK(list_is(world, "e d c b a 1 0 late"));
}

static void counts_as_begun_anew_who_comes_again_in_the_same_millisecond(struct world *world) {
    struct put put = {.idle_timeout_ms = 1000, .user = BYTES_LITERAL("ann"), .revives = true};
    contract_put(world, "web", "a", put);
    contract_put(world, "web", "b", put);
    contract_put(world, "web", "c", put);
    contract_remove(world, "web", "a");
    contract_put(world, "web", "a", put);
    CHECK(list_is(world, "b c a"));
    /* One that had died, so that its record is still there. */
    contract_put(world, "web", "b", (struct put){.status = STATUS_REVOKED});
    contract_put(world, "web", "b", put);
    CHECK(list_is(world, "c a b"));
}

static void lists_who_began_long_after_created_at_last_of_its_millisecond(struct world *world) {
    struct put put = {.idle_timeout_ms = 100000, .user = BYTES_LITERAL("ann"), .created_at = START};
    contract_put(world, "web", "b", put);
    contract_put(world, "web", "a", put);
    world->now_ms = START + 6;
    contract_put(world, "web", "_", put);
    world->now_ms = START + 7;
    for (int i = 0; i < 20; i++) {
        char id[16];
        snprintf(id, sizeof(id), "s%d", i);
        contract_put(world, "web", id, put);
    }
    for (uint32_t page = 1; page < 30; page += 7) {
        contract_list(world, "web", GROUP_USER, "ann", LIVING, page, true, &listed);
        CHECK(listed.count == 23 && strcmp(listed.ids[0], "b") == 0 && strcmp(listed.ids[1], "a") == 0);
        CHECK(strcmp(listed.ids[2], "_") == 0);
        for (unsigned i = 0; i < listed.count; i++)
            for (unsigned k = 0; k < i; k++) CHECK(strcmp(listed.ids[i], listed.ids[k]) != 0);
    }
}

static void lists_a_namespace_each_once(struct world *world) {
    fill(world, 1000, false);
    contract_put(world, "app", "s0", (struct put){0});
    for (uint32_t page = 3; page <= 1000; page = page * 9) {
        contract_list(world, "web", GROUP_NONE, NULL, LIVING, page, false, &listed);
        check_each_once(1000);
        CHECK_EQUAL(listed.total, 1000);
    }
}

/* Between the pages others come and go, and the table grows to many times its size. */
static void lists_what_stays_once_while_the_table_grows(struct world *world) {
    struct place place = {.size = 0};
    unsigned seen = 0, added = 0;
    fill(world, 500, false);
    do {
        struct verb verb = page_of(false, 17, count_each, &seen);
        verb.scan.prefix = BYTES_LITERAL("s");
        submit_from(world, &verb, &place);
        for (int i = 0; i < 100; i++) {
            char id[16];
            snprintf(id, sizeof(id), "n%u", added++);
            contract_put(world, "web", id, (struct put){0});
        }
    } while (place.size);
    CHECK_EQUAL(seen, 500);
}

static void filters_by_prefix_and_status(struct world *world) {
    fill(world, 40, false);
    contract_put(world, "web", "x1", (struct put){.status = STATUS_PENDING});
    contract_put(world, "web", "x2", (struct put){.absolute_expires_at = START - 1});
    contract_list(world, "web", GROUP_NONE, NULL, STATUS_BIT(STATUS_PENDING), 10, false, &listed);
    CHECK(listed.count == 1 && listed_has(&listed, "x1"));
    contract_list(world, "web", GROUP_NONE, NULL, STATUS_BIT(STATUS_EXPIRED), 10, false, &listed);
    CHECK(listed.count == 1 && listed_has(&listed, "x2"));
    CHECK_EQUAL(contract_count(world, "web", GROUP_NONE, NULL, STATUS_BIT(STATUS_PENDING)), 1);
    CHECK_EQUAL(contract_count(world, "web", GROUP_NONE, NULL, STATUS_BIT(STATUS_EXPIRED)), 1);
    CHECK_EQUAL(contract_count(world, "web", GROUP_NONE, NULL, LIVING), 41);
}

struct stopping {
    unsigned taken, stop_at;
    char last[16];
};

static bool stopping_each(void *context, const struct session *session) {
    struct stopping *stopping = context;
    if (stopping->taken == stopping->stop_at) return false;
    stopping->taken++;
    snprintf(stopping->last, sizeof(stopping->last), "%.*s", (int)session->id.size, (const char *)session->id.data);
    return true;
}

/* An `each` that takes no more leaves a cursor that leads back to what it did not take, even if that is the first. */
static void stops_where_each_takes_no_more(struct world *world) {
    fill(world, 30, true);
    for (int is_group = 0; is_group < 2; is_group++) {
        struct place place = {.size = 0};
        unsigned taken = 0;
        for (unsigned round = 0; round == 0 || place.size; round++) {
            struct stopping stopping = {.stop_at = round % 4};
            struct verb verb = page_of(is_group, 100, stopping_each, &stopping);
            submit_from(world, &verb, &place);
            for (size_t i = 0; i < place.size; i++) CHECK(place.text[i] > ' ' && place.text[i] < 127);
            taken += stopping.taken;
        }
        CHECK_EQUAL(taken, 30);
    }
}

static void refuses_a_cursor_that_is_none(struct world *world) {
    static const char *const bad[] = {"",
                                      "x",
                                      "n",
                                      "n123",
                                      "g0000000000000000",
                                      "n000000000000000g",
                                      "n00000000000000000",
                                      "g00000000000000000000000000000000000"};
    fill(world, 3, true);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        for (int is_group = 0; is_group < 2; is_group++) {
            struct stopping stopping = {.stop_at = 100};
            struct verb verb = page_of(is_group, 100, stopping_each, &stopping);
            verb.scan.cursor = bytes_of_string(bad[i]);
            contract_submit(world, &verb);
            CHECK_EQUAL(verb.error.code, ERROR_BAD_REQUEST);
            CHECK_EQUAL(stopping.taken, 0);
        }
}

struct answers {
    unsigned count;
    char text[200];
};

static bool answers_each(void *context, const struct session *session) {
    struct answers *answers = context;
    size_t used = strlen(answers->text);
    if (session)
        snprintf(answers->text + used, sizeof(answers->text) - used, "%.*s,", (int)session->id.size,
                 (const char *)session->id.data);
    else
        snprintf(answers->text + used, sizeof(answers->text) - used, "-,");
    return ++answers->count < 5;
}

static void answers_given_ids_in_their_order(struct world *world) {
    struct buf ids = BUF_EMPTY;
    struct answers answers = {0};
    fill(world, 3, false);
    contract_put(world, "web", "dead", (struct put){.absolute_expires_at = START - 1});
    contract_put(world, "web", "old", (struct put){0});
    contract_move(world, "web", "old", (struct rename){.id = BYTES_LITERAL("new")}, 100);
    mp_write_array(&ids, 5);
    mp_write_string(&ids, "s2");
    mp_write_string(&ids, "none");
    mp_write_bin(&ids, BYTES_LITERAL("s0"));
    mp_write_string(&ids, "dead");
    mp_write_string(&ids, "old");
    struct verb verb = verb_of(VERB_SCAN, "web", NULL);
    verb.scan.ids = buf_bytes(&ids);
    verb.scan.limit = 1000;
    verb.scan.each = answers_each;
    verb.scan.context = &answers;
    contract_submit(world, &verb);
    CHECK(strcmp(answers.text, "s2,-,s0,-,old,") == 0);
    answers = (struct answers){0};
    verb.namespace = BYTES_LITERAL("none");
    contract_submit(world, &verb);
    CHECK(strcmp(answers.text, "-,-,-,-,-,") == 0);
    buf_fini(&ids);
}

static void of_nothing_is_empty(struct world *world) {
    contract_list(world, "web", GROUP_NONE, NULL, LIVING, 10, false, &listed);
    CHECK(listed.count == 0 && listed.pages == 1);
    contract_list(world, "web", GROUP_USER, "ann", LIVING, 10, false, &listed);
    CHECK(listed.count == 0 && listed.pages == 1 && listed.total == 0);
    CHECK_EQUAL(contract_count(world, "web", GROUP_NONE, NULL, LIVING), 0);
}

const struct contract_test scan_tests[] = {
    {"lists a group page by page, in order", lists_a_group_page_by_page_in_order},
    {"lists the next page of a group without looking at the others",
     lists_the_next_page_of_a_group_without_looking_at_the_others},
    {"looks at no more than it lists where no total is wanted",
     looks_at_no_more_than_it_lists_where_no_total_is_wanted},
    {"keeps the order in which sessions of one millisecond began",
     keeps_the_order_in_which_sessions_of_one_millisecond_began},
    {"keeps the order of a loop whose clock is behind", keeps_the_order_of_a_loop_whose_clock_is_behind},
    {"counts as begun anew who comes again in the same millisecond",
     counts_as_begun_anew_who_comes_again_in_the_same_millisecond},
    {"lists who began long after created_at last of its millisecond",
     lists_who_began_long_after_created_at_last_of_its_millisecond},
    {"lists a namespace, each session once", lists_a_namespace_each_once},
    {"lists what stays once while the table grows", lists_what_stays_once_while_the_table_grows},
    {"filters by prefix and status", filters_by_prefix_and_status},
    {"stops where each takes no more", stops_where_each_takes_no_more},
    {"refuses a cursor that is none", refuses_a_cursor_that_is_none},
    {"answers given ids in their order", answers_given_ids_in_their_order},
    {"of nothing is empty", of_nothing_is_empty},
    {NULL, NULL}};
