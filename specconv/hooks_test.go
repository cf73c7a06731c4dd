package specconv

import (
	"encoding/json"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestHooks decodes one hook of each kind: every kind has its own list.
func TestHooks(t *testing.T) {
	for _, list := range HookLists(nil) {
		var h specs.Hooks
		if err := json.Unmarshal([]byte(`{"`+list.Kind+`": [{"path": "/`+list.Kind+`"}]}`), &h); err != nil {
			t.Fatal(err)
		}
		for _, other := range HookLists(nil) {
			got := Hooks(&h, other.Kind)
			if want := other.Kind == list.Kind; (len(got) == 1 && got[0].Path == "/"+list.Kind) != want || len(got) > 1 {
				t.Errorf("Hooks(%s) of a configuration with %s hooks = %v", other.Kind, list.Kind, got)
			}
		}
	}
	if got := Hooks(&specs.Hooks{Poststop: []specs.Hook{{Path: "/x"}}}, "nonsense"); got != nil {
		t.Errorf("Hooks(nonsense) = %v; want none", got)
	}
}
