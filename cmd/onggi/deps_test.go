package main

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/onggi-dev/onggi/"

// Every linked package is initialised at each start, and the start is most of the cost of state or kill. The figures are the
// differences that leaving a package out made.
func TestLinksNothingSlow(t *testing.T) {
	slow := map[string]string{
		"runtime/cgo":                       "1.1 ms: C is in a helper of its own",
		"github.com/urfave/cli/v3":          "0.9 ms: commands are declared as data",
		"github.com/opencontainers/cgroups": "0.7 ms",
		"google.golang.org/protobuf/proto":  "0.3 ms",
		"regexp":                            "0.07 ms, and 242 KB: it is in the helper",
		"text/template":                     "reflection keeps the linker from dropping methods",
		"net/http":                          "nothing here talks HTTP",
	}
	for _, dep := range goList(t, "-deps") {
		if why, ok := slow[dep]; ok {
			t.Errorf("onggi links %s: %s", dep, why)
		}
	}
}

// The command uses only the library, as any other program can, and the helper for the expressions of --regex.
func TestUsesTheLibraryOnly(t *testing.T) {
	allowed := []string{"seccomp/helper", "libcontainer", "libcontainer/console", "libcontainer/timeline", "specconv"}
	for _, dep := range strings.Fields(strings.Trim(strings.Join(goList(t, "-f={{.Imports}}"), " "), "[]")) {
		if path, ours := strings.CutPrefix(dep, module); ours && !slices.Contains(allowed, path) {
			t.Errorf("cmd/onggi imports %s", path)
		}
	}
}

// goList runs go list on this package with the settings of a release build.
func goList(t *testing.T, flag string) []string {
	t.Helper()
	list := exec.Command("go", "list", flag, ".")
	list.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list %s: %v", flag, err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}
