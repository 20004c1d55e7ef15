# tier: vm
# timeout: 600
# The units under systemd itself: a bare Debian with the package's files is booted once, with an empty
# disk and the members of a bcachefs beside its own. What is asked there comes back as TAP.
load ../vm/helpers

TOP=$BATS_TEST_DIRNAME/../..

# The root file system, the package's files, the bcachefs.
prepare() {
	local n
	DEBIAN=$("$VM_DIR/debian" btrfs-progs e2fsprogs dosfstools)
	# The files of the package, as it has them.
	make -s -C "$TOP" install DESTDIR="$BATS_TEST_TMPDIR/tree" PREFIX=/usr >&2
	(cd "$TOP" && VERSION=1.2.3 contrib/package/deb "$BATS_TEST_TMPDIR" "$BATS_TEST_TMPDIR/tree")
	dpkg-deb --fsys-tarfile "$BATS_TEST_TMPDIR"/storbox_*.deb >"$BATS_TEST_TMPDIR/storbox.tar"
	MEMBERS=()
	for n in 0 1 2; do
		xz -dc "$FIXTURES/bcachefs/member$n.img.xz" | cp --sparse=always /dev/stdin "$BATS_TEST_TMPDIR/member$n"
		MEMBERS+=(--disk "$BATS_TEST_TMPDIR/member$n")
	done
}

