/* vfslat in the kernel, the layers: what each way to attach knows when an operation begins and ends. */
/*  System calls: their arguments, and the file of a descriptor.  */

#if defined(__TARGET_ARCH_x86)
#define CALL_NR(regs) ((long)(regs)->orig_ax)
#define CALL_PREFIX "__x64_sys_"
#define CALL_ARG1(regs) ((regs)->di)
#define CALL_ARG1_READ(regs) BPF_CORE_READ(regs, di)
#define CALL_ARG3(regs) ((regs)->dx)
#define CALL_ARG4(regs) ((regs)->r10)
/* asm/thread_info.h TS_COMPAT: a 32-bit call, whose numbers are others. */
static __always_inline bool is_compat(struct task_struct *task, bool typed)
{
	return GET(task, thread_info.status) & 2;
}
#else
#define CALL_NR(regs) ((long)(regs)->syscallno)
#define CALL_PREFIX "__arm64_sys_"
#define CALL_ARG1(regs) ((regs)->orig_x0)
#define CALL_ARG1_READ(regs) BPF_CORE_READ(regs, orig_x0)
#define CALL_ARG3(regs) ((regs)->regs[2])
#define CALL_ARG4(regs) ((regs)->regs[3])
static __always_inline bool is_compat(struct task_struct *task, bool typed)
{
	return false;
}
#endif

#ifdef TASK_STORAGE
/* Linux 6.2 and later: makes a pointer one that the verifier knows. */
extern void *bpf_rdonly_cast(const void *pointer, u32 type) __ksym __weak;
#define CAST(p, type) ((type *)bpf_rdonly_cast(p, bpf_core_type_id_kernel(type)))
#endif

static __always_inline struct file *file_of(struct task_struct *task, u32 fd, bool typed)
{
	struct files_struct *files = GET(task, files);
	struct fdtable *fdt = GET(files, fdt);
	struct file *file = NULL;

	if (fd >= GET(fdt, max_fds))
		return NULL;
#ifdef TASK_STORAGE
	/* The table's entry as any struct that begins with a pointer. */
	if (cfg.can_cast)
		return (struct file *)CAST(GET(fdt, fd) + fd, struct list_head)->next;
#endif
	bpf_probe_read_kernel(&file, sizeof file, GET(fdt, fd) + fd);
	return file;
}

static __always_inline void begin_call(struct task_struct *task, u32 op, u32 fd, u64 size)
{
	struct file *file = file_of(task, fd, TASK_IS_TYPED);

	if (!file)
		return;
#ifdef TASK_STORAGE
	if (cfg.can_cast) {
		begin(task, CAST(file, struct file), op, size, 0, TYPED | AT_CALL);
		return;
	}
#endif
	begin(task, file, op, size, 0, AT_CALL);
}

static __always_inline int finish_call(u32 fd, s64 ret, s64 offset)
{
	u64 now = bpf_ktime_get_ns();
	struct op_state *s = STATE_OF_CURRENT();
	struct file *file = NULL;

	if (!s || !s->start_ns || !s->at_call || !counts_out(s, now, ret))
		return 0;
	/* The call's own hold on the file ended with it: look the descriptor up again. */
	file = file_of(CURRENT(), fd, TASK_IS_TYPED);
	if ((u64)file != s->file)
		file = NULL;
	if (file && s->op != VFS_FSYNC && s->op != VFS_READDIR)
		s->pos = (u64)&file->f_pos;
	return finish_report(s, now, ret, (u64)file, offset);
}

/*  Layer: fentry and fexit.  */

/* The fourth argument is the offset's address. Linux 5.10 does not let a program load a pointer to
 * anything but a struct from its context, so the context is read as memory. */
#define POS_ARGUMENT() ((u64)&ctx[3])

#define END_TYPED(op_, file_, ret_, pos_)                                            \
	do {                                                                         \
		u64 now_ = bpf_ktime_get_ns();                                       \
		struct op_state *s_ = STATE_OF_CURRENT();                            \
		if (s_ && s_->start_ns && s_->op == (op_) && !s_->at_call &&         \
		    s_->file == (u64)(file_)) {                                      \
			s_->pos = pos_;                                              \
			finish(s_, now_, ret_, (u64)(file_), -1);                    \
		}                                                                    \
		return 0;                                                            \
	} while (0)

