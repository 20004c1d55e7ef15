# tier: loop
# timeout: 1200
# mos-volmgrd itself: its socket, who may call, crashes, locks, devices that do not answer, its end.
load helpers
load loop
load volmgr


setup() {
	need_root
	need_program socat jq python3 setpriv flock pgrep
	ROOT=$BATS_TEST_TMPDIR/root
}
teardown() {
	rm -f "$BATS_TEST_TMPDIR/stuck"
	release
	daemon_teardown
	loop_teardown
	for _ in 1 2 3 4 5 6 7 8 9; do # until nothing reads the disk on it any more
		[ -e "$BATS_TEST_TMPDIR/fuse/disk" ] || break
		umount "$BATS_TEST_TMPDIR/fuse" 2>/dev/null || sleep 0.2
	done
	umount -l "$BATS_TEST_TMPDIR/fuse" 2>/dev/null || true
}

gpt_disk() { # sets $LOOP
	loop_new "${1:-1G}"
	echo 'label: gpt' | sfdisk -q "$LOOP"
}

# A disk that nobody can lock until `release`: a change to it waits.
hold() { # LOOP
	rm -f "$BATS_TEST_TMPDIR/held-now"
	flock "$1" bash -c 'touch "$1/held-now"; until [ -e "$1/go" ]; do sleep 0.02; done' _ "$BATS_TEST_TMPDIR" 3>&- &
	until [ -e "$BATS_TEST_TMPDIR/held-now" ]; do sleep 0.02; done
}
release() { touch "$BATS_TEST_TMPDIR/go"; }

request() { # ID METHOD PARAMS
	echo "{\"jsonrpc\":\"2.0\",\"id\":$1,\"method\":\"storage.$2\",\"params\":$3}"
}

# In the background: its answer goes into the file.
ask_later() { # FILE ID METHOD PARAMS
	request "${@:2}" | socat -t60 - "UNIX-CONNECT:$SOCK" >"$1" 3>&- &
	ASKED=$!
}

partition_names() { sfdisk --json "$1" | jq -r '.partitiontable.partitions // [] | map(.name) | sort | join(" ")'; }

wait_for() { # COMMAND... : at most 10 s
	local i
	for i in $(seq 200); do
		"$@" && return
		sleep 0.05
	done
	return 1
}
worker_waits() { [ -n "$(pgrep -P "$DAEMON")" ]; }

@test "the socket is 0660 of root; SIGTERM ends the daemon well and removes it" {
	daemon_start
	[ "$(stat -c '%a %U:%G %F' "$SOCK")" = "660 root:root socket" ]
	daemon_stop
	[ ! -e "$SOCK.lock" ]
}

@test "a live socket is not taken over, a stale one is, another file is left alone" {
	daemon_start
	box 1 mos-volmgrd --socket "$SOCK"
	[[ $stderr == *"$SOCK: another mos-volmgrd has this socket"* ]]
	call storage.list_mounts
	kill -KILL "$DAEMON"
	wait "$DAEMON" || true
	[ -S "$SOCK" ]
	: >"$LOG"
	daemon_start
	call storage.list_mounts
	daemon_stop
	echo precious >"$SOCK"
	box 1 mos-volmgrd --socket "$SOCK"
	[[ $stderr == *"is no socket"* ]]
	[ "$(cat "$SOCK")" = precious ]
	rm "$SOCK"
	python3 -c 'import socket, sys, time
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); time.sleep(20)' "$SOCK" 3>&- &
	other=$!
	wait_for test -S "$SOCK"
	box 1 mos-volmgrd --socket "$SOCK"
	[[ $stderr == *"another program listens there"* ]]
	kill "$other"
}

