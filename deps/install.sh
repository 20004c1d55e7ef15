#!/bin/sh
# Installs the Debian packages of deps/packages.txt that are missing; asks nothing, and does
# nothing at all when none is.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' | sed -n 's/ installed$//p' | tr '\n' ' ')

missing=
for package in $(sed 's/#.*//' "$here/packages.txt"); do
	case " $installed" in *" $package "*) ;; *) missing="$missing $package" ;; esac
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
	echo "make deps: run it as root to install:$missing" >&2
	exit 1
fi
echo "  DEPS installing:$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update </dev/null
# --no-install-recommends: mdadm, for one, would bring a mail server.
# shellcheck disable=SC2086 # one word a package
apt-get -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 install $missing \
	</dev/null >/dev/null
