#!/usr/bin/env bash
# Writes the files of Debian's redis and of the libraries it needs to a tar archive: redis.sh ARCHIVE
# The packages are only downloaded and unpacked: installed, they would start a server on the machine.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/debs/partial" "$work/unpacked" "$work/layer/usr/bin"
apt=(apt-get -y -q --no-install-recommends --download-only --reinstall -o Dir::Cache::archives="$work/debs" install redis-server redis-tools)
"${apt[@]}" || { apt-get -q update && "${apt[@]}"; }
for deb in "$work"/debs/*.deb; do
	dpkg -x "$deb" "$work/unpacked"
done

cp -L "$work"/unpacked/usr/bin/redis-{server,cli} "$work/layer/usr/bin"
LD_LIBRARY_PATH=$work/unpacked/usr/lib/$(uname -m)-linux-gnu ldd "$work"/layer/usr/bin/* | grep -o '/[^ :]* (' | sort -u |
	while read -r library _; do
		install -D "$library" "$work/layer/${library#"$work/unpacked"}"
	done
tar --sort=name --owner=0 --group=0 --numeric-owner -C "$work/layer" -cf "$1" .
