/* cookie.sign, cookie.unsign and cookie.header. None of them asks the engine: secrets are in the keyring, attributes in
 * the namespace's policy. Any loop's thread. */
#include "crypto/keys.h"
#include "op/cookie_header.h"
#include "op/op_table.gen.h"
#include "op/request.h"
#include "op/signature.h"

/* Sees that the namespace has secrets. */
static enum op_step signing_begin(struct request *request, struct bytes namespace) {
    if (!request_take_namespace(request, namespace)) return STEP_ERROR;
    if (bytes_is_absent(keys_cookie_secrets(request->keys, request->verb->namespace)))
        return request_refuse(request, ERROR_FORBIDDEN, SIGNATURE_NO_SECRETS);
    return STEP_ANSWER;
}

/* A request that asked nothing of the engine has no verb at its end. */
static struct bytes secrets_of(const struct request *request, struct bytes namespace) {
    return keys_cookie_secrets(request->keys, bytes_is_absent(namespace) ? request->default_namespace : namespace);
}

enum op_step cookie_sign_begin(struct request *request) {
    return signing_begin(request, request->args.cookie_sign.namespace);
}

void cookie_sign_end(struct request *request, struct buf *out) {
    const struct args_cookie_sign *args = &request->args.cookie_sign;
    signature_write(secrets_of(request, args->namespace), args->value, out);
}

enum op_step cookie_unsign_begin(struct request *request) {
    return signing_begin(request, request->args.cookie_unsign.namespace);
}

void cookie_unsign_end(struct request *request, struct buf *out) {
    const struct args_cookie_unsign *args = &request->args.cookie_unsign;
    uint8_t room[LIMIT_MAX_COOKIE];
    struct bytes value;
    unsigned secret_index;
    if (!signature_verify(secrets_of(request, args->namespace), args->value, bytes_of(room, sizeof room), &value,
                          &secret_index)) {
        mp_write_nil(out);
        return;
    }
    mp_write_map(out, 2);
    mp_write_str(out, BYTES_LITERAL("value"));
    mp_write_str(out, value);
    mp_write_str(out, BYTES_LITERAL("key_index"));
    mp_write_uint(out, secret_index);
    cipher_wipe(room, sizeof room);
}

enum op_step cookie_header_begin(struct request *request) {
    const struct args_cookie_header *args = &request->args.cookie_header;
    if (!request_take_namespace(request, args->namespace)) return STEP_ERROR;
    request->cookie = &request_policy(request)->cookie;
    struct cookie_attributes attributes = cookie_attributes_merge(request->cookie, &args->attributes, args->name);
    const char *why = cookie_attributes_refusal(&attributes);
    if (why) return request_refuse(request, ERROR_BAD_REQUEST, why);
    return STEP_ANSWER;
}

void cookie_header_end(struct request *request, struct buf *out) {
    const struct args_cookie_header *args = &request->args.cookie_header;
    int64_t wall_ms = request->now_ms - request->clock_offset_ms;
    struct cookie_attributes attributes = cookie_attributes_merge(request->cookie, &args->attributes, args->name);
    if (!cookie_header_write(&attributes, args->value, args->is_secure, wall_ms, out)) mp_write_nil(out);
}
