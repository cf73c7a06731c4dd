package main

import (
	"os/exec"
	"strings"
	"testing"
)

// TestDependencies checks that the shim does not import the large libraries of containerd's own shim.
func TestDependencies(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Skipf("go list: %v", err)
	}
	forbidden := []string{"net", "net/http", "crypto/tls", "google.golang.org/", "github.com/containerd/", "github.com/sirupsen/"}
	for _, dep := range strings.Fields(string(out)) {
		for _, f := range forbidden {
			if dep == f || strings.HasSuffix(f, "/") && strings.HasPrefix(dep, f) {
				t.Errorf("the shim depends on %s", dep)
			}
		}
	}
}
