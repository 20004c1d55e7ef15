# tier: plain
# storadvise on recorded machines and on facts made for each rule.
load helpers

ADVISE=$BATS_TEST_DIRNAME/../fixtures/advise
BTRFS=$ADVISE/btrfs

# facts FILE : rows "TABLE key=value ..." on stdin to a snapshot, as storadvise collect writes it.
facts() {
	local dir=$BATS_TEST_TMPDIR/facts
	rm -rf "$dir"
	mkdir -p "$dir/storadvise"
	awk -v dir="$dir/storadvise" '
		NF {
			row[$1] = ++rows[$1]
			if ($0 !~ / source=/)
				$0 = $0 " source=here:1"
			for (i = 2; i <= NF; i++) {
				n = index($i, "=")
				key = substr($i, 1, n - 1)
				value = substr($i, n + 1)
				gsub("~", " ", value)
				if (!(($1, key) in seen)) {
					seen[$1, key] = 1
					keys[$1] = keys[$1] (keys[$1] ? "\t" : "") key
				}
				cell[$1, row[$1], key] = value
			}
		}
		END {
			for (t in rows) {
				file = dir "/" t ".tsv"
				print keys[t] > file
				n = split(keys[t], k, "\t")
				for (r = 1; r <= rows[t]; r++) {
					line = ""
					for (i = 1; i <= n; i++)
						line = line (i > 1 ? "\t" : "") ((t, r, k[i]) in cell ? cell[t, r, k[i]] : "-")
					print line > file
				}
			}
		}'
	tar -C "$dir" --format=ustar -cf "$1" storadvise
}

ids() { jq -r '.findings[].id' <<<"$output"; }

# cases KIND : every case of that kind, "ID<newline>rows", NUL-terminated.
cases() {
	awk -v kind="$1" '
		/^(fire|quiet|missing) / { if (on) printf "%c", 0; on = $1 == kind; if (on) print $2; next }
		on && !/^#/ { print }
		END { if (on) printf "%c", 0 }' "$ADVISE/rules.cases"
}

@test "there are at least 45 rules, each with text and sources" {
	box storadvise rules --json
	[ "$(jq length <<<"$output")" -ge 45 ]
	[ "$(jq '[.[].id] | length - (unique | length)' <<<"$output")" -eq 0 ]
	jq -e 'all(.[]; .title and .what and .why and .check and .when_not
		and (.sources | length > 0) and (.inputs | length > 0))' <<<"$output"
}

@test "each rule fires where it should, with all a finding needs" {
	local n=0
	while IFS= read -r -d '' one; do
		id=${one%%$'\n'*}
		facts "$BATS_TEST_TMPDIR/s.tar" <<<"${one#*$'\n'}"
		box 3 storadvise --snapshot "$BATS_TEST_TMPDIR/s.tar" --only "$id" --json
		[ "$(ids | sort -u)" = "$id" ]
		jq -e 'all(.findings[]; .target and .current and .recommended and .cost and .undo
			and .effect and .effect_source and (.evidence | length > 0)
			and (.command or .layout_change))' <<<"$output"
		jq -e 'all(.findings[]; (.effect_low == null) == (.effect_high == null)
			and (.effect_low == null or .effect_low <= .effect_high))' <<<"$output"
		n=$((n + 1))
	done < <(cases fire)
	box storadvise rules --jsonl
	[ "$n" -eq "${#lines[@]}" ]
}

@test "each rule is quiet where it should be" {
	local n=0
	while IFS= read -r -d '' one; do
		id=${one%%$'\n'*}
		facts "$BATS_TEST_TMPDIR/s.tar" <<<"${one#*$'\n'}"
		box storadvise --snapshot "$BATS_TEST_TMPDIR/s.tar" --only "$id" --json
		[ -z "$(ids)" ]
		[ "$(jq '.not_evaluated | length' <<<"$output")" -eq 0 ]
		n=$((n + 1))
	done < <(cases quiet)
	box storadvise rules --jsonl
	[ "$n" -eq "${#lines[@]}" ]
}

@test "each rule says which input it lacks" {
	: >"$BATS_TEST_TMPDIR/nothing.tsv"
	tar -C "$BATS_TEST_TMPDIR" --format=ustar -cf "$BATS_TEST_TMPDIR/nothing.tar" nothing.tsv
	box storadvise --snapshot "$BATS_TEST_TMPDIR/nothing.tar" --json
	jq -r '.not_evaluated[] | select(.missing) | .rules[]' <<<"$output" | sort -u >"$BATS_TEST_TMPDIR/lacks"
	box storadvise rules --json
	jq -r '.[].id' <<<"$output" | sort >"$BATS_TEST_TMPDIR/all"
	diff "$BATS_TEST_TMPDIR/all" "$BATS_TEST_TMPDIR/lacks"
	while IFS= read -r -d '' one; do
		id=${one%%$'\n'*}
		facts "$BATS_TEST_TMPDIR/s.tar" <<<"${one#*$'\n'}"
		box storadvise --snapshot "$BATS_TEST_TMPDIR/s.tar" --only "$id" --json
		[ "$(jq -r '.not_evaluated[].rules[]' <<<"$output" | sort -u)" = "$id" ]
	done < <(cases missing)
}

