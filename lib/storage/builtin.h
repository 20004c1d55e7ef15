/*
 * Steps of a plan that are printed as the command lines everybody knows (mount, swapon, btrfs
 * device scan), so that they can be run by hand anywhere, and that storbox does itself, for an
 * initramfs has none of these programs.
 */
#ifndef STORAGE_BUILTIN_H
#define STORAGE_BUILTIN_H

#include "lib/core/op.h"

typedef int builtin_fn(struct world *w, const char *const *args, struct err *e);

/* The function for these words, and its arguments behind the command's name; NULL: none of ours. */
builtin_fn *builtin_find(const char *const *argv, const char *const **ret_args);

#endif
