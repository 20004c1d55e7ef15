/* vfslat's BPF programs: loaded, attached by the best backend that works, read. Wraps libbpf. */
#include "lib/os/bpf_trace.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/perf_event.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum layer { LAYER_FENTRY, LAYER_KPROBE, LAYER_SYSCALLS };

static const struct {
	const char *name, *measures, *unseen;
} layers[] = {
	[LAYER_FENTRY] = { "fentry", "the VFS function",
			   "AIO, splice, sendfile, copy_file_range, mmap" },
	[LAYER_KPROBE] = { "kprobe", "the VFS function",
			   "AIO, splice, sendfile, copy_file_range, mmap" },
	[LAYER_SYSCALLS] = { "syscalls", "the system call",
			     "AIO, splice, sendfile, copy_file_range, mmap, msync, io_uring before "
			     "Linux 6.0, 32-bit programs, the kernel's own threads" },
};

static const char *const states[] = { "task storage", "hash map" };

#if defined(__aarch64__)
#define CALL_PREFIX "__arm64_sys_"
#else
#define CALL_PREFIX "__x64_sys_"
#endif

/* In this order; what an operation cannot do without is required. Prefixes: f_/x_, k_/r_. */
static const struct {
	const char *name, *function;
	enum vfs_op op;
	bool required;
} functions[] = {
	{ "read", "vfs_read", VFS_READ, true },
	{ "write", "vfs_write", VFS_WRITE, true },
	{ "readv", "vfs_readv", VFS_READ, false },
	{ "writev", "vfs_writev", VFS_WRITE, false },
	{ "fsync", "vfs_fsync_range", VFS_FSYNC, true },
	{ "readdir", "iterate_dir", VFS_READDIR, true },
	{ "sys_fsync", CALL_PREFIX "fsync", VFS_FSYNC, false },
	{ "sys_fdatasync", CALL_PREFIX "fdatasync", VFS_FSYNC, false },
};

static const struct {
	long nr;
	uint8_t call; /* the operation; 16: third argument is a size, 32: fourth is an offset */
} calls[] = {
	{ SYS_read, VFS_READ | 16 },
	{ SYS_pread64, VFS_READ | 16 | 32 },
	{ SYS_readv, VFS_READ },
	{ SYS_preadv, VFS_READ | 32 },
	{ SYS_preadv2, VFS_READ | 32 },
	{ SYS_write, VFS_WRITE | 16 },
	{ SYS_pwrite64, VFS_WRITE | 16 | 32 },
	{ SYS_writev, VFS_WRITE },
	{ SYS_pwritev, VFS_WRITE | 32 },
	{ SYS_pwritev2, VFS_WRITE | 32 },
	{ SYS_fsync, VFS_FSYNC },
	{ SYS_fdatasync, VFS_FSYNC },
	{ SYS_getdents64, VFS_READDIR },
#ifdef SYS_getdents
	{ SYS_getdents, VFS_READDIR },
#endif
};

#define ALIGN_8(n) (((uint64_t)(n) + 7) & ~(uint64_t)7)
enum { LOG_SIZE = 16 << 20 /* touched only where loading fails */ };

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level;
	(void)format;
	(void)args;
	return 0;
}

/* Where a global variable is in its section. */
static int offset_of(const struct bpf_object *o, const char *section, const char *name, size_t *ret)
{
	const struct btf *btf = bpf_object__btf(o);
	int id = btf__find_by_name_kind(btf, section, BTF_KIND_DATASEC);
	const struct btf_type *t;
	const struct btf_var_secinfo *v;

	if (id < 0)
		return id;
	t = btf__type_by_id(btf, (uint32_t)id);
	v = btf_var_secinfos(t);
	for (int i = 0; i < btf_vlen(t); i++, v++)
		if (streq(btf__name_by_offset(btf, btf__type_by_id(btf, v->type)->name_off), name)) {
			*ret = v->offset;
			return 0;
		}
	return -ENOENT;
}

static struct bpf_map *section_map(const struct bpf_object *o, const char *ending)
{
	struct bpf_map *m;

