/*
 * vfslat in the kernel: one accounting core, and three thin layers that feed it.
 *
 *   fentry    fentry/fexit on the VFS functions
 *   kprobe    kprobe/kretprobe on the same
 *   syscalls  the sys_enter and sys_exit tracepoints
 *
 * An operation belongs to the thread that runs it, and a thread runs one at a time: what it calls
 * within (overlayfs' own fsync of the file below, the fsync of an O_SYNC write) is part of it.
 * vfslat.bpf.c keeps a thread's operation in task storage (Linux 5.13 and later), vfslat_hash.bpf.c
 * in a hash map. The user side loads only the programs of one layer.
 */
#include "vfslat_types.h"

#include <bpf/bpf_helpers.h>

/* libbpf's name for "struct pt_regs has the kernel's member names". */
#define __VMLINUX_H__
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "vfslat.h"

char LICENSE[] SEC("license") = "GPL";

const volatile struct vfs_config cfg = {};
const volatile struct vfs_subtree subtrees[VFS_SUBTREES] = {};

/* Which system call is which operation, and where its arguments are: the numbers differ between
 * architectures, so the user side fills it in. */
enum { CALLS = 512, CALL_OP = 15, CALL_SIZE = 16, CALL_OFFSET = 32 };
const volatile __u8 calls[CALLS] = {};

/* Written by the user side while the programs run. */
__u32 own_tgid = 0;
__u32 generation = 0; /* of the rows' numbers: a new one where a number may mean another key */
__u64 epoch = 0;

struct op_state {
	u64 start_ns; /* 0: the thread is in no operation */
	u64 file;
	u64 size;
	u64 pos; /* address of the offset, where the layer has one */
	u64 off_ns; /* when the thread left the CPU; 0: it is on one */
	u64 blocked_ns, queued_ns;
	u64 root, root_ino;
	u32 dev;
	u8 op;
	u8 depth;   /* kprobe: calls of the same operation below this one */
	u8 stacked; /* a filesystem upon another (overlayfs) */
	u8 at_call; /* begun at the system call: what it calls is part of it */
	u8 blocked; /* off the CPU because it waits for something, not for the CPU */
};

#ifdef TASK_STORAGE
/* A thread's next operation is mostly counted in the row of its last one, which then need not be
 * looked up. */
struct thread {
	struct op_state op;
	struct vfs_key key;
	u32 row, generation;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct thread);
} states SEC(".maps");
#else
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, u32);
	__type(value, struct op_state);
} states SEC(".maps");
#endif

/* An io_uring request's state, from its submission on. */
struct request {
	struct op_state op;
	u32 tgid, tid, uid, pad;
	u64 cgroup;
	char comm[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, u64);
	__type(value, struct request);
} requests SEC(".maps");

/* The number of each key's row of counts, the rows, and the numbers that are free. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct vfs_key);
	__type(value, u32);
} rows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, struct vfs_hist);
} hists SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 1024);
	__type(value, u32);
} unused SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct vfs_root_key);
	__type(value, struct vfs_root);
} roots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u64);
	__type(value, struct vfs_cgroup);
} cgroups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct vfs_verdict_key);
	__type(value, u32);
} verdicts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct vfs_counters);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} events SEC(".maps");

/* Too large for the stack. Filled once for each new mount or cgroup; should two threads of one CPU
 * fill it at the same time, the names are garbled, so the map is only written when neither was. */
struct scratch {
	u32 busy;
	u32 pad;
	struct vfs_root root;
	struct vfs_cgroup cgroup;
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

/* A member of a struct: by a plain load where the verifier knows the pointer's type, else by
 * bpf_probe_read_kernel(), which costs ten times as much. typed is a constant. */
#define GET(p, member) (typed ? (p)->member : BPF_CORE_READ(p, member))

/* fentry programs can be preempted by others of the same CPU, the other layers cannot. */
#define ADD(where, n)                                      \
	do {                                               \
		if (cfg.shared)                            \
			__sync_fetch_and_add(&(where), n); \
		else                                       \
			(where) += (n);                    \
	} while (0)

static __always_inline struct vfs_counters *counted(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&counters, &zero);
}

#define COUNT(member)                                                  \
	do {                                                           \
		struct vfs_counters *counters_ = counted();            \
		if (counters_)                                         \
			__sync_fetch_and_add(&counters_->member, 1ul); \
	} while (0)

