package systemd

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/onggi-dev/onggi/libcontainer/internal/cgroup"
)

func parseResources(t *testing.T, text string) *specs.LinuxResources {
	t.Helper()
	r := &specs.LinuxResources{}
	if err := json.Unmarshal([]byte(text), r); err != nil {
		t.Fatal(err)
	}
	return r
}

// printed returns properties in one line, in the form of systemctl(1).
func printed(ps []Property) string {
	var words []string
	for _, p := range ps {
		v := fmt.Sprint(p.Value.Value)
		if p.Value.Value == infinity {
			v = "infinity"
		}
		words = append(words, p.Name+"="+v)
	}
	return strings.Join(words, " ")
}

func TestLimits(t *testing.T) {
	tests := []struct{ name, config, v1, v2 string }{
		{"nothing", `{}`, "", ""},
		{"zeros of engines", `{"memory":{"limit":0,"swap":0,"reservation":0},"cpu":{"shares":0,"quota":0,"period":0,"cpus":""},"blockIO":{"weight":0}}`, "", ""},
		{"memory", `{"memory":{"limit":10,"reservation":5,"swap":30}}`, "MemoryLimit=10", "MemoryMax=10 MemoryLow=5 MemorySwapMax=20"},
		{"no memory limit", `{"memory":{"limit":-1}}`, "MemoryLimit=infinity", "MemoryMax=infinity MemorySwapMax=infinity"},
		{"no swap limit", `{"memory":{"limit":10,"swap":-1}}`, "MemoryLimit=10", "MemoryMax=10 MemorySwapMax=infinity"},
		{"swap below memory", `{"memory":{"limit":10,"swap":5}}`, "MemoryLimit=10", "MemoryMax=10"},
		{"shares", `{"cpu":{"shares":1024}}`, "CPUShares=1024", "CPUWeight=100"},
		{"idle", `{"cpu":{"shares":1024,"idle":1}}`, "", "CPUWeight=0"},
		{"idle no more", `{"cpu":{"idle":0}}`, "", "CPUWeight=infinity"},
		{"quota", `{"cpu":{"quota":50000}}`, "CPUQuotaPerSecUSec=500000", "CPUQuotaPerSecUSec=500000"},
		{"quota and period", `{"cpu":{"quota":1000,"period":30000}}`, "CPUQuotaPeriodUSec=30000 CPUQuotaPerSecUSec=40000", "CPUQuotaPeriodUSec=30000 CPUQuotaPerSecUSec=40000"},
		{"no quota", `{"cpu":{"quota":-1}}`, "CPUQuotaPerSecUSec=infinity", "CPUQuotaPerSecUSec=infinity"},
		{"cpuset", `{"cpu":{"cpus":"0-2,9","mems":"0"}}`, "AllowedCPUs=[7 2] AllowedMemoryNodes=[1]", "AllowedCPUs=[7 2] AllowedMemoryNodes=[1]"},
		{"cpuset that is none", `{"cpu":{"cpus":"0-x"}}`, "", ""},
		{"pids", `{"pids":{"limit":5}}`, "TasksMax=5", "TasksMax=5"},
		{"no pids", `{"pids":{"limit":0}}`, "TasksMax=1", "TasksMax=1"},
		{"all pids", `{"pids":{"limit":-1}}`, "TasksMax=infinity", "TasksMax=infinity"},
		{"weight", `{"blockIO":{"weight":10}}`, "BlockIOWeight=10", "IOWeight=1"},
		{
			"unified", `{"unified":{"memory.min":"1","memory.low":"2","memory.high":"3","memory.max":"max","memory.swap.max":"4","pids.max":"0","cpu.weight":"7","cpu.max":"max 50000","cpuset.cpus":"1","cpuset.mems":"0","io.max":"8:0 rbps=1"}}`,
			"", "MemoryMin=1 MemoryLow=2 MemoryHigh=3 MemoryMax=infinity MemorySwapMax=4 TasksMax=1 CPUWeight=7 CPUQuotaPeriodUSec=50000 CPUQuotaPerSecUSec=infinity AllowedCPUs=[2] AllowedMemoryNodes=[1]",
		},
		{"unified, idle", `{"unified":{"cpu.idle":"1","cpu.max":"5000"}}`, "", "CPUWeight=0 CPUQuotaPeriodUSec=100000 CPUQuotaPerSecUSec=50000"},
		{"unified, nonsense", `{"unified":{"memory.max":"lots","cpu.max":"a b c","cpu.weight":""}}`, "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := parseResources(t, test.config)
			if got := printed(Limits(r, false, 252)); got != test.v1 {
				t.Errorf("Limits on v1 = %q; want %q", got, test.v1)
			}
			got := Limits(r, true, 252)
			if text := printed(got); text != test.v2 {
				t.Errorf("Limits on v2 = %q; want %q", text, test.v2)
			}
			var e encoder
			if e.values("a(sv)", []any{arguments(got)}); e.err != nil {
				t.Error(e.err)
			}
		})
	}
	old := Limits(parseResources(t, `{"cpu":{"cpus":"0","period":5000,"quota":1000,"idle":1}}`), true, 241)
	if got := printed(old); got != "CPUQuotaPerSecUSec=200000" {
		t.Errorf("Limits for systemd 241 = %q", got)
	}
}

