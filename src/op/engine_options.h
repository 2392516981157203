/* What an engine leaves to the rules: policies and how they are kept as bytes, and the sessions that pools make. For
 * whoever opens an engine that serves them; pure. */
#ifndef OP_ENGINE_OPTIONS_H
#define OP_ENGINE_OPTIONS_H

#include "sessiond/engine.h"

/* Fills all of that in; options->env must stand already. */
void engine_options_fill(struct engine_options *options);

#endif