/*  The thread and its state.  */

#ifdef TASK_STORAGE
static __always_inline struct op_state *state_get(struct task_struct *task, u64 flags)
{
	struct thread *thread = bpf_task_storage_get(&states, task, 0, flags);

	return thread ? &thread->op : NULL;
}
static __always_inline void state_done(struct op_state *s)
{
	s->start_ns = 0;
}
#define CURRENT() bpf_get_current_task_btf()
#define STATE_OF_CURRENT() state_get(CURRENT(), 0)
#define STATE_NEW(current) state_get(current, BPF_LOCAL_STORAGE_GET_F_CREATE)
#define STATE_OF(task) state_get(task, 0)
#define TASK_IS_TYPED true
#else
static const struct op_state no_state;

static __always_inline struct op_state *state_of(u32 tid)
{
	return bpf_map_lookup_elem(&states, &tid);
}
static __always_inline struct op_state *state_new(u32 tid)
{
	bpf_map_update_elem(&states, &tid, &no_state, BPF_NOEXIST);
	return bpf_map_lookup_elem(&states, &tid);
}
static __always_inline void state_done(struct op_state *s)
{
	u32 tid = (u32)bpf_get_current_pid_tgid();

	s->start_ns = 0;
	bpf_map_delete_elem(&states, &tid);
}
#define CURRENT() ((struct task_struct *)bpf_get_current_task())
#define STATE_OF_CURRENT() state_of((u32)bpf_get_current_pid_tgid())
#define STATE_NEW(current) state_new((u32)bpf_get_current_pid_tgid())
#define STATE_OF(task) state_of((task)->pid)
#define TASK_IS_TYPED false
#endif

/* Where the thread spends the time in which it is not on a CPU: blocked until it is woken, then
 * waiting for a CPU. Nothing is done for a thread that is in no operation. */
SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	struct op_state *s = STATE_OF(prev);
	u64 now = 0;

	if (s && s->start_ns) {
		u64 state;

		if (bpf_core_field_exists(prev->__state))
			state = prev->__state;
		else
			state = ((struct task_struct___old *)prev)->state;
		s->blocked = !preempt && state;
		s->off_ns = now = bpf_ktime_get_ns();
	}
	s = STATE_OF(next);
	if (s && s->start_ns && s->off_ns) {
		if (!now)
			now = bpf_ktime_get_ns();
		if (s->blocked)
			s->blocked_ns += now - s->off_ns;
		else
			s->queued_ns += now - s->off_ns;
		s->off_ns = 0;
	}
	return 0;
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(on_wakeup, struct task_struct *task)
{
	struct op_state *s = STATE_OF(task);

	if (s && s->start_ns && s->off_ns && s->blocked) {
		u64 now = bpf_ktime_get_ns();

		s->blocked_ns += now - s->off_ns;
		s->off_ns = now;
		s->blocked = 0;
	}
	return 0;
}

/*  Whose operation: the cgroup.  */

static __always_inline struct kernfs_node *cgroup_node(void)
{
	const bool typed = TASK_IS_TYPED;
	struct task_struct *task = CURRENT();
	struct css_set *set = GET(task, cgroups);
	struct cgroup *cgroup = NULL;

	if (cfg.cgroup_v1 && bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id)) {
		u32 i = bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id);
		struct cgroup_subsys_state **at = &set->subsys[0] + (i & 15), *css = NULL;

		if (typed)
			css = *at;
		else
			bpf_core_read(&css, sizeof css, at);
		cgroup = GET(css, cgroup);
	} else {
		cgroup = GET(set, dfl_cgrp);
	}
	return GET(cgroup, kn);
}

static __always_inline u64 cgroup_id(void)
{
	const bool typed = TASK_IS_TYPED;

	return cfg.cgroup_v1 ? GET(cgroup_node(), id) : bpf_get_current_cgroup_id();
}

static __always_inline struct kernfs_node *kernfs_parent(struct kernfs_node *node)
{
	if (bpf_core_field_exists(node->parent))
		return BPF_CORE_READ(node, parent);
	return BPF_CORE_READ((struct kernfs_node___renamed *)node, __parent);
}