func TestScope(t *testing.T) {
	got := printed(Scope(Unit{"onggi-c.scope", "system.slice"}, "c", 7, true))
	want := "Description=onggi container c DefaultDependencies=false CPUAccounting=true IOAccounting=true MemoryAccounting=true TasksAccounting=true CollectMode=inactive-or-failed Slice=system.slice Delegate=true PIDs=[7]"
	if got != want {
		t.Errorf("Scope = %q; want %q", got, want)
	}
	if got := printed(Scope(Unit{"a.slice", "system.slice"}, "c", 7, false)); strings.Contains(got, "PIDs") || !strings.Contains(got, "BlockIOAccounting=true") {
		t.Errorf("Scope of a slice = %q", got)
	}
}

func TestUndo(t *testing.T) {
	old := Limits(parseResources(t, `{"memory":{"limit":10},"cpu":{"shares":1024}}`), true, 252)
	now := Limits(parseResources(t, `{"memory":{"limit":20,"reservation":5},"cpu":{"shares":512,"cpus":"0","quota":1000},"pids":{"limit":7}}`), true, 252)
	want := "MemoryMax=10 CPUWeight=100 MemoryLow=0 CPUQuotaPerSecUSec=infinity AllowedCPUs=[] TasksMax=infinity"
	if got := printed(Undo(now, old)); got != want {
		t.Errorf("Undo = %q; want %q", got, want)
	}
}

const procDevices = `Character devices:
  1 mem
136 pts

Block devices:
  8 sd
 65 sd
`

func TestDevices(t *testing.T) {
	tests := []struct{ name, config, want string }{
		{"everything", `[{"allow":true,"access":"rwm"}]`, "DevicePolicy=auto DeviceAllow=[] DeviceAllow=[]"},
		{"nothing", `[{"allow":false,"access":"rwm"}]`, "DevicePolicy=strict DeviceAllow=[] DeviceAllow=[]"},
		{"one", `[{"allow":true,"type":"c","major":10,"minor":229,"access":"rw"}]`, "DevicePolicy=strict DeviceAllow=[] DeviceAllow=[[/dev/char/10:229 rw]]"},
		{"a major", `[{"allow":true,"type":"b","major":8,"access":"r"},{"allow":true,"type":"c","major":136,"access":"rw"}]`, "DevicePolicy=strict DeviceAllow=[] DeviceAllow=[[block-sd r] [char-pts rw]]"},
		{"a major without a driver", `[{"allow":true,"type":"c","major":8,"access":"r"}]`, "DevicePolicy=strict DeviceAllow=[] DeviceAllow=[]"},
		{"all of a kind", `[{"allow":true,"type":"c","access":"m"}]`, "DevicePolicy=strict DeviceAllow=[] DeviceAllow=[[char-* m]]"},
		{"taken back in part", `[{"allow":true,"type":"c","access":"rw"},{"allow":false,"type":"c","major":1,"minor":3,"access":"w"}]`, "DevicePolicy=strict DeviceAllow=[] DeviceAllow=[[char-* rw]]"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := parseResources(t, `{"devices":`+test.config+`}`)
			got, err := Devices(r.Devices, procDevices)
			if text := printed(got); text != test.want || err != nil {
				t.Errorf("Devices = %q, %v; want %q", text, err, test.want)
			}
		})
	}
	got, err := Devices(cgroup.DefaultDevices(), procDevices)
	if text := printed(got); err != nil || !strings.Contains(text, "[char-* m] [block-* m] [/dev/char/1:3 rw]") && !strings.Contains(text, "[char-* m] [block-* m] [/dev/char/1:3 rwm]") {
		t.Errorf("Devices of the default rules = %q, %v", text, err)
	}
}
