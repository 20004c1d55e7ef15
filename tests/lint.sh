#!/bin/sh
# Holds the rules that a compiler does not: where includes may point, which file owns which
# library, what lib/ may not call, and that no path of one machine or odd whitespace gets in.
#
#   tests/lint.sh [DIR]    the tree to look at; default: this one
#
# Prints FILE:LINE: what is wrong, and exits 1, or prints nothing and exits 0.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
cd "${1:-$here}"
bad=$(mktemp)
trap 'rm -f "$bad"' EXIT

# In a git checkout what git knows or would add, else everything but build/.
files() {
	if [ -e .git ]; then
		git ls-files -co --exclude-standard | while IFS= read -r f; do
			[ ! -f "$f" ] || echo "$f"
		done
	else
		find . -type f -not -path './build/*' | sed 's,^\./,,'
	fi
}
all=$(files)
pick() { # REGEX of the paths
	echo "$all" | grep -E "$1" || true
}

# The C rules, on the text without comments; strings are emptied too, except in an include.
c_files=$(pick '^(main\.c|(lib|applets|bpf)/.*\.[ch])$')
# shellcheck disable=SC2086
awk '
function complain(what) { printf "%s:%d: %s\n", FILENAME, FNR, what }
function layer(path) {
	if (path ~ /^lib\/core\//) return 1
	if (path ~ /^lib\/os\//) return 2
	if (path ~ /^lib\/storage\//) return 3
	if (path ~ /^applets\// || path == "main.c") return 4
	return 0
}
# The one file that may include HEADER, or "" for a header that anyone may.
function owner(header) {
	if (header ~ /^blkid\//) return "blkid"
	if (header ~ /^libmount\//) return "mount"
	if (header ~ /^libfdisk\//) return "gpt"
	if (header ~ /^libudev\.h$/) return "udev"
	if (header ~ /^btrfsutil\.h$/ || header ~ /^linux\/btrfs/) return "btrfs"
	if (header ~ /^linux\/raid\//) return "md"
	if (header ~ /^bpf\/[^.]*\.h$/ || header ~ /^(libelf|gelf)\.h$/) return "bpf"
	if (header ~ /^json-c\//) return "json"
	if (header ~ /^zstd/) return "zstd"
	if (header ~ /^zlib\.h$/) return "unpack"
	return ""
}
function check_include(line,    angle, path, mine, theirs, wrapper) {
	if (!match(line, /[<"][^>"]*[>"]/)) return
	angle = substr(line, RSTART, 1) == "<"
	path = substr(line, RSTART + 1, RLENGTH - 2)
	mine = layer(FILENAME)
	theirs = layer(path)
	if (!angle && path !~ /\// && FILENAME ~ /^lib\//) complain("include \"" path "\" by its whole path")
	if (mine && theirs > mine)
		complain("an include against the arrows: " path)
	# An applet in a folder includes its own headers; applets do not include each other.
	if (path ~ /^applets\// && mine) {
		split(FILENAME, me, "/"); split(path, it, "/")
		if (me[1] != "applets" || me[2] != it[2])
			complain("an include of another applet: " path)
	}
	wrapper = angle ? owner(path) : ""
	if (wrapper != "" && mine && FILENAME !~ "^lib/os/" wrapper "(_[a-z0-9_]+)?\\.c$")
		complain("<" path "> belongs to lib/os/" wrapper ".c alone")
}
FNR == 1 { comment = 0 }
{
	line = $0
	width = 0
	for (i = 1; i <= length(line); i++)
		width += substr(line, i, 1) == "\t" ? 8 - width % 8 : 1
	# 100 is the measure; a few more where a break would read worse.
	if (width > 108) complain("longer than 100 columns")
	if (line ~ /^ +[^ *\\]/ && !comment) complain("indented by spaces")

	if (comment) {
		if (!match(line, /\*\//)) next
		line = substr(line, RSTART + 2)
		comment = 0
	}
	if (line ~ /^[ \t]*#[ \t]*include/) { check_include(line); next }
	gsub(/\\./, "", line)
	gsub(/"[^"]*"/, "\"\"", line)
	while (match(line, /\/\*/)) {
		before = substr(line, 1, RSTART - 1)
		rest = substr(line, RSTART + 2)
		if (match(rest, /\*\//)) line = before " " substr(rest, RSTART + 2)
		else { line = before; comment = 1 }
	}
	sub(/\/\/.*/, "", line)

	if (match(line, /(^|[^A-Za-z0-9_.>])(strcpy|strcat|sprintf|vsprintf|strtok|system|popen|gets|alloca)[ \t]*\(/))
		complain("banned: " substr(line, RSTART, RLENGTH) ")")
	# Out of memory is the one exception; abort() is an assertion about our own tables.
	out_of_memory = FILENAME == "lib/core/mem.c"
	if (FILENAME ~ /^lib\//) {
		if (match(line, /(^|[^A-Za-z0-9_.>])(v?printf|puts|putchar|perror|exit|_exit|errx?|warnx?)[ \t]*\(/) && !(out_of_memory && /_exit/))
			complain("lib/ neither prints nor exits: " substr(line, RSTART, RLENGTH) ")")
		if (match(line, /[(, ](stdout|stderr)[,);]/))
			complain("lib/ writes only to a FILE that it is given")
	}
}' $c_files /dev/null >>"$bad"

# Text of every kind. Our paths have no blanks, so lists of them need no quotes.
text=$(pick '\.(c|h|sh|bash|bats|md|txt|mk|mdoc|tsv|service|socket|timer)$|^Makefile$|^\.ci/run$|^\.gitignore$')
# shellcheck disable=SC2086
{
	# shellcheck disable=SC2046
	grep -nE '[[:blank:]]+$' $(echo "$text" | grep -v '^tests/fixtures/') /dev/null |
		sed 's/:\([0-9]*\):.*/:\1: trailing whitespace/' || true
	# The home folders and scratch space of whoever wrote it; placeholders such as /home/USER may stay.
	# shellcheck disable=SC2046
	grep -nE '(^|[^A-Za-z0-9_./-])/(work|farm)/[a-z]|/home/[a-z]+/|/root/\.' \
		$(echo "$text" | grep -vE '^tests/(fixtures/|lint\.sh|bats/lint\.bats)') /dev/null |
		sed 's/\(:[0-9]*\):.*/\1: a path of one machine/' || true
	for f in $text; do
		[ ! -s "$f" ] || [ -z "$(tail -c 1 "$f")" ] || echo "$f: no newline at the end"
	done
} >>"$bad"

# Scripts: by their first line.
scripts=$(for f in $(pick '(^|/)[^.]*$|\.(sh|bash)$|^\.ci/'); do
	read -r first <"$f" 2>/dev/null || first=
	case $first in '#!/bin/sh'* | '#!/bin/bash'* | '#!/usr/bin/env bash'*) echo "$f" ;; esac
done)
if command -v shellcheck >/dev/null; then
	# shellcheck disable=SC2086
	[ -z "$scripts" ] || shellcheck -f gcc -S warning -e SC2054,SC2155,SC2164,SC3058 $scripts >>"$bad" || true
fi

cat "$bad"
[ ! -s "$bad" ]
