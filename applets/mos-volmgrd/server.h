/*
 * mos-volmgrd's parts. One process polls: it reads requests, checks them and writes answers, and
 * touches no storage. What does runs in workers, each forked for one job, so that a crash or a
 * device that never answers costs that job alone.
 */
#ifndef MOS_VOLMGRD_SERVER_H
#define MOS_VOLMGRD_SERVER_H

#include "lib/core/applet.h"
#include "lib/storage/methods.h"
#include "lib/storage/rpc.h"

#include <stdatomic.h>
#include <sys/socket.h>

enum {
	CLIENTS_MAX = 1024,
	WORKERS_MAX = 160,   /* of all kinds */
	CHANGES_MAX = 32,    /* at once */
	WATCHES_MAX = 8,     /* with different params */
	BACKGROUND_MAX = 32,
	HUNG_MAX = 32,	     /* devices known not to answer */
	BACKLOG_MAX = 1 << 20, /* bytes a watcher may be behind */
	ANSWERS_AHEAD = 256 << 10, /* bytes not yet sent above which no further line is read */
	RERUNS_MAX = 8,
};

struct settings {
	const char *socket, *group;
	bool verbose;
	double device_wait_s, lock_wait_s, query_limit_s, client_wait_s;
};

/* --- what daemon and workers share: memory mapped by both --- */

enum { DEVNO_TEXT = 24 };

struct reading { /* one of a worker's threads reads a device */
	_Atomic uint64_t since_ns; /* 0: free, READING_CLAIMED: being filled in */
	char devno[DEVNO_TEXT];
};
enum { READINGS_MAX = 32, READING_CLAIMED = 1 };

struct slot { /* one a worker */
	struct reading readings[READINGS_MAX];
	atomic_bool committed; /* a change that must not be begun anew */
	atomic_bool abandoned; /* somebody else does its job: leave */
};

struct hung { /* a device that does not answer */
	_Atomic uint64_t since_ns; /* 0: a free entry, or it has answered since */
	pid_t pid;		   /* of the worker that stays there to tell */
	char devno[DEVNO_TEXT];
};

struct shared {
	struct slot slots[WORKERS_MAX];
	struct hung hung[HUNG_MAX];
};

/* Messages between a worker and the daemon. */
enum frame_type {
	FRAME_RESULT = 'R',  /* int status, then the result's text; the last one */
	FRAME_ERROR = 'E',   /* struct err; the last one */
	FRAME_BEGUN = 'S',   /* as a result; the work goes on */
	FRAME_WARNING = 'W', /* text */
	FRAME_PROGRESS = 'P', /* struct progress, then text */
	FRAME_EVENT = 'V',   /* a row's JSON */
	FRAME_LOCK = 'L',    /* array of dev_t: disks it is going to change */
	FRAME_GRANTED = 'G', /* to the worker */
	FRAME_HELD = 'H',    /* to the worker: int index of the disk, then who holds it */
};
struct frame {
	uint32_t type, size;
};
enum { FRAME_MAX = 32 << 20 };
struct progress {
	uint64_t done, total;
};

/* --- the daemon's own --- */

struct server;
struct client;

/* One request of a line, with its answer once it is there. */
struct item {
	struct rpc_request request;
	bool invalid; /* answered without being read further */
	struct err why;
	bool started, done;
	char *answer; /* without a newline; NULL: none is sent */
	struct job *job;
	uint64_t began_ns;
};

/* A line that is being served. */
struct line {
	struct json *json;
	struct item *items;
	size_t n, next;
	bool batch;
};

enum right { RIGHT_NONE, RIGHT_QUERY, RIGHT_ALL };

struct client {
	struct server *server;
	int fd;
	struct ucred who;
	enum right right;
	char *in;
	size_t n_in, cap_in, seen; /* seen: no newline before it */
	char *out;
	size_t n_out, cap_out, sent;
	uint64_t moved_ns; /* when output last went out, or began to wait */
	bool skipping;	   /* the rest of a line that was too long */
	bool ended;	   /* nothing more comes */
	bool gone;	   /* nobody reads what we send */
	struct line *line;
	struct job *watching;
};

struct job {
	struct server *server;
	const struct method *method;
	struct arena mem; /* params and key */
	const void *params;
	const char *key; /* equal ones of queries are one job */
	bool human, progress, wait;
	bool begun;	 /* answered, and going on */
	unsigned reruns;
	struct ucred who;
	uint64_t began_ns;
	struct worker *worker; /* NULL: queued */
	VEC(struct client *) waiters; /* a waiter's current item has job set to this */
	VEC(struct client *) watchers;
	VEC(char *) warnings;
};

struct worker {
	pid_t pid;
	int fd;
	size_t slot;
	struct job *job; /* NULL: abandoned */
	char *in;
	size_t n_in, cap_in;
	bool eof, reaped, told; /* told: its last message is here */
	int status;
	uint64_t began_ns;
	dev_t *wanted; /* disks it waits for, or holds */
	size_t n_wanted;
	bool holds, waits;
	uint64_t wait_ns;
};

struct server {
	struct world *w;
	const struct settings *set;
	struct shared *shared;
	int listener;
	bool activated; /* the socket is systemd's */
	int lock_fd;
	dev_t socket_dev;
	ino_t socket_ino;
	gid_t group;
	bool has_group;
	unsigned query_workers;
	VEC(struct client *) clients;
	VEC(struct job *) jobs; /* queued and running, in order */
	VEC(struct worker *) workers;
	bool stopping;
	uint64_t accept_after_ns; /* out of descriptors until then */
};

void server_log(const struct server *s, const char *fmt, ...) PRINTF(2, 3);

/* listen.c */
int listen_open(struct server *s, struct err *e);
void listen_close(struct server *s);
void listen_accept(struct server *s);
void notify_systemd(const char *state);

/* client.c */
struct client *client_new(struct server *s, int fd);
void client_free(struct client *c);
void client_read(struct client *c);
void client_write(struct client *c);
/* Serves what it can of the lines that are there. */
void client_advance(struct client *c);
/* The answer to the item that waits for this job; e NULL: result. */
void client_answer(struct client *c, const struct job *j, const struct err *e, int code,
		   const char *result, const char *notes);
void client_send(struct client *c, const char *text, size_t n);
bool client_is_finished(const struct client *c);
void client_drop(struct client *c);

/* job.c */
/* Queues the request's job, or joins one; the item waits for it from now on. */
void job_add(struct client *c, struct item *it, const struct method *m, void *params,
	     struct arena *mem);
void job_forget(struct client *c);
void jobs_start(struct server *s);
void jobs_tick(struct server *s, uint64_t now_ns);
void jobs_stop(struct server *s);
void job_end(struct job *j, const struct err *e, int code, const char *result, int status);
void job_begun(struct job *j, const char *result, int status);
void job_requeue(struct job *j);

/* worker.c */
int worker_start(struct server *s, struct job *j);
void worker_read(struct worker *k);
void worker_reap(struct server *s);
void worker_sweep(struct server *s);
void worker_locks(struct server *s, uint64_t now_ns);
void worker_watchdog(struct server *s, uint64_t now_ns);
void worker_abandon(struct server *s, struct worker *k, bool stays);

/* child.c */
void __attribute__((noreturn))
child_run(struct server *s, struct job *j, struct slot *slot, int fd);
int frame_send(int fd, enum frame_type type, const void *a, size_t n_a, const void *b, size_t n_b);

#endif
