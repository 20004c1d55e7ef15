# tier: plain
# timeout: 300
# systemd's units and cron's examples, as `make install` puts them below a root.
# gates: none
load helpers

TOP=$BATS_TEST_DIRNAME/../..

setup_file() {
	export DEST=$BATS_FILE_TMPDIR/dest
	units=$DEST/usr/local/lib/systemd/system
	mkdir -p "$units" "$DEST/usr/local/bin" "$DEST/usr/lib/systemd" "$DEST/etc"
	cp "$TOP"/contrib/systemd/* "$units/"
	cp -r /usr/lib/systemd/system "$DEST/usr/lib/systemd/" 2>/dev/null || mkdir -p "$DEST/usr/lib/systemd/system"
	ln -s usr/lib "$DEST/lib"
	cp "${STORBOX:-$TOP/build/storbox}" "$DEST/usr/local/bin/storbox"
	"$DEST/usr/local/bin/storbox" --list | cut -f 1 | while read -r name; do
		ln -s storbox "$DEST/usr/local/bin/$name"
	done
}

units() { ls "$TOP/contrib/systemd"; }

# Of the applets that this binary has.
built() { # UNIT
	"$STORBOX" --list | cut -f 1 | grep -qx "$(sed -n 's/^Documentation=man:\([^(]*\).*/\1/p' "$TOP/contrib/systemd/$1")"
}

@test "every unit says whose manual page it belongs to, and its command is where make install puts it" {
	for unit in $(units); do
		grep -qE '^Documentation=man:[a-z-]+\([18]\)$' "$TOP/contrib/systemd/$unit"
		run grep -E '^Exec[A-Za-z]*=' "$TOP/contrib/systemd/$unit"
		for line in "${lines[@]}"; do
			[[ $line == Exec*=/usr/local/bin/* ]]
		done
	done
}

@test "systemd-analyze verify finds nothing" {
	need_program systemd-analyze
	local names=()
	for unit in $(units); do
		built "$unit" || continue
		names+=("$unit")
	done
	[ "${#names[@]}" -gt 0 ]
	run systemd-analyze verify --man=no --root="$DEST" "${names[@]}"
	echo "$output"
	[ "$status" -eq 0 ]
	[ -z "$output" ]
	# It would have said so: a unit whose program is missing is refused.
	sed 's,^ExecStart=.*,ExecStart=/usr/local/bin/nonesuch,' "$TOP/contrib/systemd/mos-sysvol.service" \
		>"$DEST/usr/local/lib/systemd/system/wrong.service"
	run systemd-analyze verify --man=no --root="$DEST" wrong.service
	[ "$status" -ne 0 ]
}

@test "systemd-analyze security: the exposure of each service is no more than it was" {
	need_program systemd-analyze
	local unit most
	# What mounts for everybody cannot have namespaces of its own, which is most of the figure.
	for unit in $(units | grep 'service$'); do
		case $unit in
		mos-volmgrd.service) most=60 ;;
		mos-sysvol.service) most=60 ;;
		vfslat.service) most=50 ;;
		storadvise-report.service) most=45 ;;
		bcachefs-iostat-metrics.service) most=20 ;;
		*) echo "$unit has no figure here"; false ;;
		esac
		run systemd-analyze security --no-pager --offline=yes --threshold="$most" --root="$DEST" "$unit"
		echo "# $unit: $(grep -o 'level.*' <<<"$output" | sed 's/[^a-zA-Z0-9.: -]//g')" >&3
		[ "$status" -eq 0 ]
	done
}

@test "no unit loses openat2(), which systemd takes away by RestrictSUIDSGID and what implies it" {
	run grep -nE '^(RestrictSUIDSGID|DynamicUser)=' -r "$TOP/contrib/systemd"
	[ "$status" -eq 1 ]
}

@test "mos-sysvol is ordered before the local file systems, and off by mossysvol=0" {
	local unit=$TOP/contrib/systemd/mos-sysvol.service
	grep -q '^DefaultDependencies=no$' "$unit"
	grep -qE '^Before=.*local-fs.target' "$unit"
	grep -qE '^RequiredBy=local-fs.target' "$unit"
	grep -q '^ConditionKernelCommandLine=!mossysvol=0$' "$unit"
}

@test "the options that units and cron's examples give are options" {
	local line words word
	{ sed -n 's,^ExecStart=/usr/local/bin/,,p' "$TOP"/contrib/systemd/*.service
	  sed -nE '/^[0-9*]/s/^([^ ]+ +){5}root +//p' "$TOP"/contrib/cron/* |
		grep -oE '(^|\$\(|\|\| )(storadvise|mos-sysvol|bcachefs-iostat|vfslat) [^|>)]*' | sed 's/^\$(//; s/^|| //'
	} >"$BATS_TEST_TMPDIR/commands"
	cat "$BATS_TEST_TMPDIR/commands"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/commands")" -ge 6 ]
	while read -r line; do
		read -ra words <<<"$line"
		"$STORBOX" --list | cut -f 1 | grep -qx "${words[0]}" || continue
		"$STORBOX" "${words[0]}" --help >"$BATS_TEST_TMPDIR/help"
		for word in "${words[@]:1}"; do
			[[ $word != --* ]] || grep -qE -- "(^|[ ,])${word%%=*}( |,|\$)" "$BATS_TEST_TMPDIR/help" || { echo "$line: $word"; false; }
		done
	done <"$BATS_TEST_TMPDIR/commands"
}

@test "cron's lines: five times, a user, a command that a shell can read" {
	local file line
	for file in "$TOP"/contrib/cron/*; do
		while read -r line; do
			case $line in '' | '#'* | [A-Z]*=*) continue ;; esac
			[[ $line =~ ^([0-9*/,-]+[[:space:]]+){5}root[[:space:]]+(.*) ]]
			sh -n -c "${BASH_REMATCH[2]}"
		done <"$file"
	done
}
