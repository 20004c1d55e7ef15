# tier: vm
# timeout: 1200
# The three ways into an initramfs, each booted on an empty disk: make initramfs, initramfs-tools,
# dracut. A mos-sysvol that ran shows in what the system that follows finds mounted.
load ../vm/helpers

TOP=$BATS_TEST_DIRNAME/../..

setup_file() {
	vm_need 6.12
	export KERNEL
	KERNEL=$("$VM_DIR/kernel" 6.12)
	export VERSION
	VERSION=$(cat "$KERNEL/version")
	# What /sbin/init of the system does: says where things are, and ends as PID 1 does in tests.
	cat >"$BATS_FILE_TMPDIR/init" <<-'END'
		#!/bin/sh
		export PATH=/usr/sbin:/usr/bin:/sbin:/bin
		grep -q ' /proc ' /proc/mounts || mount -t proc proc /proc
		sed -n 's,^\([^ ]*\) \(/\|/boot.*\|/var/cache/[^ ]*\) \([^ ]*\) .*,mounted: \2 \3,p' /proc/mounts
		sed -n 's,^/dev/[^ ]*  *.*,swap: on,p' /proc/swaps
		# The lines would be lost with the machine if the console had not written them.
		sleep 0.5
		exit 0
	END
	chmod +x "$BATS_FILE_TMPDIR/init"
	# A root file system that has mount points, a shell, and that /sbin/init. It stays read-only.
	root=$BATS_FILE_TMPDIR/root
	mkdir -p "$root"/{bin,sbin,usr,etc,dev,proc,sys,run,tmp,boot/efi,root} \
		"$root"/var/cache/{system,etc,modules,vm-meta}
	mkdir "$root/boot/.keep" "$root/usr/"{bin,sbin,lib}
	cp "$(type -P busybox)" "$root/bin/busybox"
	for name in sh grep sed mount sleep; do ln -s busybox "$root/bin/$name"; done
	cp "$BATS_FILE_TMPDIR/init" "$root/sbin/init"
	echo 'ID=test' >"$root/etc/os-release"
	truncate -s 64M "$BATS_FILE_TMPDIR/root.img"
	mke2fs -q -t ext4 -L ROOT -d "$root" "$BATS_FILE_TMPDIR/root.img"
}

# boot IMAGE [option of tests/vm/run]...
boot() {
	local image=$1
	shift
	run --separate-stderr "$VM_DIR/run" --initramfs "$image" --kernel 6.12 --timeout 180 --mem 1024 "$@" - <<<''
	printf '$ boot %s [%s]\n%s\n%s\n' "$*" "$status" "$output" "$stderr"
	[ "$status" -eq 0 ]
}

storage_is_up() {
	local at
	for at in '/boot ext4' '/boot/efi vfat' '/var/cache/system btrfs' '/var/cache/etc btrfs' \
		'/var/cache/modules btrfs' '/var/cache/vm-meta btrfs'; do
		[[ $output == *"mounted: $at"* ]] || { echo "not mounted: $at"; return 1; }
	done
	[[ $output == *'swap: on'* ]]
}

# In a mount namespace where the kernel's modules are this machine's.
with_modules() { # COMMAND...
	need_root
	# shellcheck disable=SC2016 # the inner shell's
	unshare -m bash -ec 'mount --make-rprivate /; mkdir -p /lib/modules
		mount -t overlay none -o "lowerdir=$1/lib/modules:/lib/modules" /lib/modules 2>/dev/null ||
			mount --bind "$1/lib/modules" /lib/modules
		# Its configuration says how an image may be packed.
		mount -t tmpfs none /boot; cp "$1/config" "/boot/config-$VERSION"
		shift; exec "$@"' - "$KERNEL" "$@"
}

@test "make initramfs: the image is the system; it makes the storage, and finds it the next time" {
	local image=$BATS_TEST_TMPDIR/image disk
	disk=$(vm_disk 9G disk)
	"$TOP/contrib/initramfs/build" "$image" --storbox "$STORBOX" --kernel "$KERNEL" \
		--file "$BATS_FILE_TMPDIR/init:/sbin/init"
	boot "$image" --disk "$disk" --append 'mossize=2 mosswap=1'
	storage_is_up
	boot "$image" --disk "$disk" --append 'mossize=2 mosswap=1'
	storage_is_up
	boot "$image" --disk "$disk" --append mossysvol=0
	[[ $output != *'mounted: /var/cache'* ]]
	# On a second disk, with the first one as it is, nothing is made: the first is the storage.
	boot "$image" --disk "$disk" --disk "$(vm_disk 9G second)"
	storage_is_up
	run cmp -n 1000000 "$BATS_TEST_TMPDIR/second" /dev/zero
	[ "$status" -eq 0 ]
}

