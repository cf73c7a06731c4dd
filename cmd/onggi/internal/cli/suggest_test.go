package cli

import "testing"

func TestNearest(t *testing.T) {
	words := []string{"create", "start", "state", "run", "ps", "delete", "list"}
	for typed, want := range map[string]string{
		"craete": "create", "strt": "start", "stat": "start", "remove": "", "rnu": "run", "rn": "", "ls": "", "del": "", "delet": "delete",
		"": "", "x": "", "checkpoint": "", "sp": "",
	} {
		if got := nearest(typed, words); got != want {
			t.Errorf("nearest(%q) = %q; want %q", typed, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"kill", "kill", 0}, {"klil", "kill", 1}, {"pause", "resume", 4},
	} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("distance(%q, %q) = %d; want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
