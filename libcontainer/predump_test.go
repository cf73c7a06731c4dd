package libcontainer

import "testing"

func TestPreDumpGoal(t *testing.T) {
	for name, tt := range map[string]struct {
		goal    PreDumpGoal
		written []uint64
		want    bool
	}{
		"none yet":       {PreDumpGoal{Size: 100}, nil, false},
		"first is small": {PreDumpGoal{Size: 100}, []uint64{100}, true},
		"first is large": {PreDumpGoal{Size: 100}, []uint64{101}, false},
		"shrinks":        {PreDumpGoal{Size: 100}, []uint64{1000, 800}, false},
		"shrinks little": {PreDumpGoal{Size: 100}, []uint64{1000, 876}, true},
		"an eighth":      {PreDumpGoal{Size: 100}, []uint64{1000, 875}, false},
		"grows":          {PreDumpGoal{Size: 100}, []uint64{1000, 2000}, true},
		"ratio":          {PreDumpGoal{Ratio: 0.05}, []uint64{1000, 300, 50}, true},
		"above ratio":    {PreDumpGoal{Ratio: 0.05}, []uint64{1000, 300, 51}, false},
		"nothing":        {PreDumpGoal{Ratio: 0.05}, []uint64{0}, true},
		"most rounds":    {PreDumpGoal{Size: 1}, []uint64{1 << 40, 1 << 39, 1 << 38, 1 << 37, 1 << 36, 1 << 35, 1 << 34, 1 << 33, 1 << 32, 1 << 31, 1 << 30, 1 << 29, 1 << 28, 1 << 27, 1 << 26, 1 << 25}, true},
	} {
		if got := tt.goal.reached(tt.written); got != tt.want {
			t.Errorf("%s: reached(%d) = %v; want %v", name, tt.written, got, tt.want)
		}
	}
}
