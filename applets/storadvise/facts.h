/*
 * What is known of a machine, from whatever input: plain rows that readers add and rules read. Every
 * row carries where it was seen (source), so that a finding can quote it.
 */
#ifndef STORADVISE_FACTS_H
#define STORADVISE_FACTS_H

#include "applets/storadvise/nix.h"

#include "lib/core/op.h"

struct fact_host {
	uint64_t ram_bytes, cpus;
	const char *cpu_model, *kernel, *virtualisation, *ram_reason;
	uint64_t available_bytes, dirty_bytes, writeback_bytes; /* memory at work, /proc/meminfo */
	double io_some_percent, io_full_percent, memory_some_percent; /* PSI, avg60 */
	const char *source;
};

struct fact_disk {
	const char *name;  /* "sda" */
	const char *media; /* "nvme" "ssd" "hdd" "virtual" "unknown" */
	const char *media_reason, *confidence; /* "high" "medium" "low" */
	const char *model, *driver;
	uint64_t size_bytes;
	const char *scheduler;
	uint64_t read_ahead_kb, requests;
	bool usb;
	const char *source;
};

struct fact_filesystem { /* a btrfs that is there */
	const char *id; /* its first mount point, or a device */
	const char *uuid, *label;
	const char **devices, **disks;
	uint64_t size_bytes, allocated_bytes, unallocated_bytes, missing_bytes, used_bytes,
		free_estimated_bytes, free_statfs_bytes, reserve_bytes, reserve_used_bytes;
	uint32_t multiple_profiles; /* 1 yes, 0 no */
	uint64_t read_ahead_kb, commits, commit_max_ms, commit_total_ms, commit_last_ms;
	const char *quota; /* "qgroup" "squota" "off" */
	uint32_t quota_inconsistent;
	const char *exclusive_operation;
	const char **features;
	uint64_t subvolumes, snapshots;
	uint64_t metadata_reclaim, data_reclaim; /* bg_reclaim_threshold, per cent */
	const char *source;
};

struct fact_space { /* block groups of one kind and profile */
	const char *filesystem, *kind, *profile;
	uint64_t size_bytes, used_bytes;
	const char *source;
};

struct fact_member {
	const char *filesystem, *device, *disk;
	uint64_t size_bytes, unallocated_bytes;
	uint64_t write_errors, read_errors, flush_errors, corruption_errors, generation_errors;
	bool missing;
	const char *source;
};

struct fact_qgroup {
	const char *filesystem, *qgroup, *path;
	uint64_t referenced_bytes, exclusive_bytes;
	const char *source;
};

struct fact_mount {
	const char *target, *device, *fstype, *subvolume, *filesystem;
	const char **options;
	const char *source;
};

struct fact_declared { /* a btrfs in a layout */
	const char *id, *disk; /* id: path in the layout; disk: its device */
	const char **devices, **mkfs, **unknown;
	const char *encryption; /* "luks" */
	bool swap;		/* has a swap file */
	const char *file, *source;
};

struct fact_subvolume { /* of a layout */
	const char *declared, *name, *mountpoint;
	const char **options;
	bool swap;
	uint64_t number; /* in the layout's order */
	const char *options_source, *source;
	/* a literal list of them: its file, its whole lines, and what stands around it there */
	const char *options_file, *options_text, *options_before, *options_after;
	uint64_t options_line, options_lines;
};

struct fact_io {
	const char *device, *disk;
	double reads_per_s, writes_per_s, read_kb_per_s, write_kb_per_s, read_await_ms,
		write_await_ms, flush_await_ms, queue, busy_percent, write_kb;
	uint64_t samples;
	const char *source;
};

struct fact_process {
	const char *command, *user, *workload;
	double read_kb_per_s, write_kb_per_s, io_percent;
	const char *source;
};

struct fact_observation {
	const char *text, *workload, *path;
	double value_s;
	const char *source;
};

struct fact_slow { /* vfslat or bcachefs-iostat rows */
	const char *path, *operation, *process, *workload;
	uint64_t count, latency_ns;
	const char *source;
};

struct fact_sysctl {
	const char *name;
	double value;
	const char *source;
};

struct fact_compression { /* measured on real files */
	const char *path, *algorithm;
	uint64_t level, sample_bytes, device_bytes_per_s;
	double ratio, write_bytes_per_s, read_bytes_per_s; /* of one CPU */
	const char *source;
};

struct fact_file { /* a database or machine image that was looked at */
	const char *path, *workload, *filesystem;
	uint64_t size_bytes, extents;
	bool nocow, compressed, shared;
	const char *source;
};

