# Every rule of storadvise. A rule is added here and nowhere else: id, the objects it looks at (each),
# its condition (when), what it says (finding), and the page that `storadvise explain ID` shows.
# m holds the tables of facts.h; a table or member that no input gave is unknown, and what needs it is
# listed as not evaluated. No threshold without a source: where there is none, a rule measures.
{ lib, m }:
let
  inherit (builtins) any all elem filter head map length concatStringsSep toString hasAttr sort
    storboxKnown storboxSplit stringLength elemAt match floor tail concatLists compareVersions;
  inherit (lib) hasPrefix removePrefix optional optionals unique concatMap last
    concatMapStringsSep findFirst hasSuffix;

  known = storboxKnown;
  splitString = storboxSplit;
  some = t: if known t then t else [ ];
  default = d: v: if known v then v else d;
  missing = what: throw what;
  GiB = 1073741824;
  MiB = 1048576;
  tenths = b: u: "${toString (b / u)}.${toString (lib.mod (b * 10 / u) 10)}";
  size = b:
    if b >= GiB then "${tenths b GiB} GiB" else if b >= MiB then "${tenths b MiB} MiB"
    else "${toString b} bytes";
  percent = a: b: if b == 0 then 0 else a * 100 / b;
  sum = builtins.foldl' (a: b: a + b) 0;
  maximum = builtins.foldl' lib.max 0;
  sources = map (o: o.source);
  words = concatStringsSep " ";
  show = l: if l == [ ] then "none" else concatStringsSep "," l;
  round = x: toString (floor (x + 0.5));

  # Options of a mount. Those named here belong to the filesystem, whichever subvolume says them.
  perFilesystem = [
    "compress" "compress-force" "nodatacow" "datacow" "nodatasum" "datasum" "autodefrag"
    "noautodefrag" "commit" "discard" "nodiscard" "ssd" "nossd" "ssd_spread" "flushoncommit"
    "notreelog" "max_inline" "metadata_ratio" "nobarrier" "space_cache" "thread_pool"
  ];
  key = o: head (splitString "=" o);
  valueOf = o: let p = splitString "=" o; in if length p > 1 then elemAt p 1 else "";
  withKey = ks: filter (o: elem (key o) ks);
  shared = withKey perFilesystem;
  compressKeys = [ "compress" "compress-force" "nodatacow" ];
  compressOf = os: let l = withKey compressKeys os; in if l == [ ] then "none" else last l;
  levelOf = o:
    let v = splitString "zstd:" o; in
    if length v > 1 then lib.toInt (last v) else if last (splitString "zstd" o) == "" then 3 else 0;

  # A filesystem with what belongs to it.
  filesystems = map (fs: fs // rec {
    mounts = filter (x: x.filesystem == fs.id) m.mounts;
    mount = if some m.mounts != [ ] && mounts != [ ] then (head mounts).target else fs.id;
    label = mount;
    options = if mounts == [ ] then missing "a mount of it (--mounts or --live)" else
      unique (concatMap (x: shared x.options) mounts);
    spaces = filter (x: x.filesystem == fs.id) m.spaces;
    kind = k: filter (x: elem x.kind k && x.size_bytes > 0) spaces;
    data = kind [ "Data" "Data+Metadata" ];
    metadata = kind [ "Metadata" "Data+Metadata" ];
    members = filter (x: x.filesystem == fs.id) m.members;
    disks =
      let d = filter (x: elem x.name fs.disks) m.disks; in
      if d == [ ] then missing "the disk below it (--lsblk, --facter or --live)" else d;
    media = unique (map (d: d.media) disks);
    has = o: elem o options;
    # fs/btrfs/volumes.c: a chunk of data is 1 GiB, or a tenth of a small filesystem; one of
    # metadata 1 GiB above 50 GiB, else 256 MiB; both at most a tenth of the devices.
    dataChunk = lib.min GiB (fs.size_bytes / 10);
    metadataChunk = lib.min (if fs.size_bytes > 50 * GiB then GiB else 256 * MiB) (fs.size_bytes / 10);
    copies = x: if elem x.profile [ "DUP" "RAID1" "RAID10" ] then 2
      else if x.profile == "RAID1C3" then 3 else if x.profile == "RAID1C4" then 4 else 1;
    full = fs.unallocated_bytes < metadataChunk * (if metadata == [ ] then 1 else copies (head metadata));
    dataSlack = sum (map (x: x.size_bytes - x.used_bytes) data);
    redundant = any (x: copies x > 1 && x.profile != "DUP") data;
  }) m.filesystems;

  # A filesystem of a layout with its subvolumes, in the order they are mounted: parents first.
  declared = map (d: d // rec {
    subs = map (s: s // { own = shared s.options; rest = without perFilesystem s.options; compress = compressOf s.options; })
      (filter (s: s.declared == d.id) m.subvolumes);
    mounted = sort (a: b: stringLength a.mountpoint < stringLength b.mountpoint)
      (filter (s: s.mountpoint != null) subs);
    first = head mounted;
    count = length d.devices;
    profile = f: let l = d.mkfs; n = length l; at = filter (i: elemAt l i == f) (lib.range 0 (n - 2));
      in if at == [ ] then null else elemAt l (head at + 1);
    mkfsData = let p = profile "-d"; in if p == null then profile "--data" else p;
    # The filesystem that is there now, found by a mount point that both have.
    live = let hit = filter (x: x.fstype == "btrfs" && any (s: s.mountpoint == x.target) mounted) m.mounts; in
      if hit == [ ] then missing "its mounts (--mounts or --live)" else head hit;
    liveFilesystem = head (filter (fs: fs.id == live.filesystem) filesystems);
  }) m.declared;
  hasInfix = i: t: length (splitString i t) > 1;
  mountedSubs = concatMap (d: map (s: s // { owner = d; }) d.mounted) declared;

  # The change to a layout: a diff of the list of options, where it is written out.
  quote = o: "\"${o}\"";
  place = s: if s.options_source == null then s.source else s.options_source;
  listOf = os: "[ ${concatStringsSep " " (map quote os)}${if os == [ ] then "]" else " ]"}";
  diff = s: new:
    if s.options_before == null then
      "${place s}\n  mountOptions = ${listOf new};"
    else
      "--- a/${s.options_file}\n+++ b/${s.options_file}\n"
      + "@@ -${toString s.options_line},${toString s.options_lines} +${toString s.options_line},1 @@\n"
      + concatMapStringsSep "\n" (l: "-" + l) (splitString "\n" s.options_text)
      + "\n+${s.options_before}${listOf new}${s.options_after}";
  without = ks: filter (o: !(elem (key o) ks || elem o ks));

  # Workloads: who complains, who is at work, what was slow.
  about = w: filter (o: o.workload == w) (some m.observations ++ some m.processes ++ some m.slow);
  complaints = w: filter (o: o.workload == w) (some m.observations);
  evidenceOf = w: sources (about w);

  # How long rewriting takes. A speed that was measured, else what the class of medium can do.
  speed = fs:
    let c = filter (x: known x.device_bytes_per_s && x.device_bytes_per_s > 0) (some m.compression);
        media = default [ ] fs.media; in
    if c != [ ] then let s = (head c).device_bytes_per_s; in { low = s; high = s; why = "measured here"; }
    else if elem "hdd" media then { low = 80000000; high = 260000000; why = "sustained rates in disk makers' data sheets"; }
    else if elem "ssd" media then { low = 200000000; high = 550000000; why = "SATA's limit is 600 MB/s"; }
    else if elem "nvme" media then { low = 500000000; high = 3500000000; why = "NVMe data sheets"; }
    else null;
  time = s: if s < 120 then "${toString s} s" else if s < 7200 then "${toString (s / 60)} min"
    else "${toString (s / 3600)} h";
  # Reading and writing each byte once.
  rewrite = fs: bytes:
    let v = speed fs; in
    if v == null then "depends on the device: ${size bytes} are read and written"
    else "${time (2 * bytes / v.high + 1)} to ${time (2 * bytes / v.low + 1)} for ${size bytes} (${v.why})";

  losesCow = "+C takes away checksums (no corruption is noticed), compression and the self-repair of RAID1; "
    + "and each snapshot brings copy-on-write back for what is written next";
  remountUndo = fs: old: "mount -o remount,${old} ${fs.mount}";

  # What was measured of compressing each path, and the level that suits it.
  measuredPaths = map (p: rec {
    label = p; path = p;
    rows = filter (c: c.path == p) m.compression;
    zstd = filter (c: c.algorithm == "zstd") rows;
    cpus = default 1 (head m.hosts).cpus;
    device = (head rows).device_bytes_per_s;
    # What is written in a second, uncompressed: the slower of CPUs and device.
    through = c: let cpu = c.write_bytes_per_s * cpus; disk = device * c.ratio; in if cpu < disk then cpu else disk;
    # The best ratio among the levels that do not write slower than the device alone and leave half of
    # the CPUs to others; a higher level must gain a hundredth.
    good = filter (c: through c >= 1.0 * device && c.write_bytes_per_s * cpus >= 2.0 * device && c.ratio > 1.01) zstd;
    best = builtins.foldl' (a: c: if a == null || c.ratio > a.ratio * 1.01 then c else a) null good;
    at = filter (x: x.fstype == "btrfs" && (x.target == "/" || x.target == p || hasPrefix (x.target + "/") p)) m.mounts;
    mount = builtins.foldl' (a: x: if a == null || stringLength x.target >= stringLength a.target then x else a) null at;
    now = if mount == null then missing "the mount it is on" else compressOf mount.options;
    have = filter (z: z.level == levelOf now) zstd;
    advice = if best == null then "compress=no" else "compress=zstd:${toString best.level}";
    back = if now == "none" then "compress=no" else now;
  }) (unique (map (c: c.path) m.compression));
  number = r: let t = floor (r * 100 + 0.5); in "${toString (t / 100)}.${lib.fixedWidthString 2 "0" (toString (lib.mod t 100))}";

  docs = "btrfs.readthedocs.io";
  btrfs5 = "btrfs(5), MOUNT OPTIONS";
  measured = "measured on kernel 6.18, btrfs-progs 6.2, loop devices";
  kernelZstd = "Linux commit 5c1aab1dd544 (zstd in btrfs)";

  # zstd levels: write speed of 1 and of the level, share of the disk; both sets of measurements.
  levels = {
    "1" = { kernel = 260; here = 418; ratio = 2.57; disk = 40.5; share = "40.5%"; };
    "3" = { kernel = 174; here = 376; ratio = 2.71; disk = 39.0; share = "39.0%"; };
    "6" = { kernel = 70; here = 152; ratio = 2.87; disk = 37.1; share = "37.1%"; };
    "9" = { kernel = 43; here = 97; ratio = 2.92; disk = 36.8; share = "36.8%"; };
    "15" = { kernel = 11; here = 14; ratio = 3.01; disk = 35.2; share = "35.2%"; };
  };
  band = n: if n < 6 then null else if n < 9 then "6" else if n < 15 then "9" else "15";

  errorRule = { id, member, title, why, recommended, command ? null }: {
    inherit id title why;
    area = "device"; severity = "critical"; applicability = "live";
    inputs = [ "device stats (--device-stats) or --live" ];
    each = filter (d: !d.missing) m.members;
    when = d: d.${member} > 0;
    finding = d: {
      target = d.device;
      current = "${toString d.${member}} since the counters were last reset";
      inherit recommended;
      evidence = [ d.source ];
      against = [ "the counter never goes back by itself: an old, repaired fault still shows" ];
      cost = "reads every block once; a scrub slows other work";
      command = if command != null then command d else
        let fs = filter (f: f.id == d.filesystem) filesystems;
            at = if fs == [ ] then d.device else (head fs).mount; in
        "btrfs scrub start -B ${at} && btrfs device stats -z ${at}";
      undo = "none is needed: the counters are only read and reset";
      effect = { what = "data that still has a good copy is repaired; what has none is named"; source = "btrfs-scrub(8)"; };
    };
    what = "An error counter that btrfs keeps for each device is not 0.";
    check = "btrfs device stats MOUNT; dmesg | grep BTRFS";
    whenNot = "After a known, repaired incident: reset the counters with `btrfs device stats -z`.";
    sources = [ "btrfs-device(8), DEVICE STATS" "btrfs-scrub(8)" ];
  };

  optionRule = r: {
    area = "mount"; applicability = "remount"; inputs = [ "a layout (--disko)" "mounts (--mounts) or --live" ];
  } // r;
