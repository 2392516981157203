/* See peer.h. */
#include "peer.h"

#include <stdio.h>
#include <string.h>

static bool is_name(const char *name) {
    static const char *const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    return *name && *name != '-' && name[strspn(name, letters)] == '\0';
}

/* Takes what stands before the first colon; NULL if there is none. */
static char *take_part(char **rest) {
    char *part = *rest, *end = strchr(part, ':');
    if (!end) return NULL;
    *end = '\0';
    *rest = end + 1;
    return part;
}

static const char *take_name(struct peer *peer, char *part) {
    char *level = strchr(part, '/');
    if (level) *level++ = '\0';
    if (level && !level_find(level, &peer->level)) return "a level after a name is none, everysec or always";
    if (!is_name(part) || strlen(part) >= sizeof peer->name)
        return "a name has 1 to 23 letters, digits, dots, hyphens and underscores";
    memcpy(peer->name, part, strlen(part) + 1);
    return NULL;
}

static const char *take_protocol(struct peer *peer, const char *part) {
    static const struct { const char *name, *driver; } protocols[] = {{"resp", "redis"}, {"meta", "memcached"}};
    for (unsigned i = 0; i < sizeof protocols / sizeof *protocols; i++)
        if (strcmp(protocols[i].name, part) == 0) peer->driver = protocols[i].driver;
    return peer->driver ? NULL : "a protocol is resp (of Redis) or meta (of memcached)";
}

/* Ends the word that begins at *at, quotes removed, and steps behind it; NULL where a quote does not end. */
static char *take_word(char **at) {
    char *word = *at, *to = word, *from = word;
    while (*from && *from != ' ') {
        char quote = *from == '\'' || *from == '"' ? *from : '\0';
        if (!quote) {
            *to++ = *from++;
            continue;
        }
        char *end = strchr(from + 1, quote);
        if (!end) return NULL;
        memmove(to, from + 1, (size_t)(end - from - 1));
        to += end - from - 1;
        from = end + 1;
    }
    *at = *from ? from + 1 : from;
    *to = '\0';
    return word;
}

static bool has_word_with(const struct peer *peer, const char *what) {
    for (const char *const *at = peer->words + 1; *at; at++)
        if (strstr(*at, what)) return true;
    return false;
}

static const char *take_command(struct peer *peer, char *command) {
    unsigned count = 0;
    for (command += strspn(command, " "); *command; command += strspn(command, " ")) {
        if (count + 1 == ARGUMENTS_MAX) return "the command has too many words";
        peer->words[count] = take_word(&command);
        if (!peer->words[count++]) return "a quote in the command does not end";
    }
    peer->words[count] = NULL;
    if (count == 0 || !has_word_with(peer, "{port}"))
        return "the command is a program and its arguments, one of which holds {port}, where it is to listen on "
               "127.0.0.1";
    if (peer->level != LEVEL_NONE && !has_word_with(peer, "{dir}"))
        return "the command of a server that keeps its data holds {dir}, the directory for it";
    return NULL;
}

bool peer_parse(struct peer *peer, const char *text, const char **problem) {
    *peer = (struct peer){.level = LEVEL_NONE};
    bool is_short = strlen(text) < sizeof peer->text;
    if (is_short) memcpy(peer->text, text, strlen(text) + 1);
    char *rest = peer->text, *name = take_part(&rest), *protocol = name ? take_part(&rest) : NULL;
    *problem = !is_short ? "it has more than 2047 bytes" : !protocol ? "it is NAME:PROTOCOL:COMMAND" : NULL;
    if (!*problem) *problem = take_name(peer, name);
    if (!*problem) *problem = take_protocol(peer, protocol);
    if (!*problem) *problem = take_command(peer, rest);
    return !*problem;
}

void recipe_of_peer(struct server_recipe *recipe, const struct peer *peer, const char *scratch) {
    *recipe = (struct server_recipe){.name = peer->name,
                                     .driver = peer->driver,
                                     .path = peer->words[0],
                                     .role = ROLE_PEER,
                                     .level = peer->level,
                                     .scratch = scratch};
    for (unsigned i = 0; peer->words[i + 1]; i++) recipe->arguments[i] = peer->words[i + 1];
}
