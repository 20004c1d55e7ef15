/* vfslat in the kernel, the accounting: counting an operation, reporting it, its begin and its end. */
/*  Counting.  */

/* The highest bit of each number below 64. */
static const u8 highest_bit[64] = {
	0, 0, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4,
	5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5,
};

static __always_inline u32 slot_of(u64 latency_ns)
{
	u64 v = latency_ns;
	u32 shift = HIST_FIRST, log;

	if (v < 1ull << HIST_FIRST)
		return 0;
	if (v >> HIST_LAST)
		return HIST_SLOTS - 1;
	/* Six bits at a time; most operations take less than 8 us, the first six. */
	_Static_assert((HIST_LAST - HIST_FIRST) % 6 == 0, "the last step takes all that are left");
#pragma unroll
	for (int i = 0; i < (HIST_LAST - HIST_FIRST) / 6 - 1; i++) {
		if (!(v >> (shift + 6)))
			break;
		shift += 6;
	}
	log = shift + highest_bit[v >> (shift & 63) & 63];
	return 1 + (log - HIST_FIRST) * HIST_SUB +
	       (u32)(v >> ((log - HIST_SUB_BITS) & 63) & (HIST_SUB - 1));
}

struct done {
	struct op_state op;
	u64 latency_ns;
	s64 ret;
	s64 offset;
	u64 cgroup;
	u64 verdict; /* VFS_VERDICT_* or 0 */
	u32 tgid, tid, uid;
	u32 flags;
	char comm[16];
};

/* A key's first operation: its row is made, and the names that belong to it are kept. */
static __noinline u32 *new_row(const struct vfs_key *key, u64 cgroup)
{
	u32 *row, number;

	if (!bpf_map_pop_elem(&unused, &number) &&
	    bpf_map_update_elem(&rows, key, &number, BPF_NOEXIST))
		bpf_map_push_elem(&unused, &number, BPF_ANY); /* another CPU was first */
	row = bpf_map_lookup_elem(&rows, key);
	if (!row) {
		COUNT(full_counts);
		return NULL;
	}
	if (cfg.key_root) {
		struct vfs_root_key root = { .root = key->root, .root_ino = key->root_ino,
					     .dev = key->dev };

		remember_root(&root);
	}
	if (cgroup)
		remember_cgroup(cgroup);
	return row;
}

#ifdef TASK_STORAGE
/* What --by does not ask for need not be looked at. */
static __always_inline bool same_key(const struct vfs_key *a, const struct vfs_key *b)
{
	const u64 *x = (const u64 *)a->comm, *y = (const u64 *)b->comm;

	return a->op == b->op && a->dev == b->dev &&
	       (!cfg.key_root || (a->root == b->root && a->root_ino == b->root_ino)) &&
	       (!cfg.key_cgroup || a->cgroup == b->cgroup) &&
	       (!cfg.key_comm || (x[0] == y[0] && x[1] == y[1]));
}
#endif

/* of_thread: s is a thread's own. */
static __always_inline struct vfs_hist *hist_of(const struct op_state *s, const struct vfs_key *key,
						bool of_thread)
{
	u32 *row;
#ifdef TASK_STORAGE
	struct thread *thread = (struct thread *)s;
	u32 now;

	if (of_thread && thread->generation == generation && same_key(&thread->key, key))
		return bpf_map_lookup_elem(&hists, &thread->row);
	/* Before the look-up: what is found may be given up right after. */
	now = *(volatile u32 *)&generation;
#endif
	row = bpf_map_lookup_elem(&rows, key);
	if (!row)
		row = new_row(key, of_thread ? key->cgroup : 0);
	if (!row)
		return NULL;
#ifdef TASK_STORAGE
	if (of_thread) {
		thread->generation = now;
		thread->key = *key;
		thread->row = *row;
	}
#endif
	return bpf_map_lookup_elem(&hists, row);
}