static __always_inline bool cgroup_chosen(void)
{
	struct kernfs_node *node = cgroup_node();

	for (int depth = 0; depth < 16 && node; depth++) {
		u64 id = BPF_CORE_READ(node, id);

		for (u32 i = 0; i < VFS_CGROUPS; i++)
			if (i < cfg.n_cgroups && cfg.cgroups[i] == id)
				return true;
		node = kernfs_parent(node);
	}
	return false;
}

__noinline int passes_filters(u32 tgid)
{
	if (cfg.n_pids) {
		bool found = false;

		for (u32 i = 0; i < VFS_PIDS; i++)
			found |= i < cfg.n_pids && cfg.pids[i] == tgid;
		if (!found)
			return false;
	}
	if (cfg.comm_length) {
		char comm[16];

		bpf_get_current_comm(comm, sizeof comm);
		for (u32 i = 0; i < sizeof comm; i++)
			if (i < cfg.comm_length && comm[i] != cfg.comm[i])
				return false;
	}
	return !cfg.n_cgroups || cgroup_chosen();
}

static __always_inline bool process_chosen(u32 tgid)
{
	if (tgid == own_tgid)
		return false;
	return !(cfg.n_pids || cfg.comm_length || cfg.n_cgroups) || passes_filters(tgid);
}

/*  On what: the file.  */

/* The kernel's own views of itself: linux/magic.h. */
static __always_inline bool is_virtual(u64 magic)
{
	switch (magic) {
	case 0x9fa0:	 /* proc */
	case 0x62656572: /* sysfs */
	case 0x27e0eb:	 /* cgroup */
	case 0x63677270: /* cgroup2 */
	case 0x64626720: /* debugfs */
	case 0x74726163: /* tracefs */
	case 0x73636673: /* securityfs */
	case 0xcafe4a11: /* bpf */
	case 0x1cd1:	 /* devpts */
	case 0x62656570: /* configfs */
	case 0x6165676c: /* pstore */
	case 0xde5e81e4: /* efivarfs */
		return true;
	}
	return false;
}

/* Not static: the verifier then looks at it once and not for each of the subtrees, which took it
 * seconds. Its arguments must be numbers for that. */
__noinline int below(u64 address, u32 dev, u32 i)
{
	const volatile struct vfs_subtree *t = &subtrees[i & (VFS_SUBTREES - 1)];
	struct dentry *dentry = (struct dentry *)address;

	if (dev != t->dev)
		return false;
	for (int depth = 0; depth < VFS_DEPTH_MAX; depth++) {
		struct dentry *parent = BPF_CORE_READ(dentry, d_parent);

		if (BPF_CORE_READ(dentry, d_inode, i_ino) == t->inode) {
			/* The root of a filesystem is named "/" here. */
			if (parent == dentry || !t->name_length)
				return true;
			if (BPF_CORE_READ(dentry, d_name.len) == t->name_length) {
				u64 name[sizeof t->name / 8] = {}, differs = 0;

				/* Both are filled with zeros behind the name. */
				bpf_probe_read_kernel_str(name, sizeof name,
							  BPF_CORE_READ(dentry, d_name.name));
				for (u32 j = 0; j < sizeof t->name / 8; j++)
					differs |= name[j] ^ t->name[j];
				if (!differs)
					return true;
			}
		}
		if (parent == dentry)
			return false;
		dentry = parent;
	}
	return false;
}

static __noinline bool path_chosen(struct dentry *dentry, u32 dev)
{
	for (u32 i = 0; i < VFS_SUBTREES; i++)
		if (i < cfg.n_subtrees && below((u64)dentry, dev, i))
			return true;
	return false;
}

/* Fills in what the key needs; false where the file is of no interest. */
static __always_inline bool look_at(struct op_state *s, struct file *file, bool typed)
{
	struct inode *inode = GET(file, f_inode);
	struct super_block *sb;
	u32 mode;

	if (!inode)
		return false;
	mode = GET(inode, i_mode);
	if (!(cfg.kinds >> (mode >> 12) & 1))
		return false;
	sb = GET(inode, i_sb);
	if (is_virtual(GET(sb, s_magic)))
		return false;
	s->dev = GET(sb, s_dev);
	for (u32 i = 0; i < VFS_SKIP_DEVS; i++) {
		if (i >= cfg.n_skip_devs)
			break;
		if (cfg.skip_devs[i] == s->dev)
			return false;
	}
	s->stacked = GET(sb, s_stack_depth) > 0;
	if (cfg.n_subtrees && !path_chosen(BPF_CORE_READ(file, f_path.dentry), s->dev))
		return false;
	if (mode >> 12 == 6 || mode >> 12 == 2)
		s->dev = GET(inode, i_rdev);
	s->root = s->root_ino = 0;
	if (cfg.key_root) {
		struct vfsmount *mnt = GET(file, f_path.mnt);
		struct dentry *root = GET(mnt, mnt_root);
		struct inode *top = GET(root, d_inode);

		s->root = (u64)root;
		s->root_ino = GET(top, i_ino);
	}
	s->file = (u64)file;
	return true;
}

