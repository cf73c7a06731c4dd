#!/bin/bash
# The workloads of `make bench-inside`: inside.sh WORKLOAD DIR prints operations a second. It runs in a container and on the
# host alike, as an ordinary user, with data in DIR.
set -euo pipefail
cd "$2"
rm -rf work && mkdir work && cd work
servers=()
trap '[ ${#servers[@]} = 0 ] || { kill "${servers[@]}" 2>/dev/null; wait; }' EXIT

# until COMMAND...: wait until it succeeds.
until_ready() {
	for _ in $(seq 200); do
		"$@" >/dev/null 2>&1 && return
		sleep 0.05
	done
	echo "not ready: $*" >&2
	exit 1
}

case $1 in
redis)
	redis-server --save '' --port 0 --unixsocket "$PWD/redis" >/dev/null &
	servers+=($!)
	until_ready redis-cli -s redis ping
	redis-benchmark -s redis -t get -n 200000 -q --csv | tail -n 1 | cut -d '"' -f 4
	;;
pgbench)
	bin=$(echo /usr/lib/postgresql/*/bin)
	"$bin/initdb" -D data -U bench -A trust --no-sync >/dev/null
	"$bin/postgres" -D data -k "$PWD" -c listen_addresses= -c fsync=off -c dynamic_shared_memory_type=mmap >log 2>&1 &
	servers+=($!)
	until_ready "$bin/pg_isready" -h "$PWD"
	"$bin/pgbench" -h "$PWD" -U bench -i -s 2 -q postgres >/dev/null 2>&1
	"$bin/pgbench" -h "$PWD" -U bench -S -c 4 -j 2 -T 4 postgres 2>/dev/null | sed -n 's/^tps = \([0-9.]*\).*/\1/p'
	;;
nginx)
	head -c 4096 /dev/zero >page
	cat >conf <<-CONF
		daemon off; worker_processes 2; pid pid; error_log error;
		events {}
		http { access_log off; client_body_temp_path t; proxy_temp_path t; fastcgi_temp_path t; uwsgi_temp_path t; scgi_temp_path t;
		server { listen 127.0.0.1:18090; root $PWD; } }
	CONF
	nginx -p "$PWD" -e error -c "$PWD/conf" &
	servers+=($!)
	until_ready bash -c ': </dev/tcp/127.0.0.1/18090'
	ab -q -k -c 16 -n 100000 http://127.0.0.1:18090/page 2>/dev/null | sed -n 's/^Requests per second: *\([0-9.]*\).*/\1/p'
	;;
fio)
	IFS=';' read -r -a fields < <(fio --name=x --filename=file --size=64M --bs=4k --rw=randrw --ioengine=psync --runtime=4 --time_based --minimal)
	echo $((fields[7] + fields[48])) # reads and writes
	;;
fork)
	began=$(date +%s%N)
	for _ in $(seq 1500); do /bin/true; done
	echo $((1500 * 1000000000 / ($(date +%s%N) - began)))
	;;
esac