	bpf_object__for_each_map(m, o)
		if (ends_with(bpf_map__name(m), ending))
			return m;
	return NULL;
}

static int set_constant(const struct bpf_object *o, const char *name, const void *value, size_t size)
{
	struct bpf_map *m = section_map(o, ".rodata");
	size_t offset, total;
	/* const for those who only read; skeletons write there too. */
	char *data = m ? (char *)(uintptr_t)bpf_map__initial_value(m, &total) : NULL;

	if (!data || offset_of(o, ".rodata", name, &offset) || offset + size > total)
		return -EINVAL;
	memcpy(data + offset, value, size);
	return 0;
}

static bool kernel_has_function(const struct btf *btf, const char *name)
{
	return btf && btf__find_by_name_kind(btf, name, BTF_KIND_FUNC) > 0;
}

/* The tracepoint of this name has a struct io_kiocb as its first argument: Linux 6.0 and later. */
static bool tracepoint_gives_request(const struct btf *btf, const char *name)
{
	const struct btf_type *t;
	char typedef_name[64];
	int id;

	snprintf(typedef_name, sizeof typedef_name, "btf_trace_%s", name);
	id = btf ? btf__find_by_name_kind(btf, typedef_name, BTF_KIND_TYPEDEF) : -1;
	if (id < 0)
		return false;
	t = btf__type_by_id(btf, btf__type_by_id(btf, (uint32_t)id)->type); /* pointer */
	t = btf__type_by_id(btf, t->type);
	if (!btf_is_func_proto(t) || btf_vlen(t) < 2)
		return false;
	t = btf__type_by_id(btf, btf_params(t)[1].type);
	if (!btf_is_ptr(t))
		return false;
	t = btf__type_by_id(btf, t->type);
	return streq(btf__name_by_offset(btf, t->name_off), "io_kiocb");
}

static bool is_wanted(const struct vfs_config *c, enum vfs_op op)
{
	return c->ops >> op & 1;
}

static void want(struct bpf_object *o, const char *prefix, const char *name)
{
	char full[32];
	struct bpf_program *p;

	snprintf(full, sizeof full, "%s%s", prefix, name);
	p = bpf_object__find_program_by_name(o, full);
	if (p)
		bpf_program__set_autoload(p, true);
}

/* The key is as long as what is asked for. */
static size_t key_size(const struct vfs_config *c)
{
	if (c->key_comm)
		return sizeof(struct vfs_key);
	if (c->key_cgroup)
		return offsetof(struct vfs_key, comm);
	if (c->key_root)
		return offsetof(struct vfs_key, cgroup);
	return offsetof(struct vfs_key, root);
}

