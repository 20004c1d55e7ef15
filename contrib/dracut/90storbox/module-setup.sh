#!/bin/bash
# dracut module, /usr/lib/dracut/modules.d/90storbox: as contrib/initramfs-tools, for dracut.
# Asked for by name: dracut --add storbox, or add_dracutmodules+=" storbox " in /etc/dracut.conf.d.
# shellcheck disable=SC2154 # moddir is dracut's

check() {
	require_binaries "${storbox_program:-storbox}" mkfs.btrfs mkfs.ext4 mkfs.vfat mkswap || return 1
	return 255 # only when asked for
}

depends() {
	echo rootfs-block
}

installkernel() {
	instmods btrfs ext4 vfat nls_cp437 nls_ascii nls_iso8859-1 raid1
}

install() {
	local name storbox
	storbox=$(type -P "${storbox_program:-storbox}")
	inst "$storbox" /usr/sbin/storbox
	"$storbox" --list | cut -f 1 | while read -r name; do
		ln -sf storbox "$initdir/usr/sbin/$name"
	done
	inst_multiple mkfs.btrfs mkfs.ext4 mkfs.vfat mkswap
	inst_multiple -o mdadm
	inst_hook pre-pivot 50 "$moddir/storbox-sysvol.sh"
}
