package specconv

import (
	"slices"
	"testing"
)

func TestNamesThatAreMisspelt(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		warnings   []string
		taken      bool // process.noNewPrivileges
	}{
		{"as specified", `{"process":{"noNewPrivileges":true}}`, nil, true},
		{"another case", `{"process":{"noNewprivileges":true}}`, []string{`/process/noNewprivileges: read as "noNewPrivileges": names are case-sensitive`}, true},
		{"an edit away", `{"process":{"noNewPrivilege":true}}`, []string{`/process/noNewPrivilege: unknown and ignored: "noNewPrivileges" may be meant`}, false},
		{"unknown", `{"process":{"other":true}}`, nil, false},
	} {
		c, err := Parse(tt.name, []byte(tt.text))
		if err != nil || !slices.Equal(c.Warnings, tt.warnings) || c.Spec.Process.NoNewPrivileges != tt.taken {
			t.Errorf("%s: Parse(%s) = %+v, %v; want warnings %q", tt.name, tt.text, c, err, tt.warnings)
		}
	}
}
