package specconv

import (
	"strings"
	"testing"
)

func TestSysctlPath(t *testing.T) {
	for _, test := range []struct{ key, want string }{ // want "": refused
		{"kernel.msgmax", "kernel/msgmax"},
		{"kernel/msgmax", "kernel/msgmax"},
		{"net.ipv4.ip_forward", "net/ipv4/ip_forward"},
		{"net.ipv4.conf.eno2/100.rp_filter", "net/ipv4/conf/eno2.100/rp_filter"},
		{"net/ipv4/conf/eno2.100/rp_filter", "net/ipv4/conf/eno2.100/rp_filter"},
		{"single", "single"},
		{"", ""},
		{".", ""},
		{"/", ""},
		{"..", ""},
		{".kernel.panic", ""},
		{"/kernel/panic", ""},
		{"kernel.panic.", ""},
		{"net/../kernel/panic", ""},
		{"net/./kernel/panic", ""},
		{"net//kernel/panic", ""},
		{"net...kernel.panic", ""},
		{"net.//.kernel.panic", ""},
		{"net././kernel.panic", ""},
		{"net.ipv4\x00.x", ""},
	} {
		path, err := SysctlPath(test.key)
		if got := strings.Join(path, "/"); got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("SysctlPath(%q) = %s, %v; want %s", test.key, got, err, test.want)
		}
	}
}

func FuzzSysctlPath(f *testing.F) {
	f.Add("net.ipv4.conf.eno2/100.rp_filter")
	f.Add("net/../kernel/panic")
	f.Fuzz(func(t *testing.T, key string) {
		path, err := SysctlPath(key)
		if err != nil {
			return
		}
		for _, c := range path {
			if c == "" || c == "." || c == ".." || strings.ContainsAny(c, "/\x00") {
				t.Errorf("SysctlPath(%q) = %q", key, path)
			}
		}
	})
}
