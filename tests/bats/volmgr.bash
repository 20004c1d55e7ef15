# A daemon of this test's own, and ways to talk to it: `load volmgr` after `load helpers`.

# daemon_start [OPTION...] : sets $SOCK, $DAEMON (its process) and $LOG; returns when it answers.
daemon_start() {
	SOCK=${SOCK:-$BATS_TEST_TMPDIR/sock}
	LOG=$BATS_TEST_TMPDIR/log
	"$STORBOX" mos-volmgrd --socket "$SOCK" --verbose "$@" >>"$LOG" 2>&1 3>&- &
	DAEMON=$!
	local i
	for i in $(seq 200); do
		[ ! -S "$SOCK" ] || ! grep -q listening "$LOG" || return 0
		kill -0 "$DAEMON" 2>/dev/null || break
		sleep 0.02
	done
	cat "$LOG"
	return 1
}

# daemon_stop : asks it to end, and fails unless it ends well and removes its socket.
daemon_stop() {
	local status=0
	kill -TERM "$DAEMON"
	wait "$DAEMON" || status=$?
	unset DAEMON
	[ "$status" -eq 0 ] && [ ! -e "$SOCK" ]
}

daemon_teardown() {
	[ -z "${DAEMON:-}" ] || { kill -KILL "$DAEMON" && wait "$DAEMON"; } 2>/dev/null || true
}

# rpc LINE... : sends the lines, as they are, and what comes back is $output.
rpc() {
	run bash -c 'printf "%s\n" "${@:2}" | socat -t30 - "UNIX-CONNECT:$1"' rpc "$SOCK" "$@"
	printf '> %s\n' "$@" | cut -c1-300
	printf '< %s\n' "$output" | cut -c1-300
	[ "$status" -eq 0 ]
}

# call METHOD [PARAMS] : one request with id 1; $result and $error are the answer's members.
call() {
	rpc "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"$1\",\"params\":${2:-{\}}}"
	[ "$(jq -c '[.jsonrpc, .id]' <<<"$output")" = '["2.0",1]' ]
	result=$(jq -c '.result' <<<"$output")
	error=$(jq -c '.error' <<<"$output")
}

# answer JQ-FILTER : of the last output, each line by itself, compact.
answer() { jq -c "$1" <<<"$output"; }
