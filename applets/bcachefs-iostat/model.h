/* bcachefs' statistics as plain structs: what is read, what is worked out of two readings. */
#ifndef BCACHEFS_IOSTAT_MODEL_H
#define BCACHEFS_IOSTAT_MODEL_H

#include "lib/core/field.h"
#include "lib/core/op.h"
#include "lib/core/root.h"

enum direction { READ, WRITE };

/* Bytes by data type since mount; U64_NONE where a number could not be read. */
enum { DATA_TYPES_MAX = 24, TYPE_NAME_MAX = 16 };
struct io_done {
	unsigned n;
	struct {
		char name[TYPE_NAME_MAX];
		uint64_t bytes[2];
	} type[DATA_TYPES_MAX];
	uint64_t total_bytes[2]; /* none when any of its parts is */
};

/* One direction's latency since mount. Times in nanoseconds, U64_NONE where there is none. */
enum { QUANTILES = 15 }; /* i is that of (i + 1) / 16 */
struct latency {
	uint64_t count;
	uint64_t total_ns; /* exact: only the JSON form has it so */
	uint64_t mean_ns;  /* since mount */
	uint64_t recent_ns; /* the kernel's moving mean (6.7 to 6.16) or median (later) */
	uint64_t quantile_ns[QUANTILES];
};

/* Since the filesystem was made. */
struct io_errors {
	uint64_t read, write, checksum, flush;
};

/* In buckets. */
struct usage {
	uint64_t capacity, empty;
};

/* Of /proc/diskstats, since the device appeared. */
struct block_stat {
	bool found;
	uint64_t ios[2], sectors[2], ticks_ms[2], busy_ms, queue_ms;
};

/* A member device. Strings live as long as their snapshot. */
struct member {
	uint32_t number; /* dev-N */
	uint64_t node;	 /* of its directory: another after a remount; 0 unknown */
	const char *device, *label, *state;
	const char **has_data;
	bool online;
	bool moved[2]; /* its bytes are others than in the reading before */
	uint64_t bucket_bytes;
	struct usage usage;
	struct io_done io;
	struct latency latency[2];
	struct io_errors errors;
	struct block_stat block;
};

struct filesystem {
	const char *name; /* of the directory: a UUID, or a device's name */
	const char *label;
	const char **mounts; /* mount points, the whole filesystem's first; NULL: only assembled */
	uint64_t node;
	double age_s; /* since it was mounted; NaN unknown */
	struct {
		struct member *items; /* in the snapshot's arena, like all below it */
		size_t n;
	} members;
};

struct snapshot {
	bool taken;
	double time;	       /* seconds since the epoch */
	uint64_t clock_ns;     /* monotonic; of a recorded machine its uptime */
	uint64_t suspended_ns; /* since boot */
	struct arena mem;
	struct {
		struct filesystem *items;
		size_t n;
	} filesystems;
};

/*
 * Parsers: text of n bytes as the kernel wrote it, or broken in any way. What is not there whole is
 * none: a last line without its newline may be a number cut short. -EINVAL when nothing is usable;
 * everything is none then.
 */
int parse_io_done(const char *text, size_t n, struct io_done *ret);
int parse_latency(const char *text, size_t n, struct latency *ret);
int parse_io_errors(const char *text, size_t n, struct io_errors *ret);
int parse_usage(const char *text, size_t n, struct usage *ret);
/* "443634\n", "131072\n", "128 KiB", "1.00M": a number as it stands, or bytes. */
uint64_t parse_number(const char *text, size_t n);
/* "[rw] ro failed spare" -> "rw"; "rw" -> "rw"; NULL for none. */
const char *parse_choice(const char *text, size_t n, struct arena *a);
/* One line of plain text; NULL for empty or "none". */
const char *parse_word(const char *text, size_t n, struct arena *a);
const char **parse_list(const char *text, size_t n, struct arena *a);
/* One line of diskstats: the name (in the line, not ended), its length, the numbers. */
bool parse_diskstats_line(const char *line, size_t n, const char **ret_name, size_t *ret_length,
			  struct block_stat *ret);

/* Everything at none. */
void latency_clear(struct latency *l);
void io_done_clear(struct io_done *io);
void io_done_add(struct io_done *sum, const struct io_done *one);

/* The reader: keeps files open on a running machine, and what changes rarely for a while. */
struct reader;
struct reader *reader_new(const struct root *root);
void reader_free(struct reader **r);
#define auto_reader auto_release(reader_free)
/* Reads everything into ret, whose memory is used again; before may be NULL. -ENOENT
 * (ERR_UNSUPPORTED): no bcachefs in this kernel. */
int reader_read(struct reader *r, const struct snapshot *before, struct snapshot *ret,
		struct err *e);
void snapshot_free(struct snapshot *s);
#define auto_snapshot auto_release(snapshot_free)