in
[
  # ---- space ----
  {
    id = "BTRFS-METADATA-FULL"; area = "space"; severity = "critical"; applicability = "live";
    title = "metadata has no room and cannot grow";
    inputs = [ "btrfs usage (--btrfs-usage) or --live" ];
    each = filesystems;
    when = fs: fs.full && fs.metadata != [ ]
      && sum (map (x: x.size_bytes - x.used_bytes) fs.metadata) <= 2 * fs.reserve_bytes + 16 * MiB;
    finding = fs: let x = head fs.metadata; in {
      current = "metadata ${toString (percent x.used_bytes x.size_bytes)}% used, ${size fs.unallocated_bytes} unallocated";
      recommended = "free chunks of data, or add a device";
      evidence = [ fs.source x.source ];
      against = optional (known fs.free_statfs_bytes && fs.free_statfs_bytes > 0) "df still shows ${size fs.free_statfs_bytes} free: that is room for data, not for metadata";
      cost = "rewrites the data of the emptiest chunks";
      duration = rewrite fs (lib.min fs.dataSlack GiB);
      command = "btrfs balance start -dusage=${toString (lib.min 95 (1 + (if fs.data == [ ] then 50 else percent (sum (map (x: x.used_bytes) fs.data)) (sum (map (x: x.size_bytes) fs.data)))))} ${fs.mount}";
      undo = "none: space that is freed is allocated again as needed";
      effect = { what = "writes stop failing with ENOSPC"; source = measured; };
    };
    what = "Nothing is left unallocated and what metadata has free is about what the global reserve takes: the next change of metadata can fail with ENOSPC, also deleting.";
    why = "btrfs allocates chunks for data and metadata apart; df counts the data's room only.";
    check = "btrfs filesystem usage MOUNT: Device unallocated, Metadata Used.";
    whenNot = "Where data is full too (BTRFS-DATA-FULL), a balance cannot help: delete or add first.";
    sources = [ "${docs}/en/latest/btrfs-balance.html" "fs/btrfs/space-info.c" measured ];
  }
  {
    id = "BTRFS-SPACE-ALLOCATED"; area = "space"; severity = "warning"; applicability = "live";
    title = "all space is allocated, yet data uses only part of it";
    inputs = [ "btrfs usage (--btrfs-usage) or --live" ];
    each = filesystems;
    when = fs: fs.full && fs.data != [ ] && fs.dataSlack >= fs.dataChunk;
    finding = fs: let
      used = sum (map (x: x.used_bytes) fs.data); total = sum (map (x: x.size_bytes) fs.data);
      filter' = lib.min 95 (percent used total + 1);
    in {
      current = "${size fs.unallocated_bytes} unallocated, ${size fs.dataSlack} of the data's chunks unused";
      recommended = "compact the emptiest chunks";
      evidence = [ fs.source ] ++ sources fs.data;
      against = optional (fs.metadata != [ ] && percent (head fs.metadata).used_bytes (head fs.metadata).size_bytes < 50)
        "metadata is ${toString (percent (head fs.metadata).used_bytes (head fs.metadata).size_bytes)}% used: there is time";
      cost = "rewrites the chunks that are at most ${toString filter'}% used; slows other work meanwhile";
      duration = rewrite fs (lib.min used fs.dataSlack);
      command = "btrfs balance start -dusage=${toString filter'} ${fs.mount}";
      undo = "none is needed: chunks are allocated again as needed";
      effect = { low = fs.metadataChunk / MiB; high = fs.dataSlack / MiB; unit = "MiB unallocated"; what = "room for metadata to grow"; source = "the chunks' numbers above"; };
    };
    what = "Less is unallocated than the next chunk of metadata needs, while data's chunks have room.";
    why = "When metadata must grow and cannot, writes fail with ENOSPC although df shows free space.";
    check = "btrfs filesystem usage MOUNT";
    whenNot = "Where data will soon need the room anyway.";
    sources = [ "${docs}/en/latest/btrfs-balance.html" "btrfsmaintenance: BTRFS_BALANCE_DUSAGE 5 10" "fs/btrfs/volumes.c init_alloc_chunk_ctl_policy_regular()" ];
  }
  {
    id = "BTRFS-DATA-FULL"; area = "space"; severity = "critical"; applicability = "live";
    title = "the filesystem is full";
    inputs = [ "btrfs usage (--btrfs-usage) or --live" ];
    each = filesystems;
    when = fs: fs.data != [ ] && fs.unallocated_bytes < fs.dataChunk && fs.dataSlack < MiB;
    finding = fs: {
      current = "${size fs.unallocated_bytes} unallocated, ${size fs.dataSlack} free in data's chunks";
      recommended = "delete old snapshots or files, or add a device";
      evidence = [ fs.source ] ++ sources fs.data;
      cost = "what is deleted is gone";
      command = "btrfs subvolume list -st ${fs.mount}";
      undo = "none is needed: the command only lists what could go";
      effect = { what = "writes work again"; source = "statfs(2)"; };
    };
    what = "No chunk can be allocated, and those of data have no room.";
    why = "Every write fails with ENOSPC.";
    check = "btrfs filesystem usage MOUNT";
    whenNot = "A filesystem that is filled once and then only read.";
    sources = [ "btrfs-filesystem(8), usage" ];
  }
  {
    id = "BTRFS-RESERVE-USED"; area = "space"; severity = "critical"; applicability = "live";
    title = "the emergency reserve of metadata is in use";
    inputs = [ "btrfs usage or df (--btrfs-usage, --btrfs-df)" ];
    each = filesystems;
    when = fs: fs.reserve_used_bytes > 0;
    finding = fs: {
      current = "${size fs.reserve_used_bytes} of the global reserve used";
      recommended = "free space now: delete snapshots, then balance";
      evidence = [ fs.source ];
      cost = "what is deleted is gone";
      command = "btrfs balance start -dusage=10 ${fs.mount}";
      undo = "none";
      effect = { what = "keeps the filesystem from turning read-only"; source = "btrfs-filesystem(8), GlobalReserve"; };
    };
    what = "GlobalReserve's `used` is not 0.";
    why = "The reserve is for finishing what must not fail; a non-zero value means metadata is exhausted.";
    check = "btrfs filesystem df MOUNT | grep GlobalReserve";
    whenNot = "It may show for a moment while much is deleted.";
    sources = [ "btrfs-filesystem(8), df: GlobalReserve" ];
  }
  {
    id = "BTRFS-DEVICE-MISSING"; area = "device"; severity = "critical"; applicability = "live";
    title = "a device of the filesystem is missing";
    inputs = [ "btrfs usage or device stats (--btrfs-usage, --device-stats) or --live" ];
    each = filesystems;
    when = fs: any (d: d.missing) (default [ ] fs.members) || default 0 fs.missing_bytes > 0
      || (!(known fs.missing_bytes) && !(known m.members) && missing "which devices are there");
    finding = fs: {
      current = "a missing member";
      recommended = "bring it back, or replace it";
      evidence = sources (filter (d: d.missing) (default [ ] fs.members)) ++ optional (fs.source != null) fs.source;
      cost = "copies all that the missing device held";
      duration = rewrite fs (default 0 fs.missing_bytes);
      command = "btrfs replace start MISSING_DEVID /dev/NEW ${fs.mount}";
      undo = "btrfs replace cancel ${fs.mount}";
      effect = { what = "there are two copies again"; source = "btrfs-replace(8)"; };
    };
    what = "A member is not there: redundancy is gone or less.";
    why = "With one more failure data is lost. Mounting degraded while the other half is merely late makes two diverging halves.";
    check = "btrfs filesystem show; btrfs filesystem usage MOUNT";
    whenNot = "While a device is on purpose away, never mount both halves writable in turn.";
    sources = [ "btrfs-replace(8)" measured ];
  }
  {
    id = "BTRFS-PROFILES-MIXED"; area = "space"; severity = "warning"; applicability = "rewrite-data";
    title = "chunks of one kind have more than one profile";
    inputs = [ "btrfs usage (--btrfs-usage) or --live" ];
    each = filesystems;
    when = fs: fs.multiple_profiles == 1;
    finding = fs: {
      current = "more than one: ${concatMapStringsSep ", " (x: "${x.kind} ${x.profile} ${size x.size_bytes}") (default [ ] fs.spaces)}";
      recommended = "convert all to the profile that is wanted";
      evidence = [ fs.source ] ++ sources (default [ ] fs.spaces);
      cost = "rewrites what has the other profile";
      command = "btrfs balance start -dconvert=PROFILE,soft -mconvert=PROFILE,soft ${fs.mount}";
      undo = "the same with the old profile";
      effect = { what = "all data has the redundancy that is expected of it"; source = "btrfs-balance(8)"; };
    };
    what = "`Multiple profiles: yes`: an interrupted conversion, usually.";
    why = "Part of the data is not as redundant as the rest, and free space is guessed wrong.";
    check = "btrfs filesystem usage MOUNT | grep Multiple";
    whenNot = "While a conversion is running.";
    sources = [ "btrfs(5), FILESYSTEM WITH MULTIPLE PROFILES" ];
  }
  {
    id = "BTRFS-METADATA-SINGLE"; area = "space"; severity = "note"; applicability = "live";
    title = "metadata has one copy only";
    inputs = [ "btrfs usage or df (--btrfs-usage, --btrfs-df) or --live" ];
    each = filesystems;
    when = fs: any (x: x.kind == "Metadata" && elem x.profile [ "single" "RAID0" ]) fs.spaces;
    finding = fs: let x = head (filter (x: x.kind == "Metadata" && elem x.profile [ "single" "RAID0" ]) fs.spaces); in {
      current = "Metadata ${x.profile}, ${size x.used_bytes} used";
      recommended = if length fs.devices > 1 then "raid1" else "dup";
      evidence = [ x.source ];
      cost = "metadata takes twice its room: ${size x.used_bytes} more";
      duration = rewrite fs x.used_bytes;
      command = "btrfs balance start -mconvert=${if length fs.devices > 1 then "raid1" else "dup"},soft ${fs.mount}";
      undo = "btrfs balance start -f -mconvert=${if x.profile == "RAID0" then "raid0" else "single"} ${fs.mount}";
      effect = { what = "a bad block in metadata is repaired instead of losing files"; source = "mkfs.btrfs(8), DUP PROFILES"; };
    };
    what = "The metadata's profile is single or RAID0.";
    why = "One unreadable block of metadata can make a tree of files unreachable; dup is mkfs' default since 5.15.";
    check = "btrfs filesystem df MOUNT";
    whenNot = "Scratch data; a device whose own redundancy is trusted.";
    sources = [ "mkfs.btrfs(8): default metadata profile" ];
  }
  {
    id = "BTRFS-RAID56-METADATA"; area = "space"; severity = "warning"; applicability = "live";
    title = "metadata is on RAID5 or RAID6";
    inputs = [ "btrfs usage or df (--btrfs-usage, --btrfs-df) or --live" ];
    each = filesystems;
    when = fs: any (x: elem x.kind [ "Metadata" "System" ] && elem x.profile [ "RAID5" "RAID6" ]) fs.spaces;
    finding = fs: {
      current = "metadata on parity";
      recommended = "raid1, or raid1c3 beside raid6";
      evidence = sources (filter (x: elem x.profile [ "RAID5" "RAID6" ]) fs.spaces);
      cost = "rewrites the metadata";
      command = "btrfs balance start -mconvert=raid1,soft -sconvert=raid1,soft -f ${fs.mount}";
      undo = "btrfs balance start -mconvert=raid5 ${fs.mount}";
      effect = { what = "a power cut cannot leave metadata's parity wrong"; source = "${docs}, RAID56 STATUS"; };
    };
    what = "Metadata or system chunks have a parity profile.";
    why = "The write hole: after a power cut parity may not match, and a later failure then corrupts.";
    check = "btrfs filesystem df MOUNT";
    whenNot = "Never advised against.";
    sources = [ "${docs}/en/latest/btrfs-man5.html#raid56-status-and-recommended-practices" ];
  }
  {
    id = "BTRFS-MIXED-GROUPS"; area = "space"; severity = "note"; applicability = "mkfs";
    title = "data and metadata share chunks";
    inputs = [ "btrfs usage or df (--btrfs-usage, --btrfs-df) or --live" ];
    each = filesystems;
    when = fs: any (x: x.kind == "Data+Metadata") fs.spaces && fs.size_bytes > 1 * GiB;
    finding = fs: {
      current = "mixed block groups on ${size fs.size_bytes}";
      recommended = "a filesystem made without --mixed";
      evidence = sources (filter (x: x.kind == "Data+Metadata") fs.spaces);
      against = [ "nothing is wrong with the data; only speed and space handling suffer" ];
      cost = "all data must be copied to a new filesystem";
      duration = rewrite fs fs.used_bytes;
      command = "mkfs.btrfs DEVICE";
      undo = "none: keep the old filesystem until the new one is proven";
      effect = { what = "less mixing of small and large blocks"; source = "mkfs.btrfs(8), --mixed"; };
    };
    what = "Mixed block groups on a filesystem larger than they are meant for.";
    why = "mkfs.btrfs(8): mixed mode is recommended below 1 GiB.";
    check = "btrfs filesystem df MOUNT shows Data+Metadata";
    whenNot = "Small filesystems.";
    sources = [ "mkfs.btrfs(8), --mixed" ];
  }
  {
    id = "BTRFS-RAID1-UNEVEN"; area = "space"; severity = "note"; applicability = "live";
    title = "unallocated space is on one device only, where RAID1 cannot use it";
    inputs = [ "btrfs usage (--btrfs-usage) or --live" ];
    each = filesystems;
    when = fs: fs.redundant && length (filter (d: !d.missing) fs.members) > 1
      && (let un = map (d: d.unallocated_bytes) (filter (d: !d.missing) fs.members); in
        maximum un >= fs.dataChunk && sum un - maximum un < fs.dataChunk);
    finding = fs: {
      current = concatMapStringsSep ", " (d: "${d.device} ${size d.unallocated_bytes}") fs.members;
      recommended = "spread the chunks, or add a device of that size";
      evidence = sources fs.members;
      cost = "rewrites part of the data";
      command = "btrfs balance start -dlimit=10 ${fs.mount}";
      undo = "none is needed";
      effect = { what = "the room on the larger device can be used"; source = "fs/btrfs/volumes.c"; };
    };
    what = "RAID1 needs room on two devices for each chunk.";
    why = "df counts space that cannot be used.";
    check = "btrfs filesystem usage -T MOUNT";
    whenNot = "Where devices differ in size for good, the rest cannot be used.";
    sources = [ "mkfs.btrfs(8), PROFILES: RAID1 needs two devices for each chunk" ];
  }
  # ---- devices ----
  (errorRule {
    id = "BTRFS-DEVICE-WRITE-ERRORS"; member = "write_errors"; title = "writes to a device failed";
    why = "A failed write leaves a copy that is old; without redundancy data is lost.";
    recommended = "look at the disk's own health (smartctl), the cable, then scrub; replace the device when it goes on";
  })
  (errorRule {
    id = "BTRFS-DEVICE-READ-ERRORS"; member = "read_errors"; title = "reads from a device failed";
    why = "Sectors that cannot be read are usually the beginning of a disk's end.";
    recommended = "smartctl -a, then scrub";
  })
  (errorRule {
    id = "BTRFS-DEVICE-FLUSH-ERRORS"; member = "flush_errors"; title = "a device failed to flush its cache";
    why = "After a failed flush nothing is known of the order of writes: a power cut may break the filesystem.";
    recommended = "replace the device or its controller";
  })
  (errorRule {
    id = "BTRFS-DEVICE-CORRUPTION"; member = "corruption_errors"; title = "checksums did not match";
    why = "The device gave other data than was written: memory, cable, firmware or medium.";
    recommended = "scrub, which repairs from the other copy; test the memory";
  })
  (errorRule {
    id = "BTRFS-DEVICE-GENERATION-ERRORS"; member = "generation_errors"; title = "blocks were older than they should be";
    why = "A write was lost: the device said it was done and it was not.";
    recommended = "scrub; then doubt the device's write cache";
  })
  # ---- mount options ----
  (optionRule {
    id = "BTRFS-COMPRESS-FIRST-MOUNT"; severity = "warning"; applicability = "remount";
    title = "subvolumes ask for different options, but the first mount decides for all";
    each = declared;
    when = d: length (unique (map (s: s.compress) d.mounted)) > 1;
    finding = d: let
      decided = compressOf d.first.options;
      asked = unique (filter (o: o != "none" && key o != "nodatacow") (map (s: compressOf s.options) d.mounted));
      want = if asked == [ ] then "compress=zstd:1" else head asked;
      effective = if known d.live then compressOf d.liveFilesystem.options else decided;
      others = filter (s: compressOf s.options != effective) d.mounted;
    in {
      target = d.id;
      confidence = if known d.live then "high" else "medium";
      current = "${concatMapStringsSep ", " (s: "${s.mountpoint}: ${compressOf s.options}") d.mounted}; ${if known d.live then "observed" else "predicted"} for all: ${effective}";
      recommended = "the same ${want} on every subvolume of this filesystem";
      evidence = map place d.mounted
        ++ optional (known d.live) d.live.source;
      against = optional (!(known d.live)) "which subvolume is mounted first is predicted from the paths; mounts (--mounts) would show it";
      cost = "new data only: what is on the disk stays as it is";
      # What is wanted for all may be what the first mount gives: then the layout alone is wrong.
      command = if effective == want then null else "mount -o remount,${want} ${(d.first).mountpoint}";
      undo = if effective == want then "take the layout's change back: patch -R"
        else "mount -o remount,${if effective == "none" then "compress=no" else effective} ${(d.first).mountpoint}";
      diff = concatMapStringsSep "\n" (s: diff s (without compressKeys s.options ++ [ want ]))
        (filter (s: compressOf s.options != want) d.mounted);
      effect = { what = "what the layout says is what happens; ${toString (length others)} subvolumes get what they ask for"; source = measured; };
    };
    what = "Subvolumes of one filesystem are given different compress or nodatacow options.";
    why = "These options belong to the filesystem: only those of the first mounted subvolume take effect; the others' are ignored without a word.";
    check = "grep btrfs /proc/self/mountinfo: every mount of one filesystem shows the same options.";
    whenNot = "Options of the atime family, ro, nodev, nosuid and noexec are each mount's own.";
    sources = [ btrfs5 measured "31 of 102 btrfs filesystems in 100 public disko files" ];
  })
  (optionRule {
    id = "BTRFS-COMPRESS-INACTIVE"; severity = "warning";
    title = "the layout asks for compression that is not in effect";
    inputs = [ "a layout (--disko)" "mounts (--mounts) or --live" ];
    each = filter (d: d.mounted != [ ]) declared;
    when = d: let asked = unique (map (s: s.compress) d.mounted); now = compressOf d.liveFilesystem.options; in
      length asked == 1 && head asked != "none" && now != head asked
      && !(hasPrefix (head asked) now && levelOf now == levelOf (head asked));
    finding = d: let want = compressOf d.first.options; now = compressOf d.liveFilesystem.options; in {
      target = d.live.target;
      current = "effective: ${now}"; recommended = want;
      evidence = [ d.live.source ] ++ [ (place d.first) ];
      cost = "new data only";
      command = "mount -o remount,${want} ${d.live.target}";
      undo = "mount -o remount,${if now == "none" then "compress=no" else now} ${d.live.target}";
      effect = { what = "new data is compressed as the layout says"; source = "/proc/self/mountinfo shows what is in effect"; };
    };
    what = "The layout's compress option and the one in /proc/self/mountinfo differ.";
    why = "The layout was changed after it was mounted, or another subvolume was mounted first.";
    check = "findmnt -t btrfs -o TARGET,OPTIONS";
    whenNot = "Right after a change of the layout, before the switch.";
    sources = [ btrfs5 measured ];
  })
  (optionRule {
    id = "BTRFS-OPTION-FAILS"; severity = "critical";
    title = "a mount option will make the next mount fail";
    inputs = [ "a layout (--disko)" ];
    each = mountedSubs;
    when = s: any (o: elem o [ "inode_cache" "recovery" "nologreplay" "space_cache=v1" ] || hasPrefix "check_int" o) s.options;
    finding = s: let bad = filter (o: elem o [ "inode_cache" "recovery" "nologreplay" "space_cache=v1" ] || hasPrefix "check_int" o) s.options; in {
      target = s.mountpoint;
      current = show bad;
      recommended = if elem "recovery" bad then "rescue=usebackuproot, only when needed" else "remove it";
      evidence = [ (place s) ];
      against = optional (elem "nologreplay" bad) "rescue=nologreplay is its name now";
      cost = "none";
      undo = "put it back";
      command = "storadvise eval ${s.owner.file}";
      diff = diff s (filter (o: !(elem o bad)) s.options);
      effect = { what = "the machine boots"; source = measured; };
    };
    what = "Options that current kernels refuse: inode_cache, check_int*, recovery, nologreplay, space_cache=v1 (on a filesystem with a free space tree).";
    why = "The mount fails outright: for / that is the initrd's emergency shell.";
    check = "mount -o OPTION on a loop device with the kernel in question.";
    whenNot = "Kernels that still take it; they warn.";
    sources = [ "${measured}: the mount fails on 6.18" btrfs5 ];
  })
  (optionRule {
    id = "BTRFS-OPTION-NOOP"; severity = "info"; applicability = "remount";
    title = "mount options that do nothing";
    inputs = [ "a layout (--disko)" ];
    each = mountedSubs;
    when = s: any (o: elem o [ "space_cache=v2" "space_cache" "ssd" "discard=async" "commit=30" "datacow" "datasum" "barrier" "treelog" "noautodefrag" ]) s.options;
    finding = s: let noop = filter (o: elem o [ "space_cache=v2" "space_cache" "ssd" "discard=async" "commit=30" "datacow" "datasum" "barrier" "treelog" "noautodefrag" ]) s.options; in {
      target = s.mountpoint; confidence = "medium";
      current = show noop; recommended = "leave them out";
      evidence = [ (place s) ];
      against = optional (elem "discard=async" noop) "before Linux 6.2 discard=async was no default"
        ++ optional (elem "space_cache" noop) "on a filesystem made before btrfs-progs 5.15 space_cache=v2 converts once";
      cost = "none";
      diff = diff s (filter (o: !(elem o noop)) s.options);
      undo = "put them back";
      effect = { low = 0; high = 0; unit = "% speed"; what = "none but a shorter layout"; source = btrfs5; };
    };
    what = "Options that are the default: space_cache=v2 (mkfs since 5.15), discard=async (6.2+), ssd (detected), commit=30.";
    why = "They look like tuning and are not; whoever reads the layout believes they matter.";
    check = "mount without them: findmnt shows them all the same.";
    whenNot = "Old kernels and old filesystems.";
    sources = [ btrfs5 ];
  })
  (optionRule {
    id = "BTRFS-ZSTD-CLAMPED"; severity = "note";
    title = "zstd has levels up to 15 here";
    inputs = [ "a layout (--disko)" ];
    each = mountedSubs;
    when = s: levelOf (compressOf s.options) > 15;
    finding = s: {
      target = s.mountpoint;
      current = compressOf s.options; recommended = "zstd:15 is what it is; zstd:3 is the knee";
      evidence = [ (place s) ];
      cost = "none";
      diff = diff s (without compressKeys s.options ++ [ "compress=zstd:3" ]);
      command = "mount -o remount,compress=zstd:3 ${s.mountpoint}";
      undo = "mount -o remount,compress=zstd:15 ${s.mountpoint}";
      effect = { what = "the layout says what happens"; source = measured; };
    };
    what = "A level above 15 is silently taken as 15.";
    why = "zstd's own tool goes to 22; btrfs does not.";
    check = "findmnt shows zstd:15.";
    whenNot = "-";
    sources = [ measured "fs/btrfs/zstd.c ZSTD_BTRFS_MAX_LEVEL" ];
  })
  (optionRule {
    id = "BTRFS-COMPRESS-HIGH"; severity = "warning"; applicability = "remount";
    title = "the compression level costs much speed for little space";
    inputs = [ "mounts (--mounts) or --live" ];
    each = filesystems;
    when = fs: band (levelOf (compressOf fs.options)) != null;
    finding = fs: let
      o = compressOf fs.options; b = levels.${band (levelOf o)}; t = levels."3";
      a = 1.0 * t.kernel / b.kernel; c = 1.0 * t.here / b.here;
    in {
      target = fs.mount;
      severity = if about "backup" != [ ] && about "build" == [ ] then "note" else "warning";
      confidence = if some m.compression == [ ] then "medium" else "high";
      current = o; recommended = "${key o}=zstd:3";
      evidence = sources (filter (x: elem o x.options) fs.mounts) ++ evidenceOf "build";
      against = evidenceOf "backup" ++ [ "the CPU works in parallel: a device slower than the compressor hides the cost" ];
      effect = { low = 1.0; high = if a > c then a else c; unit = "times the write speed of compressible data"; what = "faster writes where the CPU is the limit; from ${b.share} to ${t.share} of the disk"; source = "${kernelZstd}; ${measured}"; };
      cost = "about ${round ((t.disk - b.disk) * 100 / b.disk)}% more disk for new data";
      command = "mount -o remount,${key o}=zstd:3 ${fs.mount}";
      undo = remountUndo fs o;
    };
    what = "zstd at level 6 or more.";
    why = "The knee after level 3 stands in both sets of measurements: beyond, speed halves for 2 to 5 per cent of space.";
    check = "storadvise --measure PATH computes it for this CPU and these files.";
    whenNot = "Archives that are written once; slow disks with idle CPUs.";
    sources = [ kernelZstd measured ];
  })
  (optionRule {
    id = "BTRFS-COMPRESS-NONE"; severity = "note"; applicability = "remount";
    title = "data is not compressed";
    inputs = [ "mounts (--mounts) or --live" ];
    each = filesystems;
    when = fs: elem (compressOf fs.options) [ "none" "compress=no" "compress=none" ];
    finding = fs: {
      target = fs.mount; confidence = "medium";
      current = "no compression"; recommended = "compress=zstd:1";
      evidence = sources (lib.take 1 fs.mounts);
      against = [ "no speed-up over uncompressed is proven; media, archives and encrypted data do not shrink" ];
      cost = "CPU time on writes; new data only";
      command = "mount -o remount,compress=zstd:1 ${fs.mount}";
      undo = "mount -o remount,compress=no ${fs.mount}";
      effect = { low = 0; high = 61; unit = "% less space for compressible data"; what = "2.57 times in the kernel's benchmark, 40.5% of the disk for /usr"; source = "${kernelZstd}; ${measured}"; };
    };
    what = "The filesystem is mounted without compress.";
    why = "Space, and wear of flash; not speed.";
    check = "storadvise --measure PATH shows the ratio of your own files.";
    whenNot = "Data that is compressed already.";
    sources = [ kernelZstd measured ];
  })
  (optionRule {
    id = "BTRFS-NODATACOW-MOUNT"; severity = "warning";
    title = "nodatacow is for the whole filesystem, or for nothing";
    inputs = [ "a layout (--disko)" ];
    each = mountedSubs;
    when = s: elem "nodatacow" s.options;
    finding = s: {
      target = s.mountpoint;
      current = "nodatacow on ${s.mountpoint}";
      recommended = "chattr +C on the directory of the database or images alone, if at all";
      evidence = [ (place s) ];
      against = evidenceOf "database" ++ evidenceOf "vm";
      cost = losesCow;
      command = "chattr +C DIRECTORY";
      undo = "chattr -C DIRECTORY, then copy its files anew";
      applicability = "new-files";
      diff = diff s (without [ "nodatacow" ] s.options);
      effect = { what = "checksums and compression stay for the rest"; source = "${btrfs5}; ${measured}"; };
    };
    what = "A subvolume is given nodatacow as a mount option.";
    why = "The first mount decides: either every file of the filesystem loses checksums and compression, or the option is ignored.";
    check = "findmnt -t btrfs -o TARGET,OPTIONS";
    whenNot = "A filesystem that holds nothing but such files.";
    sources = [ btrfs5 measured ];
  })
  (optionRule {
    id = "BTRFS-NODATASUM"; severity = "warning";
    title = "data is written without checksums";
    inputs = [ "mounts (--mounts) or --live" ];
    each = filesystems;
    when = fs: fs.has "nodatasum" || fs.has "nodatacow";
    finding = fs: let o = if fs.has "nodatacow" then "nodatacow" else "nodatasum"; in {
      target = fs.mount;
      current = o; recommended = if o == "nodatacow" then "datacow" else "datasum";
      evidence = sources (filter (x: elem o x.options) fs.mounts);
      cost = "copy-on-write and checksums cost random writes some speed";
      command = "mount -o remount,${if o == "nodatacow" then "datacow" else "datasum"} ${fs.mount}";
      undo = "mount -o remount,${o} ${fs.mount}";
      effect = { what = "corruption is noticed, and repaired where there is a second copy; for new files"; source = measured; };
    };
    what = "nodatasum or nodatacow is in effect.";
    why = "Without checksums a RAID1 cannot tell the good copy: in a test, reads alternated between good and bad.";
    check = "findmnt -t btrfs -o TARGET,OPTIONS";
    whenNot = "Data with checksums of its own.";
    sources = [ measured btrfs5 ];
  })
  (optionRule {
    id = "BTRFS-AUTODEFRAG-DATABASE"; severity = "warning";
    title = "autodefrag beside databases or machine images";
    inputs = [ "mounts (--mounts) or --live" "observations, iotop or --measure" ];
    each = filesystems;
    when = fs: fs.has "autodefrag" && (about "database" != [ ] || about "vm" != [ ]
      || any (x: x.filesystem == fs.id) (some m.files)
      || (!(known m.observations || known m.processes || known m.files) && missing "what runs on it (--observe, --iotop or --measure)"));
    finding = fs: {
      target = fs.mount;
      current = "autodefrag"; recommended = "noautodefrag";
      evidence = sources (filter (x: elem "autodefrag" x.options) fs.mounts) ++ evidenceOf "database" ++ evidenceOf "vm";
      against = evidenceOf "desktop";
      cost = "small files of browsers and the like fragment again";
      command = "mount -o remount,noautodefrag ${fs.mount}";
      undo = "mount -o remount,autodefrag ${fs.mount}";
      effect = { low = 0; high = 10; unit = "GiB/min less written"; what = "no rewriting of large files after each small write"; source = "btrfs/linux issue 423 (one user's report)"; };
    };
    what = "autodefrag with random writes to large files.";
    why = "Each small write queues the neighbourhood for rewriting: read latency and write amplification.";
    check = "iostat before and after the remount.";
    whenNot = "Small databases of desktop programs, which it is made for.";
    sources = [ "${btrfs5}: \"Not well suited for large database workloads\"" "github.com/btrfs/linux/issues/423" ];
  })
  (optionRule {
    id = "BTRFS-AUTODEFRAG-DECLARED"; severity = "note";
    title = "the layout turns on autodefrag";
    inputs = [ "a layout (--disko)" ];
    each = filter (s: elem "autodefrag" s.options) mountedSubs;
    when = s: any (t: t.owner.id == s.owner.id && hasInfix "snapshot" t.name) mountedSubs || s.owner.id != null && any (w: about w != [ ]) [ "database" "vm" "container" ];
    finding = s: {
      target = s.mountpoint;
      current = "autodefrag"; recommended = "leave it out";
      evidence = [ (place s) ] ++ evidenceOf "database" ++ evidenceOf "vm";
      cost = "files that are rewritten in small pieces fragment";
      diff = diff s (without [ "autodefrag" ] s.options);
      command = "mount -o remount,noautodefrag ${s.mountpoint}";
      undo = "mount -o remount,autodefrag ${s.mountpoint}";
      effect = { what = "what snapshots share stays shared"; source = "btrfs-filesystem(8), defragment: breaks reflinks"; };
    };
    what = "autodefrag where snapshots are kept, or databases and images live.";
    why = "Defragmentation unshares what snapshots share, so that space is taken twice.";
    check = "btrfs filesystem du -s before and after.";
    whenNot = "A desktop without snapshots.";
    sources = [ btrfs5 "btrfs-filesystem(8), defragment" measured ];
  })
  (optionRule {
    id = "BTRFS-DISCARD-SYNC"; severity = "warning";
    title = "freed space is discarded at once, in every commit";
    inputs = [ "mounts (--mounts) or --live" ];
    each = filesystems;
    when = fs: fs.has "discard" || fs.has "discard=sync";
    finding = fs: {
      target = fs.mount;
      current = "discard=sync"; recommended = "discard=async, the default since 6.2, or fstrim.timer";
      evidence = sources (filter (x: elem "discard" x.options || elem "discard=sync" x.options) fs.mounts);
      cost = "freed blocks are told to the device later";
      command = "mount -o remount,discard=async ${fs.mount}";
      undo = "mount -o remount,discard=sync ${fs.mount}";
      effect = { what = "commits do not wait for the device's discards"; source = btrfs5; };
    };
    what = "discard or discard=sync is in effect.";
    why = "Each commit then waits for the device to forget blocks, which some do slowly.";
    check = "findmnt; iostat's d/s and d_await.";
    whenNot = "Thin volumes that must shrink at once.";
    sources = [ btrfs5 ];
  })
  (optionRule {
    id = "BTRFS-SSD-ON-HDD"; severity = "note"; confidence = "medium";
    title = "ssd mode on a rotating disk";
    inputs = [ "mounts (--mounts)" "lsblk or facter" ];
    each = filesystems;
    when = fs: fs.media == [ "hdd" ] && (fs.has "ssd" || fs.has "ssd_spread");
    finding = fs: {
      target = fs.mount; confidence = "medium";
      current = "ssd"; recommended = "nossd";
      evidence = sources (lib.take 1 fs.mounts) ++ sources fs.disks;
      cost = "none";
      command = "mount -o remount,nossd ${fs.mount}";
      undo = "mount -o remount,ssd ${fs.mount}";
      effect = { what = "log trees are written with a rotating disk in mind"; source = btrfs5; };
    };
    what = "ssd is set though every disk below rotates.";
    why = "It is detected from the device; a layer between (USB, RAID controller, virtual disk) can hide the truth.";
    check = "cat /sys/block/DISK/queue/rotational";
    whenNot = "Where the class of medium is guessed wrongly: see `disks`.";
    sources = [ btrfs5 ];
  })
  (optionRule {
    id = "BTRFS-COMMIT-LONG"; severity = "warning";
    title = "data may be lost for more than five minutes";
    inputs = [ "mounts (--mounts) or --live" ];
    each = filesystems;
    when = fs: any (o: key o == "commit" && lib.toInt (valueOf o) > 300) fs.options;
    finding = fs: let o = head (filter (o: key o == "commit") fs.options); in {
      target = fs.mount;
      current = o; recommended = "commit=30, the default";
      evidence = sources (filter (x: elem o x.options) fs.mounts);
      cost = "more frequent writes of metadata";
      command = "mount -o remount,commit=30 ${fs.mount}";
      undo = remountUndo fs o;
      effect = { what = "a crash loses at most half a minute"; source = btrfs5; };
    };
    what = "commit= above 300 seconds; the kernel itself warns of it.";
    why = "What was not synced since the last commit is lost in a crash.";
    check = "findmnt -o OPTIONS MOUNT";
    whenNot = "Scratch data.";
    sources = [ "${btrfs5}, commit" ];
  })
  (optionRule {
    id = "BTRFS-NOBARRIER"; severity = "critical";
    title = "writes are not ordered: a power cut can destroy the filesystem";
    inputs = [ "a layout (--disko)" "mounts (--mounts) or --live" ];
    each = map (x: { target = x.target; options = x.options; source = x.source; }) (filter (x: x.fstype == "btrfs") (some m.mounts))
      ++ map (s: { target = s.mountpoint; options = s.options; source = place s; }) (if known m.declared then mountedSubs else [ ])
      ++ (if known m.mounts || known m.declared then [ ] else missing "mounts or a layout (--mounts, --disko, --live)");
    when = x: elem "nobarrier" x.options;
    finding = x: {
      target = x.target;
      current = "nobarrier"; recommended = "barrier, the default";
      evidence = [ x.source ];
      cost = "flushes take the time they take";
      command = "mount -o remount,barrier ${x.target}";
      undo = "mount -o remount,nobarrier ${x.target}";
      effect = { what = "the filesystem survives a power cut"; source = btrfs5; };
    };
    what = "nobarrier is set.";
    why = "Without flushes the superblock may reach the medium before what it points to.";
    check = "findmnt -o OPTIONS MOUNT";
    whenNot = "A write cache with a battery.";
    sources = [ "${btrfs5}, nobarrier: \"most certainly lead to a corrupted filesystem in case of a crash or power loss\"" ];
  })
  (optionRule {
    id = "BTRFS-DEGRADED-OPTION"; severity = "warning";
    title = "the filesystem may always be mounted with a device missing";
    inputs = [ "a layout (--disko)" "mounts (--mounts) or --live" ];
    each = map (x: { target = x.target; options = x.options; source = x.source; }) (filter (x: x.fstype == "btrfs") (some m.mounts))
      ++ map (s: { target = s.mountpoint; options = s.options; source = place s; }) (if known m.declared then mountedSubs else [ ])
      ++ (if known m.mounts || known m.declared then [ ] else missing "mounts or a layout (--mounts, --disko, --live)");
    when = x: elem "degraded" x.options;
    finding = x: {
      target = x.target;
      current = "degraded"; recommended = "leave it out; give it by hand when a device has died";
      evidence = [ x.source ];
      cost = "a machine with a dead disk stops in the initrd and asks";
      command = "findmnt -t btrfs -O degraded";
      undo = "none is needed: the command only looks";
      applicability = "offline";
      effect = { what = "two halves never diverge"; source = measured; };
    };
    what = "degraded as a permanent option.";
    why = "A healthy member that is merely scanned late is left out, and the halves diverge: split brain.";
    check = "findmnt -t btrfs -O degraded";
    whenNot = "While repairing.";
    sources = [ "${measured}: degraded succeeds while the healthy peer is unscanned" btrfs5 ];
  })
  {
    id = "BTRFS-ATIME-SNAPSHOTS"; area = "mount"; severity = "note"; applicability = "remount";
    title = "reading files writes metadata that snapshots then keep";
    inputs = [ "mounts (--mounts) or --live" "snapshots: --live or qgroups" ];
    each = concatMap (fs: map (x: x // { fs = fs; label = x.target; }) (filter (x: !(elem "noatime" x.options || elem "ro" x.options)) fs.mounts)) filesystems;
    when = x: x.fs.snapshots > 0;
    finding = x: {
      target = x.target;
      severity = if complaints "backup" != [ ] then "warning" else "note";
      current = "relatime, ${toString x.fs.snapshots} snapshots"; recommended = "noatime";
      evidence = [ x.source ];
      against = [ "matters only where many files are read after a snapshot" ];
      cost = "programs that look at access times (old mail readers) see none";
      command = "mount -o remount,noatime ${x.target}";
      undo = "mount -o remount,atime,relatime ${x.target}";
      effect = { low = 0; high = 88; unit = "% less growth of metadata when all files of a new snapshot are read"; what = "40,000 small files: +21.7 MB with relatime, 0 with noatime"; source = measured; };
    };
    what = "A mount with access times on a filesystem that has snapshots.";
    why = "The first read of a file after a snapshot updates its access time, which copies metadata that was shared.";
    check = "btrfs filesystem df before and after `find -type f -exec cat`.";
    whenNot = "Mounts that must know access times.";
    sources = [ measured "${btrfs5}, noatime" ];
  }
  {
    id = "LAYOUT-ATIME"; area = "layout"; severity = "note"; applicability = "remount";
    title = "subvolumes are mounted with access times beside snapshots";
    inputs = [ "a layout (--disko)" ];
    each = filter (s: !(elem "noatime" s.options)) mountedSubs;
    when = s: any (t: hasInfix "snapshot" t.name) s.owner.subs;
    finding = s: {
      target = s.mountpoint;
      current = show s.options; recommended = "noatime";
      evidence = [ (place s) ];
      cost = "programs that look at access times see none";
      command = "mount -o remount,noatime ${s.mountpoint}";
      undo = "mount -o remount,atime,relatime ${s.mountpoint}";
      diff = diff s (filter (o: o != "defaults" && o != "relatime") s.options ++ [ "noatime" ]);
      effect = { low = 0; high = 88; unit = "% less growth of metadata when all files of a new snapshot are read"; what = "reading does not write"; source = measured; };
    };
    what = "A layout with a place for snapshots mounts a subvolume with relatime.";
    why = "See BTRFS-ATIME-SNAPSHOTS.";
    check = "findmnt -t btrfs -o TARGET,OPTIONS";
    whenNot = "Mounts that must know access times.";
    sources = [ measured ];
  }
  # ---- quotas, snapshots, commits ----
  {
    id = "BTRFS-QUOTA-INCONSISTENT"; area = "quota"; severity = "warning"; applicability = "live";
    title = "quota numbers are wrong, and limits do not apply";
    inputs = [ "qgroup show (--qgroups) or --live" ];
    each = filesystems;
    when = fs: fs.quota_inconsistent == 1;
    finding = fs: {
      current = "inconsistent"; recommended = "rescan";
      evidence = optional (fs.source != null) fs.source;
      cost = "reads all metadata once";
      command = "btrfs quota rescan -w ${fs.mount}";
      undo = "none is needed";
      effect = { what = "limits apply again"; source = "btrfs-quota(8)"; };
    };
    what = "The kernel marked the qgroups inconsistent.";
    why = "Limits are not enforced until a rescan is done.";
    check = "btrfs qgroup show MOUNT; cat /sys/fs/btrfs/UUID/qgroups/inconsistent";
    whenNot = "While a rescan runs.";
    sources = [ "btrfs-quota(8)" "btrfs-qgroup(8)" ];
  }
  {
    id = "BTRFS-QGROUP-SNAPSHOTS"; area = "quota"; severity = "note"; applicability = "live";
    title = "full quotas are counted for every snapshot";
    inputs = [ "qgroup show (--qgroups) or --live" "snapshots: --live or qgroups" ];
    each = filesystems;
    when = fs: fs.quota == "qgroup" && fs.snapshots > 0
      || (fs.quota == null && missing "whether quotas are on (--qgroups or --live)");
    finding = fs: {
      confidence = if known fs.commit_max_ms then "medium" else "low";
      severity = if default 0 fs.commit_max_ms > 30000 then "warning" else "note";
      current = "qgroups with ${toString fs.snapshots} snapshots";
      recommended = "simple quotas (Linux 6.7), or none";
      evidence = optional (fs.source != null) fs.source
        ++ optional (known fs.commit_max_ms) "/sys/fs/btrfs/${toString fs.uuid}/commit_stats: longest commit ${toString fs.commit_max_ms} ms, ${toString fs.commits} commits take ${toString fs.commit_total_ms} ms";
      against = [ "with 200 snapshots a small test saw commits grow from 0.21 to 0.29 s only" ];
      cost = "the numbers of shared and exclusive space are gone; simple quotas count only what is written from then on";
      command = "btrfs quota disable ${fs.mount}";
      undo = "btrfs quota enable ${fs.mount}";
      effect = { low = 0; high = 28; unit = "% shorter commits while snapshots change"; what = "no walk of back references"; source = "${measured} (0.29 to 0.21 s); more with larger filesystems is reported, not measured"; };
    };
    what = "Full qgroups and snapshots together.";
    why = "Each commit walks back references of what changed to find who shares it; the more snapshots, the longer.";
    check = "cat /sys/fs/btrfs/UUID/commit_stats, with quotas on and off.";
    whenNot = "Where the numbers or limits are needed.";
    sources = [ "btrfs-quota(8), PERFORMANCE IMPLICATIONS" measured ];
  }
  {
    id = "BTRFS-COMMIT-SLOW"; area = "latency"; severity = "warning"; applicability = "live";
    title = "a commit took longer than the time between commits";
    inputs = [ "--live (commit_stats, Linux 6.0)" ];
    each = filesystems;
    when = fs: fs.commit_max_ms > 30000;
    finding = fs: {
      current = "longest commit ${toString fs.commit_max_ms} ms";
      recommended = "find what makes it: quotas, many snapshots deleted at once, a full or slow device";
      evidence = [ "/sys/fs/btrfs/${toString fs.uuid}/commit_stats" ];
      cost = "none: looking only";
      command = "cat /sys/fs/btrfs/${toString fs.uuid}/commit_stats";
      undo = "echo 0 > /sys/fs/btrfs/${toString fs.uuid}/commit_stats resets the longest";
      effect = { what = "programs that call fsync or create files do not hang"; source = "commit interval: ${btrfs5}"; };
    };
    what = "max_commit_ms is above 30 seconds, the default interval of commits.";
    why = "While a transaction is blocked in commit, everything that needs a new one waits.";
    check = "commit_stats again, after echo 0 >commit_stats.";
    whenNot = "One long commit while a balance or a large deletion ran.";
    sources = [ "Documentation/ch-sysfs.rst: commit_stats" btrfs5 ];
  }
  {
    id = "BTRFS-EXCLUSIVE-RUNNING"; area = "latency"; severity = "info"; applicability = "live";
    title = "an exclusive operation is running";
    inputs = [ "--live" ];
    each = filesystems;
    when = fs: fs.exclusive_operation != null && fs.exclusive_operation != "none";
    finding = fs: {
      current = fs.exclusive_operation; recommended = "wait, or pause it, before judging speed";
      evidence = [ "/sys/fs/btrfs/${toString fs.uuid}/exclusive_operation: ${fs.exclusive_operation}" ];
      cost = "none";
      command = "btrfs balance pause ${fs.mount}";
      undo = "btrfs balance resume ${fs.mount}";
      effect = { what = "explains slowness that passes"; source = "btrfs-balance(8)"; };
    };
    what = "balance, replace, resize, add or remove is at work.";
    why = "It competes for the disks, and numbers taken meanwhile mislead.";
    check = "cat /sys/fs/btrfs/UUID/exclusive_operation";
    whenNot = "-";
    sources = [ "Documentation/ch-sysfs.rst" ];
  }
  # ---- layout ----
  {
    id = "LAYOUT-MOUNTPOINT-TWICE"; area = "layout"; severity = "warning"; applicability = "offline";
    title = "two subvolumes have one mount point";
    inputs = [ "a layout (--disko)" ];
    each = if known m.declared then [ { name = "the layout"; subs = mountedSubs; } ] else m.declared;
    when = l: length (unique (map (s: s.mountpoint) l.subs)) < length l.subs;
    finding = l: let twice = filter (s: length (filter (t: t.mountpoint == s.mountpoint) l.subs) > 1) l.subs; in {
      target = (head twice).mountpoint;
      current = concatMapStringsSep ", " (s: s.name) twice;
      recommended = "one of them elsewhere";
      evidence = sources twice;
      against = [ "several machines' layouts read together may share mount points: give one" ];
      cost = "none"; undo = "put it back"; command = "findmnt ${(head twice).mountpoint}";
      effect = { what = "no subvolume is hidden by another"; source = "mount(8)"; };
    };
    what = "A mount point stands twice.";
    why = "The later mount hides the earlier; which is later is not said.";
    check = "findmnt TARGET";
    whenNot = "Layouts of several machines given at once.";
    sources = [ "mount(8)" ];
  }
  {
    id = "LAYOUT-SUBVOLUME-UNMOUNTED"; area = "layout"; severity = "info"; applicability = "remount";
    title = "a subvolume of the layout is not mounted";
    inputs = [ "a layout (--disko)" ];
    each = m.subvolumes;
    when = s: s.mountpoint == null && !s.swap;
    finding = s: {
      target = s.name;
      current = "no mountpoint"; recommended = "a mountpoint, if it should be reached";
      evidence = [ s.source ];
      against = [ "meant so for nested subvolumes, snapshots and blank roots" ];
      cost = "none"; undo = "remove the mountpoint";
      command = "btrfs subvolume list /";
      effect = { what = "its options take effect"; source = "disko's documentation: a subvolume without a mountpoint is created, not mounted"; };
    };
    what = "A subvolume without mountpoint.";
    why = "Its mountOptions do nothing.";
    check = "findmnt -t btrfs";
    whenNot = "Blank root snapshots and the like.";
    sources = [ "disko, btrfs type" ];
  }
  {
    id = "LAYOUT-SPLIT-FOR-OPTIONS"; area = "layout"; severity = "note"; applicability = "mkfs";
    title = "subvolumes are split for options that cannot differ";
    inputs = [ "a layout (--disko)" ];
    each = declared;
    when = d: any (s: s.own != [ ] && s.mountpoint != "/" && (let below = s.mountpoint + "/"; in any (t: hasPrefix below t.mountpoint
      && t.own != s.own && t.rest == s.rest) d.mounted)) d.mounted;
    finding = d: {
      target = d.id;
      current = concatMapStringsSep ", " (s: "${s.mountpoint}: ${show s.options}") d.mounted;
      recommended = "merge them, unless snapshots, quotas or access times are to differ; compression of a directory is `btrfs property set DIR compression`";
      evidence = sources d.mounted;
      against = [ "splitting does help what a snapshot covers, quotas, and atime" ];
      cost = "files must be moved between subvolumes: a copy";
      command = "btrfs property set DIRECTORY compression zstd"; undo = "btrfs property set DIRECTORY compression ''";
      effect = { what = "a simpler layout, nothing is lost"; source = measured; };
    };
    what = "A subvolume below another differs from it only in options that belong to the filesystem.";
    why = "The split does not do what it was made for.";
    check = "findmnt -t btrfs -o TARGET,OPTIONS";
    whenNot = "Where it also limits what a snapshot takes.";
    sources = [ btrfs5 measured "btrfs-property(8)" ];
  }
  {
    id = "LAYOUT-SPLIT-LOG"; area = "layout"; severity = "note"; applicability = "rewrite-data";
    title = "logs or caches are within what is snapshotted";
    inputs = [ "a layout (--disko)" ];
    each = declared;
    when = d: any (s: hasInfix "snapshot" s.name) d.subs && any (s: s.mountpoint == "/") d.mounted
      && !(any (s: hasPrefix "/var" s.mountpoint) d.mounted);
    finding = d: {
      target = d.id;
      current = "/var is part of /"; recommended = "a subvolume for /var/log";
      evidence = sources d.mounted ++ evidenceOf "log";
      against = [ "it changes what a snapshot covers, not speed" ];
      cost = "/var/log is copied once";
      command = "btrfs subvolume create /var/log.new && cp -a --reflink=auto /var/log/. /var/log.new/";
      undo = "btrfs subvolume delete /var/log.new";
      effect = { what = "a rollback of / keeps the logs, and snapshots do not hold old ones"; source = "snapper(8) and openSUSE's layout exclude /var"; };
    };
    what = "There is a place for snapshots, and /var belongs to /.";
    why = "A snapshot keeps every log block that is rotated away, and a rollback loses the log of what went wrong.";
    check = "btrfs subvolume show /var/log";
    whenNot = "Where / is never snapshotted.";
    sources = [ "en.opensuse.org/SDB:BTRFS" "btrfs-subvolume(8): a snapshot stops at nested subvolumes" ];
  }
  {
    id = "LAYOUT-RAID1-ONE-DEVICE"; area = "layout"; severity = "critical"; applicability = "mkfs";
    title = "the profile needs more devices than the layout gives";
    inputs = [ "a layout (--disko)" ];
    each = declared;
    when = d: elem (default null d.mkfsData) [ "raid1" "raid0" "raid10" "raid1c3" "raid1c4" ]
      && d.count < (if d.mkfsData == "raid1c3" then 3 else if elem d.mkfsData [ "raid1c4" ] then 4 else 2);
    finding = d: {
      target = d.id;
      current = "-d ${d.mkfsData} on ${toString d.count} device"; recommended = "name the other devices in extraArgs, on the last disk";
      evidence = [ d.source ];
      cost = "none"; command = "mkfs.btrfs -d ${d.mkfsData} DEVICE1 DEVICE2"; undo = "none";
      effect = { what = "mkfs does not fail while installing"; source = "mkfs.btrfs(8), PROFILES"; };
    };
    what = "extraArgs ask for a profile with too few devices.";
    why = "mkfs.btrfs refuses, in the middle of an installation.";
    check = "mkfs.btrfs on loop devices.";
    whenNot = "-";
    sources = [ "mkfs.btrfs(8), PROFILES: minimum devices" ];
  }
  {
    id = "LAYOUT-NO-REDUNDANCY"; area = "layout"; severity = "note"; applicability = "live";
    title = "several devices, one copy of the data";
    inputs = [ "a layout (--disko)" ];
    each = declared;
    when = d: d.count > 1 && elem (default null d.mkfsData) [ null "single" "raid0" ];
    finding = d: {
      target = d.id;
      current = "data ${if d.mkfsData == null then "single (mkfs' default)" else d.mkfsData} on ${toString d.count} devices";
      recommended = "-d raid1, or one filesystem a device";
      evidence = [ d.source ];
      against = [ "half of the room: the choice is capacity against safety" ];
      cost = "half of the room; rewriting all data";
      command = "btrfs balance start -dconvert=raid1,soft MOUNT"; undo = "btrfs balance start -dconvert=single MOUNT";
      effect = { what = "one device may fail"; source = "mkfs.btrfs(8), PROFILES"; };
    };
    what = "More than one device without a redundant data profile.";
    why = "Losing any device loses files: the more devices, the likelier.";
    check = "btrfs filesystem df MOUNT";
    whenNot = "Data that can be had again.";
    sources = [ "mkfs.btrfs(8), PROFILES" ];
  }
  {
    id = "LAYOUT-SWAP-SNAPSHOT"; area = "layout"; severity = "warning"; applicability = "offline";
    title = "a swap file is in a subvolume that is to be snapshotted";
    inputs = [ "a layout (--disko)" ];
    each = m.subvolumes;
    when = s: s.swap && elem s.mountpoint [ "/" "/home" "/var" ];
    finding = s: {
      target = s.mountpoint;
      current = "swap in ${s.name}"; recommended = "a subvolume of its own for swap";
      evidence = [ s.source ];
      cost = "the swap file is made anew";
      command = "btrfs subvolume create /swap && btrfs filesystem mkswapfile --size 4g /swap/swapfile"; undo = "swapoff /swap/swapfile && btrfs subvolume delete /swap";
      effect = { what = "the subvolume can be snapshotted while swap is on"; source = "btrfs(5), SWAPFILE SUPPORT"; };
    };
    what = "swap stands in the subvolume of /, /home or /var.";
    why = "A subvolume with an active swap file cannot be snapshotted.";
    check = "btrfs subvolume snapshot / /x: Text file busy";
    whenNot = "Where no snapshots are made.";
    sources = [ "btrfs(5), SWAPFILE SUPPORT" ];
  }
  {
    id = "LAYOUT-SWAP-RAID"; area = "layout"; severity = "critical"; applicability = "mkfs";
    title = "a swap file on a filesystem that cannot hold one";
    inputs = [ "a layout (--disko)" ];
    each = declared;
    when = d: (d.swap || any (s: s.swap) d.subs) && (d.count > 1 || elem (default null d.mkfsData) [ "raid1" "raid0" "raid10" "dup" ]);
    finding = d: {
      target = d.id;
      current = "swap on ${toString d.count} devices, data ${if d.mkfsData == null then "single" else d.mkfsData}";
      recommended = "a swap partition";
      evidence = [ d.source ];
      cost = "a partition"; command = "mkswap /dev/PARTITION"; undo = "swapoff /dev/PARTITION";
      effect = { what = "swap works"; source = "btrfs(5), SWAPFILE SUPPORT"; };
    };
    what = "swap in a layout of several devices, or with a data profile other than single.";
    why = "swapon refuses: the file must be on one device and the profile single.";
    check = "swapon FILE: Invalid argument";
    whenNot = "-";
    sources = [ "btrfs(5), SWAPFILE SUPPORT: one device, the single profile for data" ];
  }
  {
    id = "BTRFS-BLOCK-GROUP-TREE"; area = "layout"; severity = "note"; applicability = "offline";
    title = "a large rotating disk mounts slowly without a block group tree";
    inputs = [ "--live (features)" "lsblk or facter" ];
    each = filesystems;
    when = fs: elem "hdd" fs.media && fs.size_bytes >= 2 * 1024 * GiB
      && (if fs.features == [ ] then missing "the filesystem's features (--live)" else !(elem "block_group_tree" fs.features));
    finding = fs: {
      confidence = "medium";
      current = "${size fs.size_bytes} on a rotating disk"; recommended = "btrfstune --convert-to-block-group-tree";
      evidence = optional (fs.source != null) fs.source ++ sources fs.disks;
      cost = "unmounted; kernels before 6.1 cannot mount it writable afterwards";
      command = "btrfstune --convert-to-block-group-tree DEVICE"; undo = "btrfstune --convert-from-block-group-tree DEVICE";
      effect = { what = "mount time no longer grows with the number of chunks"; source = "${docs}, btrfstune(8)"; };
    };
    what = "2 TiB or more on rotating disks without the feature.";
    why = "Mounting reads one item for each chunk, scattered over the disk.";
    check = "time mount; btrfs inspect-internal dump-super DEVICE";
    whenNot = "Machines that boot seldom.";
    sources = [ "btrfstune(8)" "btrfs-progs 6.19: mkfs' default" ];
  }
  # ---- disks ----
  {
    id = "DISK-SCHEDULER-NVME"; area = "disk"; severity = "note"; applicability = "live";
    title = "an NVMe disk has an I/O scheduler";
    inputs = [ "lsblk (--lsblk) or --live" ];
    each = m.disks;
    when = d: d.media == "nvme" && (if d.scheduler == null then missing "its scheduler (--lsblk or --live)" else d.scheduler != "none");
    finding = d: {
      target = d.name; confidence = "medium";
      current = d.scheduler; recommended = "none";
      evidence = [ d.source ];
      against = [ "bfq or kyber may still help latency under mixed load" ];
      cost = "no ordering between processes";
      command = "echo none > /sys/block/${d.name}/queue/scheduler"; undo = "echo ${d.scheduler} > /sys/block/${d.name}/queue/scheduler";
      effect = { what = "less CPU for each request"; source = "Red Hat Enterprise Linux, setting the disk scheduler: none for NVMe"; };
    };
    what = "An NVMe device with a scheduler other than none.";
    why = "The device orders its many queues itself.";
    check = "fio on the device with each scheduler.";
    whenNot = "Where fairness between processes matters more than speed.";
    sources = [ "Red Hat: Setting the disk scheduler" ];
  }
  {
    id = "DISK-SCHEDULER-HDD"; area = "disk"; severity = "note"; applicability = "live";
    title = "a rotating disk has no I/O scheduler";
    inputs = [ "lsblk (--lsblk) or --live" ];
    each = m.disks;
    when = d: d.media == "hdd" && (if d.scheduler == null then missing "its scheduler (--lsblk or --live)" else d.scheduler == "none");
    finding = d: {
      target = d.name; confidence = if d.confidence == "high" then "medium" else "low";
      current = "none"; recommended = "mq-deadline (or bfq on a desktop)";
      evidence = [ d.source ];
      cost = "none";
      command = "echo mq-deadline > /sys/block/${d.name}/queue/scheduler"; undo = "echo none > /sys/block/${d.name}/queue/scheduler";
      effect = { what = "reads are not starved by writes, fewer seeks"; source = "Oracle Linux: mq-deadline for HDD; SUSE: bfq for single-queue HDD"; };
    };
    what = "A rotating disk with scheduler none.";
    why = "Each request costs a seek: their order matters.";
    check = "fio: random reads beside a stream of writes.";
    whenNot = "Behind a RAID controller that orders requests itself.";
    sources = [ "Oracle Linux: managing I/O schedulers" "SUSE: tuning I/O performance" ];
  }
  {
    id = "DISK-SATURATED"; area = "disk"; severity = "warning"; applicability = "offline";
    title = "the disk is busy all the time";
    inputs = [ "iostat -x (--iostat) or --live" "lsblk or facter" ];
    each = map (x: x // { below = filter (d: d.name == x.disk || d.name == x.device) m.disks; }) m.io;
    when = x: x.busy_percent >= 95.0 && x.below != [ ] && elem (head x.below).media [ "hdd" "ssd" ];
    finding = x: {
      target = x.device; confidence = if (head x.below).media == "hdd" then "high" else "medium";
      current = "${round x.busy_percent}% busy${if known x.queue then ", ${round x.queue} requests under way" else ""}";
      recommended = "fewer or larger requests; a faster disk when that is done";
      evidence = [ x.source ] ++ sources (lib.take 3 (some m.processes)) ++ sources (some m.observations);
      against = optional ((head x.below).media == "ssd") "a disk that serves requests in parallel can be 100% busy and have room";
      cost = "a new disk costs money"; command = "iostat -x 1 ${x.device}"; undo = "none is needed: the command only looks";
      effect = { what = "the hardware is the limit: mount options change little"; source = "iostat(1), %util"; };
    };
    what = "%util close to 100 over the reports.";
    why = "A disk that serves one request at a time has no more to give.";
    check = "iostat -x 1";
    whenNot = "RAID arrays and SSDs, where %util says less.";
    sources = [ "iostat(1), %util: saturation is close to 100% for devices that serve requests serially" ];
  }
  {
    id = "DISK-HDD-WORKLOAD"; area = "disk"; severity = "note"; applicability = "offline";
    title = "the workload needs seeks, and the disk rotates";
    inputs = [ "lsblk or facter" "observations (--observe), iotop" ];
    each = filesystems;
    when = fs: elem "hdd" fs.media && (any (w: about w != [ ]) [ "database" "build" "desktop" "vm" "container" ]
      || (!(known m.observations || known m.processes || known m.slow) && missing "what is slow (--observe, --iotop or --vfslat)"));
    finding = fs: let w = filter (w: about w != [ ]) [ "database" "build" "desktop" "vm" "container" ]; in {
      confidence = (head fs.disks).confidence;
      current = "${words w} on ${concatMapStringsSep ", " (d: "${d.name} (${toString d.model})") fs.disks}";
      recommended = "the hot directories on an SSD; more memory for the cache";
      evidence = sources fs.disks ++ concatMap evidenceOf w;
      against = map (x: "${x.device} is only ${round x.busy_percent}% busy (${x.source})") (filter (x: elem x.disk fs.disks && default 100.0 x.busy_percent < 50.0) (some m.io));
      cost = "hardware"; command = "btrfs replace start DEVID /dev/SSD ${fs.mount}"; undo = "btrfs replace cancel ${fs.mount}";
      duration = rewrite fs (default 0 fs.used_bytes);
      effect = { what = "options cannot make a disk seek faster"; source = "a rotation takes 8.3 ms at 7200/min: about 120 random reads a second"; };
    };
    what = "Builds, databases, desktops, machines or containers on a rotating disk.";
    why = "Each random access waits for the platter.";
    check = "iostat -x 1: r_await, w_await.";
    whenNot = "When all that is hot fits in memory.";
    sources = [ "7200 rotations a minute" ];
  }
  {
    id = "DISK-USB"; area = "disk"; severity = "note"; applicability = "offline";
    title = "a btrfs is on a USB disk";
    inputs = [ "lsblk or facter" ];
    each = filesystems;
    when = fs: any (d: d.usb) fs.disks;
    finding = fs: {
      current = concatMapStringsSep ", " (d: "${d.name} (${toString d.model})") (filter (d: d.usb) fs.disks);
      recommended = "a bridge with UAS that passes flushes; no cheap stick for /";
      evidence = sources (filter (d: d.usb) fs.disks);
      cost = "hardware"; command = "lsusb -t"; undo = "none is needed: the command only looks";
      effect = { what = "flushes reach the medium"; source = "btrfs hardware considerations"; };
    };
    what = "A member is attached by USB.";
    why = "Bridges that lose flushes or drop off the bus are a usual cause of broken btrfs filesystems.";
    check = "dmesg: resets of the device; btrfs device stats.";
    whenNot = "Backup disks.";
    sources = [ "${docs}/en/latest/Hardware.html" ];
  }
  {
    id = "BTRFS-READAHEAD"; area = "disk"; severity = "note"; applicability = "live";
    title = "btrfs reads ahead less than by default";
    inputs = [ "--live (bdi)" ];
    each = filesystems;
    when = fs: fs.read_ahead_kb < 4096;
    finding = fs: {
      current = "${toString fs.read_ahead_kb} KiB"; recommended = "4096 KiB, the default";
      evidence = [ "/sys/fs/btrfs/${toString fs.uuid}/bdi/read_ahead_kb: ${toString fs.read_ahead_kb}" ];
      against = evidenceOf "database";
      cost = "more is read for random access that looks sequential";
      command = "echo 4096 > /sys/fs/btrfs/${toString fs.uuid}/bdi/read_ahead_kb"; undo = "echo ${toString fs.read_ahead_kb} > /sys/fs/btrfs/${toString fs.uuid}/bdi/read_ahead_kb";
      effect = { what = "fewer, larger requests; on a loop device no gain was measured (0.85 to 1 times), on a disk it depends on its latency"; source = "measured on a loop device: 128 KiB against 4096 KiB"; };
    };
    what = "The filesystem's own readahead is below 4096 KiB.";
    why = "btrfs has a readahead of its own; that of the block device is not the one that counts.";
    check = "dd a large cold file with both values.";
    whenNot = "Random reads of large files (databases).";
    sources = [ measured "fs/btrfs/super.c: bdi ra_pages" ];
  }
  {
    id = "DISK-MEDIA-UNKNOWN"; area = "hardware"; severity = "info"; applicability = "live";
    title = "the disk's medium is not known";
    inputs = [ "lsblk or facter" ];
    each = filter (d: !d.usb) m.disks;
    when = d: d.media == "unknown";
    finding = d: {
      target = d.name; confidence = "low";
      current = "model ${toString d.model}"; recommended = "give --lsblk, or run on the machine";
      evidence = [ d.source ];
      cost = "none"; command = "lsblk -d -o NAME,ROTA,MODEL,TRAN"; undo = "none is needed";
      effect = { what = "rules about media can be evaluated"; source = "nixos-facter has no field for rotation"; };
    };
    what = "Neither driver nor model tells whether it rotates.";
    why = "Advice for rotating disks and for flash differs.";
    check = "cat /sys/block/DISK/queue/rotational";
    whenNot = "-";
    sources = [ "nixos-facter's report" ];
  }
  # ---- memory ----
  {
    id = "VM-DIRTY-ORDER"; area = "memory"; severity = "warning"; applicability = "live";
    title = "background writeback starts too late to help";
    inputs = [ "sysctl (--sysctl) or --live" ];
    each = if known m.sysctls then [ { name = "vm.dirty_background_ratio"; get = n: let f = filter (s: s.name == n) m.sysctls; in if f == [ ] then missing n else (head f).value; } ] else m.sysctls;
    when = s: s.get "vm.dirty_ratio" > 0.0 && s.get "vm.dirty_background_ratio" >= s.get "vm.dirty_ratio";
    finding = s: {
      target = "vm.dirty_background_ratio";
      current = "background ${round (s.get "vm.dirty_background_ratio")}%, limit ${round (s.get "vm.dirty_ratio")}%"; recommended = "10% and 20%, the defaults";
      evidence = sources (filter (x: hasPrefix "vm.dirty" x.name) m.sysctls);
      cost = "writing starts earlier";
      command = "sysctl -w vm.dirty_background_ratio=10 vm.dirty_ratio=20"; undo = "sysctl -w vm.dirty_background_ratio=${round (s.get "vm.dirty_background_ratio")} vm.dirty_ratio=${round (s.get "vm.dirty_ratio")}";
      effect = { what = "writers are not stopped while the background has not begun; the kernel takes half of the limit instead"; source = "mm/page-writeback.c domain_dirty_limits()"; };
    };
    what = "dirty_background_ratio is not below dirty_ratio.";
    why = "The kernel then silently uses half of the limit: the setting is not what is in effect.";
    check = "sysctl vm.dirty_ratio vm.dirty_background_ratio";
    whenNot = "-";
    sources = [ "mm/page-writeback.c domain_dirty_limits()" "Documentation/admin-guide/sysctl/vm.rst" ];
  }
  {
    id = "VM-DIRTY-DRAIN"; area = "memory"; severity = "note"; applicability = "live";
    title = "more may wait to be written than the disk writes in half a minute";
    inputs = [ "sysctl (--sysctl) or --live" "memory: facter or --live" "the disk's speed (--measure)" ];
    each = if known m.sysctls then [ { name = "vm.dirty_ratio"; rows = filter (s: s.name == "vm.dirty_ratio") m.sysctls;
        ram = (head m.hosts).ram_bytes;
        rate = let c = filter (x: known x.device_bytes_per_s && x.device_bytes_per_s > 0) m.compression; in if c == [ ] then missing "the disk's speed (--measure)" else (head c).device_bytes_per_s; } ] else m.sysctls;
    when = s: s.rows != [ ] && floor ((head s.rows).value * s.ram / 100) > 30 * s.rate;
    finding = s: let limit = floor ((head s.rows).value * s.ram / 100); in {
      target = "vm.dirty_ratio"; confidence = "medium";
      current = "${size limit} may be dirty, ${time (limit / s.rate)} to write"; recommended = "vm.dirty_bytes=${toString (30 * s.rate)}";
      evidence = sources s.rows ++ [ (head m.hosts).source ];
      cost = "large bursts are slowed earlier";
      command = "sysctl -w vm.dirty_bytes=${toString (30 * s.rate)}"; undo = "sysctl -w vm.dirty_ratio=${round (head s.rows).value}";
      effect = { low = 30; high = limit / s.rate; unit = "s that a sync may wait, at most"; what = "fsync and unmount do not wait for minutes"; source = "memory, vm.dirty_ratio and the disk's measured speed"; };
    };
    what = "vm.dirty_ratio of the memory is more than 30 s of writing (vm.dirty_expire_centisecs).";
    why = "A burst fills memory; whoever calls sync then waits for all of it.";
    check = "grep Dirty /proc/meminfo while copying a large file.";
    whenNot = "Machines that only write bursts smaller than memory.";
    sources = [ "Documentation/admin-guide/sysctl/vm.rst: dirty_ratio, dirty_expire_centisecs" ];
  }
  {
    id = "MEM-PRESSURE"; area = "memory"; severity = "warning"; applicability = "live";
    title = "programs wait for memory, not for the disk";
    inputs = [ "--live (/proc/pressure)" ];
    each = m.hosts;
    when = h: h.memory_some_percent >= 60.0;
    finding = h: {
      target = "memory";
      current = "${round h.memory_some_percent}% of the last minute some program waited for memory"; recommended = "fewer programs or more memory; look for what grew";
      evidence = [ "/proc/pressure/memory: some avg60=${round h.memory_some_percent}" ];
      cost = "hardware, or less at once"; command = "ps -eo rss,comm --sort=-rss"; undo = "none is needed: the command only looks";
      effect = { what = "storage that looks slow is reclaim and swap"; source = "Documentation/accounting/psi.rst"; };
    };
    what = "Memory pressure as high as the level at which systemd-oomd kills.";
    why = "Pages are evicted and read again: it looks like a slow disk.";
    check = "cat /proc/pressure/memory";
    whenNot = "-";
    sources = [ "oomd.conf(5): DefaultMemoryPressureLimit=60%" ];
  }
  # ---- workloads ----
  {
    id = "WORKLOAD-RANDOM-WRITE-COW"; area = "workload"; severity = "warning"; applicability = "rewrite-data";
    title = "a database or machine image is badly fragmented by copy-on-write";
    inputs = [ "--measure PATH" ];
    each = map (x: x // { label = x.path; fs = let f = filter (y: y.id == x.filesystem) (default [ ] filesystems); in if f == [ ] then null else head f; }) m.files;
    when = x: !x.nocow && x.extents > 16 && x.size_bytes / x.extents < (if x.compressed then 16384 else 65536);
    finding = x: {
      target = x.path;
      current = "${toString x.extents} extents in ${size x.size_bytes}: ${toString (x.size_bytes / x.extents / 1024)} KiB each";
      recommended = "a +C directory for it, if its losses are accepted; else defragment now and then";
      evidence = [ x.source ] ++ evidenceOf x.workload;
      against = optional x.shared "it is shared with a snapshot or copy: defragmenting takes its space twice"
        ++ optional (x.fs != null && default 0 x.fs.snapshots > 0) "snapshots bring fragmentation back under +C (1 to 29,692 extents in a test)"
        ++ optional (x.fs != null && default false x.fs.redundant) "RAID1 cannot repair files without checksums";
      cost = losesCow;
      duration = if x.fs == null then null else rewrite x.fs x.size_bytes;
      command = "touch '${x.path}.new' && chattr +C '${x.path}.new' && cp --reflink=never '${x.path}' '${x.path}.new' && mv '${x.path}.new' '${x.path}'";
      undo = "cp --reflink=never '${x.path}' '${x.path}.cow' && mv '${x.path}.cow' '${x.path}'";
      effect = { low = 1.0; high = 4.0; unit = "times the synced 4 KiB random writes"; what = "447 to 1785 a second in one run; extents stay few"; source = measured; };
    };
    what = "A file of a database or machine whose extents are smaller on average than what btrfs itself calls a small random write.";
    why = "Each random write makes a new extent; reading in order then seeks, and metadata grows.";
    check = "filefrag FILE; stop the program before copying the file.";
    whenNot = "On flash with few snapshots fragmentation may not be felt: measure.";
    sources = [ "fs/btrfs/inode.c inode_should_defrag(): 64 KiB, 16 KiB compressed" measured ];
  }
  {
    id = "WORKLOAD-NOCOW-SNAPSHOT"; area = "workload"; severity = "note"; applicability = "live";
    title = "+C does not keep this file from fragmenting: snapshots undo it";
    inputs = [ "--measure PATH" ];
    each = map (x: x // { label = x.path; }) m.files;
    when = x: x.nocow && x.extents > 16 && x.size_bytes / x.extents < 65536;
    finding = x: {
      target = x.path;
      current = "+C, ${toString x.extents} extents"; recommended = "keep it out of what is snapshotted (a subvolume of its own), or give +C up and have checksums";
      evidence = [ x.source ];
      against = optional (!x.shared) "nothing shares it now";
      cost = "a copy of the file";
      command = "btrfs filesystem defragment -t 32M '${x.path}'"; undo = "none: data is only moved";
      effect = { what = "few extents until the next snapshot"; source = measured; };
    };
    what = "A +C file with many small extents.";
    why = "After a snapshot the first write to each block is copied all the same.";
    check = "filefrag FILE after the next snapshot.";
    whenNot = "Files that grew in small pieces.";
    sources = [ measured ];
  }
  {
    id = "WORKLOAD-NOCOW-RAID1"; area = "workload"; severity = "warning"; applicability = "rewrite-data";
    title = "files without checksums on RAID1 cannot be repaired";
    inputs = [ "--measure PATH" "btrfs usage or --live" ];
    each = map (x: x // { label = x.path; fs = let f = filter (y: y.id == x.filesystem) filesystems; in if f == [ ] then missing "its filesystem" else head f; }) m.files;
    when = x: x.nocow && x.fs.redundant;
    finding = x: {
      target = x.path;
      current = "+C on a redundant profile"; recommended = "copy-on-write, unless the program has checksums of its own";
      evidence = [ x.source ] ++ sources x.fs.data;
      against = [ "PostgreSQL with data checksums, InnoDB, and qcow2 on other storage detect corruption themselves, but cannot choose the good copy" ];
      cost = "random writes get slower: 1785 to 447 a second in one run";
      command = "cp --reflink=never '${x.path}' '${x.path}.cow' && mv '${x.path}.cow' '${x.path}'"; undo = "touch NEW && chattr +C NEW && cp --reflink=never FILE NEW";
      effect = { what = "a bad copy is detected and repaired; without, reads alternated good and bad"; source = measured; };
    };
    what = "A nodatacow file whose data has two copies.";
    why = "Without a checksum btrfs cannot tell which copy is right.";
    check = "lsattr FILE";
    whenNot = "Where losing the file is no loss.";
    sources = [ measured "systemd: journald sets +C and warns of RAID repair" ];
  }
  {
    id = "WORKLOAD-POSTGRES-WAL"; area = "workload"; severity = "note"; applicability = "live";
    title = "PostgreSQL recycles its log for nothing on copy-on-write";
    inputs = [ "iotop (--iotop), vfslat, or observations" "mounts or --live" ];
    each = let pg = filter (p: hasInfix "postgres" (lib.toLower (p.command or p.process or p.text or ""))) (some m.processes ++ filter (s: s.process != null) (some m.slow) ++ some m.observations); in
      if known m.processes || known m.slow || known m.observations then lib.take 1 pg else m.processes;
    when = p: any (x: x.fstype == "btrfs") m.mounts;
    finding = p: {
      target = "postgresql"; confidence = "medium";
      current = "unknown settings"; recommended = "wal_recycle=off, wal_init_zero=off";
      evidence = [ p.source ];
      against = [ "only where pg_wal is on btrfs" ];
      cost = "segments are created instead of renamed";
      command = "psql -c 'ALTER SYSTEM SET wal_recycle=off' -c 'ALTER SYSTEM SET wal_init_zero=off' -c 'SELECT pg_reload_conf()'";
      undo = "psql -c 'ALTER SYSTEM RESET wal_recycle' -c 'ALTER SYSTEM RESET wal_init_zero' -c 'SELECT pg_reload_conf()'";
      effect = { what = "each segment is written once instead of twice"; source = "PostgreSQL manual: wal_init_zero, wal_recycle"; };
    };
    what = "PostgreSQL at work beside btrfs.";
    why = "Recycling and zeroing assume that blocks are overwritten in place; copy-on-write writes them elsewhere.";
    check = "psql -c 'SHOW wal_recycle'";
    whenNot = "pg_wal on another filesystem, or +C.";
    sources = [ "postgresql.org/docs/current/runtime-config-wal.html" ];
  }
  {
    id = "WORKLOAD-DOCKER-DRIVER"; area = "workload"; severity = "note"; applicability = "rewrite-data";
    title = "Docker's btrfs driver makes a subvolume for each layer";
    inputs = [ "mounts (--mounts) or --live" ];
    each = if known m.mounts then lib.take 1 (filter (x: x.fstype == "btrfs" && hasInfix "/docker/btrfs" x.target) m.mounts) else m.mounts;
    when = x: true;
    finding = x: {
      target = x.target;
      current = "storage driver btrfs"; recommended = "overlay2";
      evidence = [ x.source ];
      cost = "images are pulled again";
      command = "dockerd --storage-driver=overlay2"; undo = "dockerd --storage-driver=btrfs";
      effect = { what = "layers share the page cache; no subvolumes to count and delete"; source = "Docker manual: overlay2 is preferred"; };
    };
    what = "A mount of Docker's btrfs storage driver.";
    why = "Each layer is a snapshot: quotas and backups see thousands of subvolumes, and the driver has known issues.";
    check = "docker info | grep Storage";
    whenNot = "Where per-container quotas are used.";
    sources = [ "docs.docker.com/engine/storage/drivers/select-storage-driver" ];
  }
  # ---- measured compression ----
  {
    id = "COMPRESS-LEVEL-MEASURED"; area = "compression"; severity = "note"; applicability = "remount";
    title = "another compression level suits these files and this CPU";
    inputs = [ "--measure PATH" "mounts or --live" ];
    each = measuredPaths;
    when = c: c.now != "nodatacow" && c.best != null && (c.now == "none" || elem c.now [ "compress=no" "compress=none" ]
      || (levelOf c.now > 0 && levelOf c.now < c.best.level));
    finding = c: let
      before = if c.now == "none" || c.have == [ ] then 1.0 else (head c.have).ratio;
      gain = 100 * (1 - before / c.best.ratio);
    in {
      target = c.path;
      current = c.now; recommended = c.advice;
      evidence = map (z: z.source) c.rows ++ [ c.mount.source ];
      against = [ "data that is on the disk stays as it is" ];
      cost = "CPU time while writing; new data only";
      command = "mount -o remount,${c.advice} ${c.mount.target}";
      undo = "mount -o remount,${c.back} ${c.mount.target}";
      effect = { low = if gain > 15 then gain - 15 else 0.0; high = gain + 5; unit = "% less space for data like the sample"; what = "ratio ${number c.best.ratio} instead of ${number before}"; source = "measured here on the sample; files that the kernel's heuristic skips gain nothing"; };
    };
    what = "The level whose ratio is best while CPUs and device together still write as fast as the device alone.";
    why = "What is best depends on the files, the CPU and the device; it can be computed.";
    check = "Copy a sample under each level: compsize, time.";
    whenNot = "Where CPU time is what is short.";
    sources = [ "measured here" kernelZstd ];
  }
  {
    id = "COMPRESS-CPU-BOUND"; area = "compression"; severity = "warning"; applicability = "remount";
    title = "compression writes slower than the disk could";
    inputs = [ "--measure PATH" "mounts or --live" ];
    each = measuredPaths;
    when = c: c.have != [ ] && (head c.have).write_bytes_per_s * c.cpus < 1.0 * c.device
      && c.advice != "compress=zstd:${toString (head c.have).level}";
    finding = c: let h = head c.have; in {
      target = c.path;
      current = "${c.now}: ${round (h.write_bytes_per_s * c.cpus / 1000000)} MB/s on all CPUs, device ${toString (c.device / 1000000)} MB/s";
      recommended = c.advice;
      evidence = [ h.source c.mount.source ];
      against = [ "other programs that use the CPU make it worse, an idle device's cache makes it look worse than it is" ];
      cost = "more space for new data";
      command = "mount -o remount,${c.advice} ${c.mount.target}"; undo = "mount -o remount,${c.now} ${c.mount.target}";
      effect = { low = 1.0; high = 1.0 * c.device / (h.write_bytes_per_s * c.cpus); unit = "times the write speed"; what = "as fast as the device"; source = "measured here"; };
    };
    what = "All CPUs together compress slower than the device writes.";
    why = "The CPU is the limit, not the disk.";
    check = "storadvise --measure PATH";
    whenNot = "Where space matters more.";
    sources = [ "measured here" ];
  }
  # ---- what people say, set against the numbers ----
  {
    id = "OBSERVATION-REFUTED"; area = "observation"; severity = "info"; applicability = "live";
    title = "a complaint that storage does not explain";
    inputs = [ "observations (--observe)" "--live (/proc/pressure), or iostat" ];
    each = m.observations;
    when = o: if known (head m.hosts).io_some_percent then (head m.hosts).io_some_percent < 1.0
      else if known m.io then m.io != [ ] && all (x: x.busy_percent < 1.0) m.io
      else missing "pressure or iostat (--live, --iostat)";
    finding = o: {
      target = o.text; confidence = "medium";
      current = "storage was idle meanwhile"; recommended = "look at CPU, network and locks; measure while it is slow";
      evidence = optional (known (head m.hosts).io_some_percent) "/proc/pressure/io: some avg60=${toString (head m.hosts).io_some_percent}" ++ sources (some m.io);
      against = [ o.source ];
      cost = "none"; command = "storadvise --live --interval 10"; undo = "none is needed: the command only looks";
      effect = { what = "no storage setting will help what storage does not cause"; source = "Documentation/accounting/psi.rst"; };
    };
    what = "Something is said to be slow, and no task waited for I/O.";
    why = "Advice that changes storage would cost and not help.";
    check = "Run it again while it is slow.";
    whenNot = "When the numbers are from another time than the complaint.";
    sources = [ "Documentation/accounting/psi.rst" "iostat(1)" ];
  }
  {
    id = "OBSERVATION-SUPPORTED"; area = "observation"; severity = "info"; applicability = "live";
    title = "a complaint, and what storage shows of it";
    inputs = [ "observations (--observe)" "vfslat, iotop, iostat or --live" ];
    each = m.observations;
    when = o: let w = o.workload;
        slow = filter (s: (w != null && s.workload == w) || (o.path != null && s.path != null && hasPrefix o.path s.path)) (some m.slow);
        procs = filter (p: w != null && p.workload == w) (some m.processes);
        busy = filter (x: default 0.0 x.busy_percent >= 1.0) (some m.io); in
      if !(known m.slow || known m.processes || known m.io) then missing "what was slow (--vfslat, --iotop, --iostat)"
      else slow != [ ] || (procs != [ ] && busy != [ ]);
    finding = o: let w = o.workload; in {
      target = o.text; confidence = "medium";
      current = "workload: ${if w == null then "not recognised" else w}"; recommended = "see the findings about ${if o.path == null then "its filesystem" else o.path}";
      evidence = sources (filter (s: (w != null && s.workload == w) || (o.path != null && s.path != null && hasPrefix o.path s.path)) (some m.slow))
        ++ sources (filter (p: w != null && p.workload == w) (some m.processes)) ++ sources (filter (x: default 0.0 x.busy_percent >= 1.0) (some m.io));
      against = map (x: "${x.device} idle (${x.source})") (filter (x: default 100.0 x.busy_percent < 1.0) (some m.io));
      cost = "none"; command = "vfslat --top"; undo = "none is needed: the command only looks";
      effect = { what = "the complaint is real for storage"; source = "the rows quoted"; };
    };
    what = "Slow operations or I/O of the workload that the complaint names.";
    why = "Says which findings matter for it.";
    check = "vfslat while it is slow.";
    whenNot = "-";
    sources = [ "vfslat(8)" "iotop(8)" ];
  }
]
