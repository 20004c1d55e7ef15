/* Kubernetes as seen from a node's own files: cgroups' and volumes' paths, pods' folders. */
#include "lib/storage/k8s.h"

#include "lib/os/json.h"

#include <ctype.h>
#include <errno.h>

const char *const volume_type_names[VOLUME_TYPES + 1] = {
	"none",	   "pvc",    "configmap", "secret", "hostpath", "emptydir", "projected",
	"downwardapi", "rootfs", "log",	      "etcd",   "config",	"kubelet",	"runtime", NULL,
};

static size_t hex_length(const char *s)
{
	size_t n = 0;

	while (isxdigit((unsigned char)s[n]) && !isupper((unsigned char)s[n]))
		n++;
	return n;
}

/* A pod's UID at s: 8-4-4-4-12 with dashes, or with underscores in a slice's name, where a dash
 * would mean a level; 32 hex digits for a static pod. Returns its length, or 0. */
static size_t uid_length(const char *s)
{
	static const unsigned char groups[] = { 8, 4, 4, 4, 12 };
	size_t at = 0;

	if (hex_length(s) == 32)
		return 32;
	for (size_t i = 0; i < COUNT(groups); i++) {
		if (i && s[at] != '-' && s[at] != '_')
			return 0;
		at += i > 0;
		if (hex_length(s + at) != groups[i])
			return 0;
		at += groups[i];
	}
	return at;
}

static const char *uid_copy(const char *s, size_t n, struct arena *a)
{
	char *uid = arena_strn(a, s, n);

	for (char *p = uid; *p; p++)
		if (*p == '_')
			*p = '-';
	return uid;
}

/* "pod<uid>" at the start or behind a dash: "kubepods-burstable-pod<uid>". */
static void parse_pod(const char *part, struct k8s_container *ret, struct arena *a)
{
	for (const char *p = part; (p = strstr(p, "pod")); p++) {
		size_t n = p == part || p[-1] == '-' ? uid_length(p + 3) : 0;

		if (n && (!p[3 + n] || p[3 + n] == '.')) {
			ret->pod_uid = uid_copy(p + 3, n, a);
			return;
		}
	}
}

static void parse_container(const char *part, struct k8s_container *ret, struct arena *a)
{
	static const struct {
		const char *prefix, *runtime;
	} forms[] = {
		{ "cri-containerd-", "containerd" },
		{ "cri-containerd:", "containerd" },
		{ "nerdctl-", "containerd" },
		{ "crio-", "cri-o" },
		{ "docker-", "docker" },
		{ "libpod-", "podman" },
		{ "", NULL },
	};

	for (size_t i = 0; i < COUNT(forms); i++) {
		const char *id = part + strlen(forms[i].prefix);

		if (!starts_with(part, forms[i].prefix) || hex_length(id) != 64)
			continue;
		if (id[64] && !streq(id + 64, ".scope"))
			continue;
		ret->id = arena_strn(a, id, 64);
		ret->runtime = forms[i].runtime;
		return;
	}
}

bool k8s_parse_cgroup(const char *path, struct k8s_container *ret, struct arena *a)
{
	char *copy = arena_str(a, path), *part, *next;
	const char *above = "";
	bool in_pods = false;

	*ret = (struct k8s_container){ 0 };
	for (part = copy; part && *part; part = next) {
		char *colon;

		next = strchr(part, '/');
		if (next)
			*next++ = '\0';
		in_pods |= strstr(part, "kubepods") != NULL;
		if (strstr(part, "besteffort"))
			ret->qos = "besteffort";
		else if (strstr(part, "burstable"))
			ret->qos = "burstable";
		/* containerd told of a slice while it uses the other driver:
		 * "kubepods-pod<uid>.slice:cri-containerd:<id>". */
		colon = strchr(part, ':');
		if (colon) {
			*colon = '\0';
			parse_container(colon + 1, ret, a);
		}
		if (!ret->pod_uid)
			parse_pod(part, ret, a);
		/* The first one: a container may make cgroups of its own below. */
		if (!ret->id) {
			parse_container(part, ret, a);
			if (ret->id && !ret->runtime && streq(above, "docker"))
				ret->runtime = "docker";
		}
		above = part;
	}
	if (!in_pods)
		ret->qos = NULL;
	else if (ret->pod_uid && !ret->qos)
		ret->qos = "guaranteed";
	return ret->pod_uid || ret->id;
}

