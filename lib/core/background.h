/* A call that blocks for long, in a thread, while the caller looks after it. */
#ifndef CORE_BACKGROUND_H
#define CORE_BACKGROUND_H

/*
 * Runs work(arg) in a thread, and meanwhile tick(arg) four times a second here; returns what work
 * returned, once it has ended, or -errno when no thread could be started. tick may not touch what
 * work writes.
 */
int background_run(int (*work)(void *arg), void (*tick)(void *arg), void *arg);

#endif