/* d: what an io_uring request kept; NULL: the current thread's own. */
static __always_inline void account(const struct op_state *s, u64 latency_ns, s64 ret, bool split,
				    const struct done *d)
{
	struct vfs_key key = { .op = s->op };
	struct vfs_hist *h;
	u64 slot = slot_of(latency_ns);

	if (cfg.key_dev)
		key.dev = s->dev;
	if (cfg.key_root) {
		key.root = s->root;
		key.root_ino = s->root_ino;
	}
	if (cfg.key_cgroup)
		key.cgroup = d ? d->cgroup : cgroup_id();
	if (cfg.key_comm) {
		if (d)
			__builtin_memcpy(key.comm, d->comm, sizeof key.comm);
		else
			bpf_get_current_comm(key.comm, sizeof key.comm);
	}
	h = hist_of(s, &key, !d);
	if (!h)
		return;
	ADD(h->count, 1ul);
	ADD(h->total_ns, latency_ns);
	/* A comparison would do, but for the verifier, which forgets it. */
	barrier_var(slot);
	slot &= HIST_ROOM - 1;
	ADD(h->slots[slot], 1u);
	if (ret > 0 && (s->op == VFS_READ || s->op == VFS_WRITE))
		ADD(h->bytes, (u64)ret);
	else if (ret < 0)
		ADD(h->errors, 1ul);
	if (latency_ns > cfg.count_slow_ns)
		ADD(h->slow, 1ul);
	if (split) {
		ADD(h->split_ns, latency_ns);
		if (s->blocked_ns)
			ADD(h->blocked_ns, s->blocked_ns);
		if (s->queued_ns)
			ADD(h->queued_ns, s->queued_ns);
	}
	if (h->max_epoch != epoch) {
		h->max_epoch = epoch;
		h->max_ns = 0;
	}
	if (latency_ns > h->max_ns)
		h->max_ns = latency_ns;
}

/*  Reporting one operation.  */

/*
 * Whether there is room for one more event, in this CPU's share of the time and in the buffer. Asked
 * before anything is gathered for it: in a flood of slow operations most of them end here, and then
 * cost little more than their count.
 */
static __always_inline bool has_room(u64 now)
{
	struct vfs_counters *c = counted();
	u64 window;

	if (!c)
		return false;
	window = now >> 27; /* 134 ms */
	if (c->limit_window != window) {
		c->limit_window = window;
		c->limit_count = 0;
	}
	if (c->limit_count >= cfg.window_limit) {
		ADD(c->lost_limited, 1ul);
		return false;
	}
	if (bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) > cfg.full_at) {
		ADD(c->lost_full, 1ul);
		return false;
	}
	c->limit_count++;
	return true;
}

static __always_inline int fill(struct vfs_event *e, const struct done *d, const u32 room)
{
	struct file *file = (struct file *)d->op.file;
	struct dentry *dentry = NULL, *up;
	char *path = (char *)(e + 1);
	u32 at = 0;

	e->start_ns = d->op.start_ns;
	e->latency_ns = d->latency_ns;
	e->blocked_ns = d->op.blocked_ns;
	e->queued_ns = d->op.queued_ns;
	e->ret = d->ret;
	e->size = d->op.size;
	e->offset = d->offset;
	e->cgroup = d->cgroup;
	e->root = e->root_ino = 0;
	e->dev = d->op.dev;
	e->tgid = d->tgid;
	e->tid = d->tid;
	e->uid = d->uid;
	e->op = d->op.op;
	e->flags = d->flags;
	__builtin_memcpy(e->comm, d->comm, sizeof e->comm);
	e->inode = e->dentry = e->parent = e->name_hash = 0;
	e->mode = 0;
	e->mount_id = 0;
	e->fstype[0] = 0;
	if (file) {
		struct inode *inode = BPF_CORE_READ(file, f_inode);
		struct vfsmount *mnt = BPF_CORE_READ(file, f_path.mnt);
		struct mount *mount;

		mount = (struct mount *)((char *)mnt - bpf_core_field_offset(struct mount, mnt));
		dentry = BPF_CORE_READ(file, f_path.dentry);
		e->inode = BPF_CORE_READ(inode, i_ino);
		e->mode = BPF_CORE_READ(inode, i_mode);
		e->mount_id = BPF_CORE_READ(mount, mnt_id);
		e->root = (u64)BPF_CORE_READ(mnt, mnt_root);
		e->root_ino = BPF_CORE_READ(mnt, mnt_root, d_inode, i_ino);
		bpf_probe_read_kernel_str(e->fstype, sizeof e->fstype,
					  BPF_CORE_READ(inode, i_sb, s_type, name));
		e->dentry = (u64)dentry;
		e->parent = (u64)BPF_CORE_READ(dentry, d_parent);
		e->name_hash = (u64)BPF_CORE_READ(dentry, d_name.hash) << 32 |
			       BPF_CORE_READ(dentry, d_name.len);
	}
	for (int depth = 0; depth < VFS_DEPTH_MAX; depth++) {
		long n;

		up = BPF_CORE_READ(dentry, d_parent);
		if (!up || up == dentry)
			break;
		if (at >= room) {
			e->flags |= VFS_EV_TRUNCATED;
			break;
		}
		/* The verifier believes a mask where it does not follow the comparison. */
		barrier_var(at);
		n = bpf_probe_read_kernel_str(path + (at & (room - 1)), 256,
					      BPF_CORE_READ(dentry, d_name.name));
		if (n <= 0)
			break;
		at += n & 511;
		dentry = up;
		if (depth == VFS_DEPTH_MAX - 1)
			e->flags |= VFS_EV_TRUNCATED;
	}
	e->path_length = at;
	return 0;
}

