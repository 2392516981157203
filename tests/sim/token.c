/* Tokens in the model: it knows the secrets that it was given, and what each of them is good for. */
#include "base/mp.h"
#include "parts.h"
#include "sessiond/session.h"

#include <stdio.h>
#include <string.h>

#define GRACE_DEFAULT_MS 10000
#define GRACE_MAX_MS     60000

bool token_keep(struct model *model, struct record *record, const char *id, struct bytes encoded) {
    struct mp_cursor cursor = mp_cursor_of(encoded);
    struct bytes text = mp_read_bytes(&cursor);
    size_t size = strlen(id);
    if (!text.data || text.size != size + 1 + SECRET_SIZE || memcmp(text.data, id, size) || text.data[size] != '.')
        return complain(model, "a token should be the id, a dot and a secret");
    char secret[SECRET_SIZE + 1] = "";
    memcpy(secret, text.data + size + 1, SECRET_SIZE);
    for (unsigned i = 0; i < record->secret_count; i++)
        if (strcmp(record->secrets[i].text, secret) == 0) return complain(model, "a new secret should be another one");
    if (record->secret_count == SECRETS_MAX) record->secret_count--;
    memmove(&record->secrets[1], &record->secrets[0], record->secret_count++ * sizeof record->secrets[0]);
    strcpy(record->secrets[0].text, secret);
    record->secrets[0].grace_until = 0;
    return true;
}

void token_of_create(struct record *draft, const struct call *call) {
    draft->has_token = call->token;
    draft->secret_count = 0;
    for (unsigned i = 0; i < 3; i++)
        snprintf(draft->bound[i], sizeof draft->bound[i], "%s", call->proof[i].is_given ? call->proof[i].bytes : "");
}

/* ---------------------------------------------------------------- what is presented */

struct presented {
    struct record *record; /* NULL: nobody's secret */
    int index;             /* 0: the current secret; else one in its grace */
};

/* Whose secret it is. One that was replaced too long ago ends the session, and is nobody's. */
static struct presented present(struct model *model, const struct call *call, int64_t now_ms) {
    struct presented presented = {NULL, 0};
    struct record *record;
    enum stands stands = look(model, call, now_ms, &record);
    if (stands != STANDS_ALIVE && stands != STANDS_DEAD) return presented;
    for (unsigned i = 0; i < record->secret_count; i++) {
        if (strcmp(record->secrets[i].text, call->secret) != 0) continue;
        presented.index = (int)i;
        if (i == 0 || now_ms < record->secrets[i].grace_until) presented.record = record;
    }
    if (presented.record || presented.index == 0 || stands != STANDS_ALIVE) return presented;
    model->reused++;
    strcpy(record->reason, "token_reused");
    told_add(model, record, EVENT_TOKEN_REUSED, now_ms);
    model->told[model->told_count - 1].version = 0;
    set_status(model, record, STATUS_REVOKED, "token_reused", "", now_ms);
    return presented;
}

static const char *mismatch(const struct record *record, const struct call *call) {
    static const char *const names[] = {"user_agent_mismatch", "address_mismatch", "device_mismatch"};
    for (unsigned i = 0; i < 3; i++)
        if (record->bound[i][0] && (!call->proof[i].is_given || strcmp(record->bound[i], call->proof[i].bytes) != 0))
            return names[i];
    return NULL;
}

static const char *standing(enum status status) {
    if (status_is_living(status)) return NULL;
    return status == STATUS_EXPIRED || status == STATUS_ABANDONED ? "session_expired" : "session_revoked";
}

/* NULL: nothing is wrong; *is_valid: it is let in all the same. */
static const char *verdict(struct model *model, const struct call *call, const struct presented *presented,
                           int64_t now_ms, bool *is_valid) {
    bool is_validate = call->op == OP_SESSION_VALIDATE;
    *is_valid = false;
    if (!presented->record) return "invalid_token";
    enum status status = record_status(presented->record, now_ms);
    if (status == STATUS_PENDING && !(is_validate && call->allow_pending)) return "session_pending";
    const char *wrong = is_validate ? mismatch(presented->record, call) : NULL;
    bool reports = policy_of(model, call)->binding_policy == BINDING_POLICY_REPORT;
    if (wrong && !reports) return wrong;
    if (standing(status)) return standing(status);
    *is_valid = true;
    model->let_in++;
    return wrong;
}

