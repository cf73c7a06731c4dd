#!/usr/bin/env bash
# Builds CRI-O, the kubelet and critest from their Go modules, at pinned versions, into a directory: kubernetes.sh DIR
# No Debian has them. It takes about 20 minutes of processor time and 4 GB of Go's build cache.
set -euo pipefail

crio=v1.36.1 kubernetes=v1.36.3 critools=v1.36.0

mkdir -p "$1"
into=$(realpath "$1")
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
export GOFLAGS='-trimpath -buildvcs=false -mod=mod' CGO_ENABLED=1

# source MODULE VERSION DIR: a copy of a module that can be written to.
source_of() {
	local from
	from=$(go mod download -json "$1@$2" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
	cp -r --no-preserve=mode "$from" "$work/$3"
	cd "$work/$3"
}

# CRI-O, and the program that it keeps namespaces with, which is C.
# Its go.mod names a release candidate of Kubernetes' libraries.
source_of github.com/cri-o/cri-o "$crio" crio
sed -i 's/v0\.36\.0-rc\.0/v0.36.0/' go.mod
rm -rf vendor
go build -tags 'containers_image_openpgp exclude_graphdriver_btrfs libsqlite3 seccomp' \
	-ldflags "-s -w -X github.com/cri-o/cri-o/internal/version.Version=${crio#v}" -o "$into/crio" ./cmd/crio
gcc -O2 -std=c99 -o "$into/pinns" pinns/src/*.c

# The test suite of the CRI.
source_of sigs.k8s.io/cri-tools "$critools" critools
go test -c -ldflags '-s -w' -o "$into/critest" ./cmd/critest

# The kubelet. Its module replaces its own libraries by directories that the module does not have.
source_of k8s.io/kubernetes "$kubernetes" kubernetes
sed -i -E "s#=> \./staging/src/(k8s\.io/[a-z-]+)#=> \1 v0${kubernetes#v1}#" go.mod
rm -rf vendor go.work*
go build -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$kubernetes" -o "$into/kubelet" ./cmd/kubelet
