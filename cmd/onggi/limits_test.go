package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/onggi-dev/onggi/specconv"
)

func TestParseSize(t *testing.T) {
	tests := []struct {
		text string
		want int64
		ok   bool
	}{
		{"0", 0, true},
		{"4096", 4096, true},
		{"512b", 512, true},
		{"512k", 512 << 10, true},
		{"1 KiB", 1 << 10, true},
		{"20MB", 20 << 20, true},
		{"1.5G", 3 << 29, true},
		{"2tib", 2 << 40, true},
		{"3p", 3 << 50, true},
		{"9223372036854775807", math.MaxInt64, true},
		{"9223372036854775808", 0, false},
		{"8192p", 0, false},
		{"-2", 0, false},
		{"", 0, false},
		{"m", 0, false},
		{"1x", 0, false},
		{"1mm", 0, false},
		{"1e3", 0, false},
		{"inf", 0, false},
		{"nan", 0, false},
		{"0x10", 0, false},
	}
	for _, test := range tests {
		got, err := parseSize(test.text)
		if got != test.want || (err == nil) != test.ok {
			t.Errorf("parseSize(%q) = %d, %v; want %d, ok %v", test.text, got, err, test.want, test.ok)
		}
	}
}

// updated parses flags of update and returns linux.resources as JSON.
func updated(t *testing.T, args ...string) (string, error) {
	t.Helper()
	f, u := &flags{}, newChanges()
	u.define(f)
	if _, err := f.Parse(args, true); err != nil {
		return "", err
	}
	u.resources.Devices = u.rules
	text, err := json.Marshal(u.resources)
	if err != nil {
		t.Fatal(err)
	}
	return string(text), nil
}

func TestUpdateFlags(t *testing.T) {
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"nothing", nil, `{}`},
		{"empty values of engines", []string{"--memory=", "--cpu-share", ""}, `{}`},
		{
			"memory",
			[]string{"--memory", "64m", "--memory-swap=-1", "--memory-reservation", "1k", "--kernel-memory", "1", "--kernel-memory-tcp", "2"},
			`{"memory":{"limit":67108864,"reservation":1024,"swap":-1,"kernel":1,"kernelTCP":2}}`,
		},
		{
			"memory on v1",
			[]string{"--memory-swappiness", "0", "--oom-kill-disable", "true", "--memory-check=1"},
			`{"memory":{"swappiness":0,"disableOOMKiller":true,"checkBeforeUpdate":true}}`,
		},
		{
			"cpu",
			[]string{"--cpu-share", "5", "--cpu-quota", "-1", "--cpu-burst", "6", "--cpu-period", "7", "--cpu-rt-runtime", "8", "--cpu-rt-period", "9", "--cpuset-cpus", "0-1", "--cpuset-mems", "0", "--cpu-idle", "1"},
			`{"cpu":{"shares":5,"quota":-1,"burst":6,"period":7,"realtimeRuntime":8,"realtimePeriod":9,"cpus":"0-1","mems":"0","idle":1}}`,
		},
		{"pids", []string{"--pids-limit", "0"}, `{"pids":{"limit":0}}`},
		{
			"block io",
			[]string{
				"--blkio-weight", "10", "--blkio-weight-device", "8:0=20", "--blkio-read-bps-device", "8:0=1m", "--blkio-write-bps-device", "8:1=0",
				"--blkio-read-iops-device", "8:0=5", "--blkio-write-iops-device", "8:0=6",
			},
			`{"blockIO":{"weight":10,"weightDevice":[{"major":8,"minor":0,"weight":20}],"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1048576}],"throttleWriteBpsDevice":[{"major":8,"minor":1,"rate":0}],"throttleReadIOPSDevice":[{"major":8,"minor":0,"rate":5}],"throttleWriteIOPSDevice":[{"major":8,"minor":0,"rate":6}]}}`,
		},
		{"huge pages", []string{"--hugepage", "2MB=4m", "--hugepage", "1GB=0"}, `{"hugepageLimits":[{"pageSize":"2MB","limit":4194304},{"pageSize":"1GB","limit":0}]}`},
		{"network", []string{"--network-class", "0x100001", "--network-priority", "eth0=3"}, `{"network":{"classID":1048577,"priorities":[{"name":"eth0","priority":3}]}}`},
		{
			"rdma",
			[]string{"--rdma", "mlx5_0=hca_handle=2,hca_object=3", "--rdma", "b=hca_object=4", "--rdma", "b=hca_handle=5"},
			`{"rdma":{"b":{"hcaHandles":5,"hcaObjects":4},"mlx5_0":{"hcaHandles":2,"hcaObjects":3}}}`,
		},
		{"unified", []string{"--unified", "memory.high=1", "--unified", "io.max=8:0 rbps=1"}, `{"unified":{"io.max":"8:0 rbps=1","memory.high":"1"}}`},
		{
			"devices",
			[]string{"--device-deny", "a", "--device-allow", "c 10:200 rw", "--device-allow", "b 8:*", "--device-allow", "/dev/null r"},
			`{"devices":[{"allow":false,"type":"a","access":"rwm"},{"allow":true,"type":"c","major":10,"minor":200,"access":"rw"},{"allow":true,"type":"b","major":8,"access":"rwm"},{"allow":true,"type":"c","major":1,"minor":3,"access":"r"}]}`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			all := newChanges().resources
			if err := json.Unmarshal([]byte(test.want), &all); err != nil {
				t.Fatal(err)
			}
			want, _ := json.Marshal(all)
			if got, err := updated(t, test.args...); got != string(want) || err != nil {
				t.Errorf("update %q = %s, %v; want %s", test.args, got, err, want)
			}
		})
	}
}