static __noinline int emit(struct done *d)
{
	struct file *file = (struct file *)d->op.file;
	struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);
	struct vfs_event *e;
	u64 pending, flags = BPF_RB_NO_WAKEUP;
	u32 length = 0;

	/* So that most records need not have room for the longest path. */
	for (int depth = 0; depth < VFS_DEPTH_MAX; depth++) {
		struct dentry *up = BPF_CORE_READ(dentry, d_parent);

		if (!up || up == dentry)
			break;
		length += BPF_CORE_READ(dentry, d_name.len) + 1;
		dentry = up;
	}
	pending = bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA);
	if (length < VFS_PATH_SHORT) {
		e = bpf_ringbuf_reserve(&events, VFS_EVENT_SIZE, 0);
		if (e)
			fill(e, d, VFS_PATH_SHORT);
	} else {
		e = bpf_ringbuf_reserve(&events, sizeof *e + VFS_PATH_LONG + 256, 0);
		if (e)
			fill(e, d, VFS_PATH_LONG);
	}
	if (!e) {
		COUNT(lost_full);
		return 0;
	}
	/* The reader looks by the clock; it is woken only where it might come too late. */
	if (pending < cfg.wake_at && pending + sizeof *e + 512 >= cfg.wake_at)
		flags = BPF_RB_FORCE_WAKEUP;
	bpf_ringbuf_submit(e, flags);
	COUNT(reported);
	return 0;
}

/* Of what is not slow, whether it is to be reported is found out here; of the slow, has_room() was
 * asked before. */
static __noinline int report(struct done *d)
{
	if (!(d->flags & VFS_EV_SLOW)) {
		struct file *file = (struct file *)d->op.file;
		struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);
		struct vfs_verdict_key key = {
			.dentry = (u64)dentry,
			.parent = (u64)BPF_CORE_READ(dentry, d_parent),
			.name_hash = (u64)BPF_CORE_READ(dentry, d_name.hash) << 32 |
				     BPF_CORE_READ(dentry, d_name.len),
		};
		u32 *verdict = bpf_map_lookup_elem(&verdicts, &key);

		if (verdict && *verdict == VFS_VERDICT_OUT)
			return 0;
		if (!verdict)
			d->flags |= VFS_EV_UNDECIDED;
		if (!has_room(d->op.start_ns + d->latency_ns))
			return 0;
	}
	if (d->op.file) {
		struct file *file = (struct file *)d->op.file;
		struct vfsmount *mnt = BPF_CORE_READ(file, f_path.mnt);
		struct vfs_root_key root = {
			.dev = BPF_CORE_READ(mnt, mnt_sb, s_dev),
			.root = (u64)BPF_CORE_READ(mnt, mnt_root),
			.root_ino = BPF_CORE_READ(mnt, mnt_root, d_inode, i_ino),
		};

		remember_root(&root);
	}
	if (!(d->flags & VFS_EV_ASYNC)) {
		d->cgroup = cgroup_id();
		d->uid = (u32)bpf_get_current_uid_gid();
		bpf_get_current_comm(d->comm, sizeof d->comm);
		remember_cgroup(d->cgroup);
	}
	return emit(d);
}

