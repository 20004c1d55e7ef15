# What the packages have in common: which version, of when. Sourced by the scripts here, which run in
# the top folder with VERSION and STORBOX set by make.
# shellcheck shell=sh disable=SC2034

set -eu
umask 022
export LC_ALL=C TZ=UTC0
: "${VERSION:?run it by make}" "${STORBOX:=build/storbox}"

# The time of everything packed: that of the commit, so that the same commit gives the same bytes.
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
	SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || cat SOURCE_DATE 2>/dev/null || echo 0)
fi
export SOURCE_DATE_EPOCH

# A version as Debian wants it: a commit's hash alone has no order, its date gives it one.
case $VERSION in
[0-9]*.*) version=$VERSION ;;
*) version=0~$(date -d "@$SOURCE_DATE_EPOCH" +%Y%m%d.%H%M%S)+$VERSION ;;
esac
version=$(echo "$version" | tr -- '-_' '++')

# A folder of our own that goes with the script.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

at_one_time() { # TREE
	find "$1" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
}

# pack FILE.tar.xz FOLDER NAME: the folder's name in the archive is NAME.
pack() {
	at_one_time "$2"
	tar --sort=name --owner=0 --group=0 --numeric-owner --format=gnu \
		--transform "flags=r;s,^\./,$3/,;s,^\.\$,$3," -C "$2" -cf - . | xz -6 -T1 >"$1"
}