static int configure(struct bpf_object *o, enum layer layer, const struct vfs_trace_options *opt,
		     const struct btf *btf)
{
	struct vfs_config c = opt->config;
	uint8_t table[512] = { 0 };
	struct bpf_program *p;
	int r;

	c.shared = layer == LAYER_FENTRY;
	c.can_cast = kernel_has_function(btf, "bpf_rdonly_cast");
	c.uring_fsync = layer == LAYER_SYSCALLS;
	c.wake_at = opt->buffer_bytes / 2;
	/* kernel/bpf/ringbuf.c __bpf_ringbuf_reserve(): a header of 8 bytes, and one byte stays free. */
	c.full_at = opt->buffer_bytes - 1 - ALIGN_8(VFS_EVENT_SIZE + 8);
	for (size_t i = 0; i < COUNT(calls); i++)
		if (calls[i].nr < (long)sizeof table &&
		    is_wanted(&c, (enum vfs_op)(calls[i].call & 15)))
			table[calls[i].nr] = calls[i].call;
	if ((r = set_constant(o, "cfg", &c, sizeof c)) ||
	    (r = set_constant(o, "subtrees", opt->subtrees, sizeof opt->subtrees)) ||
	    (r = set_constant(o, "calls", table, sizeof table)))
		return r;
	bpf_object__for_each_program(p, o)
		bpf_program__set_autoload(p, false);
	want(o, "", "who_am_i");
	if (c.split) {
		want(o, "", "on_switch");
		want(o, "", "on_wakeup");
	}
	for (size_t i = 0; i < COUNT(functions) && layer != LAYER_SYSCALLS; i++) {
		if (!is_wanted(&c, functions[i].op))
			continue;
		if (!functions[i].required && !kernel_has_function(btf, functions[i].function))
			continue;
		want(o, layer == LAYER_FENTRY ? "f_" : "k_", functions[i].name);
		want(o, layer == LAYER_FENTRY ? "x_" : "r_", functions[i].name);
	}
	if (layer == LAYER_SYSCALLS) {
		want(o, "s_", "enter");
		want(o, "s_", "exit");
	}
	if (tracepoint_gives_request(btf, "io_uring_submit_req")) {
		want(o, "u_", "submit_req");
		want(o, "u_", "complete");
	} else if (tracepoint_gives_request(btf, "io_uring_submit_sqe")) {
		want(o, "u_", "submit_sqe");
		want(o, "u_", "complete");
	}
	if ((r = bpf_map__set_max_entries(section_map(o, "rows"), opt->keys_max)) ||
	    (r = bpf_map__set_key_size(section_map(o, "rows"), (uint32_t)key_size(&c))) ||
	    (r = bpf_map__set_max_entries(section_map(o, "hists"), opt->keys_max)) ||
	    (r = bpf_map__set_max_entries(section_map(o, "unused"), opt->keys_max)) ||
	    (r = bpf_map__set_max_entries(section_map(o, "roots"), opt->names_max)) ||
	    (r = bpf_map__set_max_entries(section_map(o, "cgroups"), opt->names_max)) ||
	    (r = bpf_map__set_max_entries(section_map(o, "events"), (uint32_t)opt->buffer_bytes)))
		return r;
	/* Only --all reads them. */
	if (!c.sample)
		bpf_map__set_max_entries(section_map(o, "verdicts"), 1);
	return 0;
}

/*  kretprobes. Linux has a fixed number of returns it can wait for at a time (twice the CPUs), and
 *  threads that sit in read() on a socket use them up. Only tracefs lets one ask for more
 *  (Documentation/trace/kprobetrace.rst: at most 4096).  */

static int write_tracefs(const struct vfs_trace *t, const char *text)
{
	char path[96];
	int fd auto_close = -1;

	snprintf(path, sizeof path, "%s/kprobe_events", t->tracefs);
	fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static void find_tracefs(struct vfs_trace *t)
{
	static const char *const places[] = { "/sys/kernel/tracing", "/sys/kernel/debug/tracing" };
	char path[96];

	for (size_t i = 0; i < COUNT(places); i++) {
		snprintf(path, sizeof path, "%s/kprobe_events", places[i]);
		if (!access(path, W_OK)) {
			snprintf(t->tracefs, sizeof t->tracefs, "%s", places[i]);
			return;
		}
	}
}

static struct bpf_link *attach_return_in_tracefs(struct vfs_trace *t, struct bpf_program *p,
						 size_t function)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_TRACEPOINT, .size = sizeof attr,
					.sample_period = 1, .wakeup_events = 1 };
	char text[160], number[24] = "";
	struct bpf_link *link;
	int fd auto_close = -1, event;

	if (!t->tracefs[0])
		return NULL;
	snprintf(text, sizeof text, "r4096:vfslat_%d/%s %s\n", getpid(), functions[function].name,
		 functions[function].function);
	if (write_tracefs(t, text))
		return NULL;
	t->return_probes |= 1u << function;
	snprintf(text, sizeof text, "%s/events/vfslat_%d/%s/id", t->tracefs, getpid(),
		 functions[function].name);
	fd = open(text, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, number, sizeof number - 1) <= 0)
		return NULL;
	attr.config = strtoull(number, NULL, 10);
	event = (int)syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	if (event < 0)
		return NULL;
	link = bpf_program__attach_perf_event(p, event);
	if (!link)
		close(event);
	return link;
}

