/*
 * Kubernetes as seen from a node's own files: which container a cgroup is, which volume a path is,
 * what the node's pods are called. Needs no kubelet, no API server, no runtime's socket.
 */
#ifndef STORAGE_K8S_H
#define STORAGE_K8S_H

#include "lib/core/err.h"
#include "lib/core/root.h"

/* The first seven are a pod's volumes. */
enum volume_type {
	VOLUME_NONE,
	VOLUME_PVC,
	VOLUME_CONFIGMAP,
	VOLUME_SECRET,
	VOLUME_HOSTPATH,
	VOLUME_EMPTYDIR,
	VOLUME_PROJECTED,
	VOLUME_DOWNWARDAPI,
	VOLUME_ROOTFS,	/* a container's own root filesystem */
	VOLUME_LOG,	/* containers' logs */
	VOLUME_ETCD,	/* etcd's data */
	VOLUME_CONFIG,	/* /etc/kubernetes */
	VOLUME_KUBELET, /* the rest of the kubelet's folder: plugins, pods' own files */
	VOLUME_RUNTIME, /* the rest of containerd's, docker's or cri-o's folder */
	VOLUME_TYPES,
};
extern const char *const volume_type_names[VOLUME_TYPES + 1]; /* "-" ... "pvc"; NULL at the end */

/* What a cgroup's path says; NULL for what it does not. */
struct k8s_container {
	const char *id;	     /* 64 hex digits */
	const char *runtime; /* "containerd", "cri-o", "docker", "podman"; NULL: the path does not say */
	const char *pod_uid; /* with dashes; a static pod's has none */
	const char *qos;     /* "guaranteed", "burstable", "besteffort" */
};

/* Both cgroup drivers' forms, cgroup v1 and v2, with or without further cgroups below the
 * container's. False for a cgroup of no pod and no container. */
bool k8s_parse_cgroup(const char *path, struct k8s_container *ret, struct arena *a);

struct k8s_volume {
	enum volume_type type;
	const char *pod_uid; /* whose, where the path says it */
	const char *name;    /* the volume's name in the pod, the claim's folder, a host path */
	const char *plugin;  /* "kubernetes.io/csi", or the CSI driver's name */
	const char *container_id; /* rootfs and docker's logs */
};

/*
 * What a path of the host is to Kubernetes, by its text; ret->type is VOLUME_NONE for the rest.
 * kubelet: the kubelet's folder, without a slash at the end. A subPath's type is that of its volume
 * and needs the node: see k8s_node_volume().
 */
void k8s_parse_path(const char *path, const char *kubelet, struct k8s_volume *ret, struct arena *a);

/* A pod that has a folder in /var/log/pods or in the kubelet's. Strings live in the node's arena. */
struct k8s_pod {
	const char *uid, *namespace, *name; /* the last two may be NULL */
	const char **containers;	    /* names; may be NULL */
};

struct k8s_log {
	const char *container_id, *container;
};

struct k8s_node {
	struct root root;    /* the host's */
	const char *kubelet; /* "/var/lib/kubelet" */
	struct arena mem;
	VEC(struct k8s_pod) pods;
	VEC(struct k8s_log) logs; /* /var/log/containers: which container has which name */
};

/* Reads the pods again: those that came are there, those that went are not. */
void k8s_node_read(struct k8s_node *n);
void k8s_node_done(struct k8s_node *n);
const struct k8s_pod *k8s_node_pod(const struct k8s_node *n, const char *uid);
/* The container's name, or NULL: by its log's name, or as the pod's only one. */
const char *k8s_node_container(const struct k8s_node *n, const char *pod_uid, const char *id);
/* As k8s_parse_path(), with what only the node's files say: a subPath's type, a CSI volume's driver
 * and claim (vol_data.json). */
void k8s_node_volume(const struct k8s_node *n, const char *path, struct k8s_volume *ret,
		     struct arena *a);

#endif
