package vm

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

var (
	update = flag.Bool("update", false, "write the table to docs/cgroups.md, or with -ports to docs/porting.md")
	others = flag.Bool("ports", false, "run the guests of other machines than amd64, and no others")
)

// suite is shared by all guests.
type suite struct {
	payloads map[string]func() (payload, error) // by the name of the machine
	logs     string                             // directory; its files stay until the guest's next run
	images   map[string]func() (image, error)   // by suite and machine
	summary  summary
}

var env suite

func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getuid() != 0 {
		fmt.Println("images of guests are made by root: skipped")
		return
	}
	code, err := whole(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "vm:", err)
		code = 1
	}
	os.Exit(code)
}

func whole(m *testing.M) (int, error) {
	tools := []string{"qemu-system-x86", "mmdebstrap", "e2fsprogs", "lz4", "zstd", "xz-utils"}
	if *others {
		tools = append(tools[1:], "qemu-system-arm", "qemu-system-misc", "qemu-system-ppc", "kmod", "cpio")
	}
	if err := command("../../.ci/setup", tools...); err != nil {
		return 1, err
	}
	dir, err := os.MkdirTemp("", "onggi-vm-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	env.logs = filepath.Join(cache, "log")
	env.payloads, env.images = map[string]func() (payload, error){}, map[string]func() (image, error){}
	for _, g := range selected() {
		env.payloads[g.on.goarch] = sync.OnceValues(func() (payload, error) {
			own := filepath.Join(dir, g.on.goarch)
			if err := os.MkdirAll(own, 0o755); err != nil {
				return payload{}, err
			}
			return newPayload(own, g.on)
		})
		env.images[g.root()] = sync.OnceValues(func() (image, error) { return newImage(g.suite, g.on) })
	}
	code := m.Run()
	if *update && *others {
		if err := env.summary.keep(portsPage); err != nil {
			return 1, err
		}
	}
	table := env.summary.render()
	fmt.Print("\n" + table)
	switch {
	case *update && *others:
		return code, publish(portsPage, table)
	case *update:
		return code, publish(page, table)
	}
	return code, nil
}

// selected returns the guests of this run.
func selected() []guest {
	if *others {
		return ports()
	}
	return guests()
}

// root names the image of a guest.
func (g guest) root() string { return g.suite + g.on.suffix() }

// image builds the image for the first guest that needs it.
func (s *suite) image(g guest) (image, error) { return s.images[g.root()]() }

// payload builds the programs for the first guest on such a machine.
func (s *suite) payload(on machine) (payload, error) { return s.payloads[on.goarch]() }