/* Whether path is dir or below it; rest: what follows, without the slash. */
static bool below(const char *path, const char *dir, const char **rest)
{
	size_t n = strlen(dir);

	if (strncmp(path, dir, n) || (path[n] && path[n] != '/'))
		return false;
	*rest = path[n] ? path + n + 1 : path + n;
	return true;
}

/* The next part of a path, in the arena; NULL at its end. */
static const char *next_part(const char **rest, struct arena *a)
{
	const char *s = *rest;
	size_t n = strcspn(s, "/");

	if (!n)
		return NULL;
	*rest = s[n] ? s + n + 1 : s + n;
	return arena_strn(a, s, n);
}

static enum volume_type type_of_plugin(const char *plugin)
{
	static const struct {
		const char *plugin;
		enum volume_type type;
	} types[] = {
		{ "kubernetes.io~configmap", VOLUME_CONFIGMAP },
		{ "kubernetes.io~secret", VOLUME_SECRET },
		{ "kubernetes.io~empty-dir", VOLUME_EMPTYDIR },
		{ "kubernetes.io~git-repo", VOLUME_EMPTYDIR },
		{ "kubernetes.io~projected", VOLUME_PROJECTED },
		{ "kubernetes.io~downward-api", VOLUME_DOWNWARDAPI },
	};

	for (size_t i = 0; i < COUNT(types); i++)
		if (streq(plugin, types[i].plugin))
			return types[i].type;
	/* csi, nfs, local-volume, iscsi, fc, rbd, flexvolume, a cloud's disk ... */
	return VOLUME_PVC;
}

/* "kubernetes.io~csi" is a folder's name for "kubernetes.io/csi". */
static const char *plugin_name(const char *folder, struct arena *a)
{
	char *name = arena_str(a, folder), *tilde = strchr(name, '~');

	if (tilde)
		*tilde = '/';
	return name;
}

/* pods/UID/volumes/PLUGIN/NAME..., pods/UID/volume-subpaths/NAME/CONTAINER/N... */
static bool parse_pod_folder(const char *rest, struct k8s_volume *ret, struct arena *a)
{
	const char *uid = next_part(&rest, a), *kind = next_part(&rest, a);
	const char *plugin, *name;

	if (!uid || uid_length(uid) != strlen(uid))
		return false;
	ret->pod_uid = uid;
	if (streq(kind, "volumes")) {
		plugin = next_part(&rest, a);
		name = next_part(&rest, a);
		if (!name)
			return true;
		ret->type = type_of_plugin(plugin);
		ret->plugin = plugin_name(plugin, a);
		ret->name = name;
	} else if (streq(kind, "volume-subpaths")) {
		ret->name = next_part(&rest, a);
	}
	return true;
}

/* kubernetes.io/csi/DRIVER/HASH/globalmount, kubernetes.io/csi/pv/NAME/globalmount; others'
 * folders: a plugin's own data. */
static void parse_plugin_folder(const char *rest, struct k8s_volume *ret, struct arena *a)
{
	const char *vendor = next_part(&rest, a), *kind = next_part(&rest, a);
	const char *driver = next_part(&rest, a), *name = next_part(&rest, a);
	const char *mount = next_part(&rest, a);

	if (!vendor)
		return;
	ret->plugin = streq(vendor, "kubernetes.io") && kind
			      ? arena_printf(a, "%s/%s", vendor, kind)
			      : vendor;
	if (!streq(vendor, "kubernetes.io") || !name)
		return;
	if (streq(kind, "csi") && (streq(mount, "globalmount") || streq(driver, "volumeDevices"))) {
		ret->type = VOLUME_PVC;
		ret->name = name;
		if (!streq(driver, "pv") && !streq(driver, "volumeDevices"))
			ret->plugin = driver;
	} else if (streq(driver, "mounts")) {
		ret->type = VOLUME_PVC;
		ret->name = name;
	}
}

