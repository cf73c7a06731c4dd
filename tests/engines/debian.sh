#!/usr/bin/env bash
# Writes a Debian with programs to a tar archive: debian.sh ARCHIVE [PACKAGE...]; without packages, redis and nginx.
# The packages and all that they depend on are only downloaded and unpacked. Nothing of them runs on the machine.
set -euo pipefail

archive=$1
shift
[ $# != 0 ] || set -- redis-server nginx
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{debs/partial,status.d,layer}
: >"$work/status" # a machine with nothing installed
apt=(apt-get -y -q --no-install-recommends --download-only -o APT::Sandbox::User=root -o Dir::Cache::archives="$work/debs"
	-o Dir::State::status="$work/status" install base-files base-passwd bash coreutils dash sed mawk grep "$@")
"${apt[@]}" || { apt-get -q update && "${apt[@]}"; }
for deb in "$work"/debs/*.deb; do
	dpkg-deb --fsys-tarfile "$deb" | tar -C "$work/layer" --keep-directory-symlink --exclude './usr/share/doc/*' \
		--exclude './usr/share/locale/*' --exclude './usr/share/man/*' --exclude './usr/share/perl' --exclude './usr/lib/*/perl*' \
		--exclude './usr/lib/*/gconv' -xf - # perl is for the scripts that install, which do not run
done

# What base-passwd's and nginx' installation would have done.
cp "$work/layer/usr/share/base-passwd/passwd.master" "$work/layer/etc/passwd"
cp "$work/layer/usr/share/base-passwd/group.master" "$work/layer/etc/group"
ln -sf ../sites-available/default "$work/layer/etc/nginx/sites-enabled/default"
rm -rf "$work"/layer/etc/nginx/modules-enabled
mkdir -p "$work"/layer/var/{lib/nginx,log/nginx,www/html}
cp "$work/layer/usr/share/nginx/html/index.html" "$work/layer/var/www/html"
tar --sort=name --owner=0 --group=0 --numeric-owner -C "$work/layer" -cf "$archive" .
