#!/bin/sh
# Runs the container tests of containerd's client with a shim, beside the same tests with
# containerd-shim-runc-v2 and runc:
#
#	SHIM=./containerd-shim-onggi-v1 ONGGI=./onggi RUNC=/usr/bin/runc tests/shim/clienttests.sh
#
# The tests, containerd and runc's shim are built from containerd's module, at the version
# below. The tests are changed in two things: images come from a registry on loopback, which
# has busybox only, and limits of seconds are a minute. Each pass is in mount, network, PID
# and IPC namespaces of its own. In the pass of onggi's shim, the command runc is ONGGI.
#
# Two tests are left out because they put a program between the shim and runc
# (TestIssue9103, TestIssue10589). TestBindLowPortNonOpt is left out because it ended with
# neither shim: it sends SIGTERM to nc, and this busybox is another than the tests' own.
#
#	RUN       the tests: a regular expression (default: all that start containers)
#	RUNTIME   onggi or runc: one pass only
#	PARALLEL  tests at the same time (default 1)
#	DIR       where to build and to leave the logs, not in /tmp (default /var/tmp/onggi-clienttests)
#
# It prints a table: test, result with onggi's shim, result with runc's.
set -eu

version=v2.4.2
dir=${DIR:-/var/tmp/onggi-clienttests}
registry=127.0.0.1:5055
tags="osusergo netgo static_build urfave_cli_no_docs no_btrfs no_zfs no_devmapper no_cri no_tracing no_grpc"

if [ "${1:-}" = pass ]; then # in the namespaces: pass NAME RUNTIME
	ip link set lo up
	if [ "$(stat -fc %T /sys/fs/cgroup)" != cgroup2fs ]; then # mounts with the root of the new cgroup namespace
		hierarchies=$(cd /sys/fs/cgroup && echo */)
		umount -R -l /sys/fs/cgroup
		mount -t tmpfs -o mode=755 none /sys/fs/cgroup
		for h in $hierarchies; do
			h=${h%/}
			mkdir "/sys/fs/cgroup/$h"
			case $h in
			unified) mount -t cgroup2 none /sys/fs/cgroup/unified ;;
			systemd) mount -t cgroup -o none,name=systemd none /sys/fs/cgroup/systemd ;;
			*) mount -t cgroup -o "$h" none "/sys/fs/cgroup/$h" ;;
			esac
		done
	fi
	mount -t tmpfs none /run
	mount -t tmpfs none /tmp # one test has a state root in it
	mkdir -p /var/lib/containerd-test
	mount -t tmpfs none /var/lib/containerd-test
	cd "$dir/work" # containerd prefers a shim in its working directory to those on its PATH
	"$dir/registry" $registry &
	server=$!
	until busybox wget -q -O /dev/null http://$registry/v2/ 2>/dev/null; do sleep 0.2; done
	status=0
	PATH="$dir/bin:$dir/bin.$2:$PATH" TEST_RUNTIME=$3 "$dir/client.test" -test.v -test.root -test.parallel "${PARALLEL:-1}" -test.timeout 20m \
		-no-criu -test.run "$RUN" -test.skip '^(TestIssue9103|TestIssue10589|TestBindLowPortNonOpt)$' >"$dir/$2.log" 2>&1 || status=$?
	kill $server
	exit $status
fi

module=github.com/containerd/containerd/v2
mkdir -p "$dir/bin" "$dir/work"
(cd "$(dirname "$0")/../.." && CGO_ENABLED=0 go build -o "$dir/registry" ./tests/registry/serve)
stamp="$version $("$dir/registry" -digest)"
if [ "$(cat "$dir/stamp" 2>/dev/null)" != "$stamp" ]; then
	source=$(cd / && go mod download -json $module@$version | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
	rm -rf "$dir/source"
	cp -r "$source" "$dir/source"
	chmod -R u+w "$dir/source"
	sed -i -E "s#\"[a-z0-9.]+/(.*:[a-z0-9.-]+)\"#\"$registry/\1\"#; s#@sha256:[0-9a-f]+#@${stamp#* }#" \
		"$dir/source/integration/images/image_list.go"
	# Limits of seconds for containerd's start and for a container's end fail on a busy machine.
	sed -i -E 's/(WithTimeout\((ctx|context\.TODO\(\)), )[0-9]+\*time\.Second/\160*time.Second/; s/time\.After\([0-9]+ \* time\.Second\)/time.After(60 * time.Second)/' \
		"$dir/source"/integration/client/*_test.go
	# Without NRI, a WebAssembly compiler need not be built.
	sed -i '/plugins\/nri"/d' "$dir/source/cmd/containerd/builtins/builtins.go"
	(
		cd "$dir/source"
		export CGO_ENABLED=0 GOFLAGS='-trimpath -mod=mod'
		go build -tags "$tags" -ldflags '-s -w' -o "$dir/bin/" ./cmd/containerd-shim-runc-v2
		go build -tags "${tags% no_grpc}" -ldflags '-s -w' -o "$dir/bin/" ./cmd/containerd
		go test -c -tags "${tags% no_grpc}" -ldflags '-s -w' -o "$dir/client.test" ./integration/client
	)
	echo "$stamp" >"$dir/stamp"
fi
mkdir -p "$dir/bin.onggi" "$dir/bin.runc"
cp "$SHIM" "$dir/bin/containerd-shim-onggi-v1"
cp "$ONGGI" "$dir/bin.onggi/runc"
cp "$RUNC" "$dir/bin.runc/runc"

# All tests of the files that start containers, without the checkpoint tests and benchmarks.
if [ -z "${RUN:-}" ]; then
	RUN="^($(cd "$dir/source/integration/client" && sed -n 's/^func \(Test[A-Za-z0-9_]*\)(t \*testing.T).*/\1/p' \
		container_test.go container_linux_test.go container_idmapped_linux_test.go \
		daemon_config_linux_test.go restart_monitor_test.go mount_manager_linux_test.go client_ttrpc_test.go client_unix_test.go |
		paste -sd '|')|TestRuntimeInfo)\$"
fi
export RUN DIR="$dir"
for name in ${RUNTIME:-onggi runc}; do
	runtime=io.containerd.$name.v1
	[ $name = onggi ] || runtime=io.containerd.runc.v2
	echo "$name: $(date -u +%T)" >&2
	(
		# On cgroup v1, a pass has cgroups of its own in each hierarchy.
		for h in /sys/fs/cgroup/*/; do
			[ "$(stat -fc %T /sys/fs/cgroup)" != cgroup2fs ] || continue
			mkdir -p "${h}onggi-clienttests-$name"
			for f in cpuset.cpus cpuset.mems; do
				[ ! -e "$h$f" ] || cat "$h$f" >"${h}onggi-clienttests-$name/$f"
			done
			sh -c 'echo $PPID' >"${h}onggi-clienttests-$name/cgroup.procs"
		done
		exec unshare --mount --net --pid --ipc --cgroup --fork --mount-proc --kill-child "$0" pass $name $runtime
	) || echo "$name: exit status $?" >&2
	find /sys/fs/cgroup -depth -path "*/onggi-clienttests-$name*" -type d -exec rmdir {} +
done

result() { sed -n 's/^ *--- \([A-Z]*\): \([^ ]*\) .*/\2 \1/p' "$dir/$1.log" | sort; }
result onggi >"$dir/onggi.txt" || :
result runc >"$dir/runc.txt" || :
join -a 1 -a 2 -e - -o 0,1.2,2.2 "$dir/onggi.txt" "$dir/runc.txt"
