# tests/run.sh and .ci/run: whatever goes wrong in a test is counted, and nothing is counted twice.
# gates: none
load helpers

setup() {
	TREE=$BATS_TEST_TMPDIR/tree
	mkdir -p "$TREE/tests/bats" "$TREE/.ci" "$TREE/deps"
	cp "$BATS_TEST_DIRNAME/../run.sh" "$TREE/tests/"
	cp "$BATS_TEST_DIRNAME/../../.ci/run" "$TREE/.ci/"
	printf '#!/bin/sh\nexit ${LINT:-0}\n' >"$TREE/tests/lint.sh"
	printf '#!/bin/sh\n' >"$TREE/deps/install.sh"
	printf 'check:\n\t@tests/run.sh $(or $(TIERS),lint plain loop vm)\n' >"$TREE/Makefile"
	chmod +x "$TREE/tests/lint.sh" "$TREE/deps/install.sh"
}

suite() { # NAME LINE...
	local name=$1
	shift
	printf '%s\n' "$@" >"$TREE/tests/bats/$name.bats"
}

# A bats in a bats: the inner one must see neither the outer one's variables nor its PATH.
clean() {
	run env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME="$HOME" CI="${CI_SAYS:-}" LINT="${LINT:-}" TIERS="${TIERS:-}" "$@"
	echo "$output"
}

@test "one numbering over the files, with their names" {
	suite a '@test "one" { :; }' '@test "two" { skip "because"; }'
	suite b '@test "three" { :; }'
	clean "$TREE/tests/run.sh" lint plain
	[ "$status" -eq 0 ]
	[[ $output == *"ok 1 lint"* ]]
	[ "$(grep -oE '^ok [0-9]+' <<<"$output" | tr '\n' ,)" = 'ok 1,ok 2,ok 3,ok 4,' ]
	[[ $output =~ ok\ [23]\ a:\ one ]]
	[[ $output =~ ok\ [34]\ a:\ two\ \#\ skip\ because ]]
	[[ $output =~ ok\ [24]\ b:\ three ]]
	[ "${lines[-1]}" = 1..4 ]
}

@test "a failed test, with its output" {
	suite a '@test "one" { echo seen; false; }'
	clean "$TREE/tests/run.sh" plain
	[ "$status" -eq 1 ]
	[[ $output == *"not ok 1 a: one"* ]]
	[[ $output == *"# seen"* ]]
}

@test "a file that does not parse, and one without tests" {
	suite a '@test "one" {'
	clean "$TREE/tests/run.sh" plain
	[ "$status" -eq 1 ]
	[[ $output == *"not ok"* ]]
	suite a '# nothing'
	clean "$TREE/tests/run.sh" plain
	[ "$status" -eq 1 ]
	[[ $output == *"not ok"* ]]
}

@test "a file that takes too long" {
	suite a '# timeout: 1' '@test "one" { :; }' '@test "two" { sleep 60; }'
	clean "$TREE/tests/run.sh" plain
	[ "$status" -eq 1 ]
	[[ $output == *"ok 1 a: one"* ]]
	[[ $output == *"not ok 2 a: not done after its time limit of 1 s"* ]]
}

@test "a file that kills its runner" {
	suite a '@test "one" { kill -9 $PPID; }' '@test "two" { :; }'
	clean "$TREE/tests/run.sh" plain
	[ "$status" -eq 1 ]
	[[ $output == *"not ok"* ]]
}

@test "lint that finds something" {
	suite a '@test "one" { :; }'
	LINT=1 clean "$TREE/tests/run.sh" lint plain
	[ "$status" -eq 1 ]
	[[ $output == *"not ok 1 lint"* ]]
}

@test "a tier that skips whole: words here, a failure in CI" {
	suite a '# tier: vm' '@test "one" { skip "no kernel"; }'
	clean "$TREE/tests/run.sh" vm
	[ "$status" -eq 0 ]
	[[ $output == *"tier vm # skip skipped whole"* ]]
	CI_SAYS=true clean "$TREE/tests/run.sh" vm
	[ "$status" -eq 1 ]
	[[ $output == *"not ok 2 tier vm skipped whole"* ]]
}

gates() { # LINE...
	printf '%s\n' '#!/bin/sh' "$@" >"$TREE/tests/gates.sh"
	chmod +x "$TREE/tests/gates.sh"
}

@test "the gates' results are numbered with the others, also beside a VM" {
	suite a '@test "one" { :; }'
	suite b '# tier: vm' '@test "two" { sleep 1; }'
	gates 'echo "ok asan: core"' 'echo "# asan: 3 s"' 'echo "ok tidy: all of it"'
	clean "$TREE/tests/run.sh" plain vm gates
	[ "$status" -eq 0 ]
	[[ $output == *"ok 2 b: two"*"ok 3 asan: core"*"# asan: 3 s"*"ok 4 tidy: all of it"* ]]
	[ "${lines[-1]}" = 1..4 ]
	clean "$TREE/tests/run.sh" gates
	[ "${lines[-1]}" = 1..2 ]
}

@test "gates that find something, or end otherwise, are failures" {
	for script in 'echo "ok a: b"; echo "not ok c: d"; exit 1' 'echo "ok a: b"; exit 1' \
		'echo "ok a: b"; kill -9 $$' ':' 'echo "not ok a: b"'; do
		gates "$script"
		clean "$TREE/tests/run.sh" gates
		[ "$status" -eq 1 ]
		[[ $output == *"not ok"* ]]
	done
}

@test "--only runs one file, whatever its tier" {
	suite a '@test "one" { :; }'
	suite b '# tier: vm' '@test "two" { :; }'
	clean "$TREE/tests/run.sh" --only b lint plain loop vm
	[ "$status" -eq 0 ]
	[[ $output == *"ok 1 b: two"* ]]
	[ "${lines[-1]}" = 1..1 ]
	clean "$TREE/tests/run.sh" --only nonesuch plain
	[ "$status" -eq 2 ]
}

@test ".ci/run ends with the counts" {
	suite a '@test "one" { :; }' '@test "two" { skip "because"; }' '@test "not ok 7" { :; }'
	clean "$TREE/.ci/run"
	[ "$status" -eq 0 ]
	[ "${lines[-1]}" = "3 passed, 0 failed, 1 skipped" ]
	suite b '@test "three" { false; }'
	clean "$TREE/.ci/run"
	[ "$status" -eq 1 ]
	[ "${lines[-1]}" = "3 passed, 1 failed, 1 skipped" ]
}

@test ".ci/run: a build that fails is a failure, and so is no test at all" {
	printf 'check:\n\t@echo broken; exit 1\n' >"$TREE/Makefile"
	clean "$TREE/.ci/run"
	[ "$status" -eq 1 ]
	[ "${lines[-1]}" = "0 passed, 1 failed, 0 skipped" ]
	printf 'check:\n\t@echo nothing\n' >"$TREE/Makefile"
	clean "$TREE/.ci/run"
	[ "$status" -eq 1 ]
	printf '#!/bin/sh\nexit 1\n' >"$TREE/deps/install.sh"
	clean "$TREE/.ci/run"
	[ "$status" -eq 1 ]
	[ "${lines[-1]}" = "0 passed, 1 failed, 0 skipped" ]
}