/* The first part of rest that is a container's id. */
static const char *find_id(const char *rest, struct arena *a)
{
	const char *part;

	while ((part = next_part(&rest, a)))
		if (hex_length(part) == 64 && !part[64])
			return part;
	return NULL;
}

void k8s_parse_path(const char *path, const char *kubelet, struct k8s_volume *ret, struct arena *a)
{
	const char *rest, *part;

	*ret = (struct k8s_volume){ 0 };
	if (below(path, kubelet, &rest)) {
		ret->type = VOLUME_KUBELET;
		part = next_part(&rest, a);
		if (streq(part, "pods"))
			parse_pod_folder(rest, ret, a);
		else if (streq(part, "plugins"))
			parse_plugin_folder(rest, ret, a);
	} else if (below(path, "/var/log/pods", &rest)) {
		ret->type = VOLUME_LOG;
		part = next_part(&rest, a);
		part = part ? strrchr(part, '_') : NULL;
		if (part && uid_length(part + 1) == strlen(part + 1))
			ret->pod_uid = arena_str(a, part + 1);
	} else if (below(path, "/var/log/containers", &rest)) {
		ret->type = VOLUME_LOG;
	} else if (below(path, "/var/lib/docker/containers", &rest)) {
		ret->type = ends_with(path, ".log") ? VOLUME_LOG : VOLUME_RUNTIME;
		ret->container_id = find_id(rest, a);
	} else if (below(path, "/var/lib/etcd", &rest)) {
		ret->type = VOLUME_ETCD;
	} else if (below(path, "/etc/kubernetes", &rest)) {
		ret->type = VOLUME_CONFIG;
	} else if (below(path, "/run/containerd", &rest)) {
		ret->container_id = find_id(rest, a);
		ret->type = ret->container_id && strstr(rest, "/rootfs") ? VOLUME_ROOTFS
									 : VOLUME_RUNTIME;
	} else if (below(path, "/var/lib/containerd", &rest) ||
		   below(path, "/var/lib/containers", &rest) ||
		   below(path, "/var/lib/docker", &rest)) {
		/* docker's and cri-o's mounts are named after a layer, not after the container. */
		ret->type = strstr(rest, "/merged") ? VOLUME_ROOTFS : VOLUME_RUNTIME;
	}
}

/*  The node.  */

static struct k8s_pod *pod_of(struct k8s_node *n, const char *uid)
{
	struct k8s_pod *p;

	for (size_t i = 0; i < n->pods.n; i++)
		if (streq(n->pods.items[i].uid, uid))
			return &n->pods.items[i];
	p = vec_add(&n->pods);
	p->uid = uid;
	return p;
}

static void forget(struct k8s_node *n)
{
	vec_free(&n->pods);
	vec_free(&n->logs);
	arena_free(&n->mem);
}

/* /var/log/pods/NAMESPACE_POD_UID/CONTAINER: neither of the first two can hold an underscore. */
static void read_log_folder(struct k8s_node *n, const char *folder)
{
	const char *first = strchr(folder, '_'), *last = strrchr(folder, '_');
	struct k8s_pod *p;

	if (!first || first == last || uid_length(last + 1) != strlen(last + 1))
		return;
	p = pod_of(n, arena_str(&n->mem, last + 1));
	p->namespace = arena_strn(&n->mem, folder, (size_t)(first - folder));
	p->name = arena_strn(&n->mem, first + 1, (size_t)(last - first - 1));
	root_list(&n->root, arena_printf(&n->mem, "/var/log/pods/%s", folder), &n->mem,
		  &p->containers);
}

