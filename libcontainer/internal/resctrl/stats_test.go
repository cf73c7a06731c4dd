package resctrl

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

func TestRead(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"info/L3/cbm_mask": "fffff\n", "info/L3/min_cbm_bits": "1\n", "info/L3/num_closids": "16\n",
		"info/MB/bandwidth_gran": "10\n", "info/MB/delay_linear": "1\n", "info/MB/min_bandwidth": "10\n", "info/MB/num_closids": "8\n",
		"schemata": "    MB:0=100;1=100\n    L3:0=fffff;1=fffff\n", "gold/schemata": "    L3:0=007f0;1=0001f\n",
		"gold/mon_groups/c/mon_data/mon_L3_00/llc_occupancy": "8192\n", "gold/mon_groups/c/mon_data/mon_L3_01/llc_occupancy": "Unavailable\n",
		"gold/mon_groups/c/mon_data/mon_L3_00/mbm_total_bytes": "300\n", "gold/mon_groups/c/mon_data/mon_L3_00/mbm_local_bytes": "200\n",
		"gold/mon_data/mon_L3_00/llc_occupancy": "1\n",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const info = `{"l3_cache_info":{"cbm_mask":"fffff","min_cbm_bits":1,"num_closids":16},"l3_cache_schema_root":"L3:0=fffff;1=fffff",`
	const bandwidth = `"mem_bw_info":{"bandwidth_gran":10,"delay_linear":1,"min_bandwidth":10,"num_closids":8},"mem_bw_schema_root":"MB:0=100;1=100"`
	gold := filepath.Join(root, "gold")
	for _, test := range []struct {
		dirs []string
		want string
	}{
		{nil, `{}`},
		{[]string{filepath.Join(root, "none", "none")}, `{}`},
		{[]string{gold}, info + `"l3_cache_schema":"L3:0=007f0;1=0001f",` + bandwidth + `,"cmt_stats":[{"llc_occupancy":1}]}`},
		{[]string{gold, filepath.Join(gold, "mon_groups/c")}, info + `"l3_cache_schema":"L3:0=007f0;1=0001f",` + bandwidth +
			`,"mbm_stats":[{"mbm_total_bytes":300,"mbm_local_bytes":200}],"cmt_stats":[{"llc_occupancy":8192},{"llc_occupancy":0}]}`},
		{[]string{root}, info + `"l3_cache_schema":"L3:0=fffff;1=fffff",` + bandwidth + `,"mem_bw_schema":"MB:0=100;1=100"}`},
	} {
		got, err := json.Marshal(Read(test.dirs))
		if err != nil || string(got) != test.want {
			t.Errorf("Read(%q) = %s, %v; want %s", test.dirs, got, err, test.want)
		}
	}
}
