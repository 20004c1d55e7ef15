/* A trace that runs: from a command line to the kernel's filters, and from its events to rows. */
#include "applets/vfslat/vfslat.h"

#include "lib/core/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

enum { DRAIN_MS = 100, WARN_S = 2 };

const char *const vfslat_op_names[VFS_OPS + 1] = { "none", "read", "write", "fsync", "readdir", NULL };

enum latency_class { LATENCY_FAST, LATENCY_NORMAL, LATENCY_SLOW, LATENCY_CRITICAL };
static const char *const latency_names[] = { "fast", "normal", "slow", "critical", NULL };
enum size_class { SIZE_SMALL, SIZE_MEDIUM, SIZE_LARGE, SIZE_HUGE };
static const char *const size_names[] = { "small", "medium", "large", "huge", NULL };
enum severity { SEVERITY_NONE, SEVERITY_WARNING, SEVERITY_ERROR, SEVERITY_CRITICAL };
static const char *const severity_names[] = { "none", "warning", "error", "critical", NULL };

struct slow_row {
	double start_time;
	const char *operation;
	uint64_t latency_ns, cpu_ns, queued_ns, blocked_ns;
	uint64_t size_bytes;
	int64_t offset;
	int64_t result;
	const char *error;
	uint32_t latency_class, size_class, severity;
	uint32_t pid, tid;
	const char *command;
	uint32_t uid;
	const char *device;
	uint64_t inode;
	const char *fstype, *mount, *path;
	const char *cgroup, *container_id, *pod_uid, *namespace, *pod, *container;
	const char *volume_type, *volume, *plugin;
	bool async;
};

static const struct field slow_fields[] = {
	FIELD(struct slow_row, start_time, 0, "when it began"),
	FIELD(struct slow_row, operation, 0, "read, write, fsync or readdir"),
	FIELD(struct slow_row, latency_ns, 0, "from beginning to end"),
	FIELD(struct slow_row, cpu_ns, 0, "of it: on a CPU, interrupts included"),
	FIELD(struct slow_row, queued_ns, 0, "of it: ready to run, waiting for a CPU"),
	FIELD(struct slow_row, blocked_ns, 0, "of it: waiting for a device, a lock or another event"),
	FIELD(struct slow_row, size_bytes, 0, "asked for"),
	FIELD(struct slow_row, offset, WIDE, "where in the file"),
	FIELD(struct slow_row, result, WIDE, "what the call returned"),
	FIELD(struct slow_row, error, 0, "errno's name where it failed"),
	FIELD(struct slow_row, latency_class, WIDE, "fast, normal, slow or critical",
	      .names = latency_names),
	FIELD(struct slow_row, size_class, WIDE, "small, medium, large or huge", .names = size_names),
	FIELD(struct slow_row, severity, 0, "warning, error or critical: by the threshold's multiple",
	      .names = severity_names),
	FIELD(struct slow_row, pid, 0, "process"),
	FIELD(struct slow_row, tid, WIDE, "thread"),
	FIELD(struct slow_row, command, 0, "the thread's name"),
	FIELD(struct slow_row, uid, WIDE, "user"),
	FIELD(struct slow_row, device, 0, "the filesystem's device"),
	FIELD(struct slow_row, inode, WIDE, "the file's number"),
	FIELD(struct slow_row, fstype, WIDE, "filesystem type"),
	FIELD(struct slow_row, mount, WIDE, "where the host has it mounted"),
	FIELD(struct slow_row, path, 0, "of the host; the filesystem's own where the host does not see it"),
	FIELD(struct slow_row, cgroup, WIDE, "the process's cgroup"),
	FIELD(struct slow_row, container_id, WIDE, "the container's id"),
	FIELD(struct slow_row, pod_uid, WIDE, "the pod's UID"),
	FIELD(struct slow_row, namespace, WIDE, "the pod's namespace"),
	FIELD(struct slow_row, pod, 0, "the pod's name"),
	FIELD(struct slow_row, container, WIDE, "the container's name"),
	FIELD(struct slow_row, volume_type, WIDE, "what Kubernetes has there"),
	FIELD(struct slow_row, volume, 0, "the volume's name"),
	FIELD(struct slow_row, plugin, WIDE, "the volume's plugin or CSI driver"),
	FIELD(struct slow_row, async, WIDE, "by io_uring: from submission to completion"),
	FIELD_END,
};

static enum style slow_style(const struct field *f, const void *row)
{
	const struct slow_row *s = row;

