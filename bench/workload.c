/* See workload.h. */
#include "workload.h"

const char *const kind_names[KIND_COUNT] = {"get", "get_touch", "set", "patch", "create", "destroy", "modify", "probe"};

const struct workload workloads[] = {
    {"get", {[KIND_GET] = 1000}, KEYS_UNIFORM, "reads"},
    {"get_touch", {[KIND_GET_TOUCH] = 1000}, KEYS_UNIFORM, "reads that start the idle deadline again"},
    {"set", {[KIND_SET] = 1000}, KEYS_UNIFORM, "writes of the whole data"},
    {"mix", {[KIND_GET] = 500, [KIND_SET] = 500}, KEYS_ZIPF, "half reads, half writes"},
    {"web",
     {[KIND_GET_TOUCH] = 900, [KIND_PATCH] = 80, [KIND_CREATE] = 15, [KIND_DESTROY] = 5},
     KEYS_ZIPF,
     "browsing: page views, a counter or a cart now and then, people coming and leaving"},
    {"ycsb-a", {[KIND_GET] = 500, [KIND_SET] = 500}, KEYS_ZIPF, "YCSB A, update heavy"},
    {"ycsb-b", {[KIND_GET] = 950, [KIND_SET] = 50}, KEYS_ZIPF, "YCSB B, read mostly"},
    {"ycsb-c", {[KIND_GET] = 1000}, KEYS_ZIPF, "YCSB C, read only"},
    {"ycsb-d", {[KIND_GET] = 950, [KIND_CREATE] = 50}, KEYS_LATEST, "YCSB D, read latest"},
    {"ycsb-f", {[KIND_GET] = 500, [KIND_MODIFY] = 500}, KEYS_ZIPF, "YCSB F, read-modify-write"},
};
const unsigned workload_count = sizeof workloads / sizeof *workloads;

const struct workload workload_load = {"load", {[KIND_SET] = 1000}, KEYS_UNIFORM, "fills the server"};
const struct workload workload_expire = {
    "expire", {[KIND_GET] = 900, [KIND_PROBE] = 100}, KEYS_UNIFORM, "reads while all other sessions expire"};

const struct workload *workload_find(const char *name) {
    for (unsigned i = 0; i < workload_count; i++)
        if (strcmp(workloads[i].name, name) == 0) return &workloads[i];
    return NULL;
}

struct steps kind_steps(const struct driver *driver, enum kind kind, uint64_t turn) {
    switch (kind) {
    case KIND_GET:
    case KIND_PROBE: return (struct steps){REQUEST_GET, REQUEST_COUNT};
    case KIND_GET_TOUCH: return (struct steps){REQUEST_GET_TOUCH, REQUEST_COUNT};
    case KIND_SET: return (struct steps){REQUEST_SET, REQUEST_COUNT};
    case KIND_CREATE: return (struct steps){REQUEST_CREATE, REQUEST_COUNT};
    case KIND_DESTROY: return (struct steps){REQUEST_DESTROY, REQUEST_COUNT};
    case KIND_PATCH:
        /* A server without it makes its clients read, change and write the whole: what the usual stores do. */
        if (driver->has_patch)
            return (struct steps){turn & 1 ? REQUEST_PATCH_COUNTER : REQUEST_PATCH_KEY, REQUEST_COUNT};
        return (struct steps){REQUEST_GET, REQUEST_SET};
    case KIND_MODIFY: return (struct steps){REQUEST_GET, REQUEST_SET};
    case KIND_COUNT: break;
    }
    return (struct steps){REQUEST_GET, REQUEST_COUNT};
}
