/* vfslat --volumes: the node's pod volumes, as vfslat would name them; nothing is traced. */
#include "applets/vfslat/vfslat.h"

#include <errno.h>

struct volume_row {
	const char *namespace, *pod, *pod_uid, *volume_type, *volume, *plugin, *device, *fstype, *path;
	const char **containers;
};

static const struct field volume_fields[] = {
	FIELD(struct volume_row, namespace, 0, "the pod's namespace"),
	FIELD(struct volume_row, pod, KEY, "the pod's name"),
	FIELD(struct volume_row, pod_uid, 0, "its UID"),
	FIELD(struct volume_row, volume_type, 0,
	      "pvc, configmap, secret, emptydir, projected or downwardapi"),
	FIELD(struct volume_row, volume, KEY, "its name"),
	FIELD(struct volume_row, plugin, 0, "its plugin or CSI driver"),
	FIELD(struct volume_row, device, 0, "where a filesystem of its own is mounted: its device"),
	FIELD(struct volume_row, fstype, 0, "and its type"),
	FIELD(struct volume_row, path, 0, "the host's folder"),
	FIELD(struct volume_row, containers, WIDE, "the pod's containers"),
	FIELD_END,
};
static const struct table volume_table =
	TABLE(struct volume_row, "volumes", "pods' volumes", volume_fields);

static const struct field volume_params[] = {
	FIELD(struct vfslat_params, kubelet, 0, "the kubelet's folder", .def = "/var/lib/kubelet",
	      .arg = "DIR", .complete = "dir"),
	FIELD_END,
};

static int show_volume(struct names *n, const struct k8s_pod *pod, const char *path,
		       struct sink *out, struct arena *a)
{
	struct k8s_volume v;
	struct volume_row row;
	const struct mount_info *m;
	size_t count;

	field_clear(volume_fields, &row);
	k8s_node_volume(names_node(n), path, &v, a);
	row.namespace = pod->namespace;
	row.pod = pod->name;
	row.pod_uid = pod->uid;
	row.volume_type = volume_type_names[v.type];
	row.volume = v.name;
	row.plugin = v.plugin;
	row.path = path;
	row.containers = pod->containers;
	m = names_mounts(n, &count);
	for (size_t i = 0; i < count; i++) {
		size_t length = strlen(path);

		/* A CSI volume is mounted one below, at NAME/mount. */
		if (strncmp(m[i].target, path, length) ||
		    (m[i].target[length] && !streq(m[i].target + length, "/mount")))
			continue;
		row.device = m[i].source;
		row.fstype = m[i].fstype;
		row.path = m[i].target;
	}
	return sink_row(out, &volume_table, &row);
}

static int run_volumes(struct world *w, const void *params, struct sink *out, struct err *e)
{
	const struct vfslat_params *p = params;
	struct names *n auto_names = NULL;
	const struct k8s_node *node;
	int r = names_new(p, &w->root, &n, e);

	if (r)
		return r;
	node = names_node(n);
	for (size_t i = 0; i < node->pods.n; i++) {
		const struct k8s_pod *pod = &node->pods.items[i];
		const char *dir = arena_printf(w->mem, "%s/pods/%s/volumes", p->kubelet, pod->uid);
		const char **plugins = NULL, **volumes;

		if (root_list(&node->root, dir, w->mem, &plugins))
			continue;
		for (; plugins && *plugins; plugins++) {
			const char *sub = arena_printf(w->mem, "%s/%s", dir, *plugins);

			volumes = NULL;
			if (root_list(&node->root, sub, w->mem, &volumes))
				continue;
			for (; volumes && *volumes; volumes++) {
				const char *path = arena_printf(w->mem, "%s/%s", sub, *volumes);

				r = show_volume(n, pod, path, out, w->mem);
				if (r)
					return err_sys(e, r, "standard output", "write");
			}
		}
	}
	return 0;
}

const struct operation vfslat_volumes_op = {
	.name = "vfslat_volumes",
	.summary = "pods' volumes as the host's files show them; nothing is traced",
	.params = volume_params,
	.params_size = sizeof(struct vfslat_params),
	.tables = TABLES(&volume_table),
	.flags = OP_LOCAL,
	.run = run_volumes,
};