@test "every +C advice names its losses" {
	while IFS= read -r -d '' one; do
		id=${one%%$'\n'*}
		facts "$BATS_TEST_TMPDIR/s.tar" <<<"${one#*$'\n'}"
		box 3 storadvise --snapshot "$BATS_TEST_TMPDIR/s.tar" --only "$id" --json
		jq -e 'all(.findings[] | select((.command // "") | test("chattr \\+C"));
			.cost | test("checksums") and test("compression") and test("RAID1"))' <<<"$output"
	done < <(cases fire)
}

@test "a healthy recorded machine gives nothing above a note" {
	box 0 storadvise --btrfs-usage "$BTRFS/single-healthy/usage-b.txt" --min-severity warning \
		--btrfs-df "$BTRFS/single-healthy/btrfs-df.json" --device-stats "$BTRFS/single-healthy/stats.txt" \
		--mounts "$BTRFS/single-healthy/mounts.txt" --lsblk "$BTRFS/single-healthy/lsblk.json" \
		--iostat "$BTRFS/iostat/iostat-x.json" --iotop "$BTRFS/iostat/iotop-c-bo.txt" --json
	[ -z "$(ids)" ]
}

@test "recorded machines: what is wrong with each is found" {
	box 3 storadvise --btrfs-usage "$BTRFS/single-full/usage-b.txt" --json
	ids | grep -x BTRFS-DATA-FULL
	box 3 storadvise --btrfs-usage "$BTRFS/raid1-degraded/usage.txt" --json
	ids | grep -x BTRFS-DEVICE-MISSING
	box 3 storadvise --btrfs-usage "$BTRFS/single-allocated-underused/usage.txt" --json
	ids | grep -x BTRFS-SPACE-ALLOCATED
	box 3 storadvise --btrfs-usage "$BTRFS/mixed/usage.txt" --json
	ids | grep -x BTRFS-MIXED-GROUPS
}

@test "usage: plain, -b and -T say the same" {
	for scenario in single-full mixed single-allocated-underused; do
		for form in usage usage-b usage-T; do
			box 3 storadvise --btrfs-usage "$BTRFS/$scenario/$form.txt" --json
			ids >"$BATS_TEST_TMPDIR/$form"
		done
		diff "$BATS_TEST_TMPDIR/usage" "$BATS_TEST_TMPDIR/usage-b"
		diff "$BATS_TEST_TMPDIR/usage" "$BATS_TEST_TMPDIR/usage-T"
	done
}

@test "iostat's text and JSON give the same numbers" {
	for form in txt json; do
		box 0 storadvise collect --iostat "$BTRFS/iostat/iostat-x.$form"
		"$STORBOX" storadvise collect --iostat "$BTRFS/iostat/iostat-x.$form" | tar -xO storadvise/io.tsv | cut -f1,3-12 | sort >"$BATS_TEST_TMPDIR/$form"
	done
	[ -s "$BATS_TEST_TMPDIR/txt" ]
	diff "$BATS_TEST_TMPDIR/txt" "$BATS_TEST_TMPDIR/json"
}

@test "facter: media classes with reason and confidence, hex numbers, sticks" {
	box 0 storadvise --facter "$ADVISE/../facter/machine-05.json" --json
	[ "$(jq -r '.disks[] | select(.name == "nvme0n1") | .media' <<<"$output")" = nvme ]
	[ "$(jq -r '.disks[] | select(.name == "sda") | .media' <<<"$output")" = hdd ]
	[ "$(jq -r '.disks[] | select(.name == "sdc") | .media' <<<"$output")" = ssd ]
	box 0 storadvise --facter "$ADVISE/../facter/machine-07.json" --json
	[ "$(jq -r '.disks[] | select(.name == "sda") | .usb' <<<"$output")" = true ]
	[ "$(jq -r '.disks[] | select(.name == "vda") | .media' <<<"$output")" = virtual ]
}

@test "a snapshot read elsewhere gives the same report" {
	"$STORBOX" storadvise collect --btrfs-usage "$BTRFS/raid1-degraded/usage.txt" \
		--mounts "$BTRFS/raid1-degraded/mounts.txt" --observe 'slow builds in /home' >"$BATS_TEST_TMPDIR/s.tar"
	box 3 storadvise --btrfs-usage "$BTRFS/raid1-degraded/usage.txt" \
		--mounts "$BTRFS/raid1-degraded/mounts.txt" --observe 'slow builds in /home' --json
	direct=$output
	box 3 storadvise --snapshot "$BATS_TEST_TMPDIR/s.tar" --json
	diff <(echo "$direct") <(echo "$output")
}

