package cli

import "testing"

// The characters that troff would make typographic reach the reader unchanged.
func TestManTextIsKeptAsItIs(t *testing.T) {
	if got, want := escaped(`jq '.a|"\n"' x-y ~ ^ `+"`id`"), `jq \(aq.a|"\en"\(aq x\-y \(ti \(ha \(gaid\(ga`; got != want {
		t.Errorf("escaped() = %s; want %s", got, want)
	}
	var p page
	p.text(".TH is no request here")
	p.text("'nor this")
	if got, want := p.String(), "\\&.TH is no request here\n\\&\\(aqnor this\n"; got != want {
		t.Errorf("text() = %q; want %q", got, want)
	}
}