	if (!streq(f->name, "latency_ns") && !streq(f->name, "severity"))
		return STYLE_PLAIN;
	return s->severity == SEVERITY_CRITICAL ? STYLE_RED
	       : s->severity == SEVERITY_ERROR	? STYLE_YELLOW
						: STYLE_PLAIN;
}

const struct table slow_table = TABLE(struct slow_row, "operations", "slow operations", slow_fields,
				      .style = slow_style, .goes_on = true);

/*  A narrow terminal.  */

unsigned session_width(const struct world *w)
{
	struct winsize size;

	return w->human && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) ? size.ws_col : 0;
}

void session_fit(struct sink *out, const struct table *t, unsigned width, unsigned need,
		 const struct droppable *drops)
{
	for (; width && need > width && drops->column; drops++) {
		sink_show(out, t, drops->column, false);
		need -= drops->characters;
	}
}

static void fit_slow(struct session *s)
{
	static const struct droppable drops[] = { { "severity", 10 }, { "device", 8 },
						  { "start_time", 21 }, { "error", 7 },
						  { "size_bytes", 7 }, { "pid", 8 }, { NULL, 0 } };
	unsigned width = session_width(s->w), need = 148;

	if (names_node(s->names)->pods.n)
		need += 30;
	else if (width && width < need + 30)
		sink_show(s->out, &slow_table, "pod,volume", false);
	session_fit(s->out, &slow_table, width, need, drops);
}

/*  The command line's filters, as the kernel's programs take them.  */

/* Items of a list option, each of which may be several with commas between. */
static const char **split(const char *const *list, struct arena *a)
{
	const char **items = NULL;

	for (; list && *list; list++)
		for (const char *s = *list; *s;) {
			size_t n = strcspn(s, ",");

			if (n)
				strlist_add(a, &items, arena_strn(a, s, n));
			s += n + (s[n] == ',');
		}
	return items;
}

/* Bits by the place of each word in names. */
static int parse_set(const char *option, const char *const *list, const char *const *names,
		     unsigned *ret, struct arena *a, struct err *e)
{
	const char **items = split(list, a);

	*ret = 0;
	for (; items && *items; items++) {
		unsigned i = 0;

		while (names[i] && !streq(names[i], *items))
			i++;
		if (!names[i] || !i)
			return err_usage(e, option, "'%s' is none of those that --help lists", *items);
		*ret |= 1u << i;
	}
	return 0;
}

static int parse_kinds(const char *const *list, uint32_t *ret, struct arena *a, struct err *e)
{
	static const struct {
		const char *name;
		mode_t mode;
	} kinds[] = { { "file", S_IFREG }, { "dir", S_IFDIR },	 { "block", S_IFBLK },
		      { "char", S_IFCHR }, { "pipe", S_IFIFO }, { "socket", S_IFSOCK } };
	const char **items = split(list, a);

	*ret = items ? 0 : 1u << (S_IFREG >> 12) | 1u << (S_IFDIR >> 12);
	for (; items && *items; items++) {
		size_t i = 0;

		while (i < COUNT(kinds) && !streq(kinds[i].name, *items))
			i++;
		if (i == COUNT(kinds))
			return err_usage(e, "--kind",
					 "'%s' is none of file, dir, block, char, pipe, socket",
					 *items);
		*ret |= 1u << (kinds[i].mode >> 12);
	}
	return 0;
}

/* The mount that a path is on: the last one whose target is a beginning of it. */
static const struct mount_info *mount_of(const struct names *n, const char *path)
{
	const struct mount_info *m, *best = NULL;
	size_t count, best_length = 0;

	m = names_mounts(n, &count);
	for (size_t i = 0; i < count; i++) {
		size_t length = streq(m[i].target, "/") ? 0 : strlen(m[i].target);

		if (strncmp(path, m[i].target, length) || (path[length] && path[length] != '/'))
			continue;
		if (length >= best_length) {
			best = &m[i];
			best_length = length;
		}
	}
	return best;
}

/* Everything below a directory (--path), or of a mount (--mount): by the directory's inode. */
static int add_subtree(const char *option, const char *given, bool is_mount,
		       struct vfs_trace_options *o, const struct names *n, struct arena *a,
		       struct err *e)
{
	struct vfs_subtree *t = &o->subtrees[o->config.n_subtrees];
	const char *path = root_realpath(names_root(n), given, a), *name;
	const struct mount_info *m;
	struct stat st;
	int r;