#define FACT_TABLES(X)                                                                          \
	X(host, hosts, "facter, --lsblk or --live")                                             \
	X(disk, disks, "facter, lsblk (--facter, --lsblk) or --live")                           \
	X(filesystem, filesystems, "btrfs usage, df, mounts (--btrfs-usage ...) or --live")     \
	X(space, spaces, "btrfs usage or btrfs df (--btrfs-usage, --btrfs-df) or --live")       \
	X(member, members, "btrfs usage or device stats (--device-stats) or --live")            \
	X(qgroup, qgroups, "qgroup show (--qgroups) or --live")                                 \
	X(mount, mounts, "mounts (--mounts) or --live")                                         \
	X(declared, declared, "a layout (--disko)")                                             \
	X(subvolume, subvolumes, "a layout (--disko)")                                          \
	X(io, io, "iostat (--iostat) or --live")                                                \
	X(process, processes, "iotop (--iotop)")                                                \
	X(observation, observations, "observations (--observe)")                                \
	X(slow, slow, "slow operations (--vfslat, --bcachefs-iostat)")                          \
	X(sysctl, sysctls, "sysctl (--sysctl) or --live")                                       \
	X(compression, compression, "measured compression (--measure)")                         \
	X(file, files, "measured files (--measure)")

struct fact_link { /* what lies on which disk: "dm-0" on "sda" */
	const char *child, *disk;
};

/* All tables of facts; given tells "none" from "not asked". */
struct facts {
	struct arena *mem;
	struct world *w;
#define FACT_MEMBER(one, many, input) VEC(struct fact_##one) many;
	FACT_TABLES(FACT_MEMBER)
#undef FACT_MEMBER
#define FACT_GIVEN(one, many, input) bool many##_given;
	FACT_TABLES(FACT_GIVEN)
#undef FACT_GIVEN
	VEC(struct fact_link) links;
};
void fact_link(struct facts *f, const char *child, const char *disk);
/* After all readers: which mounts and disks belong to which filesystem. */
void facts_join(struct facts *f);

/* A new row with every member "none". */
#define fact_add(f, many) (fact_new((f), FACT_##many))
enum fact_table {
#define FACT_ENUM(one, many, input) FACT_##many,
	FACT_TABLES(FACT_ENUM)
#undef FACT_ENUM
	FACT_COUNT
};
void *fact_new(struct facts *f, enum fact_table t);
void facts_free(struct facts *f);
extern const struct table *const fact_tables[]; /* by enum fact_table, NULL at the end */
extern const struct table fact_disk_table;
extern const char *const fact_inputs[];
void *facts_rows(const struct facts *f, enum fact_table t, size_t *ret_n, bool *ret_given);
void facts_set_given(struct facts *f, enum fact_table t);

/* The filesystem that is mounted there or holds that device; made when there is none. A NULL place
 * is the only one there is. */
struct fact_filesystem *fact_filesystem(struct facts *f, const char *place);
struct fact_disk *fact_disk(struct facts *f, const char *name);
struct fact_member *fact_member(struct facts *f, const char *filesystem, const char *device);
struct fact_host *fact_host(struct facts *f);
/* "sda" for "/dev/sda2", "nvme0n1" for "/dev/nvme0n1p3"; NULL for what is no partition's name. */
const char *fact_disk_of(struct facts *f, const char *device);
/* What a complaint, a process, a path is about: "database" "build" ...; NULL. */
const char *fact_workload(const char *text);

/* The facts as the rules see them. */
struct nix_value *facts_value(struct nix *x, struct facts *f);

/* Readers: each takes a file's text; name is for errors and sources. 0 or -errno. */
typedef int fact_reader(struct facts *f, const char *place, const char *name, char *text,
			struct err *e);
fact_reader read_facter, read_df, read_usage, read_btrfs_df, read_stats, read_qgroups, read_iostat,
	read_iotop, read_mounts, read_sysctl, read_lsblk, read_vfslat, read_bcachefs;
int read_layout(struct facts *f, const char *path, struct err *e);
void add_observation(struct facts *f, const char *text, const char *source);
int read_live(struct facts *f, double interval_s, struct err *e);
int measure_path(struct facts *f, const char *path, uint64_t max_bytes, double max_s,
		 struct err *e);
int read_error(struct err *e, const char *name, unsigned line, const char *what);
/* What prints a table often prints JSON too: *ret stays NULL when text is no JSON object. */
int read_json(const char *text, const char *name, struct json **ret, struct err *e);
/* The next line of text, without its newline; NULL at the end. */
char *next_line(char **text);
/* Fields separated by blanks; returns how many, at most max. */
unsigned split_words(char *line, char **words, unsigned max);
/* "1.46GiB", "28%", "0x1f", "12" as a number; U64_NONE when it is none. */
uint64_t fact_size(const char *s);
const char *source_line(struct facts *f, const char *name, unsigned line, const char *text);

/* Snapshots: all facts as a tar of TSV tables. */
int snapshot_write(struct facts *f, FILE *out, struct err *e);
int snapshot_read(struct facts *f, const char *path, struct err *e);

#endif
