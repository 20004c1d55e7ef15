# tier: plain
# gates: asan valgrind
# The protocol of mos-volmgrd: the specification's examples, and what clients should not send.
load helpers
load volmgr

setup() {
	need_program socat jq
	ROOT=$BATS_TEST_TMPDIR/root
	daemon_start
}
teardown() { daemon_teardown; }

# The daemon is alive and serves.
serves() {
	rpc '{"jsonrpc":"2.0","id":"still","method":"storage.list_mounts"}'
	[ "$(answer .id)" = '"still"' ]
	[ "$(answer '.result | type')" = '"array"' ]
}

@test "specification: a call with params by name and by position, with the same result" {
	rpc '{"jsonrpc":"2.0","method":"storage.list_free_space","params":{"disk":"/dev/none"},"id":3}' \
		'{"jsonrpc":"2.0","method":"storage.list_free_space","params":["/dev/none"],"id":4}'
	[ "$(answer '[.id,.error.code]')" = $'[3,-32002]\n[4,-32002]' ]
	[ "$(answer .error.data.object)" = $'"/dev/none"\n"/dev/none"' ]
}

@test "specification: a notification is never answered, not even with an error" {
	rpc '{"jsonrpc":"2.0","method":"storage.list_mounts"}' \
		'{"jsonrpc":"2.0","method":"foobar"}' \
		'{"jsonrpc":"2.0","method":"storage.mount","params":{"no":1}}'
	[ -z "$output" ]
}

@test "specification: a method that does not exist" {
	rpc '{"jsonrpc":"2.0","method":"foobar","id":"1"}'
	[ "$(answer '[.jsonrpc,.id,.error.code]')" = '["2.0","1",-32601]' ]
}

@test "specification: invalid JSON" {
	rpc '{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]'
	[ "$(answer '[.jsonrpc,.id,.error.code]')" = '["2.0",null,-32700]' ]
}

@test "specification: an invalid request" {
	rpc '{"jsonrpc": "2.0", "method": 1, "params": "bar"}'
	[ "$(answer '[.id,.error.code]')" = '[null,-32600]' ]
}

@test "specification: a batch of invalid JSON" {
	rpc '[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},{"jsonrpc": "2.0", "method"]'
	[ "$(answer '[.id,.error.code]')" = '[null,-32700]' ]
}

@test "specification: an empty batch is one error, a batch of invalid requests one each" {
	rpc '[]'
	[ "$(answer '[.id,.error.code]')" = '[null,-32600]' ]
	rpc '[1]'
	[ "$(answer 'map([.id,.error.code])')" = '[[null,-32600]]' ]
	rpc '[1,2,3]'
	[ "$(answer 'map([.id,.error.code])')" = '[[null,-32600],[null,-32600],[null,-32600]]' ]
}

@test "specification: a mixed batch answers what has an id, and each invalid one" {
	rpc '[{"jsonrpc":"2.0","method":"storage.list_mounts","id":"1"},{"jsonrpc":"2.0","method":"storage.list_mounts"},{"jsonrpc":"2.0","method":"rpc.discover","id":"2"},{"foo":"boo"},{"jsonrpc":"2.0","method":"foo.get","params":{"name":"myself"},"id":"5"},{"jsonrpc":"2.0","method":"storage.list_mounts","id":9}]'
	[ "$(answer 'map([.id, (.error.code // (.result|type))])')" = \
		'[["1","array"],["2","object"],[null,-32600],["5",-32601],[9,"array"]]' ]
}

@test "specification: a batch of notifications gets no output at all" {
	rpc '[{"jsonrpc":"2.0","method":"storage.list_mounts"},{"jsonrpc":"2.0","method":"nope","params":[7]}]'
	[ -z "$output" ]
}

@test "ids come back as they came: strings, numbers, fractions, null; others are invalid" {
	for id in '"a\"\\\u00e9\n"' 0 -5 9223372036854775807 1.5 1e3 '""' null; do
		rpc "{\"jsonrpc\":\"2.0\",\"method\":\"storage.nope\",\"id\":$id}"
		[ "$(answer '[.id,.error.code]')" = "$(jq -cn "[$id,-32601]")" ]
	done
	rpc '{"jsonrpc":"2.0","method":"storage.nope","id":9223372036854775807}'
	[[ $output == *'"id":9223372036854775807,'* ]]
	for id in true '[1]' '{"a":1}'; do
		rpc "{\"jsonrpc\":\"2.0\",\"method\":\"storage.list_mounts\",\"id\":$id}"
		[ "$(answer '[.id,.error.code]')" = '[null,-32600]' ]
	done
}

