# tier: plain
# gates: none
# The README's worked example of an applet, as printed.
load helpers

TOP=$BATS_TEST_DIRNAME/../..

@test "the README's applet builds and works as printed" {
	src=$BATS_TEST_TMPDIR/src
	mkdir -p "$src/applets"
	cp -r "$TOP"/{Makefile,main.c,lib,bpf,deps} "$src/"
	awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' "$TOP/README.md" >"$src/applets/loadavg.c"
	make -s -C "$src" APPLETS=loadavg VERSION=test >&2
	STORBOX=$src/build/storbox
	mkdir -p "$ROOT/proc"
	echo "0.50 0.25 0.10 1/100 1234" >"$ROOT/proc/loadavg"
	box loadavg --json --sysroot "$ROOT"
	[ "$(jq -c . <<<"$output")" = '{"one":0.5,"five":0.25,"fifteen":0.1}' ]
	box 3 loadavg --above 0.4 --sysroot "$ROOT"
	box loadavg --help
	[[ $output == *--above* ]]
}

@test "docs/coming-from.md: every command it recommends is one, with those options" {
	local command words word count=0
	# The second column's, or what stands in backquotes in the text.
	grep -oE '`[^`]+`' "$TOP/docs/coming-from.md" | tr -d '`' >"$BATS_TEST_TMPDIR/commands"
	while read -r command; do
		read -ra words <<<"$command"
		"$STORBOX" --list | cut -f 1 | grep -qx -- "${words[0]}" || continue
		count=$((count + 1))
		"$STORBOX" "${words[0]}" --help >"$BATS_TEST_TMPDIR/help"
		for word in "${words[@]:1}"; do
			case $word in
			--*) grep -qE -- "(^|[ ,])${word%%=*}( |,|\$)" "$BATS_TEST_TMPDIR/help" || { echo "$command: $word"; false; } ;;
			-[a-zA-Z]) grep -qE -- "(^|[ ,])$word( |,|\$)" "$BATS_TEST_TMPDIR/help" || { echo "$command: $word"; false; } ;;
			esac
		done
		# A subcommand, where it has some.
		if [[ ${words[1]:-} =~ ^[a-z-]+$ && ${words[1]} != -* ]]; then
			grep -qE "^(usage:)? +${words[0]} ${words[1]} " "$BATS_TEST_TMPDIR/help"
		fi
	done <"$BATS_TEST_TMPDIR/commands"
	[ "$count" -ge 20 ]
}

@test "README's picture is what the commands print, on a machine of three such disks" {
	source "$BATS_TEST_DIRNAME/machine.bash"
	many_disks 3
	awk '/^```console$/ { on = 1; next } /^```$/ { on = 0 } on' "$TOP/README.md" >"$BATS_TEST_TMPDIR/picture"
	[ -s "$BATS_TEST_TMPDIR/picture" ]
	grep '^\$ ' "$BATS_TEST_TMPDIR/picture" | while read -r _ command; do
		echo "\$ $command"
		# shellcheck disable=SC2086 # words
		COLUMNS=110 "$STORBOX" $command --table --sysroot "$ROOT" | sed 's/ *$//'
	done | diff "$BATS_TEST_TMPDIR/picture" -
}