static void remove_return_probes(struct vfs_trace *t)
{
	char text[96];

	for (size_t i = 0; i < COUNT(functions); i++)
		if (t->return_probes >> i & 1) {
			snprintf(text, sizeof text, "-:vfslat_%d/%s\n", getpid(), functions[i].name);
			write_tracefs(t, text);
		}
	t->return_probes = 0;
}

uint64_t vfs_trace_missed_returns(const struct vfs_trace *t)
{
	char path[96], line[256], group[32];
	FILE *f auto_fclose = NULL;
	uint64_t hits, missed, sum = 0;

	if (!t->return_probes)
		return 0;
	/* Lines of name, hits, missed; the name is without its group. */
	snprintf(path, sizeof path, "%s/kprobe_profile", t->tracefs);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "%31s %" SCNu64 " %" SCNu64, group, &hits, &missed) == 3)
			for (size_t i = 0; i < COUNT(functions); i++)
				if (t->return_probes >> i & 1 && streq(group, functions[i].name))
					sum += missed;
	return sum;
}

/*  Attaching.  */

static int keep(struct vfs_trace *t, struct bpf_link *link, const struct bpf_program *p)
{
	if (!link)
		return -errno;
	if (t->n_links == LINKS_MAX) {
		bpf_link__destroy(link);
		return -E2BIG;
	}
	t->programs[t->n_links] = bpf_program__fd(p);
	t->links[t->n_links++] = link;
	return 0;
}

static int attach_one(struct vfs_trace *t, enum layer layer, const char *prefix, size_t function)
{
	char name[32];
	struct bpf_program *p;
	struct bpf_link *link = NULL;

	snprintf(name, sizeof name, "%s%s", prefix, functions[function].name);
	p = bpf_object__find_program_by_name(t->object, name);
	if (!p || bpf_program__fd(p) < 0)
		return -ENOENT;
	if (layer == LAYER_KPROBE && prefix[0] == 'r')
		link = attach_return_in_tracefs(t, p, function);
	if (!link)
		link = layer == LAYER_KPROBE
			       ? bpf_program__attach_kprobe(p, prefix[0] == 'r',
							    functions[function].function)
			       : bpf_program__attach(p);
	return keep(t, link, p);
}

static int attach_named(struct vfs_trace *t, const char *name)
{
	struct bpf_program *p = bpf_object__find_program_by_name(t->object, name);

	if (!p || bpf_program__fd(p) < 0)
		return -ENOENT;
	return keep(t, bpf_program__attach(p), p);
}

static int attach(struct vfs_trace *t, enum layer layer, const struct vfs_config *c, struct arena *a,
		  const char **what)
{
	const char *first = layer == LAYER_FENTRY ? "x_" : "r_";
	const char *second = layer == LAYER_FENTRY ? "f_" : "k_";
	int r;

	if (c->split) {
		*what = "sched_switch";
		if ((r = attach_named(t, "on_wakeup")) || (r = attach_named(t, "on_switch")))
			return r;
	}
	/* The ends before the beginnings: an operation that is counted in is counted out. */
	for (size_t i = 0; i < COUNT(functions) && layer != LAYER_SYSCALLS; i++) {
		unsigned before = t->n_links;

		if (!is_wanted(c, functions[i].op))
			continue;
		*what = functions[i].function;
		r = attach_one(t, layer, first, i);
		if (!r)
			r = attach_one(t, layer, second, i);
		if (!r) {
			strlist_add(a, &t->backend.functions, functions[i].function);
		} else if (functions[i].required) {
			return r;
		} else {
			while (t->n_links > before)
				bpf_link__destroy(t->links[--t->n_links]);
		}
	}
	if (layer == LAYER_SYSCALLS) {
		*what = "sys_enter";
		if ((r = attach_named(t, "s_exit")) || (r = attach_named(t, "s_enter")))
			return r;
		strlist_add(a, &t->backend.functions, "sys_enter");
		strlist_add(a, &t->backend.functions, "sys_exit");
	}
	if (!attach_named(t, "u_complete") &&
	    (!attach_named(t, "u_submit_req") || !attach_named(t, "u_submit_sqe")))
		strlist_add(a, &t->backend.functions, "io_uring");
	return 0;
}

