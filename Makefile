# storbox's build. `make help` lists what it can do; the default is build/storbox.
#
# Variables; each way of building has its own folder of objects, so nothing stale is linked:
#   APPLETS="topo subvol"   a subset; default: all of applets/
#   LINK=static|shared      musl and our own libraries (default), or the distribution's by pkg-config
#   CC=gcc|clang            SAN=1: sanitizers (shared)     COV=1: coverage (shared)
#   V=1                     show the commands              T=NAME: only tests/bats/NAME.bats

ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(shell nproc)
endif
B       := build
LINK    ?= $(if $(SAN)$(COV)$(FUZZ),shared,static)
ifeq ($(origin CC),default)
CC      := $(if $(FUZZ),clang,gcc)
endif
# A test that calls make builds the same way.
export LINK CC SAN COV
PREFIX  ?= /usr/local
Q       := $(if $(V),,@)
say      = $(if $(V),,@printf '  %-4s %s\n' $(1) $(2))
VERSION := $(or $(shell git describe --always --dirty 2>/dev/null),$(shell cat VERSION 2>/dev/null),unknown)

##  Sources: an applet is applets/NAME.c or every file of applets/NAME/; its id has _ for -.
ALL_APPLETS := $(sort $(patsubst applets/%.c,%,$(wildcard applets/*.c)) \
	$(patsubst applets/%/,%,$(wildcard applets/*/)))