@test "socket activation, and readiness is told" {
	run timeout 20 python3 - "$STORBOX" "$BATS_TEST_TMPDIR" <<-'PY'
		import json, os, signal, socket, subprocess, sys
		box, tmp = sys.argv[1:]
		ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
		ready.bind(tmp + "/notify")
		listener = socket.socket(socket.AF_UNIX)
		listener.bind(tmp + "/activated")
		listener.listen()
		pid = os.fork()
		if not pid:
		    os.dup2(listener.fileno(), 3)
		    os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()), NOTIFY_SOCKET=tmp + "/notify")
		    os.execv(box, ["storbox", "mos-volmgrd", "--socket", tmp + "/unused"])
		ready.settimeout(10)
		assert ready.recv(100) == b"READY=1"
		client = socket.socket(socket.AF_UNIX)
		client.connect(tmp + "/activated")
		client.sendall(b'{"jsonrpc":"2.0","id":1,"method":"storage.list_mounts"}\n')
		assert json.loads(client.makefile().readline())["id"] == 1
		os.kill(pid, signal.SIGTERM)
		assert ready.recv(100) == b"STOPPING=1"
		assert os.waitpid(pid, 0)[1] == 0
		assert os.path.exists(tmp + "/activated") and not os.path.exists(tmp + "/unused")
		print("activated")
	PY
	echo "$output"
	[ "$output" = activated ]
}

@test "the unit files are what systemd understands" {
	need_program systemd-analyze
	mkdir "$BATS_TEST_TMPDIR/units"
	cp "$BATS_TEST_DIRNAME"/../../contrib/systemd/mos-volmgrd.* "$BATS_TEST_TMPDIR/units/"
	sed -i "s,^ExecStart=.*,ExecStart=/bin/true," "$BATS_TEST_TMPDIR/units/mos-volmgrd.service"
	run systemd-analyze verify --man=no "$BATS_TEST_TMPDIR"/units/mos-volmgrd.service
	echo "$output"
	run ! grep mos-volmgrd <<<"$output"
}

as() { # SETPRIV-OPTIONS METHOD [PARAMS] : sets $code and $errno
	local line
	line=$(request 1 "$2" "${3:-{\}}")
	# shellcheck disable=SC2086
	run setpriv $1 --inh-caps=-all -- socat -t20 - "UNIX-CONNECT:$SOCK" <<<"$line"
	echo "$output"
	if [ "$status" -eq 0 ]; then
		code=$(jq .error.code <<<"$output") errno=$(jq -r .error.data.errno <<<"$output")
	fi
}

@test "who may call: root all, members of the group what only looks, others nothing" {
	chmod 755 "$BATS_TEST_TMPDIR" "$BATS_RUN_TMPDIR" "$BATS_RUN_TMPDIR/test" 2>/dev/null || true
	SOCK=/run/volmgrd-test.$$
	daemon_start --group 4242
	[ "$(stat -c '%a %u:%g' "$SOCK")" = "660 0:4242" ]
	as "--reuid=65534 --regid=4242 --clear-groups" list_mounts
	[ "$code" = null ]
	as "--reuid=65534 --regid=65534 --groups=7,4242" list_mounts
	[ "$code" = null ]
	as "--reuid=65534 --regid=4242 --clear-groups" unmount '{"path":"/nowhere"}'
	[ "$code $errno" = "-32000 EACCES" ]
	as "--reuid=65534 --regid=4242 --clear-groups" scrub_cancel '{"mount_point":"/nowhere"}'
	[ "$code $errno" = "-32000 EACCES" ]
	as "--reuid=65534 --regid=65534 --clear-groups" list_mounts
	[ "$status" -ne 0 ] # the socket's own mode
	chmod 666 "$SOCK"
	as "--reuid=65534 --regid=65534 --clear-groups" list_mounts
	[ "$code $errno" = "-32000 EACCES" ]
	as "--reuid=65534 --regid=65534 --clear-groups" no_such_method
	[ "$code" = -32601 ]
	as "--reuid=0 --regid=0 --clear-groups" unmount '{"path":"/nowhere"}'
	[ "$code" = -32001 ]
	daemon_stop
}

