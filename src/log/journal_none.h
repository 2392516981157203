/* A journal that takes nothing and lets nobody wait: for an engine that is filled with what is kept and changed by
 * nobody, and has to know only that it is one whose changes are kept. Constant; any thread. */
#ifndef LOG_JOURNAL_NONE_H
#define LOG_JOURNAL_NONE_H

#include "sessiond/journal.h"

extern struct journal journal_none;

#endif
