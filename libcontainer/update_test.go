package libcontainer

import (
	"encoding/json"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func parseResources(t *testing.T, text string) *specs.LinuxResources {
	t.Helper()
	r := &specs.LinuxResources{}
	if err := json.Unmarshal([]byte(text), r); err != nil {
		t.Fatal(err)
	}
	return r
}

func printResources(t *testing.T, r *specs.LinuxResources) string {
	t.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestMergeResources(t *testing.T) {
	tests := []struct{ name, old, update, want string }{
		{"nothing to nothing", `{}`, `{}`, `{}`},
		{"first of its kind", `{}`, `{"memory":{"limit":1}}`, `{"memory":{"limit":1}}`},
		{"one of several", `{"memory":{"limit":1,"swap":2}}`, `{"memory":{"limit":3}}`, `{"memory":{"limit":3,"swap":2}}`},
		{"other kinds stay", `{"memory":{"limit":1}}`, `{"pids":{"limit":0}}`, `{"memory":{"limit":1},"pids":{"limit":0}}`},
		{"zeros of engines", `{"memory":{"limit":1},"cpu":{"shares":2,"quota":3}}`, `{"memory":{"limit":0},"cpu":{"shares":0,"quota":0}}`, `{"memory":{"limit":1},"cpu":{"shares":2,"quota":3}}`},
		{"zeros that are values", `{"memory":{"swappiness":60},"cpu":{"burst":5,"idle":1}}`, `{"memory":{"swappiness":0},"cpu":{"burst":0,"idle":0}}`, `{"memory":{"swappiness":0},"cpu":{"burst":0,"idle":0}}`},
		{"no limit, no swap limit", `{"memory":{"limit":1,"swap":2}}`, `{"memory":{"limit":-1}}`, `{"memory":{"limit":-1,"swap":-1}}`},
		{"cpuset", `{"cpu":{"cpus":"0-3","mems":"0"}}`, `{"cpu":{"cpus":"1"}}`, `{"cpu":{"cpus":"1","mems":"0"}}`},
		{
			"lists by device", `{"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1},{"major":8,"minor":16,"rate":2}]}}`,
			`{"blockIO":{"weight":9,"throttleReadBpsDevice":[{"major":8,"minor":16,"rate":3},{"major":7,"minor":0,"rate":4}]}}`,
			`{"blockIO":{"weight":9,"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1},{"major":8,"minor":16,"rate":3},{"major":7,"minor":0,"rate":4}]}}`,
		},
		{
			"huge pages by size", `{"hugepageLimits":[{"pageSize":"2MB","limit":1}]}`, `{"hugepageLimits":[{"pageSize":"1GB","limit":2},{"pageSize":"2MB","limit":3}]}`,
			`{"hugepageLimits":[{"pageSize":"2MB","limit":3},{"pageSize":"1GB","limit":2}]}`,
		},
		{
			"maps by key", `{"rdma":{"a":{"hcaHandles":1}},"unified":{"pids.max":"1","memory.high":"2"}}`, `{"rdma":{"b":{"hcaObjects":2}},"unified":{"pids.max":"3"}}`,
			`{"rdma":{"a":{"hcaHandles":1},"b":{"hcaObjects":2}},"unified":{"memory.high":"2","pids.max":"3"}}`,
		},
		{
			"network", `{"network":{"classID":1,"priorities":[{"name":"lo","priority":1}]}}`, `{"network":{"priorities":[{"name":"lo","priority":2}]}}`,
			`{"network":{"classID":1,"priorities":[{"name":"lo","priority":2}]}}`,
		},
		{"devices as a whole", `{"devices":[{"allow":true,"access":"r"}]}`, `{"devices":[{"allow":false,"access":"w"}]}`, `{"devices":[{"allow":false,"access":"w"}]}`},
		{"empty devices", `{"devices":[{"allow":true,"access":"r"}]}`, `{"devices":[]}`, `{"devices":[{"allow":true,"access":"r"}]}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			old, update := parseResources(t, test.old), parseResources(t, test.update)
			if got := printResources(t, mergeResources(old, update)); got != test.want {
				t.Errorf("mergeResources(%s, %s) = %s; want %s", test.old, test.update, got, test.want)
			}
			if got, want := printResources(t, old), printResources(t, parseResources(t, test.old)); got != want {
				t.Errorf("mergeResources changed its argument to %s; want %s", got, want)
			}
		})
	}
}

func TestDependent(t *testing.T) {
	tests := []struct{ name, old, update, want string }{
		{"nothing", `{"memory":{"limit":5,"swap":6}}`, `{"pids":{"limit":1}}`, `{"pids":{"limit":1}}`},
		{"swap follows memory", `{"memory":{"limit":5,"swap":9}}`, `{"memory":{"limit":6}}`, `{"memory":{"limit":6,"swap":9}}`},
		{"its own swap", `{"memory":{"limit":5,"swap":9}}`, `{"memory":{"limit":6,"swap":7}}`, `{"memory":{"limit":6,"swap":7}}`},
		{"no limit needs no swap limit", `{"memory":{"limit":5,"swap":9}}`, `{"memory":{"limit":-1}}`, `{"memory":{"limit":-1}}`},
		{"no swap before", `{"memory":{"limit":5}}`, `{"memory":{"limit":6}}`, `{"memory":{"limit":6}}`},
		{"weight after idle", `{"cpu":{"shares":512,"idle":1}}`, `{"cpu":{"idle":0}}`, `{"cpu":{"shares":512,"idle":0}}`},
		{
			"weights of devices", `{"blockIO":{"weight":100,"weightDevice":[{"major":8,"minor":0,"weight":200}]}}`, `{"blockIO":{"weight":300}}`,
			`{"blockIO":{"weight":300,"weightDevice":[{"major":8,"minor":0,"weight":200}]}}`,
		},
		{"no weight", `{"blockIO":{"weightDevice":[{"major":8,"minor":0,"weight":200}]}}`, `{"blockIO":{}}`, `{"blockIO":{}}`},
		{"empty devices", `{}`, `{"devices":[]}`, `{}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			update := parseResources(t, test.update)
			now := mergeResources(parseResources(t, test.old), update)
			if got := printResources(t, dependent(update, now)); got != test.want {
				t.Errorf("dependent(%s, %s) = %s; want %s", test.update, printResources(t, now), got, test.want)
			}
		})
	}
}
