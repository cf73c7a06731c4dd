# onggi: build, install, check. `make help` lists the targets.
#
# onggi is one static binary without cgo. libseccomp, which is C, is in a helper: a program of its own that is embedded in
# onggi. It runs when a seccomp profile is compiled for the first time, and for --regex. A binary with cgo takes 1 ms
# longer to start, and every verb would pay for it. A plain `go build ./cmd/onggi` makes such a binary.

GO      ?= go
PREFIX  ?= /usr/local
BINDIR  ?= $(PREFIX)/sbin
MANDIR  ?= $(PREFIX)/share/man
BASHDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR  ?= $(PREFIX)/share/zsh/site-functions
DATADIR ?= $(PREFIX)/share/onggi
FISHDIR ?= $(PREFIX)/share/fish/vendor_completions.d
DESTDIR ?=

ARCH    := $(shell $(GO) env GOARCH)
COMMIT  ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
TAG     := $(shell git describe --tags --match 'v*' 2>/dev/null)
VERSION ?= $(if $(TAG),$(TAG:v%=%),0.1.0)

# Pinned: a new release of a linter must not turn yesterday's green tree red.
GOFUMPT  := mvdan.cc/gofumpt@v0.12.0
GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
NFPM_AT      := github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.43.4
CYCLONEDX_AT := github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
NFPM         ?= $(CURDIR)/bin/nfpm
CYCLONEDX    ?= $(CURDIR)/bin/cyclonedx-gomod

LDFLAGS  = -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT) $(if $(OVERLAY),-X main.patch=$(PATCH))

# One file of the Go runtime is patched, by an overlay, for the Go versions that .ci/toolchain/results names: a start then
# does not look for a CPU limit. --version says so. `make PATCH=` builds without; so does any other Go, with a line about it.
PATCH   ?= cpulimit
OVERLAY := $(if $(PATCH),$(shell GO='$(GO)' .ci/toolchain/overlay bin/_overlay))
# The shim's build has one more, for its memory: .ci/toolchain/overlay says which.
SHIM_OVERLAY = $(if $(OVERLAY),$(shell GO='$(GO)' .ci/toolchain/overlay bin/_overlay shim))

# Static: it runs from a memory file, which has no directory with libraries beside it. Not position-independent, which would
# add 0.3 MB. Address randomisation would protect little here: the helper parses the profile in its caller's config.json, or
# its caller's expression, with its caller's privileges, under RLIMIT_CPU and RLIMIT_DATA. No container talks to it.
HELPER  := -ldflags "-s -w -linkmode external -extldflags '-static'"

# C compiler and pkg-config of the helper, by architecture.
TRIPLE_amd64    := x86_64-linux-gnu
TRIPLE_arm64    := aarch64-linux-gnu
TRIPLE_riscv64  := riscv64-linux-gnu
TRIPLE_ppc64le  := powerpc64le-linux-gnu
TRIPLE_s390x    := s390x-linux-gnu
TRIPLE_loong64  := loongarch64-linux-gnu
ARCHITECTURES   := amd64 arm64 riscv64 ppc64le s390x loong64
DEBIAN_ppc64le  := ppc64el
$(foreach a,$(ARCHITECTURES),$(eval CC_$(a) := $(TRIPLE_$(a))-gcc)$(eval PKGCONFIG_$(a) := /usr/lib/$(TRIPLE_$(a))/pkgconfig))
debian           = $(or $(DEBIAN_$(1)),$(1))
libraries        = $(if $(filter $(1),$(ARCH)),,PKG_CONFIG_LIBDIR=$(PKGCONFIG_$(1)) $(if $(filter $(1),$(FOREIGN)),PKG_CONFIG_SYSROOT_DIR=$(SYSROOT)/$(1)))

