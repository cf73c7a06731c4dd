#!/usr/bin/env bash
# From a fresh Debian 12 with Go and gcc to a running container: installs what the build needs, builds onggi, makes a
# bundle around busybox, and runs a container in it. Leaves nothing but ./onggi and the installed packages.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

.ci/setup make patch pkg-config libseccomp-dev busybox-static
make --no-print-directory onggi

root=()
[ "$(id -u)" = 0 ] || root=(sudo)

bundle=$(mktemp -d)
trap '"${root[@]}" rm -rf "$bundle"' EXIT

mkdir -p "$bundle"/rootfs/{bin,dev,etc,proc,root,sys,tmp}
for applet in $(busybox --list); do
	ln -s busybox "$bundle/rootfs/bin/$applet"
done
cp --remove-destination "$(command -v busybox)" "$bundle/rootfs/bin/"
echo 'root:x:0:0:root:/root:/bin/sh' > "$bundle/rootfs/etc/passwd"

./onggi spec --bundle "$bundle"
line='echo "Hello from $(hostname), where I am $(whoami) and process $$."; ps; ls /'
sed -i -e 's/"terminal": true/"terminal": false/' -e "s|\"sh\"|\"sh\", \"-c\", \"${line//\"/\\\\\"}\"|" "$bundle/config.json"

echo
echo "+ onggi run --bundle $bundle demo-$$"
"${root[@]}" ./onggi --root "$bundle/state" run --bundle "$bundle" "demo-$$"
