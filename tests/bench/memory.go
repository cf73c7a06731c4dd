package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Rows of the memory block.
const (
	residentRow = "resident memory of a created container's process"
	peakRow     = "peak memory of "
	limitRow    = "smallest memory limit that works"
	sizeRow     = "size of the binary"
)

// deadline bounds a run: a runtime that dies of its memory limit may hang instead.
const deadline = 10 * time.Second

func (f *field) memory(name, competitor string, kib float64) {
	f.result.add(Key{Block: "memory", Bundle: defaultBundle, Name: name, Metric: "memory"}, competitor, kib)
}

// measureMemory measures all figures in bytes.
func (f *field) measureMemory(settings) error {
	if err := f.measureResident(); err != nil {
		return err
	}
	f.measureLimit()
	return f.measureSize()
}

func (f *field) measureResident() error {
	able, err := f.stage(defaultBundle, "/bin/true")
	if err != nil {
		return err
	}
	for range countings {
		for _, c := range able {
			if c.floor {
				continue
			}
			if err := f.tolerate(c, f.memories(c)); err != nil {
				return err
			}
		}
	}
	return nil
}

// memories measures the memory of the runtime's process in create, exec and run, and of the process that create leaves.
func (f *field) memories(c *competitor) error {
	kib, err := c.peak(c.runArgv()...)
	if err != nil {
		return fmt.Errorf("run: %w: %s", err, c.lastLine())
	}
	f.memory(peakRow+"run", c.name, kib)
	pidFile := filepath.Join(c.dir, "pid")
	if kib, err = c.peak(c.argv("create", "--bundle", c.dir, "--pid-file", pidFile, c.id)...); err != nil {
		return fmt.Errorf("create: %w: %s", err, c.lastLine())
	}
	f.memory(peakRow+"create", c.name, kib)
	data, err := os.ReadFile(pidFile)
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return err
	}
	if kib, err = statusKiB(pid, "VmRSS:"); err != nil {
		return err
	}
	f.memory(residentRow, c.name, kib)
	return c.down(pid)
}

func statusKiB(pid int, field string) (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, field); ok {
			return strconv.ParseFloat(strings.Fields(value)[0], 64)
		}
	}
	return 0, fmt.Errorf("process %d has no %s", pid, field)
}

// measureLimit searches for the smallest memory limit under which run /bin/true works three times in a row. It goes
// upwards, each limit a quarter above the one before, and then down in steps of 8 KiB.
func (f *field) measureLimit() {
	if f.layout == "v2" && !hasController("memory") {
		f.note("no smallest memory limit: no memory controller in this layout")
		return
	}
	for _, c := range f.runtimes() {
		for _, kib := range limits() {
			if !c.worksWithin(kib) {
				continue
			}
			for kib > 8 && c.worksWithin(kib-8) {
				kib -= 8
			}
			f.memory(limitRow, c.name, float64(kib))
			break
		}
	}
}

// limits returns page-aligned limits from 64 KiB to 64 MiB, each a quarter above the one before.
func limits() []int64 {
	var all []int64
	for kib := int64(64); kib <= 64<<10; kib = max(kib*5/4, kib+4) / 4 * 4 {
		all = append(all, kib)
	}
	return all
}

func (c *competitor) worksWithin(kib int64) bool {
	bytes := kib << 10
	spec := defaultSpec()
	spec.Process.Args = []string{"/bin/true"}
	spec.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &bytes}}
	if c.write(spec) != nil {
		return false
	}
	for range 3 {
		p, err := c.lane.start(c.log, c.runArgv()...)
		if err != nil {
			return false
		}
		timer := time.AfterFunc(deadline, func() { syscall.Kill(p.pid, syscall.SIGKILL) })
		_, status, err := p.wait()
		timer.Stop()
		if err != nil || failure(status) != nil {
			c.verb("delete", "--force", c.id)
			reapAll()
			return false
		}
	}
	return true
}

func (f *field) measureSize() error {
	for _, c := range f.runtimes() {
		info, err := os.Stat(c.path)
		if err != nil {
			return err
		}
		f.memory(sizeRow, c.name, float64(info.Size())/1024)
	}
	return nil
}
