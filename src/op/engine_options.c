/* See engine_options.h. */
#include "op/engine_options.h"

#include "op/pool.h"
#include "wire/codec.h"

void engine_options_fill(struct engine_options *options) {
    options->default_policy = &policy_defaults;
    options->policy_apply = policy_apply;
    options->policy_encode = codec_write_policy;
    options->policy_decode = codec_read_policy;
    options->pool_policy_encode = codec_write_pool_policy;
    options->pool_policy_decode = codec_read_pool_policy;
    pool_engine_options(options);
}