APPLETS ?= $(ALL_APPLETS)
ifneq ($(filter-out $(ALL_APPLETS),$(APPLETS)),)
$(error no such applet: $(filter-out $(ALL_APPLETS),$(APPLETS)); there are: $(ALL_APPLETS))
endif
applet_sources = $(wildcard applets/$(1).c applets/$(1)/*.c)
SOURCES := main.c $(wildcard lib/core/*.c lib/os/*.c lib/storage/*.c) \
	$(foreach a,$(sort $(APPLETS)),$(call applet_sources,$(a)))
# The BPF programs of applet NAME are bpf/NAME*.bpf.c; it includes them as "bpf/NAME.skel.h".
SKELETONS := $(patsubst %.bpf.c,$(B)/%.skel.h,$(wildcard $(APPLETS:%=bpf/%*.bpf.c)))
UNIT_TESTS := $(patsubst tests/%.c,$(B)/%,$(wildcard tests/unit/*.c))
FUZZERS := $(patsubst tests/%.c,$(B)/%,$(wildcard tests/fuzz/$(or $(T),*_fuzz).c))

##  Warnings: one set for both compilers.
WARNINGS := -Wall -Wextra -Werror -Wmissing-prototypes -Wstrict-prototypes -Wold-style-definition \
	-Wshadow -Wvla -Wformat=2 -Wundef -Wpointer-arith -Wwrite-strings \
	-Wno-missing-field-initializers
IS_CLANG := $(findstring clang,$(shell $(CC) --version 2>/dev/null))

##  The two ways to link. Only what is called is kept: sections and --gc-sections, --as-needed.
LIBS := libbtrfsutil fdisk mount blkid libudev libbpf libelf json-c libzstd zlib
ifeq ($(LINK),static)
DEPS     := $(shell deps/build.sh --prefix)
OPTIMISE ?= -Os -g0
CPPFLAGS_LINK := -I$(DEPS)/include -idirafter $(DEPS)/kernel
CODEGEN  := -ffunction-sections -fdata-sections -fno-pie -fno-asynchronous-unwind-tables
ARCHIVES := btrfsutil fdisk mount blkid uuid smartcols udev bpf elf json-c zstd z
# RELINK=/path/libX.a: another build of one of them in its place.
LDLIBS   := -Wl,--start-group $(RELINK) \
	$(addprefix $(DEPS)/lib/,$(filter-out $(notdir $(RELINK)),$(ARCHIVES:%=lib%.a))) -Wl,--end-group
LINKER   := musl-gcc
LDFLAGS_LINK := -static -no-pie -s -Wl,--gc-sections -Wl,--build-id=none -Wl,-z,norelro
ifdef IS_CLANG
# clang compiles against musl's headers; gcc's driver links the machine code of the fat objects.
ARCH     := $(shell uname -m)
COMPILER := $(CC) -nostdlibinc -isystem /usr/include/$(ARCH)-linux-musl
LDFLAGS_LINK += -fno-lto
else
COMPILER := $(if $(filter gcc cc,$(CC)),musl-gcc,$(CC))
CODEGEN  += -flto=auto
LDFLAGS_LINK += -Os -flto=auto
endif
else ifeq ($(LINK),shared)
OPTIMISE ?= $(if $(SAN)$(COV),-Og,-O2) -g
COMPILER := $(CC)
LINKER   := $(CC)
CPPFLAGS_LINK = $(shell pkg-config --cflags $(LIBS))
LDLIBS   = -Wl,--as-needed $(shell pkg-config --libs $(LIBS)) -lm
SANITIZERS   := -fsanitize=address -fsanitize=undefined
CODEGEN      := -ffunction-sections -fdata-sections $(if $(COV),--coverage -include tests/coverage.h) \
	$(if $(FUZZ),-fsanitize=fuzzer-no-link) \
	$(if $(SAN)$(FUZZ),$(SANITIZERS) -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
LDFLAGS_LINK := -Wl,--gc-sections $(if $(SAN)$(FUZZ),$(SANITIZERS)) $(if $(COV),--coverage)
else
$(error LINK is static or shared, not $(LINK))
endif

MODE := $(LINK)-$(notdir $(firstword $(CC)))$(if $(SAN),-san)$(if $(COV),-cov)$(if $(FUZZ),-fuzz)
O    := $(B)/obj/$(MODE)
OBJECTS := $(SOURCES:%.c=$(O)/%.o)
COMPILE  = $(COMPILER) -std=gnu17 $(WARNINGS) $(OPTIMISE) $(CODEGEN) -D_GNU_SOURCE -I. -I$(O) -I$(B) \
	$(CPPFLAGS_LINK) $(if $(COV),,-ffile-prefix-map=$(CURDIR)=.) $(CPPFLAGS) $(CFLAGS)
LINKING  = $(LINKER) $(LDFLAGS_LINK) $(LDFLAGS)

all: $(B)/storbox ## build/storbox (the default)

# What lies directly in build/ is of the mode last asked for.
define from_mode
	$(Q)mkdir -p $(@D)
	$(Q)cmp -s $< $@ || { rm -f $@; ln $< $@; }
endef
$(B)/storbox: $(O)/storbox FORCE
	$(from_mode)

$(O)/storbox: $(OBJECTS) $(O)/link.flags
	$(call say,LINK,$@)
	$(Q)$(LINKING) $(OBJECTS) $(LDLIBS) -o $@

$(O)/main.o: private THIS_FILE := -include $(O)/version.h

# Every generated header and the libraries' are there before the first compilation.
TEST_OBJECTS := $(patsubst %.c,$(O)/%.o,$(wildcard tests/unit/*.c tests/fuzz/*_fuzz.c))
$(OBJECTS) $(TEST_OBJECTS): $(O)/%.o: %.c $(O)/compile.flags \
		| $(O)/applets.def $(O)/version.h $(SKELETONS) $(if $(DEPS),$(DEPS)/manifest.tsv)
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(COMPILE) $(THIS_FILE) -MMD -MP -c $< -o $@

# A folder's data.c embeds data files (.incbin), which -MMD does not see; the large ones packed.
PACKED := $(patsubst %,$(B)/%.gz,$(wildcard applets/*/rules.nix))
$(filter %/data.o,$(OBJECTS)): $(wildcard applets/*/*.nix) $(PACKED)
$(filter %/data.o,$(OBJECTS)): private THIS_FILE := -DBUILD='"$(B)"'
$(PACKED): $(B)/%.gz: %
	$(Q)mkdir -p $(@D)
	$(Q)gzip -9n <$< >$@

$(DEPS)/manifest.tsv:
	$(Q)deps/build.sh

##  Programs of the tests: lib/ with a main of their own.
LIB_OBJECTS := $(filter $(O)/lib/%,$(OBJECTS))
$(UNIT_TESTS): $(B)/%: $(O)/% FORCE
	$(from_mode)
$(UNIT_TESTS:$(B)/%=$(O)/%): $(O)/%: $(O)/tests/%.o $(LIB_OBJECTS) $(O)/link.flags
	$(Q)mkdir -p $(@D)
	$(Q)$(LINKING) $< $(LIB_OBJECTS) $(LDLIBS) -o $@
# A fuzzer may be of an applet's part, or include a whole source file to reach what is static: of the
# archive the linker takes only what is not there yet.
$(O)/parts.a: $(filter-out $(O)/main.o,$(OBJECTS))
	$(Q)rm -f $@ && ar qcs $@ $^
$(FUZZERS): $(B)/%: $(O)/tests/%.o $(O)/parts.a $(O)/link.flags
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(LINKING) -fsanitize=fuzzer $< $(O)/parts.a $(LDLIBS) -o $@

##  BPF: CO-RE objects, without debugging information, as C headers.
CLANG   ?= clang
BPFTOOL ?= $(or $(shell command -v bpftool),/usr/sbin/bpftool)
BPF_ARCH := $(patsubst x86_64,x86,$(patsubst aarch64,arm64,$(shell uname -m)))
BPF_INCLUDES = -I. -Ibpf $(if $(DEPS),-I$(DEPS)/include -idirafter $(DEPS)/kernel,\
	-idirafter /usr/include/$(shell gcc -print-multiarch))
$(B)/bpf/%.skel.h: bpf/%.bpf.c bpf/pack.sh | $(if $(DEPS),$(DEPS)/manifest.tsv)
	$(call say,BPF,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) -target bpf -O2 -g -Wall -Wextra -Wno-unused-parameter -Werror \
		-D__TARGET_ARCH_$(BPF_ARCH) $(BPF_INCLUDES) \
		-ffile-prefix-map=$(CURDIR)=. -MMD -MP -MT $@ -MF $(@:.skel.h=.d) -c $< -o $(@:.skel.h=.full.o)
	$(Q)$(BPFTOOL) gen object $(@:.skel.h=.bpf.o) $(@:.skel.h=.full.o)
	$(Q)$(BPFTOOL) gen skeleton $(@:.skel.h=.bpf.o) name $(subst -,_,$*)_bpf >$(@:.h=.raw.h)
	$(Q)bpf/pack.sh $(@:.h=.raw.h) $(@:.skel.h=.bpf.o) >$@

##  Files that hold what the build was told; rewritten only when that changes.
define replace_if_changed
	$(Q)mkdir -p $(@D)
	$(Q)printf '%s\n' $(1) >$@.new
	$(Q)cmp -s $@.new $@ && rm $@.new || mv $@.new $@
endef
quote = '$(subst ','\'',$(1))'
$(O)/compile.flags: FORCE
	$(call replace_if_changed,$(call quote,$(COMPILE)))
$(O)/link.flags: FORCE
	$(call replace_if_changed,$(call quote,$(LINKING) $(OBJECTS) $(LDLIBS)))
$(O)/applets.def: FORCE
	$(call replace_if_changed,$(foreach a,$(sort $(APPLETS)),'APPLET($(subst -,_,$(a)))'))
$(O)/version.h: FORCE
	$(call replace_if_changed,'#define VERSION "$(VERSION)"')

##  Manual pages: from the applets' tables, with the parts that are written by hand. An applet knows
##  its section, which is the page's suffix.
man: $(B)/man/made ## manual pages into build/man/
$(B)/man/made: $(B)/storbox $(wildcard docs/man/*)
	$(Q)rm -rf $(@D) && mkdir -p $(@D)
	$(Q)for a in $(APPLETS); do \
		extra=docs/man/$$a.mdoc; [ -e $$extra ] || extra=; \
		$(B)/storbox --man $$a $$extra >$(@D)/page || exit; \
		mv $(@D)/page $(@D)/$$a.$$(sed -n 's/^\.Dt [^ ]* *//p' $(@D)/page) || exit; done
	$(Q)for page in $(wildcard docs/man/*.[1-8]); do cp $$page $(@D)/ || exit; done
	$(Q)touch $@

##  Installation. Every link is relative, so the tree may be moved or packed.
BINDIR  ?= $(PREFIX)/bin
MANDIR  ?= $(PREFIX)/share/man
BASHDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR  ?= $(PREFIX)/share/zsh/site-functions
FISHDIR ?= $(PREFIX)/share/fish/vendor_completions.d
UNITDIR ?= $(PREFIX)/lib/systemd/system
# The units of the applets that are built; their page says whose a unit is.
UNITS   := $(foreach a,$(APPLETS),$(shell grep -lw 'man:$(a)' contrib/systemd/* 2>/dev/null))
INSTALLED = $(BINDIR)/storbox $(APPLETS:%=$(BINDIR)/%) \
	$(foreach m,$(notdir $(wildcard $(B)/man/*.[1-8])),$(MANDIR)/man$(patsubst .%,%,$(suffix $(m)))/$(m)) \
	$(BASHDIR)/storbox $(APPLETS:%=$(BASHDIR)/%) $(ZSHDIR)/_storbox \
	$(FISHDIR)/storbox.fish $(APPLETS:%=$(FISHDIR)/%.fish) $(UNITS:contrib/systemd/%=$(UNITDIR)/%)

install: all man ## binary, links, manual pages, completions, units (DESTDIR=, PREFIX=)
	$(Q)install -D -m 755 $(B)/storbox "$(DESTDIR)$(BINDIR)/storbox"
	$(Q)for m in $(B)/man/*.[1-8]; do [ -e $$m ] || continue; \
		install -D -m 644 $$m "$(DESTDIR)$(MANDIR)/man$${m##*.}/$${m##*/}" || exit; done
	$(Q)mkdir -p "$(DESTDIR)$(BASHDIR)" "$(DESTDIR)$(ZSHDIR)" "$(DESTDIR)$(FISHDIR)"
	$(Q)$(B)/storbox --completion bash >"$(DESTDIR)$(BASHDIR)/storbox"
	$(Q)$(B)/storbox --completion zsh >"$(DESTDIR)$(ZSHDIR)/_storbox"
	$(Q)$(B)/storbox --completion fish >"$(DESTDIR)$(FISHDIR)/storbox.fish"
	$(Q)for a in $(APPLETS); do \
		ln -sf storbox "$(DESTDIR)$(BINDIR)/$$a" && ln -sf storbox "$(DESTDIR)$(BASHDIR)/$$a" && \
		ln -sf storbox.fish "$(DESTDIR)$(FISHDIR)/$$a.fish" || exit; done
	$(Q)mkdir -p "$(DESTDIR)$(UNITDIR)"
	$(Q)for u in $(UNITS); do \
		sed 's,/usr/local/bin/,$(BINDIR)/,' $$u >"$(DESTDIR)$(UNITDIR)/$${u##*/}" || exit; done

uninstall: man ## remove what install put there
	$(Q)rm -f $(foreach f,$(INSTALLED),"$(DESTDIR)$(f)")

##  Tests. tests/run.sh knows the tiers and prints TAP.
RUN_TESTS = tests/run.sh $(if $(T),--only $(T))
TIERS    ?= lint plain loop vm gates
check: deps ## all tests, as TAP; a tier: check-plain, -loop, -vm, -gates
	$(Q)$(MAKE) --no-print-directory all $(UNIT_TESTS)
	$(Q)$(RUN_TESTS) $(TIERS)
check-plain check-loop check-vm check-gates: check-%: all $(UNIT_TESTS)
	$(Q)$(RUN_TESTS) $*
check-asan: deps ## plain and loop tests under AddressSanitizer and UBSan (20 minutes)
	$(Q)JOBS=1 GATE_TIERS="plain loop" tests/gates.sh asan
CRASH_SEEDS ?= 1 2 3
CRASH_POINTS ?= 0
check-crash: all ## mos-sysvol's power cut at thousands of points (hours; CRASH_SEEDS="1 2 3" CRASH_POINTS=100)
	$(Q)for seed in $(CRASH_SEEDS); do for run in "--disks 1" "--disks 2" "--disks 2 --redo"; do \
		tests/crash/sysvol.sh $$run --points $(CRASH_POINTS) --random 400 --seed $$seed || exit; done; done
lint: ## includes against the arrows, banned functions, machine paths, scripts
	$(Q)tests/lint.sh

##  The quality gates (tests/gates.sh), as TAP with `make check-gates`.
DEEP := $(filter-out $(SKELETONS),$(SOURCES))
# The analyser's shallow mode takes a third of the time; lint-deep follows every path.
ANALYSE ?= shallow
tidy: $(DEEP:%=$(B)/tidy/%)
$(B)/tidy/%: % $(SKELETONS) $(O)/applets.def FORCE
	$(Q)tests/tidy.sh $< -std=gnu17 -D_GNU_SOURCE -DVERSION='""' -DBUILD='""' -I. -I$(O) -I$(B) \
		-Xclang -analyzer-config -Xclang mode=$(ANALYSE) $(shell pkg-config --cflags $(LIBS))
cppcheck: $(SKELETONS) $(O)/applets.def
	$(Q)mkdir -p $(B)/cppcheck
	$(Q)cppcheck --quiet --error-exitcode=1 --std=c11 --inline-suppr --suppress=missingIncludeSystem \
		--suppressions-list=tests/cppcheck.suppressions --cppcheck-build-dir=$(B)/cppcheck \
		--enable=warning,portability --library=posix --library=gnu -D_GNU_SOURCE -DVERSION='""' -DBUILD='""' \
		-I. -I$(O) -I$(B) -j $(or $(JOBS),$(shell nproc)) $(DEEP)
lint-deep: ANALYSE := deep
lint-deep: tidy cppcheck ## clang-tidy and cppcheck (minutes, the first time)

coverage: ## lines covered by the plain and loop tiers, by file, as TSV
	$(Q)mkdir -p $(B)
	$(Q)find $(B)/obj -name '*.gcda' -delete 2>/dev/null || true
	$(Q)GCOV_ERROR_FILE=/dev/null $(MAKE) --no-print-directory COV=1 LINK=shared CC=gcc check TIERS="plain loop" >$(B)/coverage.tap || grep '^not ok' $(B)/coverage.tap >&2
	$(Q)tests/coverage.sh $(B)/obj/shared-gcc-cov

SECONDS ?= 60
fuzz: ## run each fuzzer of tests/fuzz for SECONDS=60 (T=NAME_fuzz: one)
	$(Q)$(MAKE) --no-print-directory FUZZ=1 LINK=shared CC=clang run-fuzzers
fuzz-replay: ## run the fuzzers' kept inputs once
	$(Q)$(MAKE) --no-print-directory FUZZ=1 LINK=shared CC=clang run-fuzzers SECONDS=0
run-fuzzers: $(FUZZERS)
	$(Q)for f in $^; do \
		kept=tests/fuzz/corpus/$${f##*/}; found=$$f.corpus; mkdir -p $$found; [ -d $$kept ] || kept=; \
		$$f $(if $(filter 0,$(SECONDS)),-runs=0,-max_total_time=$(SECONDS)) -verbosity=0 -timeout=10 \
			-artifact_prefix=$$f. $$found $$kept || exit; \
		echo "$${f##*/}: no finding"; done

# What is built says so on stderr; a script that calls make does so by itself.
bench: ## storbox beside its peers, as TSV
	$(Q)$(MAKE) --no-print-directory all >&2
	$(Q)for b in bench/*.sh; do MAKEFLAGS= STORBOX=$(CURDIR)/$(B)/storbox $$b || exit; export NO_HEADING=1; done
# A make of its own after deps: which compiler there is decides where the libraries are.
demo: deps ## the main job on sparse files and loop devices, each command shown (root)
	$(Q)$(MAKE) --no-print-directory all
	$(Q)STORBOX=$(CURDIR)/$(B)/storbox tests/demo.sh

##  What is shipped, in build/dist/; contrib/ has the recipes.
DIST := $(B)/dist
export VERSION
define installed_tree
	+$(Q)rm -rf $(B)/tree && $(MAKE) --no-print-directory install DESTDIR=$(CURDIR)/$(B)/tree PREFIX=$(1)
endef
initramfs: all ## build/initramfs.img: KERNEL=VERSION|DIR MODULES="x y" FILES="src:/dst"
	$(Q)contrib/initramfs/build $(B)/initramfs.img $(if $(KERNEL),--kernel $(KERNEL)) \
		$(MODULES:%=--module %) $(FILES:%=--file %)
	$(Q)ls -l $(B)/initramfs.img
deb: all ## a Debian package
	$(call installed_tree,/usr)
	$(Q)contrib/package/deb $(DIST) $(B)/tree
tarball: all ## source and binary archives with checksums
	$(call installed_tree,)
	$(Q)contrib/package/tarball $(DIST) $(B)/tree
# They install into the same folder first.
$(if $(filter deb,$(MAKECMDGOALS)),tarball: deb)
sbom: all ## SPDX of the static binary: libraries, versions, licences
	$(Q)mkdir -p $(DIST)
	$(Q)contrib/package/sbom >$(DIST)/storbox.spdx.json
	$(Q)echo $(DIST)/storbox.spdx.json

deps: ## install the Debian packages that the build and the tests need
	$(Q)deps/install.sh

clean: ## remove build/ (the libraries' cache stays)
	rm -rf $(B)

help: ## this list
	@sed -n 's/^# \{0,1\}//;2,8p' Makefile | sed '/^[^ ]*:/d'
	@awk -F':.*## ' '/^[a-z -]+:.*## /{ printf "  make %-12s %s\n", $$1, $$2 }' Makefile

FORCE:
.PHONY: all man install uninstall check check-plain check-loop check-vm check-gates check-asan check-crash lint lint-deep \
	tidy cppcheck coverage fuzz fuzz-replay run-fuzzers bench demo initramfs deb tarball sbom deps clean help FORCE
.DELETE_ON_ERROR:
-include $(OBJECTS:.o=.d) $(TEST_OBJECTS:.o=.d) $(SKELETONS:.skel.h=.d)