@test "a request without jsonrpc 2.0, or with params that are no object or array, is invalid" {
	rpc '{"method":"storage.list_mounts","id":1}' \
		'{"jsonrpc":"1.0","method":"storage.list_mounts","id":2}' \
		'{"jsonrpc":2.0,"method":"storage.list_mounts","id":3}' \
		'{"jsonrpc":"2.0","method":"storage.list_mounts","params":null,"id":4}' \
		'{"jsonrpc":"2.0","method":"storage.list_mounts","params":7,"id":5}' '"text"' 'null' '42'
	[ "$(answer '.error.code' | sort -u)" = -32600 ]
	[ "$(answer .id | xargs)" = "1 2 3 4 5 null null null" ]
}

@test "params: unknown, missing, of a wrong type, too many: -32602 naming the param" {
	local bad
	while IFS=$'\t' read -r method params object; do
		call "$method" "$params"
		[ "$(jq .code <<<"$error")" = -32602 ]
		[ "$(jq -r .data.object <<<"$error")" = "$object" ]
	done <<-'BAD'
		storage.list_disks	{"x":1}	x
		storage.list_disks	[1]	params
		storage.fs_usage	{}	mount_point
		storage.fs_usage	{"mount_point":null}	mount_point
		storage.fs_usage	{"mount_point":7}	mount_point
		storage.fs_usage	{"mount_point":["/"]}	mount_point
		storage.create_partition	{"disk":"/dev/none"}	name
		storage.create_partition	{"disk":"/dev/none","name":"a","size_bytes":"10G"}	size_bytes
		storage.create_partition	{"disk":"/dev/none","name":"a","size_bytes":1.5}	size_bytes
		storage.create_partition	{"disk":"/dev/none","name":"a","dry_run":"yes"}	dry_run
		storage.create_filesystem	{"device":[1],"fstype":"ext4"}	device
		storage.create_filesystem	{"device":"/dev/none","fstype":4}	fstype
		storage.set_quota	{"name":"a"}	max_bytes
		storage.watch	{"interval_s":"often"}	interval_s
	BAD
}

@test "values that cannot be accepted: -32001 naming the object" {
	while IFS=$'\t' read -r method params object; do
		call "$method" "$params"
		[ "$(jq .code <<<"$error")" = -32001 ]
		[ "$(jq -r .data.object <<<"$error")" = "$object" ]
	done <<-'BAD'
		storage.create_partition	{"disk":"/dev/none","name":"a","size_bytes":-1}	size_bytes
		storage.create_partition	{"disk":"/dev/none","name":"a","size_bytes":18446744073709551615}	size_bytes
		storage.create_filesystem	{"device":"/dev/none","fstype":"ntfs"}	fstype
		storage.fs_usage	{"mount_point":"relative"}	relative
		storage.fs_usage	{"mount_point":"/a/../b"}	/a/../b
		storage.unmount	{"path":"/.."}	/..
		storage.mount	{"source":"../dev/sda","target":"/mnt","fstype":"ext4"}	../dev/sda
		storage.mount	{"source":"/dev/null","target":"mnt","fstype":"ext4"}	mnt
		storage.watch	{"interval_s":0}	interval_s
		storage.create_filesystem	{"device":"sda","fstype":"ext4"}	sda
	BAD
}

@test "a path that leads through a link is refused before anything is done with it" {
	need_openat2
	ln -s / "$BATS_TEST_TMPDIR/link"
	call storage.fs_usage "{\"mount_point\":\"$BATS_TEST_TMPDIR/link\"}"
	[ "$(jq .code <<<"$error")" = -32001 ]
	[ "$(jq -r .data.errno <<<"$error")" = ELOOP ]
	call storage.defrag "{\"path\":\"$BATS_TEST_TMPDIR/link/etc\"}"
	[ "$(jq -r .data.errno <<<"$error")" = ELOOP ]
}

