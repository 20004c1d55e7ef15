#!/bin/bash
# clang-tidy on one file, or nothing if the same text has passed before.
#
#   tests/tidy.sh FILE COMPILER-OPTION...
#
# What passed is remembered beside the libraries' cache by a hash of all that can change the
# verdict: the preprocessed text with its comments (NOLINT is one), the options, .clang-tidy and
# clang-tidy's version. So a second run costs a preprocessor's time, in whatever folder.
set -euo pipefail

file=$1
shift
passed=${XDG_CACHE_HOME:-$HOME/.cache}/storbox/tidy
key=$({
	clang-tidy --version
	cat .clang-tidy
	echo "$@"
	clang -E -C "$@" "$file"
} 2>&1 | sha256sum)
key=$passed/${key%% *}
if [ ! -e "$key" ]; then
	if ! said=$(clang-tidy --quiet --warnings-as-errors='*' "$file" -- "$@" 2>/dev/null); then
		printf '%s\n' "$said"
		exit 1
	fi
	mkdir -p "$passed"
fi
# The date says when it was last of use.
touch "$key"
