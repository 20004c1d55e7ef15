# tier: plain
# vfslat's rules on recorded text, and what it says to a wrong call; nothing is traced here.
load helpers

UID1=8ad2a1b4-90c3-4b1c-a0ce-6a5c8e1f4f11
SLICE1=8ad2a1b4_90c3_4b1c_a0ce_6a5c8e1f4f11
STATIC=0123456789abcdef0123456789abcdef
ID=1111111122222222333333334444444455555555666666667777777788888888

setup_file() { make_unit k8s; }

k8s() { # KIND PATH WANT
	run "$UNIT/k8s" <<<"$1 $2"
	[ "$status" -eq 0 ]
	echo "$2: $output, not $3"
	[ "$output" = "$3" ]
}

@test "cgroups of the systemd driver: containerd, cri-o, docker, each QoS class" {
	k8s cgroup "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod$SLICE1.slice/cri-containerd-$ID.scope" "$UID1 11111111 containerd burstable"
	k8s cgroup "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod$SLICE1.slice/crio-$ID.scope" "$UID1 11111111 cri-o besteffort"
	k8s cgroup "/kubepods.slice/kubepods-pod$SLICE1.slice/docker-$ID.scope" "$UID1 11111111 docker guaranteed"
	k8s cgroup "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod$SLICE1.slice/cri-containerd-$ID.scope" "$UID1 11111111 containerd burstable"
}

@test "cgroups of the cgroupfs driver" {
	k8s cgroup "/kubepods/besteffort/pod$UID1/$ID" "$UID1 11111111 - besteffort"
	k8s cgroup "/kubepods/pod$UID1/$ID" "$UID1 11111111 - guaranteed"
	k8s cgroup "/kubepods/burstable/pod$UID1" "$UID1 - - burstable"
}

@test "cgroups: static pods, a container's own below, containerd with the other driver's parent" {
	k8s cgroup "/kubepods/burstable/pod$STATIC/$ID" "$STATIC 11111111 - burstable"
	k8s cgroup "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod$STATIC.slice/cri-containerd-$ID.scope" "$STATIC 11111111 containerd burstable"
	k8s cgroup "/kubepods/pod$UID1/$ID/init.scope/${ID//1/9}" "$UID1 11111111 - guaranteed"
	k8s cgroup "/system.slice/containerd.service/kubepods-pod$SLICE1.slice:cri-containerd:$ID" "$UID1 11111111 containerd guaranteed"
}

@test "cgroups without Kubernetes: docker, podman, and those that are no container" {
	k8s cgroup "/docker/$ID" "- 11111111 docker -"
	k8s cgroup "/system.slice/docker-$ID.scope" "- 11111111 docker -"
	k8s cgroup "/machine.slice/libpod-$ID.scope/container" "- 11111111 podman -"
	k8s cgroup "/user.slice/user-1000.slice" "none - - - -"
	k8s cgroup "/kubepods.slice/kubepods-podium.slice" "none - - - -"
	k8s cgroup "/kubepods/pod${UID1%1}/x" "none - - - -"
	k8s cgroup "/system.slice/crio-conmon-$ID.scope" "none - - - -"
}

@test "volumes by their folder" {
	p=/var/lib/kubelet/pods/$UID1
	k8s path "$p/volumes/kubernetes.io~csi/pvc-7/mount/db/wal" "pvc $UID1 pvc-7 kubernetes.io/csi -"
	k8s path "$p/volumes/kubernetes.io~nfs/shared/x" "pvc $UID1 shared kubernetes.io/nfs -"
	k8s path "$p/volumes/kubernetes.io~local-volume/disk" "pvc $UID1 disk kubernetes.io/local-volume -"
	k8s path "$p/volumes/kubernetes.io~configmap/cm/..data/k" "configmap $UID1 cm kubernetes.io/configmap -"
	k8s path "$p/volumes/kubernetes.io~secret/tls/tls.key" "secret $UID1 tls kubernetes.io/secret -"
	k8s path "$p/volumes/kubernetes.io~empty-dir/scratch/f" "emptydir $UID1 scratch kubernetes.io/empty-dir -"
	k8s path "$p/volumes/kubernetes.io~projected/token/token" "projected $UID1 token kubernetes.io/projected -"
	k8s path "$p/volumes/kubernetes.io~downward-api/info/labels" "downwardapi $UID1 info kubernetes.io/downward-api -"
}

