/* See keys.h. */
#include "keys.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators (OOPSLA 2014), the mixing constants of Stafford's
 * variant 13. Sessions need spread, not secrecy. */
static uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

enum { WORDS_OF_AN_ID = 5, PAIRS_OF_A_WORD = 5 };
static const uint64_t golden_ratio = 0x9e3779b97f4a7c15u;

uint64_t random_next(struct random *random) {
    random->state += golden_ratio;
    return mix(random->state);
}

uint64_t random_below(struct random *random, uint64_t bound) {
    return (uint64_t)(((unsigned __int128)random_next(random) * bound) >> 64);
}

double random_unit(struct random *random) {
    return (double)(random_next(random) >> 11) * 0x1p-53;
}

/* Two characters at a time from a table that stays in the first cache level: an id costs about ten nanoseconds, less
 * than a cache miss in a table of ids made before would. */
static uint8_t pairs[4096][2];

__attribute__((constructor)) static void pairs_init(void) {
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (unsigned i = 0; i < 4096; i++) {
        pairs[i][0] = (uint8_t)alphabet[i >> 6];
        pairs[i][1] = (uint8_t)alphabet[i & 63];
    }
}

void key_id(uint64_t seed, uint64_t index, uint8_t id[KEY_ID_BYTES]) {
    struct random random = {mix(seed) ^ mix(index + golden_ratio)};
    uint8_t *at = id;
    for (unsigned word = 0; word + 1 < WORDS_OF_AN_ID; word++) {
        uint64_t bits = random_next(&random);
        for (unsigned pair = 0; pair < PAIRS_OF_A_WORD; pair++, at += 2)
            memcpy(at, pairs[bits >> (12 * pair) & 4095], 2);
    }
    uint64_t bits = random_next(&random);
    memcpy(at, pairs[bits & 4095], 2);
    at[2] = pairs[bits >> 12 & 4095][0];
}

static double zeta(uint64_t count, double theta) {
    double sum = 0;
    for (uint64_t i = 1; i <= count; i++) sum += pow((double)i, -theta);
    return sum;
}

/* Gray, Sundaresan, Englert, Baclawski, Weinberger: Quickly Generating Billion-Record Synthetic Databases (SIGMOD
 * 1994), the method that YCSB's ZipfianGenerator uses: exact for the first two ranks, a power law for the rest. */
void zipf_init(struct zipf *zipf, uint64_t item_count, double theta, double zeta_n) {
    zipf->item_count = (double)item_count;
    zipf->theta = theta;
    zipf->alpha = 1 / (1 - theta);
    zipf->zeta_n = zeta_n > 0 ? zeta_n : zeta(item_count, theta);
    zipf->second_limit = 1 + pow(0.5, theta);
    zipf->eta = (1 - pow(2.0 / zipf->item_count, 1 - theta)) / (1 - zipf->second_limit / zipf->zeta_n);
}

uint64_t zipf_rank(const struct zipf *zipf, double unit) {
    double scaled = unit * zipf->zeta_n;
    if (scaled < 1) return 0;
    if (scaled < zipf->second_limit) return 1;
    double rank = zipf->item_count * pow(zipf->eta * unit - zipf->eta + 1, zipf->alpha);
    return rank < zipf->item_count ? (uint64_t)rank : (uint64_t)zipf->item_count - 1;
}

uint64_t key_scramble(uint64_t rank) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (unsigned i = 0; i < 8; i++, rank >>= 8) hash = (hash ^ (rank & 0xff)) * 0x100000001b3u;
    return hash & INT64_MAX;
}

/* YCSB (Cooper, Silberstein, Tam, Ramakrishnan, Sears: Benchmarking Cloud Serving Systems with YCSB, SoCC 2010) spreads
 * the popular keys over the key space: ScrambledZipfianGenerator draws a rank among ten thousand million, whose zeta it
 * knows beforehand, and hashes it down to the number of keys. SkewedLatestGenerator counts an unscrambled rank back
 * from the newest. */
static const double ycsb_theta = 0.99;
static const uint64_t ycsb_item_count = 10000000000u;
static const double ycsb_zeta_n = 26.46902820178302;

static void draw_ahead(struct key_stream *stream) {
    struct zipf zipf;
    bool is_latest = stream->distribution == KEYS_LATEST;
    uint64_t item_count = stream->count < 2 ? 2 : stream->count;
    zipf_init(&zipf, is_latest ? item_count : ycsb_item_count, ycsb_theta, is_latest ? 0 : ycsb_zeta_n);
    for (uint32_t i = 0; i < KEY_DRAWS; i++) {
        uint64_t rank = zipf_rank(&zipf, random_unit(&stream->random));
        stream->drawn[i] = (uint32_t)((is_latest ? rank : key_scramble(rank)) % stream->count);
    }
}

bool key_stream_init(struct key_stream *stream, enum key_distribution distribution, uint64_t count, uint64_t seed) {
    *stream = (struct key_stream){.distribution = distribution, .count = count, .random = {mix(seed)}};
    if (distribution == KEYS_UNIFORM) return true;
    stream->drawn = malloc(KEY_DRAWS * sizeof *stream->drawn);
    if (!stream->drawn) return false;
    draw_ahead(stream);
    return true;
}

void key_stream_fini(struct key_stream *stream) {
    free(stream->drawn);
    stream->drawn = NULL;
}
