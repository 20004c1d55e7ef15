# For bats files that need a machine of their own: `load ../vm/helpers`. See tests/vm/README.md.

VM_DIR=$(cd "${BASH_SOURCE[0]%/*}" && pwd)
# shellcheck source=tests/bats/helpers.bash
source "$VM_DIR/../bats/helpers.bash"

# vm_need [KERNEL...]: call it in setup_file. Skips the file with the reason where no machine can be
# booted; in CI that is a failure, for there nobody would miss the tests.
vm_need() {
	local name
	need_program qemu-system-x86_64 qemu-img busybox cpio xz zstd
	for name in "${@:-6.12}"; do
		"$VM_DIR/kernel" "$name" >/dev/null 2>"$BATS_FILE_TMPDIR/kernel" ||
			skip_or_fail "no kernel $name: $(tail -n 1 "$BATS_FILE_TMPDIR/kernel")"
	done
}

# vm_disk SIZE [NAME]: a new sparse image in the test's folder; prints its path.
vm_disk() {
	local path=$BATS_TEST_TMPDIR/${2:-disk$RANDOM$RANDOM}
	truncate -s "$1" "$path"
	echo "$path"
}

# vm_run [STATUS] [option of tests/vm/run]... <<'VM' script VM
# The script's stdout is in $output, its stderr in $stderr.
vm_run() {
	local want=0
	[[ ${1:-} =~ ^[0-9]+$ ]] && { want=$1; shift; }
	[ ! -x "$STORBOX" ] || set -- --storbox "$STORBOX" "$@"
	run --separate-stderr "$VM_DIR/run" "$@" -
	printf '$ vm_run %s [%s]\n%s\n%s\n' "$*" "$status" "$output" "$stderr"
	[ "$status" -eq "$want" ]
}

# tap_from_vm: asserts on the TAP that the last vm_run printed: a plan that holds, no `not ok`.
tap_from_vm() {
	local plans planned ran failed
	plans=$(grep -c -E '^1\.\.[0-9]+$' <<<"$output" || true)
	planned=$(sed -n 's/^1\.\.\([0-9]*\)$/\1/p' <<<"$output")
	ran=$(grep -c -E '^(not )?ok ' <<<"$output" || true)
	failed=$(grep -E '^not ok ' <<<"$output" || true)
	if [ "$plans" -ne 1 ]; then
		echo "the machine printed $plans plans, not one"
		return 1
	fi
	if [ "$ran" -ne "$planned" ]; then
		echo "$ran of $planned tests ran in the machine"
		return 1
	fi
	[ -z "$failed" ] || { printf 'in the machine:\n%s\n' "$failed"; return 1; }
}

# vm_tap : what a script in the machine begins with to print TAP: `ok DESCRIPTION COMMAND...` is a test,
# whose output is shown where it fails; `says STATUS WORDS COMMAND...` is a command that ends with that
# status and says each of the words, separated by |. $n tests by then.
vm_tap() {
	cat <<-'VM'
		n=0
		ok() {
			n=$((n + 1)) what=$1
			shift
			if out=$("$@" 2>&1); then echo "ok $n $what"; else
				echo "not ok $n $what"
				echo "$out" | sed 's/^/# /'
			fi
		}
		says() (
			want=$1 words=$2
			shift 2
			said=$("$@" 2>&1)
			got=$?
			echo "$* [$got]: $said"
			[ "$got" -eq "$want" ] || return 1
			IFS='|'
			for word in $words; do
				case $said in *"$word"*) ;; *) echo "lacks: $word"; return 1 ;; esac
			done
		)
	VM
}