/*  Names of mounts and cgroups, kept for the user side at first sight.  */

/* -E2BIG: kernel/bpf/hashtab.c alloc_htab_elem(). */
#define NO_ROOM (-7)

#define WALK(to, room, depth_max, node, first, parent_of, name_of)                            \
	({                                                                                    \
		u32 at_ = 0;                                                                  \
		(to)->truncated = 1;                                                          \
		for (int depth_ = 0; depth_ < (depth_max); depth_++) {                        \
			__typeof__(node) up_ = parent_of(node);                               \
			long n_;                                                              \
			if (!up_ || up_ == (node)) {                                          \
				(to)->truncated = 0;                                          \
				break;                                                        \
			}                                                                     \
			if (at_ >= (room))                                                    \
				break;                                                        \
			barrier_var(at_);                                                     \
			n_ = bpf_probe_read_kernel_str((to)->path + (at_ & ((room) - 1)), 256, \
						       name_of(node));                        \
			if (n_ <= 0)                                                          \
				break;                                                        \
			at_ += n_ & 511;                                                      \
			(node) = up_;                                                         \
		}                                                                             \
		(to)->length = at_;                                                           \
	})

#define DENTRY_PARENT(d) BPF_CORE_READ(d, d_parent)
#define DENTRY_NAME(d) BPF_CORE_READ(d, d_name.name)
#define NODE_NAME(k) BPF_CORE_READ(k, name)

static __noinline int remember_root(struct vfs_root_key *key)
{
	struct dentry *root = (struct dentry *)key->root, *node = root;
	u32 zero = 0;
	struct scratch *scratch;

	if (!key->root || bpf_map_lookup_elem(&roots, key))
		return 0;
	scratch = bpf_map_lookup_elem(&scratches, &zero);
	if (!scratch)
		return 0;
	__sync_fetch_and_add(&scratch->busy, 1);
	if (scratch->busy == 1) {
		bpf_probe_read_kernel_str(scratch->root.fstype, sizeof scratch->root.fstype,
					  BPF_CORE_READ(root, d_sb, s_type, name));
		WALK(&scratch->root, VFS_ROOT_PATH, 32, node, root, DENTRY_PARENT, DENTRY_NAME);
		if (scratch->busy == 1) {
			if (bpf_map_update_elem(&roots, key, &scratch->root, BPF_NOEXIST) == NO_ROOM)
				COUNT(full_mounts);
			else
				COUNT(names_kept);
		}
	}
	__sync_fetch_and_add(&scratch->busy, -1);
	return 0;
}

static __noinline int remember_cgroup(u64 id)
{
	struct kernfs_node *node = cgroup_node();
	struct scratch *scratch;
	u32 zero = 0;
	u64 key = id;

	if (bpf_map_lookup_elem(&cgroups, &key))
		return 0;
	scratch = bpf_map_lookup_elem(&scratches, &zero);
	if (!scratch)
		return 0;
	__sync_fetch_and_add(&scratch->busy, 1);
	if (scratch->busy == 1) {
		WALK(&scratch->cgroup, VFS_CGROUP_PATH, 16, node, node, kernfs_parent, NODE_NAME);
		if (scratch->busy == 1) {
			if (bpf_map_update_elem(&cgroups, &key, &scratch->cgroup, BPF_NOEXIST) == NO_ROOM)
				COUNT(full_cgroups);
			else
				COUNT(names_kept);
		}
	}
	__sync_fetch_and_add(&scratch->busy, -1);
	return 0;
}

#include "vfslat_account.bpf.h"
#include "vfslat_layers.bpf.h"