/* /var/log/containers/POD_NAMESPACE_CONTAINER-ID.log */
static void read_log_link(struct k8s_node *n, const char *name)
{
	size_t length = strlen(name);
	const char *id = name + length - 68, *container;
	struct k8s_log *log;

	if (length < 70 || !ends_with(name, ".log") || hex_length(id) != 64 || id[-1] != '-')
		return;
	container = memrchr(name, '_', (size_t)(id - name));
	if (!container++)
		return;
	log = vec_add(&n->logs);
	log->container_id = arena_strn(&n->mem, id, 64);
	log->container = arena_strn(&n->mem, container, (size_t)(id - 1 - container));
}

void k8s_node_read(struct k8s_node *n)
{
	const char **names = NULL;

	forget(n);
	if (!root_list(&n->root, "/var/log/pods", &n->mem, &names))
		for (size_t i = 0; names && names[i]; i++)
			read_log_folder(n, names[i]);
	names = NULL;
	if (!root_list(&n->root, "/var/log/containers", &n->mem, &names))
		for (size_t i = 0; names && names[i]; i++)
			read_log_link(n, names[i]);
	names = NULL;
	if (!root_list(&n->root, arena_printf(&n->mem, "%s/pods", n->kubelet), &n->mem, &names))
		for (size_t i = 0; names && names[i]; i++)
			if (uid_length(names[i]) == strlen(names[i]))
				pod_of(n, names[i]);
}

void k8s_node_done(struct k8s_node *n)
{
	forget(n);
}

const struct k8s_pod *k8s_node_pod(const struct k8s_node *n, const char *uid)
{
	for (size_t i = 0; uid && i < n->pods.n; i++)
		if (streq(n->pods.items[i].uid, uid))
			return &n->pods.items[i];
	return NULL;
}

const char *k8s_node_container(const struct k8s_node *n, const char *pod_uid, const char *id)
{
	const struct k8s_pod *p;

	for (size_t i = 0; id && i < n->logs.n; i++)
		if (streq(n->logs.items[i].container_id, id))
			return n->logs.items[i].container;
	p = k8s_node_pod(n, pod_uid);
	return p && p->containers && strlist_len((const char *const *)p->containers) == 1
		       ? p->containers[0]
		       : NULL;
}

/* The folder in which the pod's volume of this name is: its type is the folder's. */
static void find_volume(const struct k8s_node *n, struct k8s_volume *v, struct arena *a)
{
	const char **plugins = NULL;
	const char *volumes = arena_printf(a, "%s/pods/%s/volumes", n->kubelet, v->pod_uid);

	if (root_list(&n->root, volumes, a, &plugins))
		return;
	for (size_t i = 0; plugins && plugins[i]; i++)
		if (root_exists(&n->root, arena_printf(a, "%s/%s/%s", volumes, plugins[i], v->name))) {
			v->type = type_of_plugin(plugins[i]);
			v->plugin = plugin_name(plugins[i], a);
			return;
		}
}

/* What the kubelet keeps beside a CSI volume's mount point: the driver, and the claim's volume. */
static void read_vol_data(const struct k8s_node *n, struct k8s_volume *v, struct arena *a)
{
	const char *path = arena_printf(a, "%s/pods/%s/volumes/kubernetes.io~csi/%s/vol_data.json",
					n->kubelet, v->pod_uid, v->name);
	struct json *doc auto_json = NULL;
	const char *driver, *volume;
	struct err e = { 0 };
	size_t length;
	char *text;

	if (root_read(&n->root, path, 64 << 10, a, &text, &length) ||
	    json_parse(text, length, path, NULL, &doc, &e))
		return;
	driver = json_string(json_get(doc, "driverName"));
	volume = json_string(json_get(doc, "specVolID"));
	if (driver)
		v->plugin = arena_str(a, driver);
	if (volume)
		v->name = arena_str(a, volume);
}

void k8s_node_volume(const struct k8s_node *n, const char *path, struct k8s_volume *ret,
		     struct arena *a)
{
	k8s_parse_path(path, n->kubelet, ret, a);
	if (ret->type == VOLUME_KUBELET && ret->pod_uid && ret->name)
		find_volume(n, ret, a);
	if (ret->type == VOLUME_PVC && streq(ret->plugin, "kubernetes.io/csi") && ret->pod_uid)
		read_vol_data(n, ret, a);
}