SEC("fentry/vfs_read")
int BPF_PROG(f_read, struct file *file, char *buf, size_t n)
{
	begin(CURRENT(), file, VFS_READ, n, 0, TYPED);
	return 0;
}
SEC("fexit/vfs_read")
int BPF_PROG(x_read, struct file *file, char *buf, size_t n, s64 *at, s64 ret)
{
	END_TYPED(VFS_READ, file, ret, POS_ARGUMENT());
}
SEC("fentry/vfs_write")
int BPF_PROG(f_write, struct file *file, const char *buf, size_t n)
{
	begin(CURRENT(), file, VFS_WRITE, n, 0, TYPED);
	return 0;
}
SEC("fexit/vfs_write")
int BPF_PROG(x_write, struct file *file, const char *buf, size_t n, s64 *at, s64 ret)
{
	END_TYPED(VFS_WRITE, file, ret, POS_ARGUMENT());
}
SEC("fentry/vfs_readv")
int BPF_PROG(f_readv, struct file *file)
{
	begin(CURRENT(), file, VFS_READ, ~0ull, 0, TYPED);
	return 0;
}
SEC("fexit/vfs_readv")
int BPF_PROG(x_readv, struct file *file, void *vec, unsigned long n, s64 *at, int flags, s64 ret)
{
	END_TYPED(VFS_READ, file, ret, POS_ARGUMENT());
}
SEC("fentry/vfs_writev")
int BPF_PROG(f_writev, struct file *file)
{
	begin(CURRENT(), file, VFS_WRITE, ~0ull, 0, TYPED);
	return 0;
}
SEC("fexit/vfs_writev")
int BPF_PROG(x_writev, struct file *file, void *vec, unsigned long n, s64 *at, int flags, s64 ret)
{
	END_TYPED(VFS_WRITE, file, ret, POS_ARGUMENT());
}
SEC("fentry/vfs_fsync_range")
int BPF_PROG(f_fsync, struct file *file, s64 start, s64 end, int datasync)
{
	begin(CURRENT(), file, VFS_FSYNC, ~0ull, 0, TYPED);
	return 0;
}
SEC("fexit/vfs_fsync_range")
int BPF_PROG(x_fsync, struct file *file, s64 start, s64 end, int datasync, int ret)
{
	END_TYPED(VFS_FSYNC, file, ret, 0);
}
SEC("fentry/iterate_dir")
int BPF_PROG(f_readdir, struct file *file, void *dir_context)
{
	begin(CURRENT(), file, VFS_READDIR, ~0ull, 0, TYPED);
	return 0;
}
SEC("fexit/iterate_dir")
int BPF_PROG(x_readdir, struct file *file, void *dir_context, int ret)
{
	END_TYPED(VFS_READDIR, file, ret, 0);
}

/* The descriptor is not at hand here. The file is that of the beginning: should another thread have
 * closed it in the meantime, and its memory be used again, the path would be another's. */
static __always_inline int end_call_blind(s64 ret)
{
	u64 now = bpf_ktime_get_ns();
	struct op_state *s = STATE_OF_CURRENT();

	if (!s || !s->start_ns || !s->at_call)
		return 0;
	return finish(s, now, ret, s->file, -1);
}

/* The compiler may have put vfs_fsync_range() into its callers of the same file, the system calls
 * (Linux 6.1 has it in one of the two, 6.17 in both), so they are watched too. */