# What PID 1 of the initramfs does: the package into the root file system, and on to its systemd.
boot_script() {
	cat <<-'VM'
		mkdir /sysroot
		until mount -t ext4 /dev/vda /sysroot 2>/dev/null; do usleep 20000; done
		tar -C /sysroot -xf /vm/storbox.tar
		mkdir /sysroot/vm
		cp /vm/check /sysroot/vm/
		cp /vm/*.service /sysroot/etc/systemd/system/
		cp -r /usr/lib/modules /sysroot/usr/lib/
		# Where a collector of metrics is installed.
		mkdir -p /sysroot/var/lib/prometheus/node-exporter
		# As after an installation, not an upgrade of /usr.
		touch /sysroot/etc/.updated /sysroot/var/.updated
		for dir in dev proc sys run; do mount -o move /$dir /sysroot/$dir; done
		chroot /sysroot systemctl -q enable check.service mos-sysvol.service mos-volmgrd.socket \
			vfslat.service storadvise-report.timer bcachefs-iostat-metrics.timer
		exec switch_root /sysroot /lib/systemd/systemd
	VM
}

check_service() {
	cat <<-'END'
		[Unit]
		Description=What the test asks
		After=multi-user.target

		[Service]
		ExecStart=/bin/sh /vm/check

		[Install]
		WantedBy=multi-user.target
	END
}

# A boot that fails says why, and ends.
emergency_service() {
	cat <<-'END'
		[Unit]
		Description=The end
		DefaultDependencies=no

		[Service]
		ExecStart=/bin/sh /vm/check the-boot-failed
	END
}

check_script() {
	vm_tap
	cat <<-'VM'
		port=$(echo /dev/vport*p3)
		port=${port%3}
		exec >"${port}1" 2>"${port}2" </dev/null
		end() { # STATUS
			echo "exit $1" >"${port}3"
			systemctl poweroff -ff
		}
		if [ $# -gt 0 ]; then
			journalctl -b -o short-monotonic >&2
			end 1
		fi
		socket=/run/mos_volmgrd/mos_volmgrd.sock

		prop() { systemctl show -P "$2" "$1"; }
		is() { # UNIT PROPERTY=VALUE...
			unit=$1
			shift
			for want; do
				got=$(prop "$unit" "${want%%=*}")
				echo "$unit: ${want%%=*} is '$got'"
				[ "$got" = "${want#*=}" ] || return
			done
		}
		ended_before() { # SERVICE TARGET
			ended=$(prop "$1" ExecMainExitTimestampMonotonic)
			reached=$(prop "$2" ActiveEnterTimestampMonotonic)
			echo "$1 ended at $ended us, $2 was reached at $reached us"
			[ "$ended" -gt 0 ] && [ "$ended" -lt "$reached" ]
		}
		mounted() { # DIRECTORY TYPE
			[ "$(findmnt -n -o FSTYPE --mountpoint "$1")" = "$2" ] || return
			# And systemd knows of it.
			is "$(systemd-escape -p --suffix=mount "$1")" ActiveState=active
		}
		same() {
			echo "$1"
			echo "and"
			echo "$2"
			[ -n "$1" ] && [ "$1" = "$2" ]
		}
		# What the kernel lets the unit's process do: the capabilities, and that it gains no more.
		confined() { # SERVICE CAPABILITIES
			pid=$(prop "$1" MainPID)
			grep -E '^(Cap|NoNew)' "/proc/$pid/status"
			grep -qx "CapBnd:	$2" "/proc/$pid/status" && grep -qx "CapEff:	$2" "/proc/$pid/status" &&
				grep -qx "NoNewPrivs:	1" "/proc/$pid/status"
		}
		soon() { # COMMAND...: within a minute
			tries=300
			until "$@"; do
				[ $((tries -= 1)) -gt 0 ] || return
				sleep 0.2
			done
		}
		metrics=/var/lib/vfslat/vfslat.prom
		counted() { # an operation: those of this shell are, at least
			grep -E '^storage_io_[a-z_]*count.*[1-9]' "$metrics"
		}
		nothing_failed() {
			failed=$(systemctl list-units --failed --no-legend --plain)
			echo "$failed"
			[ -z "$failed" ]
		}

		ok "everything that was to start has started" says 0 running systemctl is-system-running --wait
		ok "no unit failed" nothing_failed

		ok "mos-sysvol ran" is mos-sysvol.service ActiveState=active Result=success ExecMainStatus=0
		ok "and had ended before the local file systems were said to be there" \
			ended_before mos-sysvol.service local-fs.target
		ok "/boot is mounted" mounted /boot ext4
		ok "/boot/efi is mounted" mounted /boot/efi vfat
		for name in system etc modules vm-meta; do
			ok "/var/cache/$name is mounted" mounted "/var/cache/$name" btrfs
		done
		ok "swap is on" says 0 partition swapon --show --noheadings
		ok "what it said is in the journal" says 0 "brought up" journalctl -u mos-sysvol -o cat

		ok "the volume manager's socket is there" is mos-volmgrd.socket ActiveState=active SubState=listening
		ok "before anybody asks there is no daemon" is mos-volmgrd.service ActiveState=inactive ExecMainPID=0
		disks=$(mos-volmgr --socket $socket disks -n --tsv -o path,size_bytes)
		ok "the first call is answered, with the disks that there are" \
			same "$disks" "$(lsblk -dbnr -o PATH,SIZE | tr ' ' '\t')"
		ok "by the daemon, which the socket started" \
			is mos-volmgrd.service ActiveState=active NRestarts=0 TriggeredBy=mos-volmgrd.socket
		ok "with the unit's capabilities" confined mos-volmgrd.service 000000000823003f
		ok "a subvolume is made" says 0 made mos-volmgr --socket $socket create-subvolume made
		ok "and btrfs-progs sees it" says 0 "path made" btrfs subvolume list /var/cache/system
		ok "it gets a quota" says 0 "" mos-volmgr --socket $socket set-quota made 1G
		ok "a partition is made" says 0 vdb6 \
			mos-volmgr --socket $socket create-partition --disk /dev/vdb --name more --part-type linux
		ok "a filesystem on it" says 0 ext4 \
			mos-volmgr --socket $socket create-filesystem --device /dev/vdb6 --fstype ext4 --label MORE
		mkdir -p /mnt/more /mnt/bcachefs
		ok "and mounted" says 0 /mnt/more \
			mos-volmgr --socket $socket mount --source /dev/vdb6 --target /mnt/more --fstype ext4
		ok "where everybody sees it" mounted /mnt/more ext4

		ok "vfslat runs" is vfslat.service ActiveState=active NRestarts=0
		ok "with the unit's capabilities" confined vfslat.service 000000c001280004
		ok "its metrics appear" soon counted

		for timer in storadvise-report bcachefs-iostat-metrics; do
			ok "the timer of $timer waits" is $timer.timer ActiveState=active UnitFileState=enabled
		done
		ok "the storage report is made" systemctl start storadvise-report.service
		ok "and found what to say, which is no failure" is storadvise-report.service Result=success
		ok "it is in the journal" says 0 BTRFS- journalctl -u storadvise-report -o cat
		modprobe bcachefs
		ok "without a bcachefs its metrics are left out" systemctl start bcachefs-iostat-metrics.service
		ok "by a condition" is bcachefs-iostat-metrics.service Result=success ConditionResult=no
		ok "with one" mount -t bcachefs /dev/vdc:/dev/vdd:/dev/vde /mnt/bcachefs
		ok "they are written" systemctl start bcachefs-iostat-metrics.service
		ok "by a run" is bcachefs-iostat-metrics.service Result=success ConditionResult=yes ExecMainStatus=0
		ok "whole" says 0 '# EOF' tail -n 1 /var/lib/prometheus/node-exporter/bcachefs.prom
		ok "of its members" grep 'device="vde"' /var/lib/prometheus/node-exporter/bcachefs.prom

		ok "stopped" systemctl stop vfslat.service mos-volmgrd.socket mos-volmgrd.service \
			storadvise-report.timer bcachefs-iostat-metrics.timer
		for unit in vfslat.service mos-volmgrd.service mos-volmgrd.socket storadvise-report.timer; do
			ok "$unit ended well" is $unit ActiveState=inactive Result=success
		done
		ok "vfslat ended by itself" is vfslat.service ExecMainCode=1 ExecMainStatus=0
		ok "the volume manager ended by itself" is mos-volmgrd.service ExecMainCode=1 ExecMainStatus=0
		ok "what it mounted stays" mounted /mnt/more ext4
		ok "and still no unit failed" nothing_failed
		echo "1..$n"
		journalctl -b -o short-monotonic -p warning >&2
		end 0
	VM
}

@test "under systemd: storage before local-fs, the daemon at its first call, metrics, timers, all stopped" {
	vm_need 6.12
	need_root
	! ldd "$STORBOX" >/dev/null 2>&1 || skip "the package is of the static binary"
	prepare
	check_script >"$BATS_TEST_TMPDIR/check"
	check_service >"$BATS_TEST_TMPDIR/check.service"
	emergency_service >"$BATS_TEST_TMPDIR/emergency.service"
	vm_run --pid1 --timeout 300 --mem 1024 --disk "$DEBIAN,snapshot" --disk "$(vm_disk 9G)" "${MEMBERS[@]}" --module ext4 \
		--with-module btrfs --with-module vfat --with-module nls_cp437 --with-module nls_ascii \
		--with-module bcachefs --file "$BATS_TEST_TMPDIR/check:/vm/check" \
		--file "$BATS_TEST_TMPDIR/check.service:/vm/check.service" \
		--file "$BATS_TEST_TMPDIR/emergency.service:/vm/emergency.service" \
		--file "$BATS_TEST_TMPDIR/storbox.tar:/vm/storbox.tar" \
		--append 'mossize=2 mosswap=1' < <(boot_script)
	tap_from_vm
}
