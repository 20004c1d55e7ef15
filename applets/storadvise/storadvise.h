/* storadvise's parts see each other through this header. */
#ifndef STORADVISE_H
#define STORADVISE_H

#include "lib/core/applet.h"

extern const struct operation storadvise_eval_op;
/* The rules, as rules.nix has them; to be freed. */
char *rules_text(size_t *ret_n);

#endif
