# tier: vm
# README's tour, each line run as it is printed, in the order in which it is printed.
load ../vm/helpers

TOP=$BATS_TEST_DIRNAME/../..

setup_file() { vm_need 6.12; need_program jq; }

@test "README's tour works as printed" {
	# As a shell script that says each line before it is run, and stops at one that fails.
	awk '/^## A tour/ { on = 1; next } /^## / { on = 0 } on && sub(/^    /, "")' "$TOP/README.md" >"$BATS_TEST_TMPDIR/tour"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/tour")" -ge 9 ]
	{
		echo 'set -o pipefail'
		echo 'modprobe btrfs'
		while IFS= read -r line; do
			printf 'cat <<\\END\n$ %s\nEND\n{ %s\n} || { echo "failed: $?"; exit 1; }\n' "$line" "$line"
		done <"$BATS_TEST_TMPDIR/tour"
	} >"$BATS_TEST_TMPDIR/script"
	vm_run --mem 1024 --disk "$(vm_disk 16G a),bus=scsi" --disk "$(vm_disk 16G b),bus=scsi" \
		--module btrfs --with-module ext4 --with-module vfat --with-module nls_cp437 --with-module nls_ascii \
		--program jq --program mkfs.btrfs --program mkfs.ext4 --program mkfs.vfat --program mkswap \
		<"$BATS_TEST_TMPDIR/script"
	# And does what the text says: the pipeline on the disk it names, the node on the one left empty.
	[[ $output == *$'\nbtrfs\tDATA\t'*$'\t/dev/sdb1\t'* ]]
	[[ $output == *$'\n/var/cache/system\t/dev/sda5\tbtrfs\tbrought up\n'* ]]
	[[ $output == *$'$ subvol list'*$'\tmyapp\t'* ]]
}
