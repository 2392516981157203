/* Namespaces with hash_ids in the model: the server keeps handles only, the model keeps the ids and works their handles
 * out by itself. What is computed here must never change: a key file outlives the server that wrote it. */
#include "parts.h"

#include <sodium.h>
#include <string.h>

static bool is_hashed(const struct model *model, unsigned namespace) {
    return model->namespaces[namespace].policy.hash_ids;
}

void handle_of_id(const struct model *model, const char *id, char handle[HANDLE_SIZE + 1]) {
    static const unsigned char personal[] = "sessiond handle ", salt[crypto_generichash_blake2b_SALTBYTES];
    uint8_t message[ID_TEXT_MAX + 8] = {0}, hash[32];
    size_t size = strlen(id);
    memcpy(message, id, size); /* and a number, 0 */
    crypto_generichash_blake2b_salt_personal(hash, sizeof hash, message, size + 8, model->id_key, sizeof model->id_key,
                                             salt, personal);
    write_base64(hash, handle);
    for (char *at = handle; *at; at++) *at = *at == '+' ? '-' : *at == '/' ? '_' : *at;
}

void name_of_id(const struct model *model, unsigned namespace, const char *id, char *name) {
    if (is_hashed(model, namespace))
        handle_of_id(model, id, name);
    else
        strcpy(name, id);
}

const char *name_of(const struct model *model, const struct record *record) {
    return is_hashed(model, record->namespace) ? record->handle : record->id;
}

const char *name_key(const struct model *model, unsigned namespace) {
    return is_hashed(model, namespace) ? "handle" : "id";
}

struct record *find_named(struct model *model, unsigned namespace, const char *name) {
    for (unsigned i = 0; i < model->record_count; i++)
        if (model->records[i].namespace == namespace && strcmp(name_of(model, &model->records[i]), name) == 0)
            return &model->records[i];
    return NULL;
}

/* What was not presented by the caller, nor made for it, goes by its handle. */
bool shows_id(const struct model *model, unsigned namespace) {
    const struct call *call = model->call;
    if (!is_hashed(model, namespace)) return true;
    return call->op != OP_SESSION_LIST && call->op != OP_SESSION_GET_MANY && call->form != ID_HANDLE &&
           !call->public_only && (call->op < OP_CLIENT_GET || call->op > OP_CLIENT_DESTROY);
}

bool hashed_admits(struct model *model, const struct call *call, const struct answer *answer, bool *is_expected) {
    unsigned namespace = model_namespace(model, call->namespace);
    bool is_of_pool = call->op >= OP_POOL_CONFIGURE && call->op <= OP_POOL_LOAD;
    *is_expected = true;
    if (call->form == ID_HANDLE && !is_hashed(model, namespace))
        *is_expected = expect_error(model, answer, "BAD_REQUEST");
    else if (call->op == OP_SESSION_LIST && call->prefix[0] && is_hashed(model, namespace))
        *is_expected = expect_error(model, answer, "BAD_REQUEST");
    else if (is_of_pool && is_hashed(model, namespace))
        *is_expected = expect_error(model, answer, "FORBIDDEN");
    else
        return true;
    return false;
}

bool hashed_changes(struct model *model, const struct call *call, const struct answer *answer) {
    struct namespace_model *namespace = &model->namespaces[model_namespace(model, call->namespace)];
    const struct policy_change *change = &call->change;
    if (!(change->given & POLICY_HASH_IDS)) return false;
    bool wanted = !(change->nil & POLICY_HASH_IDS) && change->values.hash_ids;
    if (wanted == namespace->policy.hash_ids || namespace->existence == EXISTS_NO) return false;
    /* Whether a write that was refused has made the namespace is told by the answer. */
    if (namespace->existence == EXISTS_MAYBE && is_nil(answer->error)) return false;
    namespace->existence = EXISTS_YES;
    return true;
}