@test "a crash while serving is an internal error for that request, and nothing else" {
	gpt_disk
	daemon_start
	hold "$LOOP"
	ask_later "$BATS_TEST_TMPDIR/a" 1 create_partition "{\"disk\":\"$LOOP\",\"name\":\"one\"}"
	asked=$ASKED
	wait_for worker_waits
	kill -ABRT "$(pgrep -P "$DAEMON")"
	wait "$asked"
	cat "$BATS_TEST_TMPDIR/a"
	[ "$(jq -c '[.id,.error.code]' "$BATS_TEST_TMPDIR/a")" = '[1,-32603]' ]
	[[ $(jq -r .error.message "$BATS_TEST_TMPDIR/a") == *"signal 6"* ]]
	release
	call storage.create_partition "{\"disk\":\"$LOOP\",\"name\":\"two\"}"
	[ "$(partition_names "$LOOP")" = two ]
	daemon_stop
}

@test "a second change to a disk is told who holds it; another disk is not waited for" {
	gpt_disk
	first=$LOOP
	gpt_disk
	daemon_start --lock-wait 1
	hold "$first"
	ask_later "$BATS_TEST_TMPDIR/a" 1 create_partition "{\"disk\":\"$first\",\"name\":\"one\"}"
	asked=$ASKED
	wait_for worker_waits
	sleep 0.3
	call storage.create_partition "{\"disk\":\"$LOOP\",\"name\":\"other\"}"
	[ "$error" = null ]
	call storage.create_partition "{\"disk\":\"$first\",\"name\":\"two\"}"
	[ "$(jq -r '[.code, .data.object, .data.errno] | join(" ")' <<<"$error")" = "-32000 $first EBUSY" ]
	[[ $(jq -r .data.found <<<"$error") == "is being changed by storage.create_partition of uid 0 (pid "* ]]
	release
	wait "$asked"
	[ "$(jq -r .result.name "$BATS_TEST_TMPDIR/a")" = one ]
	[ "$(partition_names "$first")" = one ]
	daemon_stop
}

@test "eight changes to one disk at once: one after the other, all done" {
	gpt_disk
	daemon_start
	for i in 1 2 3 4 5 6 7 8; do
		ask_later "$BATS_TEST_TMPDIR/a$i" "$i" create_partition "{\"disk\":\"$LOOP\",\"name\":\"p$i\",\"size_bytes\":16777216}"
		pids+=("$ASKED")
	done
	wait "${pids[@]}"
	cat "$BATS_TEST_TMPDIR"/a?
	[ "$(cat "$BATS_TEST_TMPDIR"/a? | jq -r .result.name | xargs)" = "p1 p2 p3 p4 p5 p6 p7 p8" ]
	[ "$(partition_names "$LOOP")" = "p1 p2 p3 p4 p5 p6 p7 p8" ]
	[ "$(sfdisk --json "$LOOP" | jq '.partitiontable.partitions | map(.start) | unique | length')" = 8 ]
	daemon_stop
}

@test "what a client that disconnects asked for is done whole" {
	gpt_disk
	daemon_start
	hold "$LOOP"
	python3 - "$SOCK" "$(request 1 create_partition "{\"disk\":\"$LOOP\",\"name\":\"kept\"}")" \
		"$(request 2 create_partition "{\"disk\":\"$LOOP\",\"name\":\"later\"}" | tr -d '\n')" <<-'PY'
		import socket, sys
		s = socket.socket(socket.AF_UNIX)
		s.connect(sys.argv[1])
		s.sendall(sys.argv[2].encode() + b"\n" + sys.argv[3].encode())
		s.close()
	PY
	wait_for worker_waits
	release
	wait_for test -n "$(partition_names "$LOOP")" || true
	wait_for eval '! worker_waits'
	sleep 0.3
	[ "$(partition_names "$LOOP")" = kept ] # the half line was no request
	daemon_stop
}

@test "SIGTERM: a change is finished and answered, no new one is begun" {
	gpt_disk
	daemon_start
	hold "$LOOP"
	ask_later "$BATS_TEST_TMPDIR/a" 1 create_partition "{\"disk\":\"$LOOP\",\"name\":\"one\"}"
	asked=$ASKED
	wait_for worker_waits
	kill -TERM "$DAEMON"
	wait_for eval '[ ! -e "$SOCK" ]'
	kill -0 "$DAEMON"
	release
	wait "$asked"
	wait "$DAEMON"
	unset DAEMON
	[ "$(jq -r .result.name "$BATS_TEST_TMPDIR/a")" = one ]
	[ "$(partition_names "$LOOP")" = one ]
}

