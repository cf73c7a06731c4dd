package libcontainer

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/onggi-dev/onggi/"

// imports lists the packages of this module that each package may import, and the reason. A name in brackets is a group,
// which is defined below.
var imports = []struct {
	packages, may []string
	why           string
}{
	{[]string{"cmd/onggi"}, []string{"cmd/onggi/internal/cli", "libcontainer", "libcontainer/console", "libcontainer/timeline", "seccomp/helper", "specconv"}, "the command uses only what every program can use, and the helper for --regex"},
	{[]string{"cmd/onggi/internal/cli"}, nil, "the framework of the command line does not depend on verbs and containers"},
	{[]string{"cmd/containerd-shim-onggi-v1"}, []string{"cmd/containerd-shim-onggi-v1/internal/metrics", "cmd/containerd-shim-onggi-v1/internal/options", "cmd/containerd-shim-onggi-v1/internal/publish", "cmd/containerd-shim-onggi-v1/internal/rootfs", "cmd/containerd-shim-onggi-v1/internal/task", "cmd/containerd-shim-onggi-v1/internal/ttrpc", "cmd/containerd-shim-onggi-v1/internal/watch", "cmd/containerd-shim-onggi-v1/internal/wire", "libcontainer"}, "the shim uses only what every program can use"},
	{[]string{"cmd/containerd-shim-onggi-v1/internal/task"}, []string{"cmd/containerd-shim-onggi-v1/internal/metrics", "cmd/containerd-shim-onggi-v1/internal/options", "cmd/containerd-shim-onggi-v1/internal/publish", "cmd/containerd-shim-onggi-v1/internal/rootfs", "cmd/containerd-shim-onggi-v1/internal/stdio", "cmd/containerd-shim-onggi-v1/internal/ttrpc", "cmd/containerd-shim-onggi-v1/internal/watch", "cmd/containerd-shim-onggi-v1/internal/wire", "libcontainer", "specconv"}, "only the task service connects containers with containerd's calls"},
	{[]string{"cmd/containerd-shim-onggi-v1/internal/metrics"}, []string{"cmd/containerd-shim-onggi-v1/internal/wire", "libcontainer"}, "the package only converts statistics"},
	{[]string{"cmd/containerd-shim-onggi-v1/internal/options", "cmd/containerd-shim-onggi-v1/internal/rootfs", "cmd/containerd-shim-onggi-v1/internal/ttrpc"}, []string{"cmd/containerd-shim-onggi-v1/internal/wire"}, "the packages handle messages and no containers"},
	{[]string{"cmd/containerd-shim-onggi-v1/internal/publish"}, []string{"cmd/containerd-shim-onggi-v1/internal/ttrpc", "cmd/containerd-shim-onggi-v1/internal/wire"}, "events are calls of containerd"},
	{[]string{"cmd/containerd-shim-onggi-v1/internal/stdio", "cmd/containerd-shim-onggi-v1/internal/watch", "cmd/containerd-shim-onggi-v1/internal/wire"}, nil, "the packages handle descriptors and bytes, and no containers"},
	{[]string{"libcontainer"}, []string{"[runtime side]", "libcontainer/internal/engine", "libcontainer/internal/plan", "libcontainer/timeline", "seccomp", "specconv"}, "only the engine speaks to the container side"},
	{[]string{"libcontainer/console"}, []string{"libcontainer/internal/sigaction", "libcontainer/internal/proc"}, "the caller's terminal is independent of containers"},
	{[]string{"libcontainer/internal/sigaction"}, nil, "a signal handler may run at any moment and must not touch other code"},
	{[]string{"libcontainer/internal/engine"}, []string{"[runtime side]", "libcontainer/internal/sigaction", "libcontainer/internal/startlimit", "libcontainer/internal/plan", "libcontainer/internal/remote", "libcontainer/timeline", "specconv"}, "the engine turns steps into calls; it must not depend on the state or on the library above it"},
	{[]string{"libcontainer/internal/plan"}, []string{"specconv"}, "a plan is a pure value: it must not depend on the engine"},
	{[]string{"libcontainer/internal/remote"}, []string{"libcontainer/internal/launch", "libcontainer/internal/stub", "libcontainer/timeline"}, "calls have no policy: they must not depend on the steps"},
	{[]string{"libcontainer/internal/startlimit"}, nil, "an import would delay its initialisation until it is too late"},
	{[]string{"libcontainer/internal/launch"}, []string{"libcontainer/internal/slack"}, "the code between clone and execve must not call other packages"},
	{[]string{"libcontainer/internal/slack"}, nil, "reading a number of a thread needs no other package"},
	{[]string{"libcontainer/internal/stub"}, nil, "policy never enters the stub"},
	{[]string{"libcontainer/timeline"}, nil, "the recorder handles only texts and times"},
	{[]string{"[runtime side]"}, []string{"[runtime side]", "libcontainer/internal/slack", "libcontainer/timeline"}, "code for the host must not depend on code for the container side"},
	{[]string{"specconv"}, nil, "a configuration can be read and checked without a runtime"},
	{[]string{"seccomp"}, []string{"seccomp/helper", "seccomp/internal/ruleset"}, "filters are compiled without a runtime"},
	{[]string{"seccomp/internal/ruleset"}, []string{"seccomp/helper"}, "requests to libseccomp consist of numbers"},
	{[]string{"seccomp/helper"}, []string{"seccomp/helper/internal/answer", "seccomp/helper/internal/subprocess", "seccomp/helper/internal/wire"}, "the helper does not depend on the use of its answers"},
	{[]string{"seccomp/helper/internal/subprocess"}, []string{"seccomp/helper/internal/wire"}, "the package starts any program"},
	{[]string{"seccomp/helper/internal/program"}, []string{"seccomp/helper/internal/answer", "seccomp/helper/internal/wire"}, "the program only answers within its limits"},
	{[]string{"seccomp/helper/internal/answer"}, []string{"seccomp/helper/internal/wire"}, "only this package links libseccomp"},
	{[]string{"seccomp/helper/internal/wire"}, nil, "bytes are bytes"},
}

