# tier: plain
# gates: asan valgrind
# storadvise's Nix evaluator beside nix-instantiate, and its bounds.
load helpers

NIX=$BATS_TEST_DIRNAME/../fixtures/nix
LIB=$BATS_TEST_DIRNAME/../../applets/storadvise/lib.nix

setup() {
	DIR=$BATS_TEST_TMPDIR
	cp -r "$NIX/other.nix" "$NIX/text.txt" "$NIX/dir" "$DIR"
	# A store of its own: nothing of the machine's is read or written.
	export NIX_STORE_DIR=$DIR/store NIX_STATE_DIR=$DIR/state NIX_LOG_DIR=$DIR/log HOME=$DIR
}

# expressions FILE : each line to a file e1.nix, e2.nix ...; \n, \t and \\ are escapes where a line
# holds a '' string or a comment.
expressions() {
	awk -v dir="$DIR" '
		/^#/ || !NF { next }
		{
			file = dir "/e" ++n ".nix"
			if (index($0, "\x27\x27") || index($0, "/*")) {
				gsub(/\\\\/, "\001")
				gsub(/\\n/, "\n")
				gsub(/\\t/, "\t")
				gsub(/\001/, "\\")
			}
			printf "%s", $0 > file
			close(file)
		}
		END { print n }' "$1"
}

nix() { nix-instantiate --eval --strict --json "$@" 2>"$DIR/nix.err"; }

# same FILE : both evaluators give one JSON for it, a list; compared element by element.
same() {
	run nix "$1"
	[ "$status" -eq 0 ] || { cat "$DIR/nix.err"; false; }
	jq -cS '.[]' <<<"$output" >"$DIR/expected"
	"$STORBOX" storadvise eval "$1" --jsonl >"$DIR/row" || { cat "$DIR/row"; false; }
	jq -r .json "$DIR/row" | jq -cS '.[]' >"$DIR/got"
	diff "$DIR/expected" "$DIR/got"
}

@test "values are those of nix-instantiate" {
	need_program nix-instantiate jq
	n=$(expressions "$NIX/expressions.txt")
	[ "$n" -ge 150 ]
	{
		echo '['
		for ((i = 1; i <= n; i++)); do echo "(import ./e$i.nix)"; done
		echo ']'
	} >"$DIR/all.nix"
	same "$DIR/all.nix"
}

@test "what nix-instantiate refuses is refused, with file, line and column" {
	need_program nix-instantiate jq
	n=$(expressions "$NIX/errors.txt")
	[ "$n" -ge 40 ]
	for file in "$DIR"/e*.nix; do
		run nix "$file"
		[ "$status" -ne 0 ] || { cat "$file"; false; }
		box 1 storadvise eval "$file" --jsonl
		jq -e '.json == null and (.error | length > 0)' <<<"$output"
	done
}

# layouts : the layouts as files NAME.nix, and a line "NAME FILESYSTEMS SUBVOLUMES MOUNTED SOFT" each.
layouts() {
	awk -v dir="$DIR" '/^== /{ file = dir "/" $2 ".nix"; print $2, $3, $4, $5, ($6 == "soft"); next }
		!/^#/ { print > file }' "$NIX/layouts.txt"
}

@test "40 layouts: the same values as nix-instantiate, with our lib" {
	need_program nix-instantiate jq
	cp "$LIB" "$DIR/lib.nix"
	layouts >"$DIR/list"
	[ "$(wc -l <"$DIR/list")" -ge 40 ]
	{
		echo 'let call = f: if builtins.isFunction f then f { lib = import ./lib.nix; } else f; in ['
		awk '!$5 { print "(call (import ./" $1 ".nix))" }' "$DIR/list"
		echo ']'
	} >"$DIR/all.nix"
	same "$DIR/all.nix"
}

@test "40 layouts: every btrfs and every subvolume is found, unknowns spoil only themselves" {
	while read -r name filesystems subvolumes mounted _; do
		"$STORBOX" storadvise collect --disko "$DIR/$name.nix" >"$DIR/s.tar"
		run tar -xOf "$DIR/s.tar" storadvise/declared.tsv
		[ "$((${#lines[@]} - 1))" -eq "$filesystems" ] || { echo "$name: $output"; false; }
		run tar -xOf "$DIR/s.tar" storadvise/subvolumes.tsv
		[ "$((${#lines[@]} - 1))" -eq "$subvolumes" ] || { echo "$name: $output"; false; }
		m=$(cut -f3 <<<"$output" | tail -n +2 | grep -c '^/' || true)
		[ "$m" -eq "$mounted" ] || { echo "$name: $m mounted"; false; }
	done < <(layouts)
}

@test "nix eval --json output is read as a layout" {
	need_program nix-instantiate
	layouts >"$DIR/list"
	nix "$DIR/plain.nix" >"$DIR/plain.json"
	"$STORBOX" storadvise collect --disko "$DIR/plain.json" >"$DIR/s.tar"
	run tar -xOf "$DIR/s.tar" storadvise/subvolumes.tsv
	[ "${#lines[@]}" -eq 4 ]
}

@test "an error names file, line and column, and shows the line" {
	printf '{\n  a = 1;\n  b = = 2;\n}\n' >"$DIR/bad.nix"
	box 1 storadvise eval "$DIR/bad.nix" --jsonl
	[[ $output == *"bad.nix: line 3, column 7"*"b = = 2;"* ]]
	box 1 storadvise --disko "$DIR/bad.nix"
	[[ $stderr == *"bad.nix: line 3, column 7"* ]]
}

# bounded FILE : ends with an error within 10 s and 1 GiB of address space beyond what it starts with.
bounded() {
	local limit="ulimit -d 1048576" seconds=10
	# A sanitizer's own memory has no bounds, and neither is it quick.
	[ -z "${SAN:-}" ] || limit=: seconds=100
	run timeout "$seconds" bash -c "$limit; '$STORBOX' storadvise eval --jsonl '$1'"
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *'"json":null'* ]]
}

@test "an endless recursion, a large file and a huge list end in bounded time and memory" {
	echo 'let f = n: f (n + 1); in f 0' >"$DIR/loop.nix"
	bounded "$DIR/loop.nix"
	echo 'let f = n: 1 + f (n + 1); in f 0' >"$DIR/deep.nix"
	bounded "$DIR/deep.nix"
	echo 'let s = "${s2}${s2}"; s2 = builtins.foldl'"'"' (a: _: a + a) "xxxxxxxx" (builtins.genList (x: x) 40); in s' >"$DIR/double.nix"
	bounded "$DIR/double.nix"
	echo 'builtins.length (builtins.genList (x: x) 1000000)' >"$DIR/million.nix"
	bounded "$DIR/million.nix"
	{ echo '['; yes '1 2 3 4 5 6 7 8 9 10' | head -c 10485760; echo ']'; } >"$DIR/large.nix"
	bounded "$DIR/large.nix"
	{ printf '%100000s' '' | tr ' ' '('; echo 1; } >"$DIR/brackets.nix"
	bounded "$DIR/brackets.nix"
}
