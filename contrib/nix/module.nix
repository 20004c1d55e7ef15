# NixOS module: the commands, the node's storage at boot, the daemon, vfslat, timed reports. The units
# are those of contrib/systemd, which the package installs; here they are only wanted and adjusted.
{ config, lib, pkgs, ... }:

let
  cfg = config.services.storbox;
  inherit (lib) mkEnableOption mkIf mkMerge mkOption types;
  # What mos-sysvol and mos-volmgrd run.
  programs = [ pkgs.btrfs-progs pkgs.e2fsprogs pkgs.dosfstools pkgs.util-linux pkgs.mdadm ];
  argument = lib.escapeShellArg;
in
{
  options.services.storbox = {
    enable = mkEnableOption "storbox's commands";

    package = mkOption {
      type = types.package;
      default = pkgs.callPackage ./package.nix { };
      description = "The storbox that is used.";
    };

    sysvol.enable = mkEnableOption "finding or making the node's system storage at boot: it takes empty disks";

    volmgrd = {
      enable = mkEnableOption "the volume manager's daemon";
      group = mkOption {
        type = types.nullOr types.str;
        default = null;
        description = "Group whose members may look, but change nothing.";
      };
    };

    vfslat = {
      enable = mkEnableOption "vfslat: latency of file operations";
      slowMs = mkOption {
        type = types.ints.positive;
        default = 100;
        description = "Operations that take longer, in milliseconds, are in the journal.";
      };
      metricsFile = mkOption {
        type = types.str;
        default = "/var/lib/vfslat/vfslat.prom";
        description = "OpenMetrics text, replaced whole.";
      };
      extraArgs = mkOption {
        type = types.listOf types.str;
        default = [ ];
        description = "Further options of vfslat.";
      };
    };

    reports = {
      storadvise = {
        enable = mkEnableOption "a report of what is slow or at risk, in the journal";
        onCalendar = mkOption {
          type = types.str;
          default = "weekly";
          description = "When, as systemd.time(7) has it.";
        };
      };
      bcachefs = {
        enable = mkEnableOption "bcachefs' counters for node_exporter";
        metricsFile = mkOption {
          type = types.str;
          default = "/var/lib/prometheus/node-exporter/bcachefs.prom";
          description = "OpenMetrics text, replaced whole; its folder must be there.";
        };
        intervalSeconds = mkOption {
          type = types.ints.positive;
          default = 60;
          description = "How often.";
        };
      };
    };
  };

  config = mkIf cfg.enable (mkMerge [
    {
      environment.systemPackages = [ cfg.package ];
      systemd.packages = [ cfg.package ];
    }

    (mkIf cfg.sysvol.enable {
      systemd.services.mos-sysvol = {
        requiredBy = [ "local-fs.target" ];
        path = programs;
      };
    })

    (mkIf cfg.volmgrd.enable {
      systemd.sockets.mos-volmgrd = {
        wantedBy = [ "sockets.target" ];
        socketConfig = lib.optionalAttrs (cfg.volmgrd.group != null) { SocketGroup = cfg.volmgrd.group; };
      };
      systemd.services.mos-volmgrd = {
        wantedBy = [ "multi-user.target" ];
        path = programs;
        # The empty first one takes the unit's own command away.
        serviceConfig = lib.optionalAttrs (cfg.volmgrd.group != null) {
          ExecStart = [ "" "${cfg.package}/bin/mos-volmgrd --group ${argument cfg.volmgrd.group}" ];
        };
      };
    })

    (mkIf cfg.vfslat.enable {
      systemd.services.vfslat = {
        wantedBy = [ "multi-user.target" ];
        serviceConfig.ExecStart = [
          ""
          (lib.concatStringsSep " " ([
            "${cfg.package}/bin/vfslat"
            "--slow-ms"
            (toString cfg.vfslat.slowMs)
            "--jsonl"
            "--metrics"
            (argument cfg.vfslat.metricsFile)
          ] ++ map argument cfg.vfslat.extraArgs))
        ];
      };
    })

    (mkIf cfg.reports.storadvise.enable {
      systemd.timers.storadvise-report = {
        wantedBy = [ "timers.target" ];
        timerConfig.OnCalendar = [ "" cfg.reports.storadvise.onCalendar ];
      };
    })

    (mkIf cfg.reports.bcachefs.enable {
      systemd.timers.bcachefs-iostat-metrics = {
        wantedBy = [ "timers.target" ];
        timerConfig.OnUnitActiveSec = [ "" (toString cfg.reports.bcachefs.intervalSeconds) ];
      };
      systemd.services.bcachefs-iostat-metrics = {
        unitConfig.ConditionPathIsDirectory = [ "" "/sys/fs/bcachefs" ];
        serviceConfig = {
          ExecStart = [ "" "${cfg.package}/bin/bcachefs-iostat --metrics ${argument cfg.reports.bcachefs.metricsFile}" ];
          ReadWritePaths = [ (dirOf cfg.reports.bcachefs.metricsFile) ];
        };
      };
    })
  ]);
}