	if (!path)
		return err_sys(e, -errno, given, "stat");
	if ((r = root_stat(names_root(n), path, &st)))
		return err_sys(e, r, given, "stat");
	if (o->config.n_subtrees == VFS_SUBTREES)
		return err_usage(e, option, "at most %d directories", VFS_SUBTREES);
	m = mount_of(n, path);
	if (!m || (is_mount && !streq(m->target, path)))
		return err_usage(e, option, "'%s' is not where something is mounted", given);
	/* The superblock's device, which for btrfs is not the one that stat() gives. */
	t->dev = names_dev(m->devno);
	t->inode = st.st_ino;
	name = streq(m->target, path) ? m->root : path;
	name = strrchr(name, '/') ? strrchr(name, '/') + 1 : name;
	t->name_length = (uint32_t)strlen(name);
	memcpy(t->name, name, t->name_length < sizeof t->name - 1 ? t->name_length
								  : sizeof t->name - 1);
	o->config.n_subtrees++;
	return 0;
}

static bool hierarchy_is_v1(const struct root *root, const char **ret_mount)
{
	if (root_exists(root, "/sys/fs/cgroup/cgroup.controllers")) {
		*ret_mount = "/sys/fs/cgroup";
		return false;
	}
	if (root_exists(root, "/sys/fs/cgroup/memory")) {
		*ret_mount = "/sys/fs/cgroup/memory";
		return true;
	}
	*ret_mount = "/sys/fs/cgroup/unified";
	return false;
}

/* Inside a container a path may be meant as the host has it or as it is seen there: the host's, which
 * is what the rows show, is tried first. A cgroup's inode is its id in either. */
static int add_cgroup(const struct root *host, const char *given, const char *mount,
		      struct vfs_config *c, struct arena *a, struct err *e)
{
	const char *path = starts_with(given, mount) ? given
						     : arena_printf(a, "%s/%s", mount, given);
	struct stat st;
	int r = root_stat(host, path, &st);

	if (r)
		r = root_stat(&ROOT_MACHINE, path, &st);
	if (r)
		return err_sys(e, r, path, "stat the cgroup");
	if (c->n_cgroups == VFS_CGROUPS)
		return err_usage(e, "--cgroup", "at most %d cgroups", VFS_CGROUPS);
	c->cgroups[c->n_cgroups++] = st.st_ino;
	return 0;
}

static int add_pid(const char *text, struct vfs_config *c, struct err *e)
{
	char *end;
	unsigned long pid = strtoul(text, &end, 10);

	if (!pid || *end || pid > INT32_MAX)
		return err_usage(e, "--pid", "'%s' is no process id", text);
	if (c->n_pids == VFS_PIDS)
		return err_usage(e, "--pid", "at most %d processes", VFS_PIDS);
	c->pids[c->n_pids++] = (uint32_t)pid;
	return 0;
}

/* What /dev holds besides /dev/shm and the like are nodes, whose I/O is not the filesystem's. */
static void skip_devices(const struct names *n, struct vfs_config *c)
{
	const struct mount_info *m;
	size_t count;

	m = names_mounts(n, &count);
	for (size_t i = 0; i < count && c->n_skip_devs < VFS_SKIP_DEVS; i++)
		if (streq(m[i].target, "/dev") && !c->n_subtrees)
			c->skip_devs[c->n_skip_devs++] = names_dev(m[i].devno);
}

static int configure(struct session *s, unsigned groups, bool counts_only,
		     struct vfs_trace_options *o, struct err *e)
{
	const struct vfslat_params *p = s->p;
	struct vfs_config *c = &o->config;
	struct arena *a = s->w->mem;
	const char *cgroups, **items;
	unsigned ops;
	int r;