@test "one log line for each request, which a client cannot forge" {
	daemon_start
	rpc '{"jsonrpc":"2.0","id":1,"method":"a\nmos-volmgrd: uid 0 forged\u001b[31m"}'
	rpc '[{"jsonrpc":"2.0","id":1,"method":"storage.list_mounts"},{"jsonrpc":"2.0","method":"storage.list_mounts"}]'
	cat "$LOG"
	[ "$(grep -c 'storage.list_mounts: done in' "$LOG")" -eq 2 ]
	[ "$(grep -c forged "$LOG")" -eq 1 ]
	run ! grep -q $'\033' "$LOG"
	daemon_stop
}

@test "1024 clients are served, further ones are told so" {
	daemon_start
	run python3 - "$SOCK" <<-'PY'
		import json, resource, socket, sys
		resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
		clients = []
		for i in range(1040):
		    s = socket.socket(socket.AF_UNIX)
		    s.connect(sys.argv[1])
		    clients.append(s)
		clients[-1].settimeout(5)
		print(json.loads(clients[-1].makefile().readline())["error"]["data"]["errno"])
		clients[1000].sendall(b'{"jsonrpc":"2.0","id":1,"method":"storage.list_mounts"}\n')
		print(json.loads(clients[1000].makefile().readline())["id"])
		del clients
	PY
	echo "$output"
	[ "$(xargs <<<"$output")" = "EUSERS 1" ]
	call storage.list_mounts
	daemon_stop
}

# A disk whose reads hang while $BATS_TEST_TMPDIR/stuck is there; sets $LOOP.
stuck_disk() {
	[ -x "$UNIT/stuckfile" ] || skip_or_fail "needs make build/unit/stuckfile"
	[ -c /dev/fuse ] || skip_or_fail "this kernel has no FUSE"
	mkdir "$BATS_TEST_TMPDIR/fuse"
	"$UNIT/stuckfile" "$BATS_TEST_TMPDIR/fuse" 67108864 "$BATS_TEST_TMPDIR/stuck" 3>&- &
	wait_for test -e "$BATS_TEST_TMPDIR/fuse/disk"
	LOOP=$(losetup --find --show "$BATS_TEST_TMPDIR/fuse/disk")
	echo "$LOOP" >>"$BATS_TEST_TMPDIR/loops"
}
make_stuck() {
	touch "$BATS_TEST_TMPDIR/stuck"
	blockdev --flushbufs "$LOOP" # or the page cache answers
}
probe_error() { # of $LOOP
	call storage.list_disks
	jq -r --arg d "$LOOP" '.[] | select(.path == $d) | .probe_error' <<<"$result"
}

@test "a device that does not answer delays no other client, is named, and is read again later" {
	gpt_disk
	good=$LOOP
	stuck_disk
	daemon_start --device-wait 6
	[ "$(probe_error | tail -n1)" = null ]
	make_stuck
	ask_later "$BATS_TEST_TMPDIR/a" 1 list_disks '{}'
	asked=$ASKED
	sleep 0.3
	began=$(date +%s%N)
	call storage.fs_usage '{"mount_point":"/proc"}'
	call rpc.discover
	[ $(($(date +%s%N) - began)) -lt 5000000000 ]
	wait "$asked"
	run jq -r --arg d "$LOOP" '.result[] | select(.path == $d) | .probe_error' "$BATS_TEST_TMPDIR/a"
	[[ $output == "does not answer: a read of it has taken "* ]]
	# From now on nobody waits for it; changes to other disks go on, and to it are refused.
	began=$(date +%s%N)
	call storage.list_partitions
	call storage.create_partition "{\"disk\":\"$good\",\"name\":\"one\"}"
	[ "$error" = null ]
	[ $(($(date +%s%N) - began)) -lt 5000000000 ]
	cat "$LOG"
	[ "$(grep -c 'does not answer, and is left alone' "$LOG")" -eq 1 ]
	rm "$BATS_TEST_TMPDIR/stuck"
	wait_for grep -q 'answers again' "$LOG"
	[ "$(probe_error | tail -n1)" = null ]
	wait_for eval '! worker_waits'
	daemon_stop
}

