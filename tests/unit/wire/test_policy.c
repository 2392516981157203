/* Policies as bytes: what is written is read again, of whatever release; what is no policy is refused. */
#include "base/mp.h"
#include "wire/codec.h"

#include <criterion/criterion.h>

static bool policies_equal(const struct policy *a, const struct policy *b) {
    struct buf x = BUF_EMPTY, y = BUF_EMPTY;
    codec_write_policy(&x, a);
    codec_write_policy(&y, b);
    bool is_equal = bytes_equal(buf_bytes(&x), buf_bytes(&y));
    buf_fini(&x);
    buf_fini(&y);
    return is_equal;
}

static struct cookie_text text_of(const char *text) {
    struct cookie_text out = {0};
    out.size = (uint8_t)strlen(text);
    memcpy(out.text, text, out.size);
    return out;
}

/* Every entry another one than by default. */
static struct policy other_policy(void) {
    return (struct policy){.idle_timeout_ms = 1,
                           .absolute_timeout_ms = 2,
                           .max_idle_timeout_ms = 3,
                           .max_absolute_timeout_ms = 4,
                           .abandon_timeout_ms = 5,
                           .retention_ms = 0,
                           .tombstone_ms = LIMIT_MAX_DURATION_MS,
                           .touch_after_ms = 8,
                           .strict_ids = true,
                           .max_sessions = 9,
                           .max_bytes = 10,
                           .max_sessions_per_user = 11,
                           .session_limit_policy = SESSION_LIMIT_POLICY_EVICT_IDLE,
                           .hash_ids = true,
                           .single_session = true,
                           .slide = true,
                           .binding_policy = BINDING_POLICY_REPORT,
                           .cookie = {.given = COOKIE_ATTRIBUTES_NAME | COOKIE_ATTRIBUTES_MAX_AGE_MS |
                                               COOKIE_ATTRIBUTES_HTTP_ONLY | COOKIE_ATTRIBUTES_PRIORITY,
                                      .name = text_of("sid"),
                                      .max_age_ms = 5000,
                                      .http_only = true,
                                      .priority = COOKIE_PRIORITY_HIGH}};
}

Test(policy, is_read_as_it_was_written) {
    struct policy other = other_policy(), read;
    struct buf out = BUF_EMPTY;
    codec_write_policy(&out, &other);
    cr_assert(codec_read_policy(buf_bytes(&out), &read));
    cr_assert(policies_equal(&read, &other));
    cr_assert(!policies_equal(&read, &policy_defaults));
    cr_assert(read.cookie.max_age_ms == 5000 && read.hash_ids && read.tombstone_ms == LIMIT_MAX_DURATION_MS);
    buf_clear(&out);
    codec_write_policy(&out, &policy_defaults);
    cr_assert(codec_read_policy(buf_bytes(&out), &read));
    cr_assert(policies_equal(&read, &policy_defaults));
    buf_fini(&out);
}

Test(policy, of_a_pool_is_read_as_it_was_written) {
    struct pool_policy other = {.max_pool_size = 1,
                                .absolute_timeout_ms = 2,
                                .idle_timeout_ms = 3,
                                .max_usage_count = 4,
                                .max_error_score = 5.5,
                                .error_score_decrement = 0.25,
                                .cooldown_ms = 6,
                                .max_concurrent = 7,
                                .strategy = POOL_STRATEGY_LEAST_RECENT};
    struct pool_policy read;
    struct buf out = BUF_EMPTY, again = BUF_EMPTY;
    other.blocked_status_codes.bits[403 / 64] |= UINT64_C(1) << 403 % 64;
    codec_write_pool_policy(&out, &other);
    cr_assert(codec_read_pool_policy(buf_bytes(&out), &read));
    codec_write_pool_policy(&again, &read);
    cr_assert(bytes_equal(buf_bytes(&out), buf_bytes(&again)));
    cr_assert(read.max_error_score == 5.5 && status_codes_have(&read.blocked_status_codes, 403));
    buf_fini(&out);
    buf_fini(&again);
}

Test(policy, without_some_entries_takes_their_defaults) {
    struct policy read;
    cr_assert(codec_read_policy(BYTES_LITERAL("\x81\xa5slide\xc3"), &read));
    cr_assert(read.slide && read.idle_timeout_ms == policy_defaults.idle_timeout_ms);
    cr_assert(codec_read_policy(BYTES_LITERAL("\x80"), &read));
    cr_assert(policies_equal(&read, &policy_defaults));
}

Test(policy, that_is_none_is_refused) {
    static const struct bytes wrong[] = {
        BYTES_LITERAL(""),                              /* nothing */
        BYTES_LITERAL("\xc0"),                          /* nil */
        BYTES_LITERAL("\x01"),                          /* a number */
        BYTES_LITERAL("\x81\xa5slide"),                 /* cut off */
        BYTES_LITERAL("\x81\xa5slide\xc3\xc0"),         /* more behind it */
        BYTES_LITERAL("\x81\xa5slide\x01"),             /* of another type */
        BYTES_LITERAL("\x81\xa4slid\xc3"),              /* no entry of this release */
        BYTES_LITERAL("\x82\xa5slide\xc3\xa5slide\xc3") /* twice */
    };
    struct policy read;
    struct pool_policy pool;
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        cr_assert(!codec_read_policy(wrong[i], &read), "the bytes %u are taken", i);
        cr_assert(!codec_read_pool_policy(wrong[i], &pool), "the bytes %u are taken", i);
    }
}

Test(policy, cut_off_anywhere_is_refused) {
    struct policy other = other_policy(), read;
    struct buf out = BUF_EMPTY;
    codec_write_policy(&out, &other);
    for (size_t size = 0; size < out.size; size++) {
        uint8_t *copy = malloc(size ? size : 1);
        memcpy(copy, out.data, size);
        cr_assert(!codec_read_policy(bytes_of(copy, size), &read));
        free(copy);
    }
    buf_fini(&out);
}