	if ((r = parse_set("--op", p->op, vfslat_op_names, &ops, a, e)) ||
	    (r = parse_set("--without", p->without, volume_type_names, &s->without, a, e)) ||
	    (r = parse_kinds(p->kind, &c->kinds, a, e)))
		return r;
	if (p->sample < 0 || p->sample > 1)
		return err_usage(e, "--sample", "must be from 0 to 1");
	if (!(p->slow_ms >= 0 && p->slow_ms < 1e9))
		return err_usage(e, "--slow-ms", "must be from 0 to 1e9");
	s->slow_ns = (uint64_t)(p->slow_ms * 1e6);
	c->ops = ops ? ops : 0x1e;
	/* Where only counts are shown nothing is reported. */
	c->slow_ns = counts_only ? UINT64_MAX : s->slow_ns;
	c->count_slow_ns = s->slow_ns;
	c->sample = p->all && !counts_only;
	c->min_size = p->min_size_bytes == U64_NONE ? 0 : p->min_size_bytes;
	c->split = !p->no_split;
	c->window_limit = ((uint64_t)p->max_events * 134 + 999) / 1000;
	c->cgroup_v1 = hierarchy_is_v1(names_root(s->names), &cgroups);
	for (items = p->path; items && *items; items++)
		if ((r = add_subtree("--path", *items, false, o, s->names, a, e)))
			return r;
	for (items = p->mount; items && *items; items++)
		if ((r = add_subtree("--mount", *items, true, o, s->names, a, e)))
			return r;
	for (items = p->cgroup; items && *items; items++)
		if ((r = add_cgroup(names_root(s->names), *items, cgroups, c, a, e)))
			return r;
	for (items = split(p->pid, a); items && *items; items++)
		if ((r = add_pid(*items, c, e)))
			return r;
	if (p->comm) {
		/* With the NUL, so that a name that goes on is another name. */
		c->comm_length = (uint32_t)strlen(p->comm) + 1;
		if (c->comm_length > sizeof c->comm)
			c->comm_length = sizeof c->comm - 1;
		memcpy(c->comm, p->comm, c->comm_length - 1);
	}
	if (!p->kind)
		skip_devices(s->names, c);
	if (p->metrics || p->listen || p->otlp)
		groups |= 1 << GROUP_DEVICE | 1 << GROUP_FSTYPE | 1 << GROUP_POD | 1 << GROUP_VOLUME;
	c->key_comm = groups >> GROUP_COMMAND & 1;
	c->key_cgroup = (groups & (1 << GROUP_POD | 1 << GROUP_CONTAINER | 1 << GROUP_VOLUME)) != 0;
	c->key_root = (groups & (1 << GROUP_MOUNT | 1 << GROUP_VOLUME | 1 << GROUP_FSTYPE)) != 0;
	c->key_dev = c->key_root || groups >> GROUP_DEVICE & 1;
	return 0;
}

int session_open(struct session *s, unsigned groups, bool counts_only, struct err *e)
{
	const struct vfslat_params *p = s->p;
	struct vfs_trace_options o = {
		.backend = p->backend, .keys_max = p->max_keys, .names_max = p->max_names,
		.buffer_bytes = p->buffer_bytes, .run_time = p->self_time,
	};
	struct vfs_programs programs auto_vfs_programs = { 0 };
	int r;

	s->e = e;
	if (!root_is_machine(&s->w->root))
		return err_usage(e, "--sysroot", "a recorded machine cannot be traced; see --volumes");
	if (p->buffer_bytes < 4096 || p->buffer_bytes & (p->buffer_bytes - 1) ||
	    p->buffer_bytes > 1u << 30)
		return err_usage(e, "--buffer", "must be a power of two, 4K to 1G");
	if (!p->max_keys)
		return err_usage(e, "--max-keys", "must be at least 1");
	if (p->max_names < 4)
		return err_usage(e, "--max-names", "must be at least 4");
	if (!(p->forget_s >= 0.1 && p->forget_s < 1e9))
		return err_usage(e, "--forget", "must be from 0.1 to 1e9 s");
	s->forget_ns = (uint64_t)(p->forget_s * 1e9);
	if (streq(p->backend, "list"))
		return err_usage(e, "--backend", "write it as one word: --backend=list");
	if ((r = names_new(p, &s->w->root, &s->names, e)) ||
	    (r = configure(s, groups, counts_only, &o, e)))
		return r;
	o.programs = programs = vfslat_programs();
	if ((r = vfs_trace_open(&o, false, s->backends, s->w->mem, &s->trace, e)))
		return r;
	if (s->on_event)
		fit_slow(s);
	s->started_ns = clock_monotonic_ns();
	s->wall_minus_monotonic_s = clock_wall_s() - (double)s->started_ns / 1e9;
	if (p->metrics || p->listen || p->otlp)
		return exporter_open(s, &s->exporter, e);
	return 0;
}

void session_close(struct session *s)
{
	exporter_close(&s->exporter);
	vfs_trace_close(&s->trace);
	names_free(&s->names);
}

/*  Rows.  */

static uint32_t latency_class(uint64_t ns, uint64_t slow_ns)
{
	uint64_t normal_ns = slow_ns > 1000000 ? slow_ns : 1000000;

	if (ns <= 1000000)
		return LATENCY_FAST;
	if (ns <= normal_ns)
		return LATENCY_NORMAL;
	return ns <= 100000000 ? LATENCY_SLOW : LATENCY_CRITICAL;
}

