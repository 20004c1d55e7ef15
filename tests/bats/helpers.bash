# Shared by every test file: one way to run, one way to fake a machine.
bats_require_minimum_version 1.5.0

: "${STORBOX:=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)/build/storbox}"
FIXTURES=$BATS_TEST_DIRNAME/../fixtures
# Programs of tests/unit; who names another folder of them has built them.
UNIT=${UNIT_PROGRAMS:-$(cd "$BATS_TEST_DIRNAME/../.." && pwd)/build/unit}

# make_unit NAME : $UNIT/NAME is up to date.
make_unit() {
	[ -n "${UNIT_PROGRAMS:-}" ] || make -s -C "$BATS_TEST_DIRNAME/../.." "build/unit/$1"
}

# box [EXPECTED_STATUS] args... : stdout in $output, stderr in $stderr. The command and its output
# are echoed, so that a failing test shows them.
box() {
	local want=0
	if [[ $1 =~ ^[0-9]+$ ]]; then
		want=$1
		shift
	fi
	run --separate-stderr "$STORBOX" "$@"
	printf '$ storbox %s [%s]\n%s\n%s\n' "$*" "$status" "$output" "$stderr"
	[ "$status" -eq "$want" ]
}

# fake PATH VALUE : a file below the fake root.
fake() {
	mkdir -p "$ROOT/${1%/*}"
	printf '%s\n' "$2" >"$ROOT/$1"
}

# skip_or_fail WHY : a machine may lack something; CI may not.
skip_or_fail() {
	if [ "${CI:-}" = true ]; then
		echo "CI lacks: $1" >&2
		return 1
	fi
	skip "$1"
}

need_root() {
	[ "$(id -u)" = 0 ] || skip_or_fail "needs root"
}

need_program() {
	local p
	for p in "$@"; do
		command -v "$p" >/dev/null || skip_or_fail "needs $p; make deps installs it"
	done
}

# need_openat2 : Debian 12's valgrind does not know it.
need_openat2() {
	[ "${SAN:-}" != valgrind ] || skip "valgrind has no openat2()"
}

# crashes_are_fatal : a sanitizer leaves the signals of a crash to the program, as without one.
crashes_are_fatal() {
	export ASAN_OPTIONS=${ASAN_OPTIONS-}:handle_segv=0:handle_abort=0:handle_sigbus=0
}

setup() {
	ROOT=$BATS_TEST_TMPDIR/root
	mkdir -p "$ROOT"
}

# hash_of_data FILE : of its length, and of its blocks that are no zeroes and where they are; a sparse
# image of many GB costs no more than what is in it.
hash_of_data() {
	python3 - "$1" <<-'PY'
		import hashlib, os, sys
		fd, at, h = os.open(sys.argv[1], os.O_RDONLY), 0, hashlib.sha256()
		h.update(b"%d" % os.fstat(fd).st_size)
		while True:
		    try:
		        at = os.lseek(fd, at, os.SEEK_DATA)
		    except OSError:
		        break
		    block = os.pread(fd, 65536 - at % 65536, at)
		    if not block: # no file: a device that has no end
		        break
		    if block.strip(b"\0"):
		        h.update(b"%d " % at + block)
		    at += len(block)
		print(h.hexdigest())
	PY
}