@test "make initramfs: it goes on with the root file system; the same input gives the same bytes" {
	local image=$BATS_TEST_TMPDIR/image
	"$TOP/contrib/initramfs/build" "$image" --storbox "$STORBOX" --kernel "$KERNEL"
	"$TOP/contrib/initramfs/build" "$image.again" --storbox "$STORBOX" --kernel "$KERNEL"
	cmp "$image" "$image.again"
	boot "$image" --disk "$BATS_FILE_TMPDIR/root.img,snapshot" --disk "$(vm_disk 9G),bus=nvme" \
		--append 'root=LABEL=ROOT mossize=2 mosswap=1'
	storage_is_up
	[[ $output == *'mounted: / ext4'* ]]
}

@test "make initramfs: what is missing is refused by name" {
	run "$TOP/contrib/initramfs/build" "$BATS_TEST_TMPDIR/i" --storbox "$STORBOX" --kernel "$KERNEL" --program no-such-program
	[ "$status" -eq 1 ]
	[[ $output == *no-such-program* ]]
	run "$TOP/contrib/initramfs/build" "$BATS_TEST_TMPDIR/i" --storbox "$STORBOX" --kernel 9.9.9
	[ "$status" -eq 1 ]
	[[ $output == *9.9.9* ]]
	[ ! -e "$BATS_TEST_TMPDIR/i" ]
}

@test "initramfs-tools: hook and boot script, asked for by STORBOX=y and mossysvol=1" {
	need_program mkinitramfs
	local conf=$BATS_TEST_TMPDIR/conf image=$BATS_TEST_TMPDIR/image
	mkdir -p "$conf"/{hooks,conf.d,scripts/local-bottom}
	cp "$TOP/contrib/initramfs-tools/hook" "$conf/hooks/storbox"
	cp "$TOP/contrib/initramfs-tools/script" "$conf/scripts/local-bottom/storbox"
	sed -e 's/^MODULES=.*/MODULES=list/' /etc/initramfs-tools/initramfs.conf >"$conf/initramfs.conf"
	printf '%s\n' virtio_pci virtio_blk ext4 >"$conf/modules"
	# As shipped, it is off: nothing of ours gets in.
	cp "$TOP/contrib/initramfs-tools/conf" "$conf/conf.d/storbox"
	with_modules mkinitramfs -d "$conf" -o "$image" "$VERSION"
	run bash -c "lsinitramfs '$image' | grep -E 'bin/(storbox|mos-sysvol|mkfs.btrfs)$'"
	[ "$status" -eq 1 ]
	printf 'STORBOX=y\nSTORBOX_PROGRAM=%s\n' "$(realpath "$STORBOX")" >"$conf/conf.d/storbox"
	with_modules mkinitramfs -d "$conf" -o "$image" "$VERSION"
	local disk
	disk=$(vm_disk 9G disk)
	boot "$image" --disk "$BATS_FILE_TMPDIR/root.img,snapshot" --disk "$disk" \
		--append 'root=/dev/vda mossysvol=1 mossize=2 mosswap=1'
	storage_is_up
	# Not asked for: the empty disk stays empty.
	local untouched
	untouched=$(vm_disk 9G untouched)
	boot "$image" --disk "$BATS_FILE_TMPDIR/root.img,snapshot" --disk "$untouched" --append 'root=/dev/vda'
	[[ $output == *'mounted: / ext4'* ]]
	[[ $output != *'mounted: /var/cache'* ]]
	run cmp -n 1000000 "$untouched" /dev/zero
	[ "$status" -eq 0 ]
}

@test "dracut: the module, asked for by name and mossysvol=1" {
	need_program dracut
	local base=$BATS_TEST_TMPDIR/dracut image=$BATS_TEST_TMPDIR/image
	cp -a /usr/lib/dracut "$base"
	cp -a "$TOP/contrib/dracut/90storbox" "$base/modules.d/"
	mkdir "$BATS_TEST_TMPDIR/empty"
	dracutbasedir=$base storbox_program=$(realpath "$STORBOX") with_modules dracut --quiet --force \
		--conf /dev/null --confdir "$BATS_TEST_TMPDIR/empty" --no-hostonly --no-early-microcode \
		--modules 'base fs-lib kernel-modules rootfs-block udev-rules storbox' --no-compress \
		--drivers 'virtio_pci virtio_blk ext4' --kver "$VERSION" "$image"
	boot "$image" --disk "$BATS_FILE_TMPDIR/root.img,snapshot" --disk "$(vm_disk 9G)" \
		--append 'root=/dev/vda mossysvol=1 mossize=2 mosswap=1 rd.shell=0'
	storage_is_up
	[[ $output == *'mounted: / ext4'* ]]
}