static uint32_t size_class(uint64_t bytes)
{
	if (bytes == U64_NONE)
		return U32_NONE;
	return bytes <= 4096	  ? SIZE_SMALL
	       : bytes <= 64 << 10 ? SIZE_MEDIUM
	       : bytes <= 1 << 20  ? SIZE_LARGE
				   : SIZE_HUGE;
}

static uint32_t severity(uint64_t ns, uint64_t slow_ns)
{
	if (ns <= slow_ns)
		return SEVERITY_NONE;
	if (!slow_ns)
		return SEVERITY_WARNING;
	return ns > 10 * slow_ns  ? SEVERITY_CRITICAL
	       : ns > 5 * slow_ns ? SEVERITY_ERROR
				  : SEVERITY_WARNING;
}

/* FNV-1a, for sampling: a path is always in or always out. */
static bool is_sampled(const char *path, double sample)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (; *path; path++)
		h = (h ^ (unsigned char)*path) * 0x100000001b3u;
	h ^= h >> 32;
	return (double)(uint32_t)(h * 0x9e3779b97f4a7c15u >> 32) < sample * 4294967296.0;
}

void session_event_row(struct session *s, const struct vfs_event *e, const char *names)
{
	struct arena mem auto_arena = { 0 };
	const struct vfs_root_key root = { .root = e->root, .root_ino = e->root_ino, .dev = e->dev };
	const char *path = NULL;
	struct place place = { 0 };
	struct who who;
	struct slow_row row;
	bool split = !(e->flags & VFS_EV_NO_SPLIT);
	int r;

	if (!(e->flags & VFS_EV_NO_FILE))
		path = names_path(names, e->path_length, e->flags & VFS_EV_TRUNCATED, &mem);
	names_who(s->names, s->trace, e->cgroup, &who);
	if (e->fstype[0])
		place.fstype = arena_strn(&mem, e->fstype, strnlen(e->fstype, sizeof e->fstype));
	if (path)
		names_place(s->names, s->trace, &root, e->mount_id, path, &who, &place, &mem);
	else
		names_place(s->names, NULL, &root, e->mount_id, NULL, &who, &place, &mem);
	/* A disk's own node is by its device, not where a /dev is mounted. */
	if (S_ISBLK(e->mode))
		place.path = arena_printf(&mem, "/dev/%s", place.device);
	if (s->without >> place.volume.type & 1)
		return;
	if (e->flags & VFS_EV_UNDECIDED) {
		const struct vfs_verdict_key key = { e->dentry, e->parent, e->name_hash };
		bool in = place.volume.type != VOLUME_NONE ||
			  is_sampled(place.path ? place.path : "", s->p->sample);

		vfs_trace_decide(s->trace, &key, in ? VFS_VERDICT_IN : VFS_VERDICT_OUT);
		if (!in)
			return;
	}
	field_clear(slow_fields, &row);
	row.start_time = s->wall_minus_monotonic_s + (double)e->start_ns / 1e9;
	row.operation = vfslat_op_names[e->op];
	row.latency_ns = e->latency_ns;
	if (split) {
		uint64_t off = e->blocked_ns + e->queued_ns;

		row.blocked_ns = e->blocked_ns;
		row.queued_ns = e->queued_ns;
		row.cpu_ns = e->latency_ns > off ? e->latency_ns - off : 0;
	}
	row.size_bytes = e->size == UINT64_MAX && e->ret > 0 && e->op != VFS_FSYNC ? (uint64_t)e->ret
										  : e->size;
	row.offset = e->offset < 0 ? I64_NONE : e->offset;
	row.result = e->ret;
	row.error = e->ret < 0 ? errno_name((int)e->ret) : NULL;
	row.latency_class = latency_class(e->latency_ns, s->slow_ns);
	row.size_class = size_class(row.size_bytes);
	row.severity = severity(e->latency_ns, s->slow_ns);
	row.pid = e->tgid;
	row.tid = e->tid;
	row.command = arena_strn(&mem, e->comm, strnlen(e->comm, sizeof e->comm));
	row.uid = e->uid;
	row.device = place.device;
	row.inode = e->flags & VFS_EV_NO_FILE ? U64_NONE : e->inode;
	row.fstype = place.fstype;
	row.mount = place.mount;
	row.path = place.path;
	row.cgroup = who.cgroup;
	row.container_id = who.container.id ? who.container.id : place.volume.container_id;
	row.pod_uid = who.container.pod_uid ? who.container.pod_uid : place.volume.pod_uid;
	row.namespace = who.namespace;
	row.pod = who.pod;
	if (!who.container.pod_uid && place.volume.pod_uid) {
		const struct k8s_pod *pod =
			k8s_node_pod(names_node(s->names), place.volume.pod_uid);

		row.namespace = pod ? pod->namespace : NULL;
		row.pod = pod ? pod->name : NULL;
	}
	row.container = who.container_name;
	if (place.volume.type != VOLUME_NONE)
		row.volume_type = volume_type_names[place.volume.type];
	row.volume = place.volume.name;
	row.plugin = place.volume.plugin;
	row.async = e->flags & VFS_EV_ASYNC;
	r = sink_row(s->out, &slow_table, &row);
	if (r && !s->failed)
		s->failed = err_sys(s->e, r, "standard output", "write");
}

