# tier: plain
# contrib/nix: parsed and evaluated by nix itself, on a stub of nixpkgs' lib (tests/nix/stub.nix).
# gates: none
load helpers

TOP=$BATS_TEST_DIRNAME/../..

setup_file() { need_program nix-instantiate jq; }

evaluate() { # EXPRESSION with the stub's names: JSON in $output
	HOME=$BATS_TEST_TMPDIR run --separate-stderr nix-instantiate --eval --strict --json --store dummy:// \
		-E "with import $(realpath "$TOP")/tests/nix/stub.nix; $1"
	echo "$output$stderr"
}

@test "both files parse" {
	for file in "$TOP"/contrib/nix/*.nix; do
		nix-instantiate --parse --store dummy:// "$file" >/dev/null
	done
}

@test "the package: the libraries are those of the Makefile, the applets a choice" {
	evaluate "let p = pkgs.callPackage $(realpath "$TOP")/contrib/nix/package.nix { applets = [ \"topo\" \"subvol\" ]; version = \"1.2\"; }; in { inherit (p) pname version makeFlags; inputs = map (i: i.name) p.buildInputs; }"
	[ "$status" -eq 0 ]
	[ "$(jq -r '.pname + .version' <<<"$output")" = storbox1.2 ]
	[ "$(jq -r '.makeFlags[-1]' <<<"$output")" = 'APPLETS=topo subvol' ]
	[ "$(jq -r '.makeFlags[0]' <<<"$output")" = LINK=shared ]
	# By their names in pkg-config: three of util-linux, the others one package each.
	diff <(sed -n 's/^LIBS := //p' "$TOP/Makefile" | tr ' ' '\n' | sed 's/^libbtrfsutil$/btrfs-progs/
			s/^\(fdisk\|mount\|blkid\)$/util-linux/; s/^libudev$/systemd/; s/^libelf$/elfutils/
			s/^json-c$/json_c/; s/^libzstd$/zstd/' | sort -u) \
		<(jq -r '.inputs[]' <<<"$output" | sort -u)
}

@test "the module: off, nothing; on, the commands alone" {
	evaluate 'evaluate { }'
	[ "$output" = '{}' ]
	evaluate 'evaluate { enable = true; }'
	[ "$(jq -r 'keys | join(",")' <<<"$output")" = environment,systemd ]
	[ "$(jq -r '.systemd | keys | join(",")' <<<"$output")" = packages ]
	evaluate 'evaluate { vfslat.enable = true; }'
	[ "$output" = '{}' ]
}

@test "the module: every service, with what was set; each is a unit that the package has" {
	evaluate 'evaluate {
		enable = true;
		sysvol.enable = true;
		volmgrd = { enable = true; group = "disk"; };
		vfslat = { enable = true; slowMs = 20; extraArgs = [ "--mount" "/srv/a b" ]; };
		reports.storadvise = { enable = true; onCalendar = "daily"; };
		reports.bcachefs = { enable = true; metricsFile = "/srv/m/b.prom"; };
	}'
	[ "$status" -eq 0 ]
	[ "$(jq -r '.systemd.services.vfslat.serviceConfig.ExecStart[1]' <<<"$output")" = \
		"/nix/store/storbox/bin/vfslat --slow-ms 20 --jsonl --metrics '/var/lib/vfslat/vfslat.prom' '--mount' '/srv/a b'" ]
	[ "$(jq -r '.systemd.services["mos-volmgrd"].serviceConfig.ExecStart[1]' <<<"$output")" = \
		"/nix/store/storbox/bin/mos-volmgrd --group 'disk'" ]
	[ "$(jq -r '.systemd.timers["storadvise-report"].timerConfig.OnCalendar[1]' <<<"$output")" = daily ]
	[ "$(jq -r '.systemd.services["bcachefs-iostat-metrics"].serviceConfig.ReadWritePaths[0]' <<<"$output")" = /srv/m ]
	[ "$(jq -r '.systemd.services["mos-sysvol"].requiredBy[0]' <<<"$output")" = local-fs.target ]
	for unit in $(jq -r '.systemd | (.services // {} | keys[] + ".service"), (.timers // {} | keys[] + ".timer"), (.sockets // {} | keys[] + ".socket")' <<<"$output"); do
		[ -e "$TOP/contrib/systemd/$unit" ]
	done
}

@test "the module: an unknown option and a wrong type are errors" {
	evaluate 'evaluate { enable = true; nonesuch = 1; }'
	[ "$status" -ne 0 ]
	evaluate 'evaluate { enable = true; vfslat = { enable = true; slowMs = "many"; }; }'
	[ "$status" -ne 0 ]
}
