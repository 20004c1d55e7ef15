#!/bin/sh
# Lines covered, by file and in all, as TSV, from what a build with COV=1 in DIR has counted.
#   tests/coverage.sh DIR
set -eu

objects=$(find "$1" -name '*.gcda' -not -path '*/tests/*')
[ -n "$objects" ] || { echo "no coverage in $1: run make coverage" >&2; exit 1; }
printf 'file\tlines\tcovered\tpercent\n'
for object in $objects; do
	# One object at a time, and of it the source it was made from, not the headers.
	gcov -n -o "${object%.gcda}.o" "${object%.gcda}.c" 2>/dev/null |
		awk -v want="${object#"$1"/}" '
			BEGIN { sub(/\.gcda$/, ".c", want) }
			/^File / { gsub(/^File .(\.\/)?|.$/, ""); file = $0 }
			/^Lines executed:/ && file == want {
				split($2, part, /[:%]/)
				printf "%s\t%d\t%d\t%.1f\n", file, $4, part[2] * $4 / 100 + 0.5, part[2]
				exit
			}'
done | sort | awk -F'\t' '
	{ print; lines += $2; covered += $3 }
	END { printf "total\t%d\t%d\t%.1f\n", lines, covered, lines ? 100 * covered / lines : 0 }'