@test "an unreadable input is exit 1 and names file and line, a wrong word exit 2" {
	box 1 storadvise --btrfs-usage /nonexistent
	box 1 storadvise --facter "$BTRFS/single-full/usage.txt"
	[[ $stderr == *"line 1, column 1"* ]]
	box 1 storadvise --device-stats "$BTRFS/single-full/usage.txt"
	box 2 storadvise --only NO-SUCH-RULE --sysctl /dev/null
	box 2 storadvise --min-severity terrible
}

@test "--compare tells what went, stayed and came" {
	box 3 storadvise --btrfs-usage "$BTRFS/raid1-degraded/usage.txt" --mounts "$BTRFS/raid1-degraded/mounts.txt" --json
	echo "$output" >"$BATS_TEST_TMPDIR/old.json"
	box 3 storadvise --btrfs-usage "$BTRFS/raid1/usage.txt" --mounts "$BTRFS/raid1/mounts.txt" --compare "$BATS_TEST_TMPDIR/old.json" --json
	jq -e '.gone[] | select(.id == "BTRFS-DEVICE-MISSING")' <<<"$output"
	jq -e '.findings[] | select(.id == "BTRFS-COMPRESS-NONE" and .change == "stays")' <<<"$output"
}

@test "filters: --skip, --only, --min-severity, --max-applicability" {
	box 3 storadvise --btrfs-usage "$BTRFS/mixed/usage.txt" --json
	ids | grep -x BTRFS-MIXED-GROUPS
	box 0 storadvise --btrfs-usage "$BTRFS/mixed/usage.txt" --skip BTRFS-MIXED-GROUPS --json
	box 0 storadvise --btrfs-usage "$BTRFS/mixed/usage.txt" --max-applicability remount --json
	box 0 storadvise --btrfs-usage "$BTRFS/mixed/usage.txt" --min-severity warning --json
}

@test "explain shows the page; the report has every part" {
	box storadvise explain btrfs-compress-first-mount
	[[ $output == *"Sources"* ]]
	[[ $output == *"When not"* ]]
	box 2 storadvise explain NO-SUCH
	box 3 storadvise --btrfs-usage "$BTRFS/single-full/usage.txt" --report
	[[ $output == "# Storage advice"* ]]
	[[ $output == *"## Not evaluated"* ]]
	[[ $output == *"Undo:"* ]]
	box 3 storadvise --btrfs-usage "$BTRFS/single-qgroup-snapshots/usage-b.txt" \
		--btrfs-df "$BTRFS/single-qgroup-snapshots/btrfs-df.txt" --report
	[[ $output == *"; 256 to 1085 MiB unallocated"* ]]
}

@test "columns that some tables have: the others are left out" {
	set -- --btrfs-usage "$BTRFS/single-full/usage.txt" -o effect_low
	box 3 storadvise "$@" --tsv
	[ "$(grep '^# ' <<<"$output")" = $'# findings\n# gone' ]
	run awk '/^$/ && last == "" { exit 1 } { last = $0 }' <<<"$output"
	[ "$status" -eq 0 ]
	box 3 storadvise "$@" --json
	jq -e '(.findings | length > 0) and .not_evaluated == []' <<<"$output"
	box 3 storadvise "$@" --jsonl
	[ "$(jq -r .table <<<"$output" | uniq)" = findings ]
}

@test "a layout: findings, and a diff that patch applies; then they are gone" {
	mkdir "$BATS_TEST_TMPDIR/l"
	cp "$ADVISE/layouts/conflict.nix" "$BATS_TEST_TMPDIR/l/disko.nix"
	cd "$BATS_TEST_TMPDIR/l"
	box 3 storadvise --disko disko.nix --only BTRFS-COMPRESS-FIRST-MOUNT --json
	jq -r '.findings[].layout_change' <<<"$output" >change.diff
	patch -p1 <change.diff
	box 0 storadvise --disko disko.nix --only BTRFS-COMPRESS-FIRST-MOUNT --json
	box 3 storadvise --disko disko.nix --only BTRFS-OPTION-FAILS --json
	jq -r '.findings[].layout_change' <<<"$output" >change.diff
	patch -p1 <change.diff
	box 0 storadvise --disko disko.nix --only BTRFS-OPTION-FAILS --json
}

@test "evidence from JSON has the numbers, as a line of text has" {
	box 3 storadvise --iostat "$BTRFS/iostat/iostat-x.json" --observe 'slow builds in /srv/src' --json
	jq -e '.findings[0].evidence[] | select(test("report 2, vda: r/s 0, w/s 0.*%util 0"))' <<<"$output"
}

@test "observations are recognised: workload, path, time" {
	"$STORBOX" storadvise collect --observe 'postgres commits take 400 ms in /var/lib/postgresql' >"$BATS_TEST_TMPDIR/s.tar"
	run tar -xOf "$BATS_TEST_TMPDIR/s.tar" storadvise/observations.tsv
	[[ $output == *$'database\t/var/lib/postgresql\t0.4'* ]]
}
