#!/bin/sh
# dracut's pre-pivot hook: brings up the node's system storage below the root file system. Only when
# the kernel command line says mossysvol=1, for it may format an empty disk. It is sourced by dracut.
# shellcheck disable=SC2154 # NEWROOT is dracut's
if getargbool 0 mossysvol; then
	/usr/sbin/mos-sysvol --table --target "$NEWROOT" </dev/null >/dev/console 2>&1 ||
		warn "storbox: mos-sysvol ended with $?"
fi
