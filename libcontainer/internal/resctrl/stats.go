package resctrl

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Stats are the statistics of a group. The JSON form is "intel_rdt" of runc's
// events. Fields that the CPUs lack are left out.
type Stats struct {
	L3Info    *L3Info     `json:"l3_cache_info,omitempty"`
	L3Root    string      `json:"l3_cache_schema_root,omitempty"` // of the root's schemata
	L3        string      `json:"l3_cache_schema,omitempty"`
	MBInfo    *MBInfo     `json:"mem_bw_info,omitempty"`
	MBRoot    string      `json:"mem_bw_schema_root,omitempty"`
	MB        string      `json:"mem_bw_schema,omitempty"`
	Bandwidth []Bandwidth `json:"mbm_stats,omitempty"` // by L3 domain
	Occupancy []Occupancy `json:"cmt_stats,omitempty"` // likewise
}

// L3Info describes the allocatable part of the L3 cache.
type L3Info struct {
	CBMMask    string `json:"cbm_mask,omitempty"`
	MinCBMBits uint64 `json:"min_cbm_bits,omitempty"`
	NumCLOSIDs uint64 `json:"num_closids,omitempty"`
}

// MBInfo describes the allocatable memory bandwidth, in percent.
type MBInfo struct {
	Granularity uint64 `json:"bandwidth_gran,omitempty"`
	DelayLinear uint64 `json:"delay_linear,omitempty"`
	Min         uint64 `json:"min_bandwidth,omitempty"`
	NumCLOSIDs  uint64 `json:"num_closids,omitempty"`
}

// Bandwidth counts bytes between one L3 cache and memory.
type Bandwidth struct {
	Total uint64 `json:"mbm_total_bytes"`
	Local uint64 `json:"mbm_local_bytes"` // to the memory of its own node
}

// Occupancy counts bytes in one L3 cache.
type Occupancy struct {
	LLC uint64 `json:"llc_occupancy"`
}

// Read returns the statistics of the group with these directories (Dirs). The
// schemata are those of the class of service. The counters are those of the
// monitoring group, if there is one.
func Read(dirs []string) Stats {
	if len(dirs) == 0 {
		return Stats{}
	}
	class, counted := files(dirs[0]), files(dirs[len(dirs)-1])
	root := class
	if unix.Access(root.path("info"), unix.F_OK) != nil {
		root = files(filepath.Dir(dirs[0]))
	}
	s := Stats{L3Info: root.l3Info(), MBInfo: root.mbInfo()}
	s.L3Root, s.MBRoot = root.schema("L3"), root.schema("MB")
	s.L3, s.MB = class.schema("L3"), class.schema("MB")
	s.Bandwidth, s.Occupancy = counted.counters()
	return s
}

// files reads the files of one directory of resctrl.
type files string

func (f files) path(name string) string { return filepath.Join(string(f), name) }

func (f files) text(name string) string {
	data, err := os.ReadFile(f.path(name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// number returns 0 for a missing file and for "Unavailable".
func (f files) number(name string) uint64 {
	n, _ := strconv.ParseUint(f.text(name), 10, 64)
	return n
}

func (f files) has(name string) bool { return unix.Access(f.path(name), unix.F_OK) == nil }

// schema returns the line of a resource in the schemata: "L3:0=f;1=f".
func (f files) schema(resource string) string {
	for line := range strings.Lines(f.text("schemata")) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, resource+":") {
			return line
		}
	}
	return ""
}

func (f files) l3Info() *L3Info {
	if !f.has("info/L3") {
		return nil
	}
	return &L3Info{f.text("info/L3/cbm_mask"), f.number("info/L3/min_cbm_bits"), f.number("info/L3/num_closids")}
}

func (f files) mbInfo() *MBInfo {
	if !f.has("info/MB") {
		return nil
	}
	return &MBInfo{f.number("info/MB/bandwidth_gran"), f.number("info/MB/delay_linear"), f.number("info/MB/min_bandwidth"), f.number("info/MB/num_closids")}
}

// counters returns those of each L3 domain, mon_data/mon_L3_00 and so on.
func (f files) counters() (bandwidth []Bandwidth, occupancy []Occupancy) {
	domains, _ := filepath.Glob(f.path("mon_data/mon_L3_*"))
	for _, domain := range domains {
		d := files(domain)
		if d.has("mbm_total_bytes") || d.has("mbm_local_bytes") {
			bandwidth = append(bandwidth, Bandwidth{d.number("mbm_total_bytes"), d.number("mbm_local_bytes")})
		}
		if d.has("llc_occupancy") {
			occupancy = append(occupancy, Occupancy{d.number("llc_occupancy")})
		}
	}
	return bandwidth, occupancy
}