# These take libseccomp and its headers from one release of Debian in bin/sysroot. Debian 12 has no libseccomp for riscv64.
FOREIGN := $(filter-out $(ARCH),riscv64 ppc64le s390x)
SYSROOT := $(CURDIR)/bin/sysroot
SUITE   ?= trixie
$(foreach a,$(FOREIGN),$(eval PKGCONFIG_$(a) := $(SYSROOT)/$(a)/usr/lib/$(TRIPLE_$(a))/pkgconfig))
CC_$(ARCH)      := $(CC)
pkgconfig        = $(libraries) pkg-config

# Functions of modules are not inlined (those of the standard library are). That takes 0.47 MiB off the binary, and a start
# costs as much: it waits for the kernel. In the helper, where libseccomp takes the time, nothing is.
COMPILER := -gcflags=github.com/...=-l

# build(architecture, output): the helper, then the runtime that embeds it and is told its hash, by which compiled
# profiles are kept. Neither is stamped with the state of the working tree: the same source gives the same bytes.
SECCOMP := github.com/onggi-dev/onggi/seccomp
define build
	@$(call pkgconfig,$(1)) --exists libseccomp || { echo 'building needs libseccomp: apt-get install libseccomp-dev' >&2; exit 1; }
	@mkdir -p $(dir $(2))
	GOARCH=$(1) CGO_ENABLED=1 CC=$(CC_$(1)) $(libraries) \
		$(GO) build -trimpath -buildvcs=false -gcflags=all=-l $(OVERLAY:%=-overlay %) $(HELPER) -o seccomp/helper/helper.$(1) ./seccomp/helper/internal/program
	$(call program,$(1),$(2),./cmd/onggi,$(call entry,$(1)),$(OVERLAY))
endef

# The entry point calms the Go runtime's monitor down before the runtime starts: cmd/onggi/entry_*.s.
# A machine without such a file starts at Go's entry point.
entry = $(if $(wildcard cmd/onggi/entry_$(1).s),-E main.entry)

# program(architecture, output, package, flags of the linker, overlay): a program with the helper that is there.
define program
	GOARCH=$(1) CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -tags onggi_helper $(COMPILER) $(patsubst %,-overlay %,$(5)) \
		-ldflags "$(LDFLAGS) $(4) -X $(SECCOMP).library=$$($(call pkgconfig,$(1)) --modversion libseccomp) \
			-X $(SECCOMP)/helper.identity=$$(sha256sum seccomp/helper/helper.$(1) | cut -c 1-32)" \
		-o $(2) $(3)
endef

SHIM := containerd-shim-onggi-v1

.PHONY: all
all: onggi ## build ./onggi (static)

# Always handed to the go command, whose own cache knows what has to be built again.
.PHONY: onggi
onggi:
	$(call build,$(ARCH),onggi)

.PHONY: shim
shim: onggi ## build ./containerd-shim-onggi-v1, the runtime for containerd that needs no process for an operation
	$(call program,$(ARCH),$(SHIM),./cmd/$(SHIM),,$(SHIM_OVERLAY))

.PHONY: install
install: files shim ## install binary, man pages and completions (PREFIX, DESTDIR)
	install -m 0755 $(SHIM) $(DESTDIR)$(BINDIR)/$(SHIM)
	@echo 'Podman and Docker have to be told of onggi: see docs/engines and $(DATADIR)/podman.conf'

# BINARY is installed; onggi, which runs on this machine, writes its pages.
BINARY ?= onggi
.PHONY: files
files: onggi
	install -d -m 0755 $(DESTDIR)$(BINDIR) $(DESTDIR)$(MANDIR)/man8 $(DESTDIR)$(BASHDIR) $(DESTDIR)$(ZSHDIR) $(DESTDIR)$(FISHDIR) $(DESTDIR)$(DATADIR)
	install -m 0755 $(BINARY) $(DESTDIR)$(BINDIR)/onggi
	./onggi man $(DESTDIR)$(MANDIR)/man8
	./onggi completion bash > $(DESTDIR)$(BASHDIR)/onggi
	./onggi completion zsh > $(DESTDIR)$(ZSHDIR)/_onggi
	./onggi completion fish > $(DESTDIR)$(FISHDIR)/onggi.fish
	sed '/^```toml .*onggi.conf$$/,/^```$$/!d; /^```/d; s|/usr/local/sbin|$(BINDIR)|' docs/engines/podman.md > $(DESTDIR)$(DATADIR)/podman.conf

