/* A ring of links that stand inside what is listed: no allocation, removal without a search. One thread, or under the
 * holder's lock. Always true: a ring's head and each member point at each other; a link in no list points at itself. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *previous;
};

/* The struct that holds `link` as its member. */
#define LIST_ENTRY(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

static inline void list_init(struct list *list) {
    list->next = list->previous = list;
}
static inline bool list_is_empty(const struct list *list) {
    return list->next == list;
}

/* Puts a link that is in no list at the end. */
static inline void list_append(struct list *list, struct list *link) {
    link->next = list;
    link->previous = list->previous;
    list->previous->next = link;
    list->previous = link;
}

/* Takes a link out of the list that it is in, if any. */
static inline void list_remove(struct list *link) {
    link->previous->next = link->next;
    link->next->previous = link->previous;
    list_init(link);
}

#endif