/* Has the programs know this process by the number that the kernel gave it, also where it runs in
 * a PID namespace. Raw tracepoint programs can be run at will from Linux 5.10 on. */
static void know_oneself(struct vfs_trace *t, const struct bpf_object *o)
{
	struct bpf_program *p = bpf_object__find_program_by_name(o, "who_am_i");
	LIBBPF_OPTS(bpf_test_run_opts, run);
	size_t offset;

	if (bpf_prog_test_run_opts(bpf_program__fd(p), &run) &&
	    !offset_of(o, ".bss", "own_tgid", &offset))
		*(uint32_t *)((char *)t->bss + offset) = (uint32_t)getpid();
}

static int on_event(void *arg, void *data, size_t size)
{
	struct vfs_trace *t = arg;
	const struct vfs_event *e = data;

	if (size >= sizeof *e && t->fn)
		t->fn(t->fn_arg, e, (const char *)(e + 1));
	return 0;
}

static int map_fd(const struct bpf_object *o, const char *name)
{
	return bpf_map__fd(bpf_object__find_map_by_name(o, name));
}

/* The last line of the verifier's log that is not about its effort. */
static const char *log_reason(char *log, struct arena *a)
{
	char *end = log + strlen(log), *line;

	while (end > log) {
		while (end > log && end[-1] == '\n')
			*--end = '\0';
		line = strrchr(log, '\n');
		line = line ? line + 1 : log;
		if (*line && !starts_with(line, "processed ") && !starts_with(line, "verification time") &&
		    !starts_with(line, "stack depth"))
			return arena_str(a, line);
		end = line;
		*end = '\0';
	}
	return NULL;
}

static int open_one(const struct vfs_trace_options *opt, enum layer layer, unsigned form,
		    const struct btf *btf, struct arena *a, struct vfs_backend *backend,
		    struct vfs_trace **ret, bool *ret_loaded)
{
	char *log auto_free = xcalloc(1, LOG_SIZE);
	LIBBPF_OPTS(bpf_object_open_opts, how, .object_name = "vfslat", .kernel_log_buf = log,
		    .kernel_log_size = LOG_SIZE);
	struct vfs_trace *t auto_vfs_trace = xcalloc(1, sizeof *t);
	const char *what = "load", *line;
	struct bpf_map *bss;
	int r;

	t->stats = -1;
	t->bss = MAP_FAILED;
	t->backend = *backend;
	t->object = bpf_object__open_mem(opt->programs.elf[form], opt->programs.size[form], &how);
	r = t->object ? configure(t->object, layer, opt, btf) : -errno;
	t->key_size = key_size(&opt->config);
	t->key_root = opt->config.key_root;
	t->key_cgroup = opt->config.key_cgroup;
	t->keys_max = opt->keys_max;
	t->names_max = opt->names_max;
	if (!r)
		r = bpf_object__load(t->object);
	*ret_loaded = !r;
	if (r) {
		line = log_reason(log, a);
		if (!line && form == 0 && r == -EINVAL)
			line = "no task storage for it before Linux 5.13";
		backend->reason = arena_printf(a, "load: %s%s%s", strerror(-r), line ? ": " : "",
					       line ? line : "");
		return r;
	}
	bss = section_map(t->object, ".bss");
	t->bss_size = bpf_map__value_size(bss);
	t->bss = mmap(NULL, t->bss_size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(bss), 0);
	if (t->bss == MAP_FAILED || offset_of(t->object, ".bss", "epoch", &t->bss_epoch) ||
	    offset_of(t->object, ".bss", "generation", &t->bss_generation)) {
		backend->reason = "map the programs' variables";
		return -EINVAL;
	}
	know_oneself(t, t->object);
	t->rows = map_fd(t->object, "rows");
	t->hists = map_fd(t->object, "hists");
	t->unused = map_fd(t->object, "unused");
	t->roots = map_fd(t->object, "roots");
	t->cgroups = map_fd(t->object, "cgroups");
	t->verdicts = map_fd(t->object, "verdicts");
	t->counters = map_fd(t->object, "counters");
	t->cpus = libbpf_num_possible_cpus();
	t->per_cpu = xcalloc((size_t)t->cpus, sizeof *t->per_cpu);
	for (uint32_t row = opt->keys_max; row--;)
		bpf_map_update_elem(t->unused, NULL, &row, BPF_ANY);
	t->ring = ring_buffer__new(map_fd(t->object, "events"), on_event, t, NULL);
	if (!t->ring) {
		r = -errno;
		backend->reason = arena_printf(a, "ring buffer: %s", strerror(-r));
		return r;
	}
	find_tracefs(t);
	r = attach(t, layer, &opt->config, a, &what);
	if (r) {
		backend->reason = arena_printf(a, "attach to %s: %s", what, strerror(-r));
		return r;
	}
	if (opt->run_time)
		t->stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
	backend->works = t->backend.works = true;
	backend->functions = t->backend.functions;
	if (ret)
		*ret = take(t);
	return 0;
}