void session_warn_losses(struct session *s, bool last)
{
	uint64_t now = clock_monotonic_ns(), lost;
	struct vfs_health h;

	if (!last && now - s->warned_ns < WARN_S * UINT64_C(1000000000))
		return;
	s->warned_ns = now;
	vfs_trace_tidy(s->trace);
	vfs_trace_health(s->trace, &h);
	lost = h.counters.lost_full + h.counters.lost_limited + h.uncounted + h.unnamed + h.missed;
	if (lost == s->warned_lost)
		return;
	s->warned_lost = lost;
	world_warn(s->w,
		   "not reported: %" PRIu64 " operations beyond --max-events, %" PRIu64
		   " with the buffer full; not counted: %" PRIu64 " with a map full, %" PRIu64
		   " that the kernel did not show; not named: %" PRIu64 " times a mount or cgroup",
		   (uint64_t)h.counters.lost_limited, (uint64_t)h.counters.lost_full,
		   h.uncounted, h.missed, h.unnamed);
}

/*  The loop.  */

static void on_event(void *arg, const struct vfs_event *e, const char *path)
{
	struct session *s = arg;

	if (s->on_event && !s->failed)
		s->on_event(s, e, path);
}

static int wait_ms(const struct session *s, uint64_t until_ns, uint64_t now)
{
	uint64_t left = until_ns > now ? (until_ns - now + 999999) / 1000000 : 0;
	uint64_t most = s->on_event || s->p->metrics || s->p->otlp ? DRAIN_MS : 1000;

	return (int)(left < most ? left : most);
}

int session_step(struct session *s, int timeout_ms, struct err *e)
{
	struct pollfd fds[] = {
		{ .fd = names_fd(s->names), .events = POLLPRI },
		{ .fd = s->exporter ? exporter_fd(s->exporter) : -1, .events = POLLIN },
		{ .fd = vfs_trace_fd(s->trace), .events = POLLIN },
	};
	uint64_t now;
	int r;

	poll(fds, COUNT(fds), timeout_ms);
	now = clock_monotonic_ns();
	names_refresh(s->names, fds[0].revents & (POLLPRI | POLLERR), now);
	if (s->on_event) {
		r = vfs_trace_poll(s->trace, on_event, s);
		if (r < 0)
			return err_sys(e, r, "ring buffer", "read");
		if (s->failed)
			return s->failed;
		/* A person would rather have fewer headings, and columns of one width. */
		s->pending += (unsigned)r;
		if (s->pending && (!s->w->human || now - s->flushed_ns > 1000000000)) {
			sink_flush(s->out);
			s->flushed_ns = now;
			s->pending = 0;
		}
	}
	return s->exporter ? exporter_run(s->exporter, s, fds[1].revents & POLLIN, false, e) : 0;
}

int session_run(struct session *s, uint64_t until_ns, struct err *e)
{
	for (;;) {
		uint64_t now = clock_monotonic_ns();
		int r;

		if (*s->w->stop || now >= until_ns)
			return *s->w->stop ? 1 : 0;
		r = session_step(s, wait_ms(s, until_ns, now), e);
		if (r)
			return r;
		session_warn_losses(s, false);
	}
}

int session_end(struct session *s, struct err *e)
{
	int r = vfs_trace_poll(s->trace, on_event, s);

	if (r < 0)
		return err_sys(e, r, "ring buffer", "read");
	if (s->failed)
		return s->failed;
	session_warn_losses(s, true);
	return s->exporter ? exporter_run(s->exporter, s, false, true, e) : 0;
}
