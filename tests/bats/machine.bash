# Recorded machines: tests/fixtures/machines/NAME.machine, in the format of tests/record-machine.sh.

unpack() { # FILE DIR
	"$BATS_TEST_DIRNAME/../unpack-machine.py" "$@"
}

# machine NAME : unpacks it below $ROOT.
machine() {
	unpack "$FIXTURES/machines/$1.machine" "$ROOT"
}

# many_disks N : N empty SATA disks sda, sdb, ... sdaaa with udev's records, below $ROOT.
many_disks() {
	awk -v n="$1" '
	function name(i,   s) {
		for (i++; i > 0; i = int((i - 1) / 26))
			s = sprintf("%c", 97 + (i - 1) % 26) s
		return "sd" s
	}
	function put(path, text) { printf "%s\t%s\n", path, text }
	BEGIN {
		for (i = 0; i < n; i++) {
			d = name(i); host = int(i / 16); minor = i * 16; major = 8
			if (i >= 16) { major = 65; minor = (i - 16) * 16 }
			scsi = sprintf("/sys/devices/pci0000:00/0000:00:1f.2/ata%d/host%d/target%d:0:%d/%d:0:%d:0",
				i + 1, i, i, 0, i, 0)
			s = scsi "/block/" d
			put("/sys/block/" d, "-> .." substr(s, 5))
			put("/sys/dev/block/" major ":" minor, "-> ../.." substr(s, 5))
			put(s "/uevent", "MAJOR=" major "\\nMINOR=" minor "\\nDEVNAME=" d \
				"\\nDEVTYPE=disk\\nDISKSEQ=" i + 1)
			put(s "/dev", major ":" minor)
			put(s "/size", sprintf("%.0f", 7814037168 + i))
			put(s "/ro", 0); put(s "/removable", 0); put(s "/diskseq", i + 1)
			put(s "/queue/logical_block_size", 512)
			put(s "/queue/physical_block_size", 4096)
			put(s "/queue/rotational", 1)
			put(s "/slaves/", ""); put(s "/holders/", "")
			put(s "/device", "-> ../../../" substr(scsi, match(scsi, /[^\/]*$/)))
			put(scsi "/vendor", "ATA     "); put(scsi "/model", "ST4000NM0035-1V4")
			put(scsi "/type", 0); put(scsi "/state", "running")
			put(scsi "/wwid", sprintf("naa.5000c500%08x", i))
			put("/run/udev/data/b" major ":" minor, sprintf("I:0\\nE:ID_BUS=ata" \
				"\\nE:ID_MODEL=ST4000NM0035-1V4107\\nE:ID_SERIAL_SHORT=ZC1%05d" \
				"\\nE:ID_SERIAL=ST4000NM0035-1V4107_ZC1%05d\\nE:ID_WWN=0x5000c500%08x" \
				"\\nE:ID_WWN_WITH_EXTENSION=0x5000c500%08x\\nE:ID_TYPE=disk", i, i, i, i))
		}
		put("/proc/self/mountinfo", "1 1 0:2 / / rw - rootfs rootfs rw")
		put("/proc/swaps", "Filename\\t\\t\\t\\tType\\t\\tSize\\t\\tUsed\\t\\tPriority")
		put("/proc/filesystems", "nodev\\tsysfs\\n\\tbtrfs")
	}' >"$BATS_TEST_TMPDIR/many.machine"
	unpack "$BATS_TEST_TMPDIR/many.machine" "$ROOT"
}
