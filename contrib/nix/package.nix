# storbox with nixpkgs' shared libraries: callPackage ./package.nix { }
{ lib
, stdenv
, pkg-config
, bpftools
, llvmPackages
, util-linux
, systemd
, libbpf
, elfutils
, json_c
, zstd
, zlib
, btrfs-progs
, src ? ../..
, version ? "git"
, applets ? null # null: all of them; else a list of names
}:

stdenv.mkDerivation {
  pname = "storbox";
  inherit src version;

  nativeBuildInputs = [ pkg-config bpftools llvmPackages.clang-unwrapped ];
  buildInputs = [ util-linux systemd libbpf elfutils json_c zstd zlib btrfs-progs ];

  postPatch = ''
    patchShebangs bpf
    echo ${version} > VERSION
  '';

  makeFlags = [
    "LINK=shared"
    "CC=cc"
    "CLANG=${llvmPackages.clang-unwrapped}/bin/clang"
    "BPFTOOL=${bpftools}/bin/bpftool"
    "PREFIX=${placeholder "out"}"
  ] ++ lib.optional (applets != null) "APPLETS=${lib.concatStringsSep " " applets}";
  enableParallelBuilding = true;

  # clang's BPF target knows none of the hardening flags.
  hardeningDisable = [ "zerocallusedregs" "stackprotector" ];

  meta = {
    description = "One binary of small storage tools";
    license = lib.licenses.asl20;
    platforms = [ "x86_64-linux" "aarch64-linux" ];
    mainProgram = "storbox";
  };
}
