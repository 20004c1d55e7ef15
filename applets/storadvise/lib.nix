# The part of nixpkgs' lib that disk layouts use, written anew; storadvise evaluates it.
let
  inherit (builtins)
    add all any attrNames attrValues baseNameOf catAttrs compareVersions concatLists concatMap
    concatStringsSep deepSeq elem elemAt filter foldl' fromJSON functionArgs genList groupBy hasAttr
    head intersectAttrs isAttrs isBool isFloat isFunction isInt isList isPath isString length
    lessThan listToAttrs map mapAttrs match partition readFile removeAttrs replaceStrings seq sort
    split splitVersion stringLength sub substring tail toJSON tryEval typeOf zipAttrsWith;

  id = x: x;
  const = x: y: x;
  flip = f: a: b: f b a;
  pipe = foldl' (x: f: f x);
  min = a: b: if a < b then a else b;
  max = a: b: if a > b then a else b;
  mod = a: b: a - (b * (a / b));
  and = a: b: a && b;

  compare = a: b: if a < b then 0 - 1 else if a > b then 1 else 0;

  # Lists.
  singleton = x: [ x ];
  toList = x: if isList x then x else [ x ];
  optional = c: x: if c then [ x ] else [ ];
  optionals = c: x: if c then x else [ ];
  foldr = f: z: l: if l == [ ] then z else f (head l) (foldr f z (tail l));
  fold = foldr;
  foldl = f: z: l: foldl' f z l;
  imap0 = f: l: genList (n: f n (elemAt l n)) (length l);
  imap1 = f: l: genList (n: f (n + 1) (elemAt l n)) (length l);
  forEach = l: f: map f l;
  flatten = x: if isList x then concatMap flatten x else [ x ];
  remove = x: filter (y: y != x);
  findFirst = p: d: l: let f = filter p l; in if f == [ ] then d else head f;
  range = a: b: if a > b then [ ] else genList (n: a + n) (b - a + 1);
  reverseList = l: let n = length l; in genList (i: elemAt l (n - i - 1)) n;
  last = l: if l == [ ] then throw "lib.last: an empty list" else elemAt l (length l - 1);
  init = l: take (length l - 1) l;
  take = n: l: genList (elemAt l) (min n (length l));
  drop = n: l: let k = length l - n; in if k <= 0 then [ ] else genList (i: elemAt l (i + n)) k;
  sublist = s: n: l: take n (drop s l);
  unique = foldl' (acc: x: if elem x acc then acc else acc ++ [ x ]) [ ];
  count = p: foldl' (n: x: if p x then n + 1 else n) 0;
  zipListsWith = f: a: b:
    genList (n: f (elemAt a n) (elemAt b n)) (min (length a) (length b));
  zipLists = zipListsWith (fst: snd: { inherit fst snd; });
  subtractLists = e: filter (x: !(elem x e));
  intersectLists = e: filter (x: elem x e);
  crossLists = f: foldl (fs: args: concatMap (g: map g args) fs) [ f ];
  cartesianProduct = s: foldl' (acc: n: concatMap (a: map (v: a // { ${n} = v; }) s.${n}) acc) [ { } ] (attrNames s);
  replicate = n: x: genList (_: x) n;
  sortOn = f: sort (a: b: f a < f b);
  concatImapStrings = f: l: concatStrings (imap1 f l);

  # Strings.
  concatStrings = concatStringsSep "";
  concatMapStrings = f: l: concatStrings (map f l);
  concatMapStringsSep = s: f: l: concatStringsSep s (map f l);
  concatImapStringsSep = s: f: l: concatStringsSep s (imap1 f l);
  concatLines = concatMapStrings (s: s + "\n");
  intersperse = s: l:
    if length l < 2 then l
    else tail (concatMap (x: [ s x ]) l);
  optionalString = c: s: if c then s else "";
  hasPrefix = p: s: substring 0 (stringLength p) s == p;
  hasSuffix = p: s: let n = stringLength s; k = stringLength p;
    in n >= k && substring (n - k) n s == p;
  hasInfix = i: s: length (split (escapeRegex i) s) > 1;
  removePrefix = p: s: if hasPrefix p s then substring (stringLength p) (0 - 1) s else s;
  removeSuffix = p: s:
    if hasSuffix p s then substring 0 (stringLength s - stringLength p) s else s;
  escape = l: replaceStrings l (map (c: "\\${c}") l);
  escapeRegex = escape (stringToCharacters "\\[{()^$?*+|.");
  stringToCharacters = s: genList (p: substring p 1 s) (stringLength s);
  splitString = sep: s: filter isString (split (escapeRegex sep) s);
  lowerChars = stringToCharacters "abcdefghijklmnopqrstuvwxyz";
  upperChars = stringToCharacters "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  toLower = replaceStrings upperChars lowerChars;
  toUpper = replaceStrings lowerChars upperChars;
  fixedWidthString = w: f: s:
    if stringLength s >= w then s else fixedWidthString w f (f + s);
  toInt = s: let m = match "[[:space:]]*(-?[0-9]+)[[:space:]]*" s;
    in if m == null then throw "lib.toInt: not a number: ${s}" else fromJSON (head m);
  trim = s: let m = match "[ \t\r\n]*(.*[^ \t\r\n])[ \t\r\n]*" s; in if m == null then "" else head m;
  versionOlder = a: b: compareVersions b a == 1;
  versionAtLeast = a: b: !(versionOlder a b);
  boolToString = b: if b then "true" else "false";
  escapeShellArg = s: "'" + replaceStrings [ "'" ] [ "'\\''" ] (toString s) + "'";
  escapeShellArgs = concatMapStringsSep " " escapeShellArg;

  # Attribute sets.
  nameValuePair = name: value: { inherit name value; };
  genAttrs = names: f: listToAttrs (map (n: nameValuePair n (f n)) names);
  genAttrs' = l: f: listToAttrs (map f l);
  optionalAttrs = c: s: if c then s else { };
  filterAttrs = p: s:
    listToAttrs (concatMap (n: let v = s.${n}; in if p n v then [ (nameValuePair n v) ] else [ ])
      (attrNames s));
  mapAttrs' = f: s: listToAttrs (map (n: f n s.${n}) (attrNames s));
  mapAttrsToList = f: s: map (n: f n s.${n}) (attrNames s);
  attrsToList = mapAttrsToList nameValuePair;
  concatMapAttrs = f: s: foldl' (a: b: a // b) { } (attrValues (mapAttrs f s));
  concatMapAttrsStringSep = sep: f: s: concatStringsSep sep (attrValues (mapAttrs f s));
  foldAttrs = op: nul: foldr (n: a: foldr (k: o: o // { ${k} = op n.${k} (a.${k} or nul); }) a (attrNames n)) { };
  foldlAttrs = f: z: s: foldl' (acc: n: f acc n s.${n}) z (attrNames s);
  mergeAttrsList = foldl' (a: b: a // b) { };
  getAttrs = names: s: genAttrs names (n: s.${n});
  attrByPath = p: d: s:
    if p == [ ] then s
    else if isAttrs s && hasAttr (head p) s then attrByPath (tail p) d s.${head p} else d;
  hasAttrByPath = p: s:
    p == [ ] || (isAttrs s && hasAttr (head p) s && hasAttrByPath (tail p) s.${head p});
  getAttrFromPath = p: s: foldl' (v: n: v.${n}) s p;
  attrVals = names: s: map (n: s.${n}) names;
  setAttrByPath = p: v: if p == [ ] then v else { ${head p} = setAttrByPath (tail p) v; };
  recursiveUpdateUntil = p: a: b:
    zipAttrsWith (n: v:
      if length v == 1 then head v
      else if p [ n ] (elemAt v 1) (head v) then head v
      else recursiveUpdateUntil p (elemAt v 1) (head v)) [ b a ];
  recursiveUpdate = recursiveUpdateUntil (p: a: b: !(isAttrs a && isAttrs b));
  zipAttrs = zipAttrsWith (n: v: v);
  isDerivation = x: (x.type or null) == "derivation";
  cleanSource = x: x;

  # The module system's marks; the layout's reader looks through them.
  mkOverride = priority: content: { _type = "override"; inherit priority content; };
  mkIf = condition: content: { _type = "if"; inherit condition content; };
  mkMerge = contents: { _type = "merge"; inherit contents; };
  mkOrder = priority: content: { _type = "order"; inherit priority content; };

  nixosSystem = x: { config = x; };

  self = rec {
  inherit
    add all any attrNames attrValues baseNameOf catAttrs compareVersions concatLists concatMap
    concatStringsSep deepSeq elem elemAt filter foldl' fromJSON functionArgs genList groupBy hasAttr
    head intersectAttrs isAttrs isBool isFloat isFunction isInt isList isPath isString length
    lessThan listToAttrs map mapAttrs match partition readFile removeAttrs replaceStrings seq sort
    split splitVersion stringLength sub substring tail toJSON tryEval typeOf zipAttrsWith
    id const flip pipe min max mod and compare singleton toList optional optionals foldr fold foldl
    imap0 imap1 forEach flatten remove findFirst range reverseList last init take drop sublist unique
    count zipListsWith zipLists subtractLists intersectLists crossLists cartesianProduct replicate
    sortOn concatImapStrings concatStrings concatMapStrings concatMapStringsSep concatImapStringsSep
    concatLines intersperse optionalString hasPrefix hasSuffix hasInfix removePrefix removeSuffix
    escape escapeRegex stringToCharacters splitString toLower toUpper fixedWidthString toInt trim
    versionOlder versionAtLeast boolToString escapeShellArg escapeShellArgs nameValuePair genAttrs
    genAttrs' optionalAttrs filterAttrs mapAttrs' mapAttrsToList attrsToList concatMapAttrs
    concatMapAttrsStringSep foldAttrs foldlAttrs mergeAttrsList getAttrs attrByPath hasAttrByPath
    getAttrFromPath attrVals setAttrByPath recursiveUpdateUntil recursiveUpdate zipAttrs isDerivation
    cleanSource mkOverride mkIf mkMerge mkOrder nixosSystem;

  cartesianProductOfSets = cartesianProduct;
  mapAttrsFlatten = mapAttrsToList;
  getAttr = builtins.getAttr;
  trivial = { inherit id const flip pipe min max mod compare; };
  isStringLike = isString;
  traceVal = x: x;
  trace = a: x: x;
  warn = a: x: x;
  warnIf = c: a: x: x;
  assertMsg = c: m: c || throw m;
  throwIf = c: m: x: if c then throw m else x;
  throwIfNot = c: m: x: if c then x else throw m;
  fix = f: let x = f x; in x;
  mkForce = mkOverride 50;
  mkDefault = mkOverride 1000;
  mkOptionDefault = mkOverride 1500;
  mkVMOverride = mkOverride 10;
  mkImageMediaOverride = mkOverride 60;
  mkBefore = mkOrder 500;
  mkAfter = mkOrder 1500;
  mkAssert = condition: message: content: mkIf (condition || throw message) content;
  mkOption = x: x // { _type = "option"; };
  mkEnableOption = name: { _type = "option"; default = false; };
  mkPackageOption = pkgs: name: x: { _type = "option"; };

  attrsets = {
    inherit genAttrs optionalAttrs filterAttrs mapAttrs mapAttrs' mapAttrsToList nameValuePair
      recursiveUpdate concatMapAttrs mergeAttrsList getAttrs attrByPath hasAttrByPath foldlAttrs;
  };
  lists = {
    inherit singleton toList optional optionals foldr foldl imap0 imap1 forEach flatten range
      reverseList last take drop unique zipListsWith findFirst;
  };
  strings = {
    inherit concatStrings concatMapStrings concatMapStringsSep optionalString hasPrefix hasSuffix
      hasInfix removePrefix removeSuffix splitString toLower toUpper toInt concatStringsSep
      fixedWidthString;
  };
  modules = { inherit mkIf mkMerge mkForce mkDefault mkOverride mkOrder; };

  storboxNixpkgs = settings: { lib = self; };
  };

in self