#define FSYNC_CALL(name)                                                              \
	SEC("fentry/" CALL_PREFIX #name)                                              \
	int BPF_PROG(f_sys_##name, struct pt_regs *regs)                              \
	{                                                                             \
		begin_call(CURRENT(), VFS_FSYNC, CALL_ARG1(regs), ~0ull);             \
		return 0;                                                             \
	}                                                                             \
	SEC("fexit/" CALL_PREFIX #name)                                               \
	int BPF_PROG(x_sys_##name, struct pt_regs *regs, long ret)                    \
	{                                                                             \
		return finish_call(CALL_ARG1(regs), ret, -1);                         \
	}                                                                             \
	SEC("kprobe/" CALL_PREFIX #name)                                              \
	int k_sys_##name(struct pt_regs *regs)                                        \
	{                                                                             \
		struct pt_regs *call = (struct pt_regs *)PT_REGS_PARM1(regs);         \
		begin_call(CURRENT(), VFS_FSYNC, CALL_ARG1_READ(call), ~0ull);        \
		return 0;                                                             \
	}                                                                             \
	SEC("kretprobe/" CALL_PREFIX #name)                                           \
	int r_sys_##name(struct pt_regs *regs)                                        \
	{                                                                             \
		return end_call_blind((s64)PT_REGS_RC(regs));                         \
	}

FSYNC_CALL(fsync)
FSYNC_CALL(fdatasync)

/*  Layer: kprobe and kretprobe.  */

static __always_inline int end_blind(u32 op, s64 ret)
{
	u64 now = bpf_ktime_get_ns();
	struct op_state *s = STATE_OF_CURRENT();

	if (!s || !s->start_ns || s->op != op || s->at_call)
		return 0;
	if (s->depth) {
		s->depth--;
		return 0;
	}
	return finish(s, now, ret, s->file, -1);
}

#define KPROBE_PAIR(name, function, op, size, pos)                                     \
	SEC("kprobe/" function)                                                        \
	int k_##name(struct pt_regs *regs)                                             \
	{                                                                              \
		begin(CURRENT(), (struct file *)PT_REGS_PARM1(regs), op, size, pos, BLIND);       \
		return 0;                                                              \
	}                                                                              \
	SEC("kretprobe/" function)                                                     \
	int r_##name(struct pt_regs *regs)                                             \
	{                                                                              \
		return end_blind(op, (s64)PT_REGS_RC(regs));                           \
	}

KPROBE_PAIR(read, "vfs_read", VFS_READ, PT_REGS_PARM3(regs), PT_REGS_PARM4(regs))
KPROBE_PAIR(write, "vfs_write", VFS_WRITE, PT_REGS_PARM3(regs), PT_REGS_PARM4(regs))
KPROBE_PAIR(readv, "vfs_readv", VFS_READ, ~0ull, PT_REGS_PARM4(regs))
KPROBE_PAIR(writev, "vfs_writev", VFS_WRITE, ~0ull, PT_REGS_PARM4(regs))

/* These two return int: the upper half of the register is undefined. */
SEC("kprobe/vfs_fsync_range")
int k_fsync(struct pt_regs *regs)
{
	begin(CURRENT(), (struct file *)PT_REGS_PARM1(regs), VFS_FSYNC, ~0ull, 0, BLIND);
	return 0;
}
SEC("kretprobe/vfs_fsync_range")
int r_fsync(struct pt_regs *regs)
{
	return end_blind(VFS_FSYNC, (int)PT_REGS_RC(regs));
}
SEC("kprobe/iterate_dir")
int k_readdir(struct pt_regs *regs)
{
	begin(CURRENT(), (struct file *)PT_REGS_PARM1(regs), VFS_READDIR, ~0ull, 0, BLIND);
	return 0;
}
SEC("kretprobe/iterate_dir")
int r_readdir(struct pt_regs *regs)
{
	return end_blind(VFS_READDIR, (int)PT_REGS_RC(regs));
}

/*  Layer: the system calls.  */

SEC("tp_btf/sys_enter")
int BPF_PROG(s_enter, struct pt_regs *regs, long nr)
{
	struct task_struct *task;
	u32 call;

	if ((unsigned long)nr >= CALLS)
		return 0;
	call = calls[nr];
	if (!call)
		return 0;
	task = CURRENT();
	if (is_compat(task, TASK_IS_TYPED))
		return 0;
	begin_call(task, call & CALL_OP, CALL_ARG1(regs),
		   call & CALL_SIZE ? CALL_ARG3(regs) : ~0ull);
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(s_exit, struct pt_regs *regs, long ret)
{
	unsigned long nr = CALL_NR(regs);
	u32 call;

	if (nr >= CALLS)
		return 0;
	call = calls[nr];
	if (!call)
		return 0;
	return finish_call(CALL_ARG1(regs), ret, call & CALL_OFFSET ? CALL_ARG4(regs) : -1);
}

/*  io_uring, under every layer: a request from its submission to its completion. Linux 6.0 and
 *  later, where the tracepoints give the request.  */

/* include/uapi/linux/io_uring.h: enum io_uring_op. */
static __always_inline u32 op_of_request(u32 opcode)
{
	switch (opcode) {
	case 1: /* READV */
	case 4: /* READ_FIXED */
	case 22: /* READ */
	case 49: /* READ_MULTISHOT */
	case 58: /* READV_FIXED */
		return VFS_READ;
	case 2: /* WRITEV */
	case 5: /* WRITE_FIXED */
	case 23: /* WRITE */
	case 59: /* WRITEV_FIXED */
		return VFS_WRITE;
	case 3: /* FSYNC: vfs_fsync_range() sees it too */
		return cfg.uring_fsync ? VFS_FSYNC : 0;
	}
	return 0;
}

static __noinline int request_begins(struct io_kiocb *req)
{
	u64 id = bpf_get_current_pid_tgid();
	struct request r;
	u32 op = op_of_request(BPF_CORE_READ(req, opcode));
	u64 key = (u64)req;

	if (!op || !(cfg.ops >> op & 1) || !process_chosen(id >> 32))
		return 0;
	__builtin_memset(&r, 0, sizeof r);
	r.op.op = op;
	r.op.size = ~0ull;
	r.tgid = id >> 32;
	r.tid = (u32)id;
	r.uid = (u32)bpf_get_current_uid_gid();
	r.cgroup = cgroup_id();
	bpf_get_current_comm(r.comm, sizeof r.comm);
	remember_cgroup(r.cgroup);
	r.op.start_ns = bpf_ktime_get_ns();
	if (bpf_map_update_elem(&requests, &key, &r, BPF_ANY))
		COUNT(full_requests);
	return 0;
}

SEC("raw_tp/io_uring_submit_sqe") /* up to 6.3 */
int u_submit_sqe(struct bpf_raw_tracepoint_args *args)
{
	return request_begins((struct io_kiocb *)args->args[0]);
}
SEC("raw_tp/io_uring_submit_req")
int u_submit_req(struct bpf_raw_tracepoint_args *args)
{
	return request_begins((struct io_kiocb *)args->args[0]);
}

SEC("raw_tp/io_uring_complete")
int u_complete(struct bpf_raw_tracepoint_args *args)
{
	struct io_kiocb *req = (struct io_kiocb *)args->args[1];
	u64 key = (u64)req, now = bpf_ktime_get_ns();
	struct request *r = bpf_map_lookup_elem(&requests, &key);
	struct file *file;
	struct done d;

	if (!r)
		return 0;
	file = BPF_CORE_READ(req, file);
	__builtin_memset(&d, 0, sizeof d);
	d.op = r->op;
	d.tgid = r->tgid;
	d.tid = r->tid;
	d.uid = r->uid;
	d.cgroup = r->cgroup;
	__builtin_memcpy(d.comm, r->comm, sizeof d.comm);
	bpf_map_delete_elem(&requests, &key);
	if (!file || !look_at(&d.op, file, false))
		return 0;
	d.ret = BPF_CORE_READ(req, cqe.res);
	if (cfg.min_size && d.op.op != VFS_FSYNC && (u64)d.ret < cfg.min_size)
		return 0;
	d.latency_ns = now - d.op.start_ns;
	d.offset = -1;
	d.flags = VFS_EV_ASYNC | VFS_EV_NO_SPLIT;
	if (d.latency_ns > cfg.slow_ns)
		d.flags |= VFS_EV_SLOW;
	account(&d.op, d.latency_ns, d.ret, false, &d);
	if (d.flags & VFS_EV_SLOW ? has_room(now) : cfg.sample)
		report(&d);
	return 0;
}

/* Run once by the user side: its own process as the kernel numbers it, also from inside a PID
 * namespace. */
SEC("raw_tp")
int who_am_i(void *unused)
{
	own_tgid = bpf_get_current_pid_tgid() >> 32;
	return 0;
}