static bool expect_name(struct model *model, const struct answer *answer, const char *expected) {
    struct bytes encoded = map_value(answer->result, "error");
    struct mp_cursor cursor = mp_cursor_of(encoded);
    if (!expected)
        return !encoded.data || is_nil(encoded) || complain(model, "no error should be told beside the session");
    return (encoded.data && bytes_equal(mp_read_bytes(&cursor), bytes_of_string(expected))) ||
           complain(model, "the error should be %s", expected);
}

void thin_touch(struct model *model, const struct call *call, struct record *record, int64_t now_ms) {
    int64_t thin_ms = policy_of(model, call)->touch_after_ms;
    if (record->idle_ms && record->idle_ms / 16 < thin_ms) thin_ms = record->idle_ms / 16;
    if (now_ms - record->last_active_at >= thin_ms) record->last_active_at = now_ms;
}

bool do_validate(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    struct presented presented = present(model, call, now_ms);
    bool is_valid;
    const char *error = verdict(model, call, &presented, now_ms, &is_valid);
    if (is_valid && (call->slide || policy_of(model, call)->slide)) {
        thin_touch(model, call, presented.record, now_ms);
        touch_client(model, presented.record, now_ms);
    }
    if (!answer->error.data) return true;
    if (!expect_ok(model, answer) || !expect_name(model, answer, error)) return false;
    uint8_t byte = is_valid ? 0xc3 : 0xc2;
    if (!bytes_equal(map_value(answer->result, "valid"), bytes_of(&byte, 1)))
        return complain(model, "valid should be %d", is_valid);
    struct bytes session = map_value(answer->result, "session");
    if (!is_valid) return is_nil(session) || complain(model, "who is not let in should see no session");
    return compare_record(model, presented.record, call->id, call->fields ? call->fields : FIELDS_DEFAULT, now_ms,
                          session);
}

/* The successor of a secret in its grace is the one that was made for it before. */
static bool expect_successor(struct model *model, const struct record *record, int index, struct bytes encoded) {
    struct mp_cursor cursor = mp_cursor_of(encoded);
    struct bytes text = encoded.data ? mp_read_bytes(&cursor) : BYTES_ABSENT;
    char expected[ID_TEXT_MAX + 1 + SECRET_SIZE];
    snprintf(expected, sizeof expected, "%s.%s", record->id, record->secrets[index - 1].text);
    return (text.data && bytes_equal(text, bytes_of_string(expected))) ||
           complain(model, "an old secret in its grace should get the same successor again");
}

bool do_rotate(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    int64_t grace_ms = call->grace.is_given && !call->grace.is_nil ? call->grace.value : GRACE_DEFAULT_MS;
    bool is_valid;
    if (grace_ms > GRACE_MAX_MS) return expect_error(model, answer, "BAD_REQUEST");
    struct presented presented = present(model, call, now_ms);
    const char *error = verdict(model, call, &presented, now_ms, &is_valid);
    if (is_valid && presented.index == 0 &&
        lacks_memory(model, presented.record->namespace, presented.record, NULL, call->id))
        return expect_error(model, answer, model->refusal);
    if (!expect_ok(model, answer) || !expect_name(model, answer, error)) return false;
    struct bytes token = map_value(answer->result, "token");
    struct record *record = presented.record;
    if (!is_valid) return !token.data || complain(model, "who is not let in should get no token");
    if (presented.index > 0) {
        thin_touch(model, call, record, now_ms);
        if (!expect_successor(model, record, presented.index, token)) return false;
    } else {
        record->last_active_at = now_ms;
        if (call->extends && record->absolute_ms)
            set_deadline(record, policy_of(model, call), now_ms + record->absolute_ms);
        record->secrets[0].grace_until = grace_ms ? now_ms + grace_ms : 0;
        if (!token_keep(model, record, record->id, token)) return false;
        note_write(model, record, EVENT_UPDATED, now_ms);
    }
    touch_client(model, record, now_ms);
    return compare_record(model, record, record->id, call->fields ? call->fields : FIELDS_DEFAULT, now_ms,
                          map_value(answer->result, "session"));
}