var groups = map[string][]string{"[runtime side]": {
	"libcontainer/internal/bug", "libcontainer/internal/cgroup", "libcontainer/internal/criu", "libcontainer/internal/dcache", "libcontainer/internal/deadline", "libcontainer/internal/hooks", "libcontainer/internal/lsm",
	"libcontainer/internal/netdev", "libcontainer/internal/proc", "libcontainer/internal/resctrl", "libcontainer/internal/sendfd", "libcontainer/internal/state", "libcontainer/internal/systemd",
}}

func expand(list []string) []string {
	var out []string
	for _, p := range list {
		if group, ok := groups[p]; ok {
			out = append(out, group...)
			continue
		}
		out = append(out, p)
	}
	return out
}

func TestImportsPointOneWay(t *testing.T) {
	known := map[string]bool{}
	for pkg, imported := range moduleImports(t) {
		if strings.HasPrefix(pkg, "tests") {
			known[pkg] = true
			continue
		}
		for _, rule := range imports {
			if !slices.Contains(expand(rule.packages), pkg) {
				continue
			}
			known[pkg] = true
			for _, dep := range imported {
				if !slices.Contains(expand(rule.may), dep) {
					t.Errorf("%s imports %s: %s", pkg, dep, rule.why)
				}
			}
		}
		if !known[pkg] {
			t.Errorf("%s is in no rule: say what it may import, and why", pkg)
		}
	}
}

// moduleImports returns the imports of each package of the module within the module, in a release build.
func moduleImports(t *testing.T) map[string][]string {
	t.Helper()
	list := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, module+"...")
	list.Env = append(os.Environ(), "CGO_ENABLED=0")
	text, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	out := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		pkg, _ := strings.CutPrefix(f[0], module)
		out[pkg] = nil
		for _, dep := range f[1:] {
			if dep, ours := strings.CutPrefix(dep, module); ours {
				out[pkg] = append(out[pkg], dep)
			}
		}
	}
	if len(out) < 10 {
		t.Fatalf("go list names %d packages", len(out))
	}
	return out
}

// TestDependencies is the one list of packages that the command and the library must not link. Every package of the command is
// initialised at each start, and the start is most of the cost of state or kill. Every package of the library is part of all
// programs that use it. The times are the differences that leaving a package out made.
func TestDependencies(t *testing.T) {
	forbidden := map[string]string{
		"net/http":                          "nothing here talks HTTP",
		"text/template":                     "reflection keeps the linker from dropping methods",
		"runtime/cgo":                       "1.1 ms of each start: C is in a helper of its own",
		"C":                                 "1.1 ms of each start: C is in a helper of its own",
		"regexp":                            "0.07 ms of each start, and 242 KB: it is in the helper",
		"github.com/urfave/cli/v3":          "0.9 ms of each start: commands are declared as data",
		"github.com/opencontainers/cgroups": "0.7 ms of each start: cgroupfs is files",
		"google.golang.org/protobuf/proto":  "0.3 ms of each start",
	}
	for _, pkg := range []string{"cmd/onggi", "libcontainer"} {
		list := exec.Command("go", "list", "-deps", module+pkg)
		list.Env = append(os.Environ(), "CGO_ENABLED=0")
		text, err := list.Output()
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		for dep := range strings.FieldsSeq(string(text)) {
			if why, ok := forbidden[dep]; ok {
				t.Errorf("%s links %s: %s", pkg, dep, why)
			}
		}
	}
}

