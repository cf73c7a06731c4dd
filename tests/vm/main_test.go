package vm

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

var update = flag.Bool("update", false, "write the table to docs/cgroups.md")

// suite is shared by all guests.
type suite struct {
	payload func() (payload, error)
	logs    string // directory; its files stay until the guest's next run
	images  map[string]func() (image, error)
	summary summary
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
	if err := command("../../.ci/setup", "qemu-system-x86", "mmdebstrap", "e2fsprogs", "lz4", "zstd", "xz-utils"); err != nil {
		return 1, err
	}
	dir, err := os.MkdirTemp("", "onggi-vm-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	env.logs = filepath.Join(cache, "log")
	env.payload = sync.OnceValues(func() (payload, error) { return newPayload(dir) })
	env.images = map[string]func() (image, error){}
	for _, g := range guests() {
		env.images[g.suite] = sync.OnceValues(func() (image, error) { return newImage(g.suite) })
	}
	code := m.Run()
	table := env.summary.render()
	fmt.Print("\n" + table)
	if *update {
		return code, publish(table)
	}
	return code, nil
}

// image builds the image for the first guest that needs it.
func (s *suite) image(name string) (image, error) { return s.images[name]() }