int vfs_trace_open(const struct vfs_trace_options *o, bool all, struct vfs_backend *list,
		   struct arena *a, struct vfs_trace **ret, struct err *e)
{
	bool any = !o->backend || streq(o->backend, "auto"), works = false;
	const char *reasons = NULL;
	bool loaded = false;
	struct btf *btf;
	int r = -ENOENT;

	libbpf_set_print(quiet);
	btf = btf__load_vmlinux_btf();
	for (unsigned i = 0; i < VFS_BACKENDS; i++) {
		enum layer layer = (enum layer)(i / 2);
		struct vfs_backend *b = &list[i];

		*b = (struct vfs_backend){ .name = layers[layer].name, .state = states[i % 2],
					   .measures = layers[layer].measures,
					   .unseen = layers[layer].unseen };
		if (!any && !streq(o->backend, b->name))
			continue;
		if (works && !all)
			continue;
		/* What was refused, or loaded and could not be attached, fares no better with the
		 * other map; trying costs the verifier half a second. */
		if (i % 2 && !all && list[i - 1].tried && (r == -EPERM || loaded))
			continue;
		b->tried = true;
		if (!btf) {
			b->reason = "the kernel has no BTF (CONFIG_DEBUG_INFO_BTF)";
			continue;
		}
		r = open_one(o, layer, i % 2, btf, a, b, all ? NULL : ret, &loaded);
		works |= !r;
	}
	btf__free(btf);
	if (works || all)
		return 0;
	for (unsigned i = 0; i < VFS_BACKENDS; i++)
		if (list[i].tried)
			reasons = arena_printf(a, "%s%s%s with %s: %s", reasons ? reasons : "",
					       reasons ? "; " : "", list[i].name, list[i].state,
					       list[i].reason);
	if (reasons)
		return err_make(e, ERR_UNSUPPORTED, r ? r : -ENOTSUP, NULL,
				geteuid() ? "run it as root" : NULL,
				"no way to trace works here: %s", reasons);
	return err_usage(e, "--backend", "'%s' is none of auto, fentry, kprobe, syscalls, list",
			 o->backend);
}

void vfs_trace_close(struct vfs_trace **p)
{
	struct vfs_trace *t = *p;

	if (!t)
		return;
	while (t->n_links)
		bpf_link__destroy(t->links[--t->n_links]);
	remove_return_probes(t);
	ring_buffer__free(t->ring);
	if (t->bss != MAP_FAILED)
		munmap(t->bss, t->bss_size);
	bpf_object__close(t->object);
	if (t->stats >= 0)
		close(t->stats);
	free(t->per_cpu);
	free(t);
	*p = NULL;
}

const struct vfs_backend *vfs_trace_backend(const struct vfs_trace *t)
{
	return &t->backend;
}

int vfs_trace_fd(const struct vfs_trace *t)
{
	return ring_buffer__epoll_fd(t->ring);
}

int vfs_trace_poll(struct vfs_trace *t, vfs_event_fn *fn, void *arg)
{
	t->fn = fn;
	t->fn_arg = arg;
	return ring_buffer__consume(t->ring);
}
