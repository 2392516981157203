/* What events cost who writes, and who tells them: session.set through the whole core on one loop, with none, one and a
 * hundred watches on another. One thread plays both loops and takes their times apart; what a hundred watches seem to
 * add for who writes is the cache that telling them has emptied. Argument: sets, 100,000 without one. */
#include "base/mp.h"
#include "sessiond/server.h"
#include "wire/codec.h"

#include "micro.h"

#include <stdio.h>
#include <stdlib.h>

enum { SESSIONS = 10000, DATA = 300, PACKET = 64, PACKETS_A_TURN = 8, CONNS = 8, WRITER = 0, TELLER = 1 };

static struct engine *engine;
static struct server *server;
static struct server_loop *loops[2];
static struct conn *writer, *tellers[CONNS];

static void core_open(void) {
    engine = memory_engine_open(&(struct engine_options){.loop_count = 2, .now_ms = START, .env = &env});
    server = server_open(&(struct server_options){.loop_count = 2,
                                                  .now_ms = START,
                                                  .engine = engine,
                                                  .env = &env,
                                                  .limits = {.max_in_flight = 1024,
                                                             .max_waiting = 1024,
                                                             .output_mark = 16 << 20,
                                                             .max_frame = LIMIT_MAX_FRAME,
                                                             .op_id_memory = 1 << 20}});
    for (unsigned i = 0; i < 2; i++) loops[i] = server_loop_open(server, i);
    writer = conn_open(loops[WRITER], START);
    for (unsigned i = 0; i < CONNS; i++) tellers[i] = conn_open(loops[TELLER], START);
}

static void core_close(void) {
    for (unsigned i = 0; i < 2; i++) server_loop_enter(loops[i]);
    conn_close(writer);
    for (unsigned i = 0; i < CONNS; i++) conn_close(tellers[i]);
    for (unsigned i = 0; i < 2; i++) server_loop_leave(loops[i]);
    for (unsigned i = 0; i < 2; i++) server_loop_close(loops[i]);
    server_close(server);
    engine->vtable->close(engine);
}

/* Throws away what the connection was sent; answers how many bytes. */
static size_t drain(struct conn *conn) {
    size_t size = conn_output(conn).size;
    conn_output_sent(conn, size);
    return size;
}

static void watches_start(unsigned count, bool wants_data) {
    struct buf request = BUF_EMPTY;
    server_loop_enter(loops[TELLER]);
    for (unsigned i = 0; i < count; i++) {
        buf_clear(&request);
        mp_write_array(&request, 4);
        mp_write_uint(&request, 0);
        mp_write_uint(&request, i);
        mp_write_string(&request, "watch.start");
        mp_write_array(&request, 2);
        mp_write_string(&request, "web");
        mp_write_map(&request, 1);
        mp_write_string(&request, "data");
        mp_write_bool(&request, wants_data);
        conn_feed(tellers[i / LIMIT_MAX_WATCHES], buf_bytes(&request), START);
        drain(tellers[i / LIMIT_MAX_WATCHES]);
    }
    server_loop_leave(loops[TELLER]);
    buf_fini(&request);
}

static void packet_write(struct buf *packet, struct prng *prng) {
    static uint8_t data[DATA];
    char id[44];
    buf_clear(packet);
    for (unsigned i = 0; i < PACKET; i++) {
        snprintf(id, sizeof(id), "%043u", (unsigned)prng_below(prng, SESSIONS));
        mp_write_array(packet, 4);
        mp_write_uint(packet, 0);
        mp_write_uint(packet, i);
        mp_write_string(packet, "session.set");
        mp_write_array(packet, 3);
        mp_write_string(packet, "web");
        mp_write_string(packet, id);
        mp_write_bin(packet, bytes_of(data, DATA));
    }
}

/* One packet; answers how long the writing loop took. */
static double write_packet(const struct buf *packet) {
    double before = seconds();
    server_loop_enter(loops[WRITER]);
    conn_feed(writer, buf_bytes(packet), START);
    server_loop_leave(loops[WRITER]);
    double took = seconds() - before;
    drain(writer);
    return took;
}

static double tell(void) {
    double before = seconds();
    server_loop_enter(loops[TELLER]);
    server_loop_leave(loops[TELLER]);
    double took = seconds() - before;
    for (unsigned i = 0; i < CONNS; i++) drain(tellers[i]);
    return took;
}

static void run(unsigned long sets, unsigned watches, bool wants_data) {
    struct buf packet = BUF_EMPTY;
    struct prng prng = prng_of(3);
    double writing = 0, telling = 0;
    unsigned long packets = sets / PACKET;
    core_open();
    for (unsigned long i = 0; i < SESSIONS * 4 / PACKET; i++) packet_write(&packet, &prng), write_packet(&packet);
    watches_start(watches, wants_data);
    for (unsigned long i = 0; i < packets; i++) {
        packet_write(&packet, &prng);
        writing += write_packet(&packet);
        if (i % PACKETS_A_TURN == PACKETS_A_TURN - 1) telling += tell();
    }
    telling += tell();
    struct engine_stats stats;
    engine->vtable->stats(engine, &stats);
    double all = (double)(packets * PACKET);
    printf("%3u watches%-10s  %6.0f ns a set for who writes", watches, wants_data ? " with data" : "",
           writing / all * 1e9);
    if (watches) printf(", %6.0f ns an event and watch for who tells", telling / all / watches * 1e9);
    printf("; %llu events, %llu lost\n", (unsigned long long)stats.events_total,
           (unsigned long long)stats.events_lost_total);
    fflush(stdout);
    core_close();
    buf_fini(&packet);
}

int main(int count, char **arguments) {
    unsigned long sets = count > 1 ? strtoul(arguments[1], NULL, 10) : 100000;
    run(sets, 0, false);
    run(sets, 1, false);
    run(sets, 100, false);
    run(sets, 100, true);
    return 0;
}
