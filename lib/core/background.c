/* A blocking call in a thread: see background.h. */
#include "lib/core/background.h"

#include <pthread.h>
#include <stdbool.h>
#include <time.h>

struct job {
	int (*work)(void *arg);
	void *arg;
	int result;
	bool done;
	pthread_mutex_t lock;
	pthread_cond_t ended;
};

static void *run(void *arg)
{
	struct job *j = arg;
	int r = j->work(j->arg);

	pthread_mutex_lock(&j->lock);
	j->result = r;
	j->done = true;
	pthread_cond_signal(&j->ended);
	pthread_mutex_unlock(&j->lock);
	return NULL;
}

/* False until it has ended; waits a quarter of a second at most. */
static bool wait_ended(struct job *j)
{
	struct timespec until;
	bool done;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += 250 * 1000 * 1000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&j->lock);
	if (!j->done)
		pthread_cond_timedwait(&j->ended, &j->lock, &until);
	done = j->done;
	pthread_mutex_unlock(&j->lock);
	return done;
}

int background_run(int (*work)(void *arg), void (*tick)(void *arg), void *arg)
{
	struct job j = { .work = work, .arg = arg, .lock = PTHREAD_MUTEX_INITIALIZER,
			 .ended = PTHREAD_COND_INITIALIZER };
	pthread_t thread;
	int r = -pthread_create(&thread, NULL, run, &j);

	if (r)
		return r;
	while (!wait_ended(&j))
		tick(arg);
	pthread_join(thread, NULL);
	return j.result;
}
