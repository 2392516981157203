/* Purging in the model: by request, and all interval_ms where it is turned on.
 *
 * The dead of the moment are forgotten. A world with purging lets each purge's moment come by itself, so that it
 * happens then and not at some later one. */
#include "parts.h"

#include <string.h>

#define INTERVAL_MIN_MS     100
#define INTERVAL_DEFAULT_MS 60000

void purge_namespace(struct model *model, unsigned namespace, int64_t now_ms) {
    for (unsigned i = 0; i < model->record_count; i++)
        if (model->records[i].namespace == namespace) model->records[i].outlives_purge = false;
    model->namespaces[namespace].purged_at = now_ms;
}

static int64_t interval_of(const struct namespace_model *namespace) {
    return namespace->purge_interval_ms ? namespace->purge_interval_ms : INTERVAL_DEFAULT_MS;
}

void purging_pass(struct model *model, int64_t now_ms) {
    for (unsigned i = 0; i < model->namespace_count; i++) {
        struct namespace_model *namespace = &model->namespaces[i];
        if (!namespace->is_purging || namespace->purge_at > now_ms) continue;
        purge_namespace(model, i, now_ms);
        namespace->swept_at = now_ms;
        namespace->purge_at = now_ms + interval_of(namespace);
        model->purges++;
    }
}

bool expect_purging(struct model *model, const struct namespace_model *namespace, struct bytes encoded) {
    uint8_t enabled = namespace->is_purging ? 0xc3 : 0xc2;
    return (bytes_equal(map_value(encoded, "enabled"), bytes_of(&enabled, 1)) &&
            integer_of(map_value(encoded, "interval_ms")) == interval_of(namespace)) ||
           complain(model, "purging should be %s, all %lld ms", namespace->is_purging ? "on" : "off",
                    (long long)interval_of(namespace));
}

bool do_purging(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    struct namespace_model *namespace = &model->namespaces[model_namespace(model, call->namespace)];
    bool sets_interval = call->interval.is_given && !call->interval.is_nil;
    bool sets_enabled = call->enabled.is_given && !call->enabled.is_nil;
    if (sets_interval && call->interval.value < INTERVAL_MIN_MS) return expect_error(model, answer, "BAD_REQUEST");
    if (sets_interval) namespace->purge_interval_ms = call->interval.value;
    if (sets_enabled) namespace->is_purging = call->enabled.value;
    if (sets_interval || sets_enabled) {
        namespace->purge_at = now_ms + interval_of(namespace);
        namespace->existence = EXISTS_YES;
    }
    if (!answer->error.data) return true;
    return expect_ok(model, answer) && expect_purging(model, namespace, answer->result);
}
