/* Names for what the kernel counts by number: devices, mounts, paths, cgroups, pods, volumes. */
#include "applets/vfslat/vfslat.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

enum { CACHE = 4096, REREAD_S = 30, REREAD_SOON_S = 1 };

struct mount_at {
	const struct mount_info *info;
	uint32_t dev;
	size_t root_length; /* 0 where all of the filesystem is mounted */
};

/* A cgroup and the strings of its who, which live as long as the entry. */
struct cgroup_entry {
	uint64_t id;
	struct arena mem;
	struct who who;
	uint64_t seen_ns;
	bool named; /* the pod's names were looked up since the node was last read */
};

struct names {
	struct root root;
	const char *process; /* whose mountinfo is the host's: "self" or "1" */
	int mountinfo;
	struct arena mem; /* the mounts */
	struct mount_info *infos;
	struct mount_at *mounts;
	size_t n_mounts;
	struct k8s_node node;
	uint64_t read_ns;
	bool stale; /* mounts came or went, or a pod was met that the last reading does not have */
	struct cgroup_entry cgroups[CACHE];
};

uint32_t names_dev(const char *devno)
{
	unsigned major = 0, minor = 0;

	if (!devno || sscanf(devno, "%u:%u", &major, &minor) != 2)
		return 0;
	return major << 20 | minor;
}

const char *names_path(const char *names, size_t length, bool truncated, struct arena *a)
{
	char *path = arena_alloc(a, length + 8), *to = path;
	const char *end = names + length;

	/* What is nearest to the root is missing. */
	if (truncated)
		to = stpcpy(to, "/...");
	while (end > names) {
		const char *start = end - 1;

		while (start > names && start[-1])
			start--;
		*to++ = '/';
		to = stpcpy(to, start);
		end = start;
	}
	if (to == path)
		*to++ = '/';
	*to = '\0';
	return path;
}

static void read_mounts(struct names *n)
{
	struct err e = { 0 };
	size_t count = 0;

	arena_free(&n->mem);
	n->mounts = NULL;
	n->n_mounts = 0;
	if (mounts_read_of(&n->root, n->process, &n->mem, &n->infos, &count, &e))
		return;
	n->mounts = arena_alloc(&n->mem, (count + 1) * sizeof *n->mounts);
	for (size_t i = 0; i < count; i++) {
		const struct mount_info *m = &n->infos[i];

		n->mounts[i] = (struct mount_at){
			.info = m, .dev = names_dev(m->devno),
			.root_length = m->root && !streq(m->root, "/") ? strlen(m->root) : 0,
		};
	}
	n->n_mounts = count;
}

const struct mount_info *names_mounts(const struct names *n, size_t *ret_n)
{
	*ret_n = n->n_mounts;
	return n->infos;
}

const struct k8s_node *names_node(const struct names *n)
{
	return &n->node;
}

const struct root *names_root(const struct names *n)
{
	return &n->node.root;
}

/* A link such as /proc/1/ns/mnt. */
static bool same_link(const char *a, const char *b)
{
	char x[64] = "", y[64] = "";

	return readlink(a, x, sizeof x - 1) > 0 && readlink(b, y, sizeof y - 1) > 0 && streq(x, y);
}

int names_new(const struct vfslat_params *p, const struct root *root, struct names **ret,
	      struct err *e)
{
	struct names *n = xcalloc(1, sizeof *n);
	const char *path;
	int r;

	n->root = *root;
	n->process = "self";
	n->mountinfo = -1;
	/* In a container that shares the host's processes, the host is what process 1 sees. */
	if (root_is_machine(root) && !same_link("/proc/self/ns/mnt", "/proc/1/ns/mnt") &&
	    !access("/proc/1/root/proc", F_OK)) {
		n->process = "1";
		r = root_init(&n->node.root, "/proc/1/root", e);
		if (r) {
			free(n);
			return r;
		}
	} else {
		n->node.root = *root;
	}
	n->node.kubelet = p->kubelet;
	if (root_is_machine(root)) {
		path = streq(n->process, "1") ? "/proc/1/mountinfo" : "/proc/self/mountinfo";
		n->mountinfo = open(path, O_RDONLY | O_CLOEXEC);
	}
	read_mounts(n);
	k8s_node_read(&n->node);
	*ret = n;
	return 0;
}

static void forget_cgroup(struct cgroup_entry *c)
{
	arena_free(&c->mem);
	*c = (struct cgroup_entry){ 0 };
}

void names_free(struct names **p)
{
	struct names *n = *p;

	if (!n)
		return;
	if (n->mountinfo >= 0)
		close(n->mountinfo);
	for (size_t i = 0; i < CACHE; i++)
		forget_cgroup(&n->cgroups[i]);
	if (streq(n->process, "1"))
		root_done(&n->node.root);
	k8s_node_done(&n->node);
	arena_free(&n->mem);
	free(n);
	*p = NULL;
}

int names_fd(const struct names *n)
{
	return n->mountinfo;
}

void names_refresh(struct names *n, bool mounts_changed, uint64_t now_ns)
{
	uint64_t age_s = (now_ns - n->read_ns) / 1000000000u;

	if (mounts_changed) {
		read_mounts(n);
		n->stale = true;
	}
	if (n->read_ns && age_s < REREAD_SOON_S)
		return;
	if (!n->stale && age_s < REREAD_S)
		return;
	k8s_node_read(&n->node);
	for (size_t i = 0; i < CACHE; i++)
		n->cgroups[i].named = false;
	n->stale = false;
	n->read_ns = now_ns;
}