/* Whether a mount point, UUID, device or label names this filesystem. */
bool filesystem_named(const struct root *root, const struct filesystem *fs, const char *word);
bool filesystem_selected(const struct root *root, const struct filesystem *fs,
			 const char *const *words);
/* Mount points and labels, where they can be had without touching a device. */
void filesystems_describe(const struct root *root, struct snapshot *s);
/* Seconds since the filesystem was made writable, by the age of its kernel thread; NaN where that is
 * unknown or too short to tell much. */
double filesystem_age_s(const struct root *root, const char *name);

/* What happened between two readings of one device, or in a filesystem as the sum of its own. */
struct figures {
	double span_s; /* NaN: since mount, of unknown length */
	bool since_mount, restarted, is_new;
	struct io_done done;		 /* bytes in the span */
	uint64_t ios[2], block_bytes[2]; /* of the block layer */
	double ticks_ms[2], queue_ms, busy_share;
	uint64_t latency_count[2];
	double latency_sum_ns[2]; /* of the I/Os counted; NaN unknown */
	bool approximate[2];
	uint64_t quantile_ns[2][QUANTILES];
	struct io_errors errors; /* totals */
	uint64_t new_errors;
	uint64_t size_bytes, used_bytes;
};
/* before NULL: since mount; in_run then says that it appeared after the run began. */
void member_figures(const struct member *before, const struct member *now, double span_s,
		    bool in_run, struct figures *ret);
/* Sums start from figures_zero(); what one part does not know the sum does not either, but for the
 * block layer's numbers of a device that is offline. */
void figures_zero(struct figures *sum, double span_s, bool since_mount);
void figures_add(struct figures *sum, const struct figures *one, bool online);

enum scale { SCALE_AUTO, SCALE_K, SCALE_M };

/* A row of a report: a filesystem's total, a device, or one data type of a device. */
enum scope { SCOPE_FILESYSTEM, SCOPE_DEVICE, SCOPE_TYPE };
enum latency_kind { LATENCY_EXACT, LATENCY_APPROXIMATE };
struct row {
	double time, interval_s;
	bool since_mount;
	uint32_t scope;
	const char *filesystem, *uuid;
	uint32_t member;
	const char *device, *label, *state, *type;
	double read_bytes_per_s, write_bytes_per_s;
	uint64_t read_bytes, write_bytes;
	double reads_per_s, writes_per_s;
	double read_size_bytes, write_size_bytes;
	double read_latency_ns, write_latency_ns;
	uint32_t read_latency_kind, write_latency_kind;
	uint64_t read_latency_count, write_latency_count;
	uint64_t read_p50_ns, read_p75_ns, read_p94_ns, write_p50_ns, write_p75_ns, write_p94_ns;
	const char **read_quantiles_ns, **write_quantiles_ns;
	double read_await_ns, write_await_ns;
	double queue_depth, util_percent;
	uint64_t block_reads, block_writes, block_read_bytes, block_write_bytes;
	uint64_t errors, new_errors, read_errors, write_errors, checksum_errors, flush_errors;
	uint64_t size_bytes, used_bytes;
	double used_percent;
	const char **has_data;
	const char *note;
	/* Not columns: */
	uint32_t scale;
};
extern const struct table io_table;

/* Which rows; the rules of a report. */
struct report_options {
	bool types, quantiles, totals_only, hide_idle;
	uint32_t scale;
	const char *const *words;
};
/*
 * Gives the rows between two readings (before NULL or not taken: since mount) to emit, in order.
 * Strings and lists are in the arena or the snapshots. Returns what emit returns if not 0.
 */
int report_rows(const struct root *root, const struct snapshot *before, const struct snapshot *now,
		const struct report_options *o, struct arena *a,
		int (*emit)(void *arg, const struct row *row, const struct figures *f), void *arg);

/* A run: its readings, its pace and what it reports. */
struct watch {
	struct world *world;
	struct reader *reader;
	double interval_s;
	uint64_t count; /* of reports; U64_NONE: until stopped */
	struct report_options report;
};
/* Every word names a filesystem that is there now (later it may come and go), and there is one. */
int check_words(const struct watch *w, const struct snapshot *s, struct err *e);
/* Sleeps until then (CLOCK_MONOTONIC), or less when *stop is set. */
void wait_until(uint64_t deadline_ns, const volatile sig_atomic_t *stop);

/* Latencies gathered over the run, one histogram a device and direction. */
struct tallies;
struct tallies *tallies_new(void);
void tallies_free(struct tallies **t);
#define auto_tallies auto_release(tallies_free)
void tallies_add(struct tallies *t, const struct row *row, const struct figures *f);
int tallies_write(const struct tallies *t, struct sink *out, struct arena *a);
extern const struct table latency_table;

/* The full screen, and the metrics file. sort: a column of the screen by its field's name. */
int run_top(const struct watch *w, const char *sort, struct err *e);
int write_metrics(const char *path, const struct root *root, const struct snapshot *now,
		  const char *const *words, struct err *e);

#endif
