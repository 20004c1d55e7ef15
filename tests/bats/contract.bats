# tier: plain
# Runs over every applet the binary was built with.
load helpers

applets() { "$STORBOX" --list | cut -f1; }

# Of the usage and the option lines; examples may name other commands' options.
options_of_help() { "$STORBOX" "$1" --help | sed -n '/^Examples:/q; /^usage/p; /^ /p' | grep -oE '(^|[ (])--[a-z][a-z0-9-]*' | tr -d ' (' | sort -u; }
options_of_man() { "$STORBOX" --man "$1" | grep -oE 'Fl Fl [a-z][a-z0-9-]*' | sed 's/Fl Fl /--/' | sort -u; }

@test "every applet: --help on stdout, nothing on stderr" {
	for a in $(applets); do
		box "$a" --help
		[[ $output == "usage: $a"* ]]
		[ -z "$stderr" ]
	done
}

@test "every applet: --version names it" {
	for a in $(applets); do
		box "$a" --version
		[[ $output == "$a (storbox) "* ]]
	done
}

@test "every applet: an unknown option is exit 2, one line and a hint on stderr, nothing on stdout" {
	for a in $(applets); do
		box 2 "$a" --no-such-option
		[ -z "$output" ]
		[ "${#stderr_lines[@]}" -eq 2 ]
	done
}

@test "every applet: the manual page lists exactly the options of --help" {
	for a in $(applets); do
		diff <(options_of_help "$a") <(options_of_man "$a")
	done
}

@test "every applet: help lines fit 100 columns and do not end in a space" {
	for a in $(applets); do
		run bash -c "'$STORBOX' $a --help | awk 'length > 100 || / \$/'"
		[ -z "$output" ]
	done
}

@test "every applet: the manual page passes mandoc -T lint" {
	need_program mandoc
	for a in $(applets); do
		run bash -c "'$STORBOX' --man $a | mandoc -T lint -W warning"
		[ -z "$output" ]
	done
}

@test "every applet: help into a full disk is a failure" {
	for a in $(applets); do
		run bash -c "'$STORBOX' $a --help >/dev/full"
		[ "$status" -eq 1 ]
	done
}

@test "every applet works by the name it is called" {
	dir=$BATS_TEST_TMPDIR/bin
	mkdir "$dir"
	box --install "$dir"
	for a in $(applets); do
		run "$dir/$a" --version
		[ "$status" -eq 0 ]
		[[ $output == "$a (storbox) "* ]]
	done
	box --install "$dir"
}

@test "--install never replaces a file that is not its own link" {
	dir=$BATS_TEST_TMPDIR/bin
	mkdir "$dir"
	first=$(applets | head -n1)
	echo precious >"$dir/$first"
	box 1 --install "$dir"
	[ "$(cat "$dir/$first")" = precious ]
}

@test "completion for bash is valid shell and knows every applet" {
	box --completion bash
	bash -n <<<"$output"
	for a in $(applets); do
		grep -q "complete -F .* $a\$" <<<"$output"
	done
}

@test "completion for zsh and fish is written, another shell is refused" {
	box --completion zsh
	[[ $output == "#compdef "* ]]
	box --completion fish
	[[ $output == *"complete -c "* ]]
	box 2 --completion csh
}

@test "no such applet: 127" {
	run -127 "$STORBOX" no-such-applet
	ln -s "$STORBOX" "$BATS_TEST_TMPDIR/nonesuch"
	run -127 "$BATS_TEST_TMPDIR/nonesuch"
}

@test "storbox alone, --help, --version, an unknown option" {
	box 2
	box --help
	[[ $output == *topo* ]]
	box --version
	[[ $output == "storbox "* ]]
	box 2 --nonesuch
}

recorded_disks() { # below $ROOT
	source "$BATS_TEST_DIRNAME/machine.bash"
	many_disks 3
}

# Runs the command on a terminal of COLS columns with these variables set.
on_terminal() { # COLS VARIABLE=VALUE... -- COMMAND...
	python3 - "$@" <<-'END'
		import fcntl, os, pty, struct, sys, termios
		cols, rest = int(sys.argv[1]), sys.argv[2:]
		at = rest.index("--")
		pid, fd = pty.fork()
		if pid == 0:
		    for name in ("NO_COLOR", "COLUMNS", "LC_ALL", "LC_CTYPE", "LANG"):
		        os.environ.pop(name, None)
		    os.environ.update(dict(v.split("=", 1) for v in rest[:at]), TERM=os.environ.get("TERM", "xterm"))
		    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 24, cols, 0, 0))
		    os.execvp(rest[at + 1], rest[at + 1:])
		out = b""
		while True:
		    try:
		        part = os.read(fd, 65536)
		    except OSError:
		        break
		    if not part:
		        break
		    out += part
		sys.stdout.buffer.write(out.replace(b"\r\n", b"\n"))
		sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
	END
}

@test "manners: no escape sequence with NO_COLOR, with TERM=dumb, or into a pipe" {
	local esc=$'\033'
	recorded_disks
	run on_terminal 100 TERM=xterm NO_COLOR=1 -- "$STORBOX" topo disks --sysroot "$ROOT"
	[ "$status" -eq 0 ]
	[[ $output == PATH*/dev/sdc* ]] # a table: it is a terminal
	[[ $output != *"$esc["*m* ]]
	run on_terminal 100 TERM=dumb -- "$STORBOX" topo disks --sysroot "$ROOT"
	[[ $output != *"$esc["*m* ]]
	box topo disks --table --sysroot "$ROOT"
	[[ $output != *"$esc"* ]]
}

@test "manners: a table fits the terminal; on a narrow one nothing of the first column is lost" {
	local cols
	recorded_disks
	for cols in 132 100; do
		run on_terminal "$cols" NO_COLOR=1 -- "$STORBOX" topo disks --sysroot "$ROOT"
		[ "$status" -eq 0 ]
		[ "$(wc -L <<<"$output")" -le "$cols" ]
	done
	for cols in 40 10 1; do
		run on_terminal "$cols" NO_COLOR=1 -- "$STORBOX" topo disks --sysroot "$ROOT"
		[ "$status" -eq 0 ]
		[ "$(grep -c '^/dev/sd[abc] ' <<<"$output")" -eq 3 ]
	done
}

@test "manners: in a C locale nothing but ASCII is printed, help, manual and tables" {
	for a in $(applets); do
		LC_ALL=C run bash -c "'$STORBOX' $a --help | LC_ALL=C grep -n '[^[:print:][:space:]]'"
		[ "$status" -eq 1 ]
		LC_ALL=C run bash -c "'$STORBOX' --man $a | LC_ALL=C grep -n '[^[:print:][:space:]]'"
		[ "$status" -eq 1 ]
	done
	recorded_disks
	run on_terminal 80 NO_COLOR=1 LC_ALL=C -- "$STORBOX" topo disks --sysroot "$ROOT"
	run env LC_ALL=C grep -n '[^[:print:][:space:]]' <<<"$output"
	[ "$status" -eq 1 ]
}

@test "manners: a pipe that its reader closed ends the command in silence" {
	local status_of
	for a in $(applets); do
		# Both ways that a caller may have left SIGPIPE.
		status_of=$(set +o pipefail; "$STORBOX" "$a" --help 2>"$BATS_TEST_TMPDIR/err" | :; echo "${PIPESTATUS[0]}")
		[ ! -s "$BATS_TEST_TMPDIR/err" ]
		[[ $status_of =~ ^(0|1|141)$ ]]
	done
}