@test "an error's data has object, errno, found and a hint" {
	call storage.list_free_space '{"disk":"/dev/none"}'
	[ "$(jq -c '[.code, .data.kind, .data.object, .data.errno, .data.found]' <<<"$error")" = \
		'[-32002,"no_device","/dev/none","ENOENT","No such file or directory"]' ]
	[ "$(jq -r .message <<<"$error")" = \
		"Device not found: /dev/none: No such file or directory; $(jq -r .data.hint <<<"$error")" ]
}

@test "duplicate keys, numbers beyond 64 bits, invalid UTF-8 and NUL are parse errors" {
	rpc '{"jsonrpc":"2.0","id":1,"id":2,"method":"storage.list_mounts"}'
	[ "$(answer .error.code)" = -32700 ]
	rpc '{"jsonrpc":"2.0","id":99999999999999999999,"method":"storage.list_mounts"}'
	[ "$(answer .error.code)" = -32700 ]
	rpc $'{"jsonrpc":"2.0","id":"\xff","method":"storage.list_mounts"}'
	[ "$(answer .error.code)" = -32700 ]
	rpc '{"jsonrpc":"2.0","id":"\u0000","method":"storage.list_mounts"}'
	[ "$(answer .error.code)" = -32700 ]
}

@test "100,000 brackets are a parse error, and the daemon stays" {
	python3 -c 'print("[" * 100000)' >"$BATS_TEST_TMPDIR/deep"
	python3 -c 'print("{\"a\":" * 100000)' >>"$BATS_TEST_TMPDIR/deep"
	python3 -c 'print("[" * 100000 + "]" * 100000)' >>"$BATS_TEST_TMPDIR/deep"
	run socat -t30 - "UNIX-CONNECT:$SOCK" <"$BATS_TEST_TMPDIR/deep"
	[ "$(answer .error.code | xargs)" = "-32700 -32700 -32700" ]
	serves
}

@test "a line of 64 MiB is answered once and skipped, without being kept in memory" {
	{
		head -c 67108864 /dev/zero | tr '\0' x
		echo
		echo '{"jsonrpc":"2.0","id":"after","method":"storage.list_mounts"}'
	} | socat -t30 - "UNIX-CONNECT:$SOCK" >"$BATS_TEST_TMPDIR/out"
	[ "$(jq -c '.error.code // .id' "$BATS_TEST_TMPDIR/out" | xargs)" = "-32700 after" ]
	peak=$(awk '/VmHWM/ { print $2 }' "/proc/$DAEMON/status")
	[ -n "${SAN:-}" ] || [ "$peak" -lt 20000 ]
}