@test "200 clients beside a device that does not answer: no error, nothing lost or crossed, memory flat" {
	stuck_disk
	daemon_start
	"$UNIT/rpcload" "$SOCK" 50 1 storage.list_disks >/dev/null
	before=$(awk '/VmRSS/ { print $2 }' "/proc/$DAEMON/status")
	make_stuck
	run "$UNIT/rpcload" "$SOCK" 200 "${LOAD_SECONDS:-6}" storage.list_disks storage.list_partitions \
		storage.inventory storage.list_mounts rpc.discover
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(cut -f3-5 <<<"$output" | xargs)" = "0 0 0" ]
	after=$(awk '/VmRSS/ { print $2 }' "/proc/$DAEMON/status")
	echo "memory $before $after kB; processes left: $(ps -o pid,stat,wchan:30,args --ppid "$DAEMON")"
	[ -n "${SAN:-}" ] || [ "$after" -lt $((before + 4096)) ]
	# Those that met the device at first stay there, at most as many as query at once; no more come.
	left=$(pgrep -c -P "$DAEMON")
	[ "$left" -le 16 ]
	"$UNIT/rpcload" "$SOCK" 50 2 storage.list_disks storage.inventory
	wait_for eval '[ "$(pgrep -c -P "$DAEMON")" -le "$left" ]'
	[ "$(find "/proc/$DAEMON/fd" -type s,l | wc -l)" -lt 20 ]
	rm "$BATS_TEST_TMPDIR/stuck"
	wait_for eval '! worker_waits'
	daemon_stop
}

@test "watch: disks, partitions and mounts come and go; one worker for all who watch; it ends with them" {
	daemon_start
	for i in 1 2; do
		{
			request 1 watch '{"interval_s":0.5}'
			sleep 30
		} | socat -t1 - "UNIX-CONNECT:$SOCK" >"$BATS_TEST_TMPDIR/w$i" 3>&- &
		watchers+=($!)
	done
	wait_for grep -q subscribed "$BATS_TEST_TMPDIR/w1"
	wait_for grep -q subscribed "$BATS_TEST_TMPDIR/w2"
	[ "$(pgrep -c -P "$DAEMON")" -eq 1 ]
	loop_new 512M
	mkfs.ext4 -q "$LOOP"
	mkdir "$BATS_TEST_TMPDIR/m"
	mount "$LOOP" "$BATS_TEST_TMPDIR/m"
	seen() { jq -r 'select(.method == "storage.event") | .params | .event + " " + .object' "$BATS_TEST_TMPDIR/w$1"; }
	wait_for eval 'seen 1 | grep -qx "mounted $BATS_TEST_TMPDIR/m"'
	mount -o remount,ro "$BATS_TEST_TMPDIR/m"
	wait_for eval 'seen 1 | grep -qx "remounted $BATS_TEST_TMPDIR/m"'
	umount "$BATS_TEST_TMPDIR/m"
	wait_for eval 'seen 1 | grep -qx "unmounted $BATS_TEST_TMPDIR/m"'
	losetup -d "$LOOP"
	wait_for eval 'seen 1 | grep -qx "disk_removed $LOOP"'
	wait_for eval 'seen 2 | grep -qx "disk_removed $LOOP"'
	seen 1
	[ "$(seen 2 | grep -c -e "$LOOP" -e "$BATS_TEST_TMPDIR")" -ge 5 ]
	seen 2 | grep -qx "disk_added $LOOP"
	kill "${watchers[@]}"
	wait_for eval '! worker_waits'
	daemon_stop
}

@test "one that does not read its answers is dropped" {
	daemon_start --client-wait 1
	python3 - "$SOCK" 3>&- <<-'PY' &
		import socket, sys, time
		s = socket.socket(socket.AF_UNIX)
		s.connect(sys.argv[1])
		s.sendall(b'{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}\n' * 40)
		time.sleep(20)
	PY
	silent=$!
	wait_for grep -q 'does not read its answers, dropped' "$LOG"
	kill "$silent"
	call storage.list_mounts
	daemon_stop
}