.PHONY: test
test: onggi ## unit tests, then the integration tests (as root) on this machine's cgroup layout
	$(GO) vet ./...
	$(GO) test $$($(GO) list ./... | grep -v -e '/tests$$' -e '/tests/engines$$' -e '/tests/vm$$' -e '/tests/packages$$')
	RUNTIME=$(CURDIR)/onggi $(GO) test -count=1 ./tests
	RUNTIME=$(CURDIR)/onggi $(GO) -C tests/conformance test -count=1 .

.PHONY: agree
agree: onggi ## compare 200 random configurations with runc and crun of bin/peers (10 to 30 minutes, as root)
	LAYOUT=v2 RUNTIME=$(CURDIR)/onggi RUNC=$(CURDIR)/bin/peers/runc CRUN=$(CURDIR)/bin/peers/crun AGREE_SEEDS=200 $(GO) test -count=1 -timeout 1h ./tests -run TestWherePeersAgree

# Interrupt it at any time: the next run with the same binary continues. WORKERS is the number of processes, VERBS a
# regular expression, for example exec, and LAYOUT=v2 chooses cgroup2 alone. Two processes see slightly different calls of
# the Go runtime, so the last command tries the rest.
WORKERS ?= 1
VERBS ?= .
FAULTS = RUNTIME=$(CURDIR)/onggi CAMPAIGN=whole JOURNAL=$(CURDIR)/bin/campaign.jsonl
.PHONY: campaign
campaign: onggi ## let each system call of each verb fail (an hour, as root), and write the table into docs/security.md
	$(GO) test -c -o bin/campaign.test ./tests
	cd tests && for k in $$(seq 0 $$(($(WORKERS) - 1))); do \
		$(FAULTS) SHARD=$$k/$(WORKERS) ../bin/campaign.test -test.run 'TestFaults/$(VERBS)' -test.timeout 0 & \
	done; wait
	cd tests && $(FAULTS) ../bin/campaign.test -test.run 'TestFaults/$(VERBS)' -test.timeout 0

.PHONY: check
check: ## install what is needed (apt-get), build, and pass every test
	.ci/run

.PHONY: demo
demo: ## install what is needed (apt-get), build, and run a container
	tests/demo.sh

.PHONY: bench
bench: onggi ## measure onggi, crun, runc and the floor in one interleaved run (settings: tests/bench/doc.go)
	$(GO) run ./tests/bench

.PHONY: libraries
libraries: onggi ## measure the libraries that could replace parts of onggi, and write the table into docs/design.md
	$(GO) run ./tests/bench/libraries

.PHONY: bench-start
bench-start: onggi ## measure a start by the number of mounts, with and without the patch of Go
	$(GO) run ./tests/bench start

.PHONY: bench-inside
bench-inside: onggi bin/inside.tar ## measure redis, pgbench, nginx, fio and fork+exec in containers and on the host
	$(GO) run ./tests/bench inside

.PHONY: bench-shim
bench-shim: shim ## measure containerd with onggi's shim, and with runc's shim and runc, crun and onggi
	$(GO) run ./tests/bench shim

.PHONY: client-tests
client-tests: shim ## run the container tests of containerd's client with onggi's shim, and with runc's shim and runc (10 to 30 minutes, as root)
	SHIM=./containerd-shim-onggi-v1 ONGGI=./onggi RUNC=bin/peers/runc tests/shim/clienttests.sh

.PHONY: counts
counts: onggi ## count system calls, faults, bytes, and compare with tests/bench/history.tsv
	$(GO) run ./tests/bench counts

.PHONY: counts-update
counts-update: onggi ## record those counts in tests/bench/history.tsv
	$(GO) run ./tests/bench counts record