@test "a line of just the limit is read, one byte more is not" {
	make_line() { # BYTES
		local head='{"jsonrpc":"2.0","id":"x","method":"storage.nope","params":["' tail='"]}'
		printf '%s' "$head"
		head -c $(($1 - ${#head} - ${#tail})) /dev/zero | tr '\0' a
		printf '%s\n' "$tail"
	}
	{ make_line 1048576; make_line 1048577; } | socat -t30 - "UNIX-CONNECT:$SOCK" >"$BATS_TEST_TMPDIR/out"
	[ "$(jq -c .error.code "$BATS_TEST_TMPDIR/out" | xargs)" = "-32601 -32700" ]
}

@test "binary: a megabyte of random bytes" {
	head -c 1000000 /dev/urandom | socat -t30 - "UNIX-CONNECT:$SOCK" >"$BATS_TEST_TMPDIR/out"
	run jq -e -s 'length > 0 and all(.[]; .error.code == -32700 or .error.code == -32600)' "$BATS_TEST_TMPDIR/out"
	[ "$status" -eq 0 ]
	serves
}

@test "a half line at the end is dropped, whole lines before it are answered" {
	run bash -c "printf '%s\n%s' '{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"storage.list_mounts\"}' \
		'{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"storage.list_mounts\"}' | socat -t30 - UNIX-CONNECT:$SOCK"
	[ "$(answer .id)" = 1 ]
	serves
}

@test "a line that comes byte by byte" {
	run bash -c "for c in \$(printf '%s' '{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"storage.nope\"}' | fold -w1); do
		printf '%s' \"\$c\"; sleep 0.005; done | { cat; echo; } | socat -t30 - UNIX-CONNECT:$SOCK"
	[ "$(answer '[.id,.error.code]')" = '[1,-32601]' ]
}

@test "500 pipelined requests are answered in order" {
	for i in $(seq 500); do
		echo "{\"jsonrpc\":\"2.0\",\"id\":$i,\"method\":\"storage.$([ $((i % 50)) = 0 ] && echo list_mounts || echo nope)\"}"
	done >"$BATS_TEST_TMPDIR/in"
	socat -t30 - "UNIX-CONNECT:$SOCK" <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out"
	diff <(seq 500) <(jq .id "$BATS_TEST_TMPDIR/out")
}

@test "a batch of 100 is served, one of 101 is not; blank lines and CR are nothing" {
	batch() { python3 -c "print('[' + ','.join(['{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"x\"}' % i for i in range($1)]) + ']')"; }
	rpc "$(batch 100)"
	[ "$(answer 'map(.error.code) | unique')" = '[-32601]' ]
	[ "$(answer 'map(.id) == [range(100)]')" = true ]
	rpc "$(batch 101)"
	[ "$(answer '.error.code')" = -32600 ]
	rpc '' $'\r' $'{"jsonrpc":"2.0","id":1,"method":"x"}\r'
	[ "$(answer .error.code)" = -32601 ]
}

@test "one that pipelines without reading is held back, not buffered without end" {
	python3 - "$SOCK" <<-'PY'
		import socket, sys
		s = socket.socket(socket.AF_UNIX)
		s.connect(sys.argv[1])
		s.settimeout(3)
		sent = 0
		line = b'{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}\n' * 100
		try:
		    while sent < 50 << 20:
		        sent += s.send(line)
		except TimeoutError:
		    pass
		print(sent)
		assert sent < 8 << 20, sent
	PY
	peak=$(awk '/VmHWM/ { print $2 }' "/proc/$DAEMON/status")
	[ -n "${SAN:-}" ] || [ "$peak" -lt 30000 ]
	serves
}

@test "the OpenRPC document validates against the specification's schema, and lists what there is" {
	python3 -c 'import jsonschema' 2>/dev/null || skip_or_fail "needs python3-jsonschema"
	call rpc.discover
	echo "$result" >"$BATS_TEST_TMPDIR/doc"
	run python3 - "$BATS_TEST_TMPDIR/doc" "$FIXTURES/openrpc/openrpc-1.3.2.json" <<-'PY'
		import json, sys, jsonschema
		doc, schema = (json.load(open(p)) for p in sys.argv[1:])
		jsonschema.Draft7Validator.check_schema(schema)
		jsonschema.validate(doc, schema)
		for m in doc["methods"]:
		    codes = [e["code"] for e in m["errors"]]
		    assert len(codes) == len(set(codes)), m["name"]
		    required = [p.get("required", False) for p in m["params"]]
		    assert required == sorted(required, reverse=True), m["name"]
		    for d in m["params"] + [m["result"]]:
		        jsonschema.Draft7Validator.check_schema(d["schema"])
		names = [m["name"] for m in doc["methods"]]
		assert len(names) == len(set(names))
		print("\n".join(names))
	PY
	[ "$status" -eq 0 ]
	for m in list_disks list_partitions list_filesystems list_mounts list_subvolumes list_free_space \
		inventory feasible_topologies usage device_stats scrub_status fs_usage fs_df \
		create_partition create_filesystem mount unmount create_subvolume delete_subvolume \
		snapshot_subvolume set_quota scrub_start balance_start balance_status defrag resize_max \
		scrub_cancel balance_cancel watch; do
		grep -qx "storage.$m" <<<"$output"
	done
	grep -qx rpc.discover <<<"$output"
	# The schema is no empty one: what the specification forbids fails.
	for bad in 'del(.info)' '.methods[0].extra = 1' '.methods[0].paramStructure = "any"' \
		'del(.methods[3].name)' '.methods[0].errors = [{"code":"x","message":"m"}]' '.openrpc = "2.0"'; do
		jq "$bad" "$BATS_TEST_TMPDIR/doc" >"$BATS_TEST_TMPDIR/bad"
		run python3 -c 'import json, sys, jsonschema
jsonschema.validate(*(json.load(open(p)) for p in sys.argv[1:]))' "$BATS_TEST_TMPDIR/bad" "$FIXTURES/openrpc/openrpc-1.3.2.json"
		[ "$status" -ne 0 ]
	done
}