void names_who(struct names *n, struct vfs_trace *t, uint64_t id, struct who *ret)
{
	struct cgroup_entry *c = &n->cgroups[(id * 0x9e3779b97f4a7c15u) >> 52];
	struct vfs_cgroup *raw auto_free = NULL;
	const struct k8s_pod *pod;

	*ret = (struct who){ 0 };
	if (!id)
		return;
	if (c->id != id || !c->who.cgroup) {
		forget_cgroup(c);
		raw = xmalloc(sizeof *raw);
		if (vfs_trace_cgroup(t, id, raw))
			return;
		c->id = id;
		c->who.cgroup = names_path(raw->path, raw->length, raw->truncated, &c->mem);
		k8s_parse_cgroup(c->who.cgroup, &c->who.container, &c->mem);
	}
	if (!c->named && (c->who.container.pod_uid || c->who.container.id)) {
		pod = k8s_node_pod(&n->node, c->who.container.pod_uid);
		if (pod && pod->name && !c->who.pod) {
			c->who.namespace = arena_str(&c->mem, pod->namespace);
			c->who.pod = arena_str(&c->mem, pod->name);
		}
		if (!c->who.container_name)
			c->who.container_name =
				arena_str(&c->mem, k8s_node_container(&n->node,
								      c->who.container.pod_uid,
								      c->who.container.id));
		/* A pod that came since: the next look may find it. */
		if (c->who.container.pod_uid && !c->who.pod)
			n->stale = true;
		c->named = true;
	}
	*ret = c->who;
}

/* The path below a mount's root, with its slash; NULL when it is not below. */
static const char *below_root(const struct mount_at *m, const char *path)
{
	if (!m->root_length)
		return streq(path, "/") ? "" : path;
	if (strncmp(path, m->info->root, m->root_length) ||
	    (path[m->root_length] && path[m->root_length] != '/'))
		return NULL;
	return path + m->root_length;
}

static const char *host_path(const struct mount_at *m, const char *rest, struct arena *a)
{
	const char *target = streq(m->info->target, "/") && *rest ? "" : m->info->target;

	return arena_printf(a, "%s%s", target, rest);
}

/*
 * The host's mount through which the host sees this file: the very mount that was used, else one of
 * the same filesystem that has the file, where the pod's own comes first, then any of the kubelet's,
 * then the one whose root is nearest.
 */
static const struct mount_at *find_mount(const struct names *n, uint32_t dev, uint32_t mount_id,
					 const char *path, const char *pod_uid)
{
	const struct mount_at *best = NULL;
	size_t kubelet_length = strlen(n->node.kubelet), best_score = 0;

	for (size_t i = 0; i < n->n_mounts; i++) {
		const struct mount_at *m = &n->mounts[i];
		size_t score;

		if (m->dev != dev || !below_root(m, path))
			continue;
		if (mount_id && m->info->id == mount_id)
			return m;
		score = 1 + m->root_length;
		if (!strncmp(m->info->target, n->node.kubelet, kubelet_length)) {
			score += 100000;
			if (pod_uid && strstr(m->info->target, pod_uid))
				score += 100000;
		}
		if (score > best_score) {
			best = m;
			best_score = score;
		}
	}
	return best;
}

static const char *device_name(const struct names *n, uint32_t dev, struct arena *a)
{
	const char *link = root_readlink(
		&n->root, arena_printf(a, "/sys/dev/block/%u:%u", dev >> 20, dev & 0xfffff), a);
	const char *slash = link ? strrchr(link, '/') : NULL;

	return slash ? slash + 1 : arena_printf(a, "%u:%u", dev >> 20, dev & 0xfffff);
}

/* The mount's root below its superblock's, as the kernel noted it at first sight. */
static const char *root_path(struct vfs_trace *t, const struct vfs_root_key *key, struct place *place,
			     struct arena *a)
{
	struct vfs_root *raw auto_free = xmalloc(sizeof *raw);

	if (!key->root || !t || vfs_trace_root(t, key, raw))
		return NULL;
	if (!place->fstype)
		place->fstype = arena_str(a, raw->fstype);
	return names_path(raw->path, raw->length, raw->truncated, a);
}

void names_place(struct names *n, struct vfs_trace *t, const struct vfs_root_key *root,
		 uint32_t mount_id, const char *path, const struct who *who, struct place *ret,
		 struct arena *a)
{
	const char *top = root_path(t, root, ret, a), *rest;
	const struct mount_at *m, *own;
	struct k8s_volume *v = &ret->volume;

	ret->device = device_name(n, root->dev, a);
	if (!path)
		path = top;
	if (!path)
		return;
	m = find_mount(n, root->dev, mount_id, path, who->container.pod_uid);
	ret->path = path;
	if (m) {
		rest = below_root(m, path);
		ret->mount = m->info->target;
		ret->path = host_path(m, rest, a);
		if (!ret->fstype || !*ret->fstype)
			ret->fstype = m->info->fstype;
	}
	k8s_node_volume(&n->node, m ? ret->path : "", v, a);
	if (v->type != VOLUME_NONE)
		return;
	/* A pod's file on a mount that is the container's own and none of the kubelet's. */
	if (!who->container.pod_uid && !who->container.id)
		return;
	if (streq(ret->fstype, "overlay")) {
		v->type = VOLUME_ROOTFS;
		v->container_id = who->container.id;
		return;
	}
	for (size_t i = 0; mount_id && i < n->n_mounts; i++)
		if (n->mounts[i].info->id == mount_id)
			return;
	if (!who->container.pod_uid || !top)
		return;
	own = find_mount(n, root->dev, 0, top, NULL);
	if (!own)
		return;
	v->type = VOLUME_HOSTPATH;
	v->pod_uid = who->container.pod_uid;
	v->name = host_path(own, below_root(own, top), a);
}