# Packages with assembly that need no other package of this module, and one with system calls that newer machines lack. All
# packages would take a minute of processor time for each architecture.
ASSEMBLY := ./libcontainer/internal/launch ./libcontainer/internal/sigaction ./libcontainer/internal/startlimit ./libcontainer/internal/stub ./libcontainer/timeline
.PHONY: vet-ports
vet-ports: ## go vet of the packages with assembly, for each other architecture
	@set -e; for arch in $(filter-out $(ARCH),$(ARCHITECTURES)); do \
		GOARCH=$$arch CGO_ENABLED=0 $(GO) vet $(ASSEMBLY) ./tests/fault || { echo "go vet: GOARCH=$$arch" >&2; exit 1; }; \
	done

.PHONY: lint-ports
lint-ports: vet-ports bin/golangci-lint ## the same with golangci-lint
	@set -e; for arch in $(filter-out $(ARCH),$(ARCHITECTURES)); do \
		GOARCH=$$arch CGO_ENABLED=0 bin/golangci-lint run --allow-parallel-runners $(ASSEMBLY) ./tests/fault || { echo "golangci-lint: GOARCH=$$arch" >&2; exit 1; }; \
	done

.PHONY: lint
lint: bin/gofumpt bin/golangci-lint ## gofumpt, go vet and golangci-lint (with staticcheck) at pinned versions
	@out=$$(git ls-files '*.go' ':!*.pb.go' | xargs bin/gofumpt -l); test -z "$$out" || { echo "not gofumpt'ed:"; echo "$$out"; exit 1; }
	$(GO) vet ./...
	$(GO) -C tests/conformance vet ./...
	$(GO) -C tests/shim vet ./...
	bin/golangci-lint run --allow-parallel-runners ./...

bin/gofumpt bin/golangci-lint: Makefile
	GOBIN=$(CURDIR)/bin $(GO) install $(if $(findstring gofumpt,$@),$(GOFUMPT),$(GOLANGCI))
	@touch $@

bin/crictl: tests/engines/crictl/go.mod ## the CRI's client, for tests/engines
	@mkdir -p bin
	cd $(<D) && $(GO) build -trimpath -o $(CURDIR)/$@ sigs.k8s.io/cri-tools/cmd/crictl

bin/debian.tar: tests/engines/debian.sh ## a Debian with redis and nginx, for tests/engines
	@mkdir -p bin
	tests/engines/debian.sh $@

.PHONY: kubernetes
kubernetes: shim bin/crictl bin/debian.tar bin/kubernetes/kubelet ## build CRI-O and a kubelet, run critest and static pods (an hour, as root), and write the table into docs/engines/kubernetes.md
	KUBERNETES=$(CURDIR)/bin/kubernetes RUNTIME=onggi,$(CURDIR)/bin/peers/runc $(GO) test -count=1 -timeout 4h ./tests/engines -run TestKubernetes -update

bin/kubernetes/kubelet: tests/engines/kubernetes.sh
	tests/engines/kubernetes.sh $(@D)

bin/inside.tar: tests/engines/debian.sh ## a Debian with the programs of bench-inside
	@mkdir -p bin
	tests/engines/debian.sh $@ redis-server redis-tools postgresql-15 postgresql-client-15 nginx fio apache2-utils

# has(architecture): whether its C compiler and its libseccomp are installed. Debian 12 has neither for loong64.
has      = $(and $(wildcard $(PKGCONFIG_$(1))/libseccomp.pc),$(shell command -v $(CC_$(1))))
RELEASES = $(foreach a,$(filter-out amd64 arm64,$(ARCHITECTURES)),$(if $(call has,$(a)),release-$(a)))

.PHONY: release
release: release-amd64 release-arm64 $(RELEASES) ## static binaries with checksums into dist/: amd64, arm64, and each architecture whose compiler and libseccomp are here
	cd dist && sha256sum $(foreach p,onggi $(SHIM),$(patsubst release-%,$p-$(VERSION)-linux-%,$^)) > SHA256SUMS
	@$(foreach a,$(filter-out $(patsubst release-%,%,$^),$(ARCHITECTURES)),$(MAKE) --no-print-directory -k toolchain-$(a) 2>&1 | grep '^building for';) true

