/* What a presented token comes to: shared by session.validate and session.rotate.
 *
 * Whoever lacks the right secret learns nothing, whatever the session's state, and costs the same work; only the right
 * secret learns more. Any loop's thread. */
#ifndef OP_VERDICT_H
#define OP_VERDICT_H

#include "op/request.h"
#include "op/token.h"

/* In the order in which they are told; VERDICT_VALID comes last. A number is kept in request->verdict. */
enum verdict {
    VERDICT_INVALID_TOKEN,
    VERDICT_PENDING,
    VERDICT_USER_AGENT,
    VERDICT_ADDRESS,
    VERDICT_DEVICE,
    VERDICT_REVOKED,
    VERDICT_EXPIRED,
    VERDICT_VALID,
    VERDICT_REPORTED = 16 /* added to one of the three mismatches: valid, but told beside it */
};

/* What a rule finds out about a presented secret. */
struct presented {
    struct token token; /* as it is stored */
    struct bytes id, secret;
    int index; /* of the entry whose secret it is; -1: none */
    enum token_match match;
};

/* Begins the request about a token: takes namespace and id. A text without a dot is worked on like any other. */
bool verdict_take_token(struct request *request, struct bytes namespace, struct bytes text);

/* Looks which secret was presented. For rules. */
struct presented verdict_look(const struct request *request, struct bytes text, const struct update_input *input);

/* Whether it is a secret that lets in: only then may the answer, or its time, tell anything of the session. */
bool verdict_has_secret(const struct presented *presented);

/* Judges the session by its secret and its status. `mismatches`: members of its binding (BINDING_*), which are looked
 * at only if the secret is right; `reports`: a mismatch denies nothing. */
enum verdict verdict_of(const struct presented *presented, const struct update_input *input, bool allows_pending,
                        uint64_t mismatches, bool reports);

/* An old secret after its grace has been presented: a living session is revoked, and nobody learns it from the answer.
 */
enum outcome verdict_reuse(const struct update_input *input, struct session *draft);

/* Whether the caller is let in. */
bool verdict_is_valid(unsigned verdict);
/* Writes the error's name, or nil. */
void verdict_write_error(struct buf *out, unsigned verdict);

#endif