/*  An operation begins and ends.  */

/* How an operation is begun: by a pointer to the file that the verifier knows; blind, where the end
 * will not say which file it is of, so that calls within must be counted; at a system call. */
enum { TYPED = 1, BLIND = 2, AT_CALL = 4 };

/* Whether an operation of this thread that has not ended calls this one. Anything else has ended
 * unseen. */
static __always_inline bool is_part_of(const struct op_state *s, u32 op)
{
	return s->stacked || (op == VFS_FSYNC && (s->op == VFS_WRITE || s->at_call));
}

static __always_inline void begin(struct task_struct *task, struct file *file, u32 op, u64 size,
				  u64 pos, const u32 how)
{
	struct op_state new = {}, *s;

	if (how & BLIND) {
		s = STATE_OF_CURRENT();
		if (s && s->start_ns && is_part_of(s, op) && !(how & AT_CALL)) {
			COUNT(nested);
			if (s->op == op && !s->at_call)
				s->depth++;
			return;
		}
	}
	if (!process_chosen(TASK_IS_TYPED ? task->tgid : bpf_get_current_pid_tgid() >> 32) ||
	    !look_at(&new, file, how & TYPED))
		return;
	s = STATE_NEW(task);
	if (!s) {
		COUNT(full_states);
		return;
	}
	if (s->start_ns) {
		if (is_part_of(s, op) && !(how & (BLIND | AT_CALL))) {
			COUNT(nested);
			return;
		}
		COUNT(unfinished);
	}
	s->file = new.file;
	s->size = size;
	s->pos = pos;
	s->off_ns = s->blocked_ns = s->queued_ns = 0;
	s->root = new.root;
	s->root_ino = new.root_ino;
	s->dev = new.dev;
	s->op = op;
	s->depth = 0;
	s->stacked = new.stacked;
	s->at_call = !!(how & AT_CALL);
	s->start_ns = bpf_ktime_get_ns();
}

/* Where an operation began, from where it ended. */
static __always_inline s64 offset_before(u64 pos, s64 ret)
{
	s64 at = -1;

	/* fentry: where the argument is. */
	if (cfg.shared && pos && bpf_probe_read_kernel(&pos, sizeof pos, (void *)pos))
		return -1;
	if (!pos || bpf_probe_read_kernel(&at, sizeof at, (void *)pos))
		return -1;
	return ret > 0 && at >= ret ? at - ret : at;
}

static __noinline int finish_report(struct op_state *s, u64 now, s64 ret, u64 file, s64 offset)
{
	struct done d;
	u64 id;

	__builtin_memset(&d, 0, sizeof d);
	d.op = *s;
	d.latency_ns = now - d.op.start_ns;
	state_done(s);
	d.ret = ret;
	if (d.latency_ns > cfg.slow_ns)
		d.flags |= VFS_EV_SLOW;
	if (!cfg.split)
		d.flags |= VFS_EV_NO_SPLIT;
	d.op.file = file;
	if (!file)
		d.flags |= VFS_EV_NO_FILE;
	id = bpf_get_current_pid_tgid();
	d.tgid = id >> 32;
	d.tid = (u32)id;
	d.offset = offset < 0 ? offset_before(d.op.pos, ret) : offset;
	return report(&d);
}

/* The operation is over and counted. True: it is also to be reported, by finish_report(). */
static __always_inline bool counts_out(struct op_state *s, u64 now, s64 ret)
{
	u64 latency_ns = now - s->start_ns;

	if (cfg.min_size && (s->op == VFS_READ || s->op == VFS_WRITE) && s->size < cfg.min_size) {
		state_done(s);
		return false;
	}
	account(s, latency_ns, ret, cfg.split, NULL);
	if (latency_ns > cfg.slow_ns ? has_room(now) : cfg.sample)
		return true;
	state_done(s);
	return false;
}

/* file: 0 where it may be there no more. */
static __noinline int finish(struct op_state *s, u64 now, s64 ret, u64 file, s64 offset)
{
	return counts_out(s, now, ret) ? finish_report(s, now, ret, file, offset) : 0;
}