.PHONY: $(ARCHITECTURES:%=release-%)
$(ARCHITECTURES:%=release-%): release-%: toolchain-%
	$(call build,$*,dist/onggi-$(VERSION)-linux-$*)
	$(call program,$*,dist/$(SHIM)-$(VERSION)-linux-$*,./cmd/$(SHIM),,$(SHIM_OVERLAY))

.PHONY: $(ARCHITECTURES:%=toolchain-%)
$(ARCHITECTURES:%=toolchain-%): toolchain-%:
	@test '$*' = '$(ARCH)' || command -v $(CC_$*) >/dev/null || { \
		echo 'building for $* needs $(CC_$*): apt-get install gcc-$(TRIPLE_$*)' >&2; exit 1; }
	@test '$*' = '$(ARCH)' || test -e $(PKGCONFIG_$*)/libseccomp.pc || { \
		echo 'building for $* needs its libseccomp: $(if $(filter $*,$(FOREIGN)),make bin/sysroot/$*,dpkg --add-architecture $(call debian,$*) && apt-get update && apt-get install libseccomp-dev:$(call debian,$*))' >&2; exit 1; }

# mmdebstrap unpacks the packages and executes none of their programs. It mounts file systems, not in the host's namespace.
# MIRROR is a line of sources.list in place of the default: a mirror that is being updated has a suite that does not fit.
.PHONY: $(FOREIGN:%=bin/sysroot/%)
$(FOREIGN:%=bin/sysroot/%): bin/sysroot/%:
	@test -e $(PKGCONFIG_$*)/libseccomp.pc || { mkdir -p $(@D) && rm -rf $@ && unshare --mount mmdebstrap --quiet --mode=root --variant=extract \
		--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr --architectures=$(call debian,$*) --include=libseccomp-dev $(SUITE) $@ $(if $(MIRROR),'$(subst SUITE,$(SUITE),$(MIRROR))'); }

# The runtime of another machine, for its guest.
.PHONY: $(ARCHITECTURES:%=bin/onggi-%)
$(ARCHITECTURES:%=bin/onggi-%): bin/onggi-%: toolchain-%
	$(call build,$*,$@)

.PHONY: ports
ports: $(FOREIGN:%=bin/sysroot/%) ## unit tests of the assembly under qemu-user, and guests of the other architectures (an hour); writes the tables in docs/porting.md
	.ci/ports -update
	$(GO) test -count=1 -timeout 3h ./tests/vm -run TestPorts -ports -update

.PHONY: packages
packages: $(foreach a,$(or $(ARCHES),amd64 $(if $(wildcard $(PKGCONFIG_arm64)/libseccomp.pc),arm64)),package-$(a)) ## .deb, .rpm and SBOM into dist/, of amd64, and of arm64 where its libseccomp-dev is (ARCHES)

.PHONY: package-amd64 package-arm64
package-amd64 package-arm64: package-%: release-% $(NFPM) $(CYCLONEDX)
	@command -v jq >/dev/null || { echo 'the SBOM needs jq: apt-get install jq' >&2; exit 1; }
	VERSION='$(VERSION)' NFPM='$(NFPM)' CYCLONEDX='$(CYCLONEDX)' LIBSECCOMP=$$($(call pkgconfig,$*) --modversion libseccomp) \
		.ci/packages/build $*

$(CURDIR)/bin/nfpm $(CURDIR)/bin/cyclonedx-gomod: Makefile
	GOBIN=$(CURDIR)/bin $(GO) install $(if $(findstring nfpm,$@),$(NFPM_AT),$(CYCLONEDX_AT))
	@touch $@

.PHONY: clean
clean: ## remove what the other targets made
	rm -rf onggi $(SHIM) bin dist $(ARCHITECTURES:%=seccomp/helper/helper.%) tests/.cache

.PHONY: help
help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
