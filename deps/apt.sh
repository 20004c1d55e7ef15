#!/bin/sh
# An apt of our own: Debian packages and sources from this machine's mirror, with nothing of the
# machine's apt (its lists, its cache, its package database) touched. No privilege is needed.
#
#   deps/apt.sh DIR "deb-src SUITE..." [APT-GET-ARGUMENT...]
#   deps/apt.sh DIR "deb SUITE..."     [APT-GET-ARGUMENT...]
#
# DIR holds its state and may be deleted at any time. SUITE is a Debian suite such as bookworm,
# bookworm-security or bookworm-backports. The mirror, proxy, credentials and keys are those the
# machine's apt is configured with; its lists are read anew when they are an hour old.
# Example: deps/apt.sh /tmp/a "deb bookworm-backports" download linux-image-amd64
set -eu

[ $# -ge 2 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2; }
mkdir -p "$1"
dir=$(cd "$1" && pwd)
set_of_suites=$2
shift 2

# apt itself reads its configuration here, so one-line and deb822 sources are alike.
# Prints the archive that serves SUITE; any archive named .../debian will do for a plain suite.
mirror_of() {
	apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
		awk -v suite="$1" '
			{ sub("/+$", "", $2) }
			$1 == suite && !exact { exact = $2 }
			$2 ~ /\/debian$/ && !debian { debian = $2 }
			$1 ~ /-security$/ && !security { security = $2 }
			END {
				if (!security && debian)
					security = debian "-security"
				if (exact) print exact
				else if (suite ~ /-security$/) print security
				else print debian
			}'
}

mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
type=${set_of_suites%% *}
for suite in ${set_of_suites#* }; do
	uri=$(mirror_of "$suite")
	[ -n "$uri" ] || { echo "deps/apt.sh: apt is not configured with a Debian mirror" >&2; exit 1; }
	echo "$type$([ ! -e $keyring ] || echo " [signed-by=$keyring]") $uri $suite main"
done >"$dir/sources.list.new"
if cmp -s "$dir/sources.list.new" "$dir/sources.list"; then
	rm "$dir/sources.list.new"
else
	rm -f "$dir/updated"
	mv "$dir/sources.list.new" "$dir/sources.list"
fi

# An empty package database: what is installed here must not decide what we get.
: >"$dir/status"
cat >"$dir/apt.conf" <<END
Dir::State "$dir";
Dir::State::lists "$dir/lists";
Dir::State::status "$dir/status";
Dir::Cache "$dir/cache";
Dir::Etc::sourcelist "$dir/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Sandbox::User "$(id -un)";
Acquire::Languages "none";
Acquire::Retries "3";
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
END

if [ -z "$(find "$dir/updated" -mmin -60 2>/dev/null)" ]; then
	# A mirror need not carry a guessed security archive: go on with what it has.
	if ! apt-get -qq -c "$dir/apt.conf" -o APT::Update::Error-Mode=any update; then
		case $set_of_suites in *-security*) ;; *) exit 1 ;; esac
		echo "deps/apt.sh: trying without the security suites" >&2
		grep -v -e '-security main$' "$dir/sources.list" >"$dir/sources.list.new"
		mv "$dir/sources.list.new" "$dir/sources.list"
		apt-get -qq -c "$dir/apt.conf" -o APT::Update::Error-Mode=any update
	fi
	touch "$dir/updated"
fi
[ $# -eq 0 ] || exec apt-get -q -c "$dir/apt.conf" "$@"
