# SPDX-License-Identifier: GPL-2.0-only
# kvxfer. `make help` says what there is. Everything that is made goes to build/.

MAKEFLAGS += --no-print-directory
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

top := $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))
version := $(shell sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' $(top)/dkms.conf)
soname := libkvxfer.so.0

# Where things go. LIB follows Debian's multiarch where there is one.
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
DESTDIR ?=

# Which kernel the module is for.
KVER ?= $(shell ls -d /lib/modules/*/build 2>/dev/null | xargs -r -n1 dirname | xargs -r -n1 basename | sort -V | tail -n1)
KDIR ?= $(if $(KVER),/lib/modules/$(KVER)/build)
LAB ?= uml

CC ?= gcc
CFLAGS ?= -O2 -g
warnings := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wno-missing-field-initializers -Werror
cflags = -std=gnu11 $(warnings) $(CFLAGS) -Iuapi -Iulib -DKVX_VERSION='"$(version)"' -MMD -MP

q := $(if $(V),,@)
quiet := $(findstring s,$(filter-out --%,$(firstword -$(MAKEFLAGS))))
say = $(if $(V)$(quiet),$(q),@printf '  %-8s %s\n' "$(1)" "$(2)";)

.PHONY: all help
all: module lib cli ##: the module, the library and the command

help: ##: this list
	@echo 'usage: make [TARGET] [VARIABLE=value]...'
	@sed -n 's/^\([a-z][a-z -]*\):.*##: \(.*\)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16
	@printf '%s\n' '' 'Variables: KVER or KDIR (kernel of `make module`, now $(or $(KVER),none)), LAB (uml, uml-smp,' \
		'uml-debug, debian-6.1, debian-6.12), NODES (1 or 2), T (name of a test), DESTDIR, PREFIX, LIBDIR, V=1' \
		'(show commands), KVX_CACHE (folder of the lab kernels, now $${KVX_CACHE:-~/.cache/kvxfer}).'

# --- the module ---------------------------------------------------------------------------------

# The kernel's build writes beside the sources: give it a tree of links to them.
mirror = mkdir -p $(1)/tests; cp -rsf $(addprefix $(top)/,Kbuild dkms.conf kmod uapi) $(1)/; \
	cp -rsf $(top)/tests/kunit $(1)/tests/; find $(1) -xtype l -delete

.PHONY: mirror
mirror:
	$(q)$(call mirror,$(DIR))

.PHONY: module
module: ##: kvxfer.ko for KVER, by default the newest kernel whose headers are installed
	$(q)[ -n '$(KDIR)' ] || { echo 'No kernel headers are installed. On Debian: sudo apt-get install linux-headers-$$(uname -r),'; \
		echo 'or name a kernel by KVER= or KDIR=. (The lab needs none: see make help.)'; exit 1; } >&2
	$(q)[ -e '$(KDIR)/Makefile' ] || { echo 'There are no kernel headers in $(KDIR).' >&2; exit 1; }
	$(q)$(call mirror,build/kmod)
	$(q)$(MAKE) -C '$(KDIR)' M=$(top)/build/kmod $(if $(W),W=$(W)) modules

# The module for one of the lab's kernels, with its KUnit suites where that kernel has KUnit.
.PHONY: lab-module
lab-module: dir = build/kmod-$(LAB)
lab-module:
	$(q)kernel=$$(tests/lab/kernels $(LAB)); mkdir -p $(dir); exec 9>$(dir)/.lock; flock 9; \
	$(call mirror,$(dir)); \
	args=(-C "$$kernel/kbuild" M=$(top)/$(dir) W=1 KCFLAGS=-Werror); \
	case $(LAB) in uml*) args+=(ARCH=um KVX_KUNIT=1 PAHOLE=none) ;; esac; \
	[ "$$(cat $(dir)/.kernel 2>/dev/null)" = "$$kernel" ] || { $(MAKE) "$${args[@]}" clean >$(dir)/build.log 2>&1; echo "$$kernel" >$(dir)/.kernel; }; \
	$(MAKE) "$${args[@]}" modules >$(dir)/build.log 2>&1 && ! grep -ni 'warning:' $(dir)/build.log || { cat $(dir)/build.log >&2; exit 1; }

# --- library and command ------------------------------------------------------------------------

lib_src := $(sort $(wildcard ulib/*.c))
cli_src := $(sort $(wildcard tools/*.c))
lib_obj := $(lib_src:%.c=build/obj/%.o)
cli_obj := $(cli_src:%.c=build/obj/%.o)

.PHONY: lib cli examples
lib: build/lib/$(soname) build/lib/libkvxfer.a build/lib/kvxfer.pc ##: libkvxfer, shared and static
cli: build/bin/kvxfer ##: the kvxfer command

build/obj/ulib/%.o: ulib/%.c dkms.conf
	$(q)mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(cflags) -fPIC -fvisibility=default -c -o $@ $<

# The command asks the kernel by netlink.
nl_cflags = $(shell pkg-config --cflags libnl-genl-3.0)
nl_libs = $(shell pkg-config --libs libnl-genl-3.0)
.PHONY: need-libnl
need-libnl:
	$(q)pkg-config --exists libnl-genl-3.0 2>/dev/null || { \
		echo 'The command needs libnl. On Debian: sudo apt-get install pkg-config libnl-3-dev libnl-genl-3-dev'; exit 1; } >&2

build/obj/tools/%.o: cflags += $(nl_cflags)
build/obj/tools/%.o: tools/%.c dkms.conf | need-libnl
	$(q)mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(cflags) -c -o $@ $<

build/lib/$(soname): $(lib_obj) ulib/libkvxfer.map
	$(q)mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(CFLAGS) $(LDFLAGS) -shared -Wl,-soname,$(soname) -Wl,-z,defs \
		-Wl,--version-script=ulib/libkvxfer.map -o $@ $(lib_obj)
	$(q)ln -sf $(soname) build/lib/libkvxfer.so

build/lib/libkvxfer.a: $(lib_obj)
	$(q)mkdir -p $(@D)
	$(call say,AR,$@)rm -f $@; $(AR) rcs $@ $(lib_obj)

pc = s,@PREFIX@,$(PREFIX),; s,@LIBDIR@,$(LIBDIR),; s,@VERSION@,$(version),
build/lib/kvxfer.pc: ulib/kvxfer.pc.in dkms.conf FORCE
	$(q)mkdir -p $(@D)
	$(q)sed '$(pc)' $< >$@.new && mv $@.new $@

# Static, so that the tool that tells what is wrong works when the library does not.
build/bin/kvxfer: $(cli_obj) build/lib/libkvxfer.a
	$(q)mkdir -p $(@D)
	$(call say,LD,$@)$(CC) $(CFLAGS) $(LDFLAGS) -pthread -o $@ $^ $(nl_libs)

examples: $(patsubst ulib/examples/%.c,build/examples/%,$(wildcard ulib/examples/*.c)) ##: the programs in ulib/examples

# With no more than an installed library would give them.
build/examples/%: ulib/examples/%.c build/lib/libkvxfer.a ulib/kvxfer.h
	$(q)mkdir -p $(@D)
	$(call say,CC,$<)$(CC) -std=gnu11 $(warnings) $(CFLAGS) -Iulib -pthread -o $@ $< build/lib/libkvxfer.a

-include $(lib_obj:.o=.d) $(cli_obj:.o=.d)

.PHONY: install uninstall dkms-install
installed = $(DESTDIR)$(PREFIX)
install: lib cli ##: library, header, command, man pages, completion, units (DESTDIR, PREFIX)
	$(q)install -d $(installed)/bin $(installed)/include/linux $(DESTDIR)$(LIBDIR)/pkgconfig
	$(q)install -m 755 build/bin/kvxfer $(installed)/bin/kvxfer
	$(q)install -m 644 ulib/kvxfer.h $(installed)/include/kvxfer.h
	$(q)install -m 644 uapi/linux/kvxfer.h uapi/linux/kvxfer_netlink.h $(installed)/include/linux/
	$(q)install -D -m 644 uapi/kvxfer.yaml $(installed)/share/kvxfer/kvxfer.yaml
	$(q)install -m 755 build/lib/$(soname) $(DESTDIR)$(LIBDIR)/$(soname)
	$(q)ln -sf $(soname) $(DESTDIR)$(LIBDIR)/libkvxfer.so
	$(q)install -m 644 build/lib/libkvxfer.a $(DESTDIR)$(LIBDIR)/libkvxfer.a
	$(q)sed '$(pc)' ulib/kvxfer.pc.in | install -m 644 /dev/stdin $(DESTDIR)$(LIBDIR)/pkgconfig/kvxfer.pc
	$(q)for page in $(wildcard tools/man/*.[1-8] ulib/man/*.[1-8]); do \
		install -D -m 644 $$page $(installed)/share/man/man$${page##*.}/$${page##*/}; done
	$(q)install -D -m 644 tools/system/kvxfer.bash-completion $(installed)/share/bash-completion/completions/kvxfer
	$(q)install -D -m 644 tools/system/70-kvxfer.rules $(DESTDIR)/usr/lib/udev/rules.d/70-kvxfer.rules
	$(q)install -D -m 644 tools/system/kvxfer.sysusers $(DESTDIR)/usr/lib/sysusers.d/kvxfer.conf
	$(q)sed 's,@BINDIR@,$(PREFIX)/bin,' tools/system/kvxfer-pools.service.in | \
		install -D -m 644 /dev/stdin $(DESTDIR)/usr/lib/systemd/system/kvxfer-pools.service
	$(q)[ -e $(DESTDIR)/etc/kvxfer/pools.conf ] || \
		install -D -m 644 tools/system/pools.conf $(DESTDIR)/etc/kvxfer/pools.conf
	$(q)[ -n '$(DESTDIR)' ] || ldconfig || :

uninstall: ##: what install and dkms-install have put there, but for /etc/kvxfer
	$(q)rm -f $(installed)/bin/kvxfer $(installed)/include/kvxfer.h $(installed)/include/linux/kvxfer.h \
		$(installed)/include/linux/kvxfer_netlink.h $(installed)/share/kvxfer/kvxfer.yaml
	$(q)rm -f $(DESTDIR)$(LIBDIR)/libkvxfer.* $(DESTDIR)$(LIBDIR)/pkgconfig/kvxfer.pc
	$(q)for page in $(wildcard tools/man/*.[1-8] ulib/man/*.[1-8]); do \
		rm -f $(installed)/share/man/man$${page##*.}/$${page##*/}; done
	$(q)rm -f $(installed)/share/bash-completion/completions/kvxfer
	$(q)rm -f $(DESTDIR)/usr/lib/udev/rules.d/70-kvxfer.rules $(DESTDIR)/usr/lib/sysusers.d/kvxfer.conf
	$(q)rm -f $(DESTDIR)/usr/lib/systemd/system/kvxfer-pools.service
	$(q)[ -n '$(DESTDIR)' ] || ! command -v dkms >/dev/null || dkms remove -m kvxfer -v $(version) --all || :
	$(q)rm -rf $(DESTDIR)/usr/src/kvxfer-$(version)

# What dkms needs of the tree, and no more.
dkms_files := Kbuild dkms.conf kmod uapi
dkms-install: ##: the module by DKMS, for every installed kernel that has headers (DESTDIR: only the sources)
	$(q)rm -rf $(DESTDIR)$(DKMS_ROOT)/usr/src/kvxfer-$(version)
	$(q)install -d $(DESTDIR)$(DKMS_ROOT)/usr/src/kvxfer-$(version)
	$(q)cp -r $(dkms_files) $(DESTDIR)$(DKMS_ROOT)/usr/src/kvxfer-$(version)/
	$(q)[ -n '$(DESTDIR)' ] || DKMS_ROOT='$(DKMS_ROOT)' tools/system/dkms-install $(version)

# --- the lab and the tests ----------------------------------------------------------------------

build/lab/launch: tests/lab/launch.c
	$(q)mkdir -p $(@D)
	$(call say,CC,$<)$(CC) -std=gnu11 $(warnings) $(CFLAGS) -o $@ $<

# Tests of the user lane are built with the library's sources, under the sanitizers.
san := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
ulib_tests := $(patsubst %.c,build/%,$(wildcard tests/ulib/*.c)) build/tests/ulib/cxx
fuzz_tests := $(patsubst %.c,build/%,$(wildcard tests/fuzz/*.c))
e2e_tests := $(patsubst %.c,build/%,$(wildcard tests/e2e/*.c))

.PHONY: user-tests e2e-tests
user-tests: $(ulib_tests) $(fuzz_tests)
e2e-tests: $(e2e_tests) examples bench-programs

build/tests/ulib/agent: LDFLAGS += -Wl,--wrap=open,--wrap=close,--wrap=ioctl
build/tests/ulib/agent: $(lib_src)
build/tests/ulib/wait: LDFLAGS += -Wl,--wrap=open,--wrap=close,--wrap=ioctl,--wrap=ppoll,--wrap=mmap,--wrap=munmap \
	-Wl,--wrap=clock_gettime
build/tests/ulib/wait: $(lib_src)
build/tests/ulib/netlink: cflags += $(nl_cflags)
build/tests/ulib/netlink: LDLIBS = $(nl_libs)
build/tests/ulib/netlink: ulib/error.c | need-libnl
build/tests/ulib/%: tests/ulib/%.c dkms.conf
	$(q)mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(cflags) $(san) $(LDFLAGS) -pthread -o $@ $< $(filter ulib/%.c,$^) $(LDLIBS)

build/tests/ulib/cxx: tests/ulib/cxx.cc build/lib/$(soname)
	$(q)mkdir -p $(@D)
	$(call say,CXX,$<)$(CXX) -std=c++11 -Wall -Wextra -Wpedantic -Werror -Iulib -o $@ $< -Lbuild/lib -lkvxfer \
		-Wl,-rpath,'$$ORIGIN/../../lib'

# What libFuzzer found worth keeping would go to tests/fuzz/corpus; a run here is long enough to find
# what is new and wrong, and always the same.
build/tests/fuzz/%: tests/fuzz/%.c tests/fuzz/run dkms.conf
	$(q)mkdir -p $(@D)
	$(call say,CLANG,$<)clang $(filter-out -Wno-clobbered,$(cflags)) $(san) -MT $@ -fsanitize=fuzzer -o $@.fuzzer $<
	$(q)install -m 755 tests/fuzz/run $@

build/tests/e2e/compat32: tests/e2e/compat32.c uapi/linux/kvxfer.h
	$(q)mkdir -p $(@D)
	$(call say,CC32,$<)$(CC) -m32 -O2 $(warnings) -Iuapi -isystem /usr/include/$$($(CC) -print-multiarch) \
		-ffreestanding -fno-stack-protector -fno-pie -no-pie -nostdlib -static -o $@ $<

build/tests/e2e/verbs: LDLIBS := -libverbs
build/tests/e2e/rdma_hostile build/tests/e2e/rdma_foes build/tests/e2e/rdma_many build/tests/e2e/rdma_net \
	build/tests/e2e/rdma_granter build/tests/e2e/rdma_trap: LDLIBS := \
	-lrdmacm -libverbs
build/tests/e2e/%: tests/e2e/%.c build/lib/libkvxfer.a
	$(q)mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(cflags) -pthread -o $@ $< build/lib/libkvxfer.a $(LDLIBS)

bench_programs := $(patsubst %.c,build/%,$(wildcard tests/bench/*.c))
.PHONY: bench-programs bench
bench-programs: $(bench_programs)
bench: ##: how fast, beside what people use today; T=name, LAB=kernel (debian-6.12)
	$(q)tests/bench/run '$(lab_given)' '$(T)'

build/tests/bench/rdma: LDLIBS := -libverbs
build/tests/bench/%: tests/bench/%.c build/lib/libkvxfer.a
	$(q)mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(cflags) -pthread -o $@ $< build/lib/libkvxfer.a $(LDLIBS)

-include $(wildcard build/tests/*/*.d)

.PHONY: test test-long check lab demo
demo: ##: two virtual machines with stock Debian kernels, and kvxfer in them
	$(q)tests/lab/demo $(lab_given)

lab_given := $(if $(filter command environment,$(firstword $(origin LAB))),$(LAB))
test: ##: every test, or those of T=name and LAB=lane (uml, ..., or check, user, headers, dkms, lab)
	$(q)tests/run '$(lab_given)' '$(T)'

test-long: ##: every test in every kernel that can run it, with thousands of rounds: hours
	$(q)KVX_LONG=1 tests/run '$(lab_given)' '$(T)'

check: ##: style, sparse, public headers, ABI freeze
	$(q)tests/run check '$(T)'

lab: ##: a shell inside the kernel LAB, with the module loaded; NODES=2 for two nodes
	$(q)tests/lab/run $(LAB)

.PHONY: clean FORCE
FORCE:
clean: ##: remove build/ (the lab's kernels stay in their cache)
	$(q)rm -rf build