// forbidden are the calls that product code must not make.
var forbidden = []struct {
	call string
	// libraryOnly says that the command may make the call.
	libraryOnly bool
	why         string
}{
	{"time.Sleep", false, "wait for an event: pidfd, cgroup.events, poll"},
	{"os.OpenRoot", false, "paths in a root file system are resolved with openat2 alone"},
	{"user.Current", false, "the users of the container are not those of the host"},
	{"user.Lookup", false, "the users of the container are not those of the host"},
	{"user.LookupId", false, "the users of the container are not those of the host"},
	{"os.Exit", true, "a library does not end the program that uses it"},
	{"fmt.Print", true, "a library prints nothing"},
	{"fmt.Printf", true, "a library prints nothing"},
	{"fmt.Println", true, "a library prints nothing"},
	{"os.Chdir", false, "the working directory is the caller's"},
	{"os.Setenv", false, "the environment is the caller's"},
	{"log.Fatal", false, "a library does not end the program that uses it"},
	{"unix.Umask", false, "the umask is the caller's, and every thread's"},
}

func TestSource(t *testing.T) {
	files := 0
	for file, f := range productFiles(t) {
		files++
		library := f.tree.Name.Name != "main"
		ast.Inspect(f.tree, func(n ast.Node) bool {
			if why := objection(n, library); why != "" {
				t.Errorf("%s:%d: %s", file, f.set.Position(n.Pos()).Line, why)
			}
			return true
		})
		for _, group := range f.tree.Comments {
			for _, word := range []string{"TODO", "FIXME", "XXX"} {
				if strings.Contains(group.Text(), word) {
					t.Errorf("%s:%d: %s: finish the work or leave the remark out", file, f.set.Position(group.Pos()).Line, word)
				}
			}
		}
	}
	if files < 50 {
		t.Errorf("only %d files were read", files)
	}
}

// objection returns the reason why a node is forbidden, or "".
func objection(n ast.Node, library bool) string {
	switch n := n.(type) {
	case *ast.FuncDecl:
		if n.Recv == nil && n.Name.Name == "init" {
			return "func init: an import must not cost time for unused functions"
		}
	case *ast.BranchStmt:
		if n.Tok == token.GOTO {
			return "goto: a function is a paragraph"
		}
	case *ast.CallExpr:
		return objectionToCall(n, library)
	}
	return ""
}

func objectionToCall(n *ast.CallExpr, library bool) string {
	name := callName(n)
	if name == "panic" && !isBug(n.Args[0]) {
		return `panic without "BUG: ": only our own contradictions panic`
	}
	for _, f := range forbidden {
		if f.call == name && (library || !f.libraryOnly) {
			return name + ": " + f.why
		}
	}
	return ""
}

func callName(n *ast.CallExpr) string {
	switch fun := n.Fun.(type) {
	case *ast.Ident:
		return fun.Name
	case *ast.SelectorExpr:
		if pkg, ok := fun.X.(*ast.Ident); ok {
			return pkg.Name + "." + fun.Sel.Name
		}
	}
	return ""
}

// isBug reports whether the value of a panic starts with "BUG: ".
func isBug(arg ast.Expr) bool {
	found := false
	ast.Inspect(arg, func(n ast.Node) bool {
		lit, ok := n.(*ast.BasicLit)
		found = found || ok && strings.HasPrefix(lit.Value, `"BUG: `)
		return !found
	})
	return found
}

type source struct {
	tree *ast.File
	set  *token.FileSet
}

// productFiles returns every file of the module that is not a test.
func productFiles(t *testing.T) map[string]source {
	t.Helper()
	out := map[string]source{}
	for _, dir := range []string{"cmd", "libcontainer", "seccomp", "specconv"} {
		err := filepath.WalkDir(filepath.Join("..", dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			set := token.NewFileSet()
			tree, err := parser.ParseFile(set, path, nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			out[strings.TrimPrefix(filepath.ToSlash(path), "../")] = source{tree, set}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// The checks are tested themselves: each finds the mistake for which it was written.
func TestSourceChecks(t *testing.T) {
	for text, want := range map[string]bool{
		"func init() {}": true, "func (t) init() {}": false, "func f() { time.Sleep(1) }": true, "func f() { x.Sleep() }": false,
		"func f() { goto l; l: }": true, `func f() { panic("x") }`: true, `func f() { panic("BUG: x") }`: false,
		`func f() { panic(fmt.Sprintf("BUG: %d", 1)) }`: false, "func f() { os.Exit(1) }": true, "func f() { fmt.Println() }": true,
	} {
		f, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\n"+text, 0)
		if err != nil {
			t.Fatal(err)
		}
		got := false
		ast.Inspect(f, func(n ast.Node) bool {
			got = got || objection(n, true) != ""
			return true
		})
		if got != want {
			t.Errorf("%s is objected to: %v; want %v", text, got, want)
		}
	}
}
