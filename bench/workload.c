/* See workload.h. */
#include "workload.h"

const char *const kind_names[KIND_COUNT] = {"get",     "get_touch", "set",   "patch",   "create",
                                            "destroy", "modify",    "probe", "login",   "validate",
                                            "rotate",  "logout",    "use",   "acquire", "mark"};

const struct workload workloads[] = {
    {"get", FAMILY_STORE, {[KIND_GET] = 1000}, KEYS_UNIFORM, "reads"},
    {"get_touch", FAMILY_STORE, {[KIND_GET_TOUCH] = 1000}, KEYS_UNIFORM, "reads that start the idle deadline again"},
    {"set", FAMILY_STORE, {[KIND_SET] = 1000}, KEYS_UNIFORM, "writes of the whole data"},
    {"mix", FAMILY_STORE, {[KIND_GET] = 500, [KIND_SET] = 500}, KEYS_ZIPF, "half reads, half writes"},
    {"web",
     FAMILY_STORE,
     {[KIND_GET_TOUCH] = 900, [KIND_PATCH] = 80, [KIND_CREATE] = 15, [KIND_DESTROY] = 5},
     KEYS_ZIPF,
     "browsing: page views, a counter or a cart now and then, people coming and leaving"},
    {"ycsb-a", FAMILY_STORE, {[KIND_GET] = 500, [KIND_SET] = 500}, KEYS_ZIPF, "YCSB A, update heavy"},
    {"ycsb-b", FAMILY_STORE, {[KIND_GET] = 950, [KIND_SET] = 50}, KEYS_ZIPF, "YCSB B, read mostly"},
    {"ycsb-c", FAMILY_STORE, {[KIND_GET] = 1000}, KEYS_ZIPF, "YCSB C, read only"},
    {"ycsb-d", FAMILY_STORE, {[KIND_GET] = 950, [KIND_CREATE] = 50}, KEYS_LATEST, "YCSB D, read latest"},
    {"ycsb-f", FAMILY_STORE, {[KIND_GET] = 500, [KIND_MODIFY] = 500}, KEYS_ZIPF, "YCSB F, read-modify-write"},
    {"auth",
     FAMILY_AUTH,
     {[KIND_VALIDATE] = 900, [KIND_ROTATE] = 40, [KIND_LOGIN] = 30, [KIND_LOGOUT] = 30},
     KEYS_ZIPF,
     "tokens: 90 % validate with slide, 4 % rotate, 3 % login, 3 % logout"},
    {"validate", FAMILY_AUTH, {[KIND_VALIDATE] = 1000}, KEYS_ZIPF, "of auth, validate alone"},
    {"rotate", FAMILY_AUTH, {[KIND_ROTATE] = 1000}, KEYS_UNIFORM, "of auth, rotate alone"},
    {"login",
     FAMILY_AUTH,
     {[KIND_LOGIN] = 500, [KIND_LOGOUT] = 500},
     KEYS_UNIFORM,
     "of auth, login and logout in turn"},
    {"scrape",
     FAMILY_POOL,
     {[KIND_USE] = 1000},
     KEYS_UNIFORM,
     "a pool: acquire, then mark 90 % good, 8 % bad, 2 % retire"},
    {"acquire", FAMILY_POOL, {[KIND_ACQUIRE] = 1000}, KEYS_UNIFORM, "of scrape, acquire alone, with no limit of use"},
    {"mark", FAMILY_POOL, {[KIND_MARK] = 1000}, KEYS_UNIFORM, "of scrape, mark good alone, with no limit of use"},
};
const unsigned workload_count = sizeof workloads / sizeof *workloads;

const struct workload workload_load = {"load", FAMILY_STORE, {[KIND_SET] = 1000}, KEYS_UNIFORM, "fills the server"};
const struct workload workload_expire = {"expire",
                                         FAMILY_STORE,
                                         {[KIND_GET] = 900, [KIND_PROBE] = 100},
                                         KEYS_UNIFORM,
                                         "reads while all other sessions expire"};

const struct workload *workload_find(const char *name) {
    for (unsigned i = 0; i < workload_count; i++)
        if (strcmp(workloads[i].name, name) == 0) return &workloads[i];
    return NULL;
}

static struct steps one(enum request request) {
    return (struct steps){(uint8_t)request, REQUEST_COUNT, REQUEST_COUNT};
}

static struct steps two(enum request first, enum request second) {
    return (struct steps){(uint8_t)first, (uint8_t)second, REQUEST_COUNT};
}

/* Of fifty marks four are bad and one retires; spread out, and the same in every run. */
static struct steps use_steps(uint64_t turn, bool has_leases) {
    uint64_t place = turn % 50;
    enum request mark = place == 49 ? REQUEST_MARK_RETIRE : place % 12 == 7 ? REQUEST_MARK_BAD : REQUEST_MARK_GOOD;
    return (struct steps){REQUEST_ACQUIRE, (uint8_t)mark, has_leases ? REQUEST_RELEASE : REQUEST_COUNT};
}

struct steps kind_steps(const struct driver *driver, enum kind kind, uint64_t turn, bool has_leases) {
    switch (kind) {
    case KIND_GET:
    case KIND_PROBE: return one(REQUEST_GET);
    case KIND_GET_TOUCH: return one(REQUEST_GET_TOUCH);
    case KIND_SET: return one(REQUEST_SET);
    case KIND_CREATE: return one(REQUEST_CREATE);
    case KIND_DESTROY: return one(REQUEST_DESTROY);
    case KIND_PATCH:
        /* A server without it makes its clients read, change and write the whole: what the usual stores do. */
        if (driver->has_patch) return one(turn & 1 ? REQUEST_PATCH_COUNTER : REQUEST_PATCH_KEY);
        return two(REQUEST_GET, REQUEST_SET);
    case KIND_MODIFY: return two(REQUEST_GET, REQUEST_SET);
    case KIND_LOGIN: return one(REQUEST_LOGIN);
    case KIND_VALIDATE: return one(REQUEST_VALIDATE);
    case KIND_ROTATE: return one(REQUEST_ROTATE);
    case KIND_LOGOUT: return one(REQUEST_LOGOUT);
    case KIND_USE: return use_steps(turn, has_leases);
    case KIND_ACQUIRE: return has_leases ? two(REQUEST_ACQUIRE, REQUEST_RELEASE) : one(REQUEST_ACQUIRE);
    case KIND_MARK: return one(REQUEST_MARK);
    case KIND_COUNT: break;
    }
    return one(REQUEST_GET);
}

enum request family_load_request(enum family family) {
    return family == FAMILY_AUTH ? REQUEST_LOGIN : family == FAMILY_POOL ? REQUEST_POOL_ADD : REQUEST_LOAD;
}

static bool has_request(const struct templates *templates, unsigned request) {
    return request == REQUEST_COUNT || templates->of[request].text.size > 0;
}

bool workload_is_possible(const struct workload *workload, const struct driver *driver,
                          const struct templates *templates, bool has_leases) {
    bool is_possible = has_request(templates, family_load_request(workload->family));
    for (unsigned kind = 0; kind < KIND_COUNT; kind++) {
        if (!workload->per_mille[kind]) continue;
        struct steps steps = kind_steps(driver, (enum kind)kind, 0, has_leases);
        is_possible = is_possible && has_request(templates, steps.first) && has_request(templates, steps.second) &&
                      has_request(templates, steps.third);
    }
    return is_possible;
}