func TestUpdateFlagsThatAreWrong(t *testing.T) {
	for _, args := range [][]string{
		{"--memory", "lots"},
		{"--memory", "-2"},
		{"--memory-check", "perhaps"},
		{"--pids-limit", "1.5"},
		{"--cpu-share", "-1"},
		{"--blkio-weight", "65536"},
		{"--blkio-weight-device", "8:0"},
		{"--blkio-weight-device", "8:0=heavy"},
		{"--blkio-read-bps-device", "8=1"},
		{"--blkio-read-bps-device", "8:*=1"},
		{"--blkio-read-bps-device", "/dev/null=1"},
		{"--blkio-read-bps-device", "/dev/no-such-disk=1"},
		{"--blkio-read-bps-device", "8:0=fast"},
		{"--hugepage", "2MB"},
		{"--hugepage", "2MB=many"},
		{"--rdma", "mlx5_0"},
		{"--rdma", "mlx5_0=handles=1"},
		{"--rdma", "mlx5_0=hca_handle=x"},
		{"--network-class", "4294967296"},
		{"--network-priority", "eth0=x"},
		{"--network-egress", "0"},
		{"--network-egress", "-2mbit"},
		{"--network-egress", "10"},
		{"--network-egress", "10mb"},
		{"--network-ingress", "2tbit"},
		{"--network-ingress", "10mbit:0k"},
		{"--unified", "memory.high"},
		{"--device-allow", ""},
		{"--device-allow", "c"},
		{"--device-allow", "c 1 r"},
		{"--device-allow", "c 1:3 r w"},
		{"--device-allow", "/etc/passwd"},
	} {
		if got, err := updated(t, args...); err == nil {
			t.Errorf("update %q = %s; want an error", args, got)
		}
	}
}

// The file of --resources is parsed by the rules of config.json, and an error names the place in the file.
func TestReadResources(t *testing.T) {
	file := filepath.Join(t.TempDir(), "limits.json")
	for _, tt := range []struct{ text, want string }{
		{`{"memory": {"limit": 5}, "of another version": [1]}`, ""},
		{`{"memory": {"limit": "5m"}}`, ":1:22: /memory/limit: cannot unmarshal a string where an integer from -9223372036854775808 to 9223372036854775807 is expected"},
		{"{\n\"pids\": []}", ":2:9: /pids: cannot unmarshal an array where an object is expected"},
		{`[]`, ":1:1: cannot unmarshal an array where an object is expected"},
		{``, ":1:1: unexpected EOF where a value is expected"},
	} {
		if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := readResources(&call{}, file)
		switch {
		case tt.want == "":
			if err != nil || r.Memory == nil || *r.Memory.Limit != 5 {
				t.Errorf("readResources(%s) = %+v, %v; want a memory limit of 5", tt.text, r, err)
			}
		case err == nil || err.Error() != file+tt.want:
			t.Errorf("readResources(%s): %v; want …%s", tt.text, err, tt.want)
		}
	}
}

func TestBandwidthFlags(t *testing.T) {
	u := newChanges()
	var f flags
	u.define(&f)
	if _, err := f.Parse([]string{"--network-egress", "10mbit", "--network-ingress=-1"}, true); err != nil {
		t.Fatal(err)
	}
	if b := u.bandwidth; b.Egress == nil || *b.Egress != (specconv.Bandwidth{Rate: 10_000_000, Burst: 375_000}) || b.Ingress == nil || b.Ingress.Rate != 0 {
		t.Errorf("bandwidth = %+v, %+v; want 10 Mbit/s out and no limit in", b.Egress, b.Ingress)
	}
}