@test "the kubelet's, the runtimes' and the control plane's own folders" {
	k8s path /var/lib/kubelet/plugins/kubernetes.io/csi/rbd.csi.ceph.com/abc/globalmount/f "pvc - abc rbd.csi.ceph.com -"
	k8s path /var/lib/kubelet/plugins/kubernetes.io/csi/pv/pvc-9/globalmount "pvc - pvc-9 kubernetes.io/csi -"
	k8s path /var/lib/kubelet/plugins/driver.example/csi.sock "kubelet - - driver.example -"
	k8s path "/var/lib/kubelet/pods/$UID1/etc-hosts" "kubelet $UID1 - - -"
	k8s path "/var/log/pods/ns_web-0_$UID1/app/0.log" "log $UID1 - - -"
	k8s path "/var/lib/docker/containers/$ID/$ID-json.log" "log - - - 11111111"
	k8s path "/run/containerd/io.containerd.runtime.v2.task/k8s.io/$ID/rootfs/etc/passwd" "rootfs - - - 11111111"
	k8s path /var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/metadata.db "runtime - - - -"
	k8s path /var/lib/etcd/member/wal/0.wal "etcd - - - -"
	k8s path /etc/kubernetes/pki/ca.crt "config - - - -"
}

@test "paths that only look like Kubernetes'" {
	k8s path /var/lib/kubelet2/pods/x "none - - - -"
	k8s path /etc/kubernetesX/a "none - - - -"
	k8s path /var/lib/etcd-backup/a "none - - - -"
	k8s path "/srv/var/lib/kubelet/pods/$UID1/volumes/kubernetes.io~secret/a" "none - - - -"
}

# node: a node's files below $ROOT.
node() {
	pods=var/lib/kubelet/pods
	fake "$pods/$UID1/volumes/kubernetes.io~csi/pvc-7/vol_data.json" '{"driverName":"ebs.csi.aws.com","specVolID":"pvc-7-claim"}'
	mkdir -p "$ROOT/$pods/$UID1/volumes/kubernetes.io~csi/pvc-7/mount"
	mkdir -p "$ROOT/$pods/$UID1/volumes/kubernetes.io~empty-dir/scratch"
	mkdir -p "$ROOT/$pods/$UID1/volumes/kubernetes.io~secret/tls"
	mkdir -p "$ROOT/$pods/$STATIC/volumes/kubernetes.io~configmap/conf"
	mkdir -p "$ROOT/var/log/pods/prod_web-0_$UID1/app" "$ROOT/var/log/pods/kube-system_etcd-a_$STATIC/etcd"
	fake proc/self/mountinfo "20 1 8:1 / / rw - ext4 /dev/sda1 rw
30 20 8:16 / /$pods/$UID1/volumes/kubernetes.io~csi/pvc-7/mount rw - xfs /dev/sdb rw
31 20 0:40 / /$pods/$UID1/volumes/kubernetes.io~secret/tls rw - tmpfs tmpfs rw"
}

@test "--volumes lists a recorded node's pods and their volumes" {
	node
	box vfslat --volumes --sysroot "$ROOT" --tsv -n -o namespace,pod,volume_type,volume,plugin,device,fstype
	sorted=$(sort <<<"$output")
	[ "$sorted" = "$(printf '%s\t' kube-system etcd-a configmap conf kubernetes.io/configmap - | sed 's/$/-/')
$(printf '%s\t' prod web-0 emptydir scratch kubernetes.io/empty-dir - | sed 's/$/-/')
$(printf '%s\t' prod web-0 pvc pvc-7-claim ebs.csi.aws.com /dev/sdb | sed 's/$/xfs/')
$(printf '%s\t' prod web-0 secret tls kubernetes.io/secret tmpfs | sed 's/$/tmpfs/')" ]
}

@test "--volumes of a machine without pods is empty, not an error" {
	fake proc/self/mountinfo '20 1 8:1 / / rw - ext4 /dev/sda1 rw'
	box vfslat --volumes --sysroot "$ROOT" --tsv -n
	[ -z "$output" ]
}

@test "a wrong call is exit 2 and says what is wrong" {
	box 2 vfslat --op open 1
	[[ $stderr == *"'open'"* ]]
	box 2 vfslat --kind fifo 1
	box 2 vfslat --pid x 1
	box 2 vfslat --sample 2 1
	box 2 vfslat --without pv 1
	box 2 vfslat --buffer 5000 1
	box 2 vfslat --backend ftrace 1
	box 2 vfslat -s --by inode 1
	box 2 vfslat -s 0
	box 2 vfslat --sysroot "$ROOT" 1
}

@test "without privilege: exit 4 with the reason" {
	need_root
	need_program setpriv
	run --separate-stderr setpriv --reuid 65534 --clear-groups "$STORBOX" vfslat 1
	echo "$stderr"
	[ "$status" -eq 4 ]
	[[ $stderr == *"run it as root"* ]]
}
