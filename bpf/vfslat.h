/* What vfslat's BPF programs and its user side both know: records, keys, limits. */
#ifndef BPF_VFSLAT_H
#define BPF_VFSLAT_H

#include <linux/types.h>

enum vfs_op { VFS_NONE, VFS_READ, VFS_WRITE, VFS_FSYNC, VFS_READDIR, VFS_OPS };

/*
 * A histogram of latency: eight buckets to each power of two from 2^7 ns to 2^37 ns (137 s); the
 * first holds all that is quicker, the last all that is slower. Each holds its lower bound and not
 * its upper one.
 */
enum {
	HIST_FIRST = 7,
	HIST_LAST = 37,
	HIST_SUB_BITS = 3,
	HIST_SUB = 1 << HIST_SUB_BITS,
	HIST_SLOTS = (HIST_LAST - HIST_FIRST) * HIST_SUB + 2,
	HIST_ROOM = 256, /* a power of two, for the verifier's sake */
};

/* What operations are counted by. Members after op are zero where --by does not ask for them, and
 * the map's key is cut behind the last one that it does: a short key is quickly hashed. */
struct vfs_key {
	__u32 op;
	__u32 dev;    /* the superblock's, major << 20 | minor; a disk's own for its node */
	__u64 root;   /* address of the mount's root dentry: tells bind mounts apart */
	__u64 root_ino;
	__u64 cgroup; /* id */
	char comm[16];
};

struct vfs_hist {
	__u64 count, errors, slow, bytes;
	__u64 total_ns, blocked_ns, queued_ns;
	__u64 split_ns;	 /* of total_ns: the part whose split is known (io_uring's is not) */
	__u64 max_ns;	 /* since the epoch began */
	__u64 max_epoch; /* the epoch that max_ns belongs to */
	__u32 slots[HIST_ROOM];
};

/* A mount's root, by dev, root and root_ino as in the key. */
struct vfs_root_key {
	__u64 root, root_ino;
	__u32 dev, pad;
};

enum { VFS_ROOT_PATH = 1024, VFS_CGROUP_PATH = 1024 };

/* Paths are names from the leaf upwards, each ended by a NUL; length counts them all. */
struct vfs_root {
	__u32 length;
	__u32 truncated;
	char fstype[32];
	char path[VFS_ROOT_PATH + 256];
};

struct vfs_cgroup {
	__u32 length;
	__u32 truncated;
	char path[VFS_CGROUP_PATH + 256];
};

/* Per CPU. */
struct vfs_counters {
	__u64 lost_full;    /* slow or sampled operations not reported: the ring buffer was full */
	__u64 lost_limited; /* not reported: more than --max-events a second */
	/* What a full map had no room for: operations, which are in no count ... */
	__u64 full_counts, full_states, full_requests;
	/* ... and names, without which a count says less. */
	__u64 full_mounts, full_cgroups;
	__u64 names_kept;   /* of mounts and cgroups, at first sight */
	__u64 unfinished;   /* began, and the end was never seen */
	__u64 nested;	    /* part of another operation of the same thread, counted with it */
	__u64 reported;
	__u64 limit_window; /* the limit's state: which window, how many in it */
	__u64 limit_count;
};

enum vfs_event_flag {
	VFS_EV_SLOW = 1,
	VFS_EV_NO_SPLIT = 2,  /* blocked_ns and queued_ns are not known */
	VFS_EV_TRUNCATED = 4, /* the path is longer than what was walked */
	VFS_EV_NO_FILE = 8,   /* the descriptor was closed before the call ended: no inode, no path */
	VFS_EV_ASYNC = 16,    /* io_uring: from submission to completion */
	VFS_EV_UNDECIDED = 32, /* not slow, and the user side has not yet said whether to sample it */
};

/* The two sizes of a ring buffer record's path. */
enum { VFS_PATH_SHORT = 256, VFS_PATH_LONG = 4096, VFS_DEPTH_MAX = 64 };

struct vfs_event {
	__u64 start_ns; /* CLOCK_MONOTONIC */
	__u64 latency_ns, blocked_ns, queued_ns;
	__s64 ret;
	__u64 size;   /* asked for; ~0 unknown */
	__s64 offset; /* where it began; negative unknown */
	__u64 inode;
	__u64 cgroup, root, root_ino;
	__u64 dentry, parent, name_hash; /* the verdict's key */
	__u32 dev;
	__u32 mount_id;
	__u32 tgid, tid, uid;
	__u32 path_length;
	__u16 mode;
	__u8 op;
	__u8 flags;
	char comm[16];
	char fstype[16];
};

/* The record of most events: a path that is not long. */
enum { VFS_EVENT_SIZE = sizeof(struct vfs_event) + VFS_PATH_SHORT + 256 };

/* A path that the user side has decided upon: is an operation on it to be reported when not slow? */
struct vfs_verdict_key {
	__u64 dentry, parent, name_hash;
};
enum { VFS_VERDICT_OUT = 1, VFS_VERDICT_IN = 2 };

/* One directory that --path or --mount names; an inode's number may repeat in btrfs subvolumes, so
 * the name counts too. */
struct vfs_subtree {
	__u64 inode;
	__u32 dev;
	__u32 name_length;
	__u64 name[8]; /* its first 63 bytes, zeros behind */
};
enum { VFS_SUBTREES = 8, VFS_PIDS = 16, VFS_CGROUPS = 16, VFS_SKIP_DEVS = 4 };

/* What is constant while the programs run. */
struct vfs_config {
	__u64 slow_ns;	     /* report what took longer */
	__u64 count_slow_ns; /* count as slow what took longer */
	__u64 min_size;
	__u64 window_limit; /* reports per CPU and tenth of a second */
	__u64 wake_at;	    /* bytes in the ring buffer that wake the reader */
	__u64 full_at;	    /* so many bytes in the ring buffer leave no room for an event */
	__u32 own_tgid;
	__u32 kinds;	    /* 1 << (mode >> 12) of the files looked at */
	__u32 ops;	    /* 1 << op */
	__u32 key_dev, key_root, key_cgroup, key_comm; /* 0 or 1 */
	__u32 sample;	    /* report what is not slow too */
	__u32 shared;	    /* programs may be preempted by others of their CPU: count atomically */
	__u32 can_cast;	    /* the kernel has bpf_rdonly_cast() */
	__u32 split;	    /* sched_switch is attached */
	__u32 cgroup_v1;    /* the memory controller's hierarchy, not the unified one */
	__u32 uring_fsync;  /* count io_uring's fsync in its own layer */
	__u32 n_subtrees, n_pids, n_cgroups, n_skip_devs, comm_length;
	__u32 pids[VFS_PIDS];
	__u32 skip_devs[VFS_SKIP_DEVS];
	__u64 cgroups[VFS_CGROUPS];
	char comm[16];
};

#endif
