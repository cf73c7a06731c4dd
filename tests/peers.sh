#!/usr/bin/env bash
# Puts the runtimes that onggi is compared with into a directory: peers.sh DIRECTORY
#
#	DIRECTORY/runc   runc 1.5.1, built from its Go module (libseccomp-dev has to be installed)
#	DIRECTORY/crun   crun of Debian's unstable suite, with the libraries that it was built against
#	DIRECTORY/criu   CRIU of the same suite, likewise
#
# Debian 12's own runc 1.1 and crun 1.8 are too old to settle how the peers behave today. The packages are only downloaded
# and unpacked: nothing of the unstable suite is installed on the machine. An interrupted run leaves no half-made file.
set -euo pipefail

runc=v1.5.1

here=$(dirname "$(readlink -f "$0")")
mkdir -p "$1"
target=$(readlink -f "$1")
"$here/../.ci/setup" patchelf libseccomp-dev pkg-config
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [ ! -x "$target/runc" ]; then
	GOBIN=$work/bin CGO_ENABLED=1 "${GO:-go}" install -tags seccomp "github.com/opencontainers/runc@$runc"
	mv "$work/bin/runc" "$target/runc"
fi

# unstable ARGUMENTS...: apt-get with lists of its own, from the mirror that this machine uses.
unstable() {
	apt-get -q -o Dir::Etc::SourceList="$work/sources" -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists="$work/lists" \
		-o Dir::Cache::archives="$work/debs" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o Dir::State::status="$work/status" \
		-o APT::Sandbox::User=root -o APT::Install-Recommends=false -o Acquire::Languages=none -o Acquire::Retries=5 "$@"
}

if [ ! -x "$target/crun" ] || [ ! -x "$target/criu" ]; then
	mkdir -p "$work"/{lists/partial,debs/partial,tree}
	: >"$work/status" # a machine with nothing installed
	mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Codename: bookworm' | head -n 1)
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror sid main" >"$work/sources"
	unstable update
	unstable -y --download-only install crun criu
	for deb in "$work"/debs/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" | tar -C "$work/tree" --keep-directory-symlink --wildcards -xf - './usr/lib/*' './usr/bin/crun' './usr/sbin/criu' './lib*' 2>/dev/null || true
	done
	# Only the libraries: the directory of a multiarch system, flattened.
	rm -rf "$target/lib"
	mkdir "$target/lib"
	find "$work/tree" -path '*-linux-gnu/*.so*' -not -path '*/gconv/*' -exec cp -P -t "$target/lib" {} +
	for program in bin/crun sbin/criu; do
		patchelf --set-interpreter "$target/lib/$(basename "$(patchelf --print-interpreter "$work/tree/usr/$program")")" \
			--force-rpath --set-rpath "$target/lib" "$work/tree/usr/$program"
		mv "$work/tree/usr/$program" "$target/"
	done
fi
"$target/runc" --version | head -n 1
"$target/crun" --version | head -n 1
"$target/criu" --version | head -n 1
