# As much of nixpkgs' lib and module system as contrib/nix needs, for a machine without nixpkgs:
# options with defaults, types that are checked, mkIf and mkMerge; and packages that are their names.
# An option that is set but not declared, or of the wrong type, is an error, as in NixOS.
rec {
  types = rec {
    str = { name = "str"; check = builtins.isString; };
    package = { name = "package"; check = v: builtins.isAttrs v && v ? outPath; };
    bool = { name = "bool"; check = builtins.isBool; };
    ints.positive = { name = "positive"; check = v: builtins.isInt v && v > 0; };
    nullOr = t: { name = "null or ${t.name}"; check = v: v == null || t.check v; };
    listOf = t: { name = "list of ${t.name}"; check = v: builtins.isList v && builtins.all t.check v; };
  };

  lib = {
    inherit types;
    mkOption = o: o // { _type = "option"; };
    mkEnableOption = description: { _type = "option"; type = types.bool; default = false; inherit description; };
    mkIf = condition: content: { _type = "if"; inherit condition content; };
    mkMerge = contents: { _type = "merge"; inherit contents; };
    optional = c: v: if c then [ v ] else [ ];
    optionalAttrs = c: v: if c then v else { };
    concatStringsSep = builtins.concatStringsSep;
    escapeShellArg = s: "'" + builtins.replaceStrings [ "'" ] [ "'\\''" ] s + "'";
    licenses.asl20 = { spdxId = "Apache-2.0"; };
  };

  # What the user set, laid over the declared defaults.
  values = path: options: set:
    let
      unknown = builtins.filter (n: !(options ? ${n})) (builtins.attrNames set);
    in
    if unknown != [ ] then throw "no option ${path}.${builtins.head unknown}"
    else builtins.mapAttrs
      (n: o:
        if (o._type or "") == "option" then
          (let v = set.${n} or o.default; in
          if o.type.check v then v else throw "${path}.${n} is no ${o.type.name}")
        else values "${path}.${n}" o (set.${n} or { }))
      options;

  merge = a: b: a // builtins.mapAttrs
    (n: v: if !(a ? ${n}) then v
      else if builtins.isAttrs v && builtins.isAttrs a.${n} then merge a.${n} v
      else if builtins.isList v && builtins.isList a.${n} then a.${n} ++ v
      else throw "set twice: ${n}")
    b;

  # mkIf and mkMerge away, inwards from the top, which is where the module has them.
  resolve = c:
    if (c._type or "") == "if" then (if c.condition then resolve c.content else { })
    else if (c._type or "") == "merge" then builtins.foldl' merge { } (map resolve c.contents)
    else c;

  package = name: { outPath = "/nix/store/${name}"; inherit name; type = "derivation"; };
  pkgs = builtins.listToAttrs (map (name: { inherit name; value = package name; }) [
    "pkg-config" "bpftools" "util-linux" "systemd" "libbpf" "elfutils" "json_c" "zstd" "zlib"
    "btrfs-progs" "e2fsprogs" "dosfstools" "mdadm"
  ]) // {
    inherit lib;
    llvmPackages.clang-unwrapped = package "clang";
    stdenv.mkDerivation = a: a // package a.pname;
    callPackage = file: args:
      let f = import file; in f (builtins.intersectAttrs (builtins.functionArgs f) pkgs // args);
  };

  # The configuration that the module makes of what was set below services.storbox.
  evaluate = set:
    let
      module = import ../../contrib/nix/module.nix {
        inherit lib pkgs;
        config.services.storbox = values "services.storbox" module.options.services.storbox set;
      };
    in
    resolve module.config;
}
