package vm

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// mark begins the lines that the guest's script writes between the outputs of its runs.
const mark = "@guest "

// slower is by how much the deadlines of the tests are longer in a guest.
const slower = 10

// heard is what came out of a guest.
type heard struct {
	facts   map[string]string // kernel, systemd
	runs    map[string][]byte // output of a run, in the format of -test.v=test2json
	status  map[string]string // exit status of a run that has ended
	took    map[string]time.Duration
	console string // file with what the kernel said
}

func newHeard(console string) heard {
	return heard{facts: map[string]string{}, runs: map[string][]byte{}, status: map[string]string{}, took: map[string]time.Duration{}, console: console}
}

// boot runs a guest to its end. An error is about the machine, not about the tests in it.
func (g guest) boot(ctx context.Context, i image, p payload, runs []run, dir string) (heard, error) {
	h := newHeard(filepath.Join(dir, "console"))
	disk := filepath.Join(dir, "payload.tar")
	if err := p.disk(disk, script(runs)); err != nil {
		return h, err
	}
	defer os.Remove(disk)
	ctx, cancel := context.WithTimeout(ctx, g.deadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", g.machine(i, disk, h.console)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	said, err := os.Create(filepath.Join(dir, "tests"))
	if err != nil {
		return h, err
	}
	defer said.Close()
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		return h, err
	}
	if err := cmd.Start(); err != nil {
		return h, err
	}
	h.listen(io.TeeReader(out, said))
	err = cmd.Wait()
	if ctx.Err() != nil {
		err = fmt.Errorf("no end after %v", g.deadline)
	}
	if err != nil || complaint.Len() > 0 && h.facts["end"] == "" {
		return h, fmt.Errorf("qemu: %w\n%s", errors.Join(err), complaint.Bytes())
	}
	return h, nil
}

// machine is QEMU's command line. The serial ports are the console and the tests' output. NVMe is the disk that Debian's
// cloud kernels have built in, and there is only one, as names are given in the order of being found.
func (g guest) machine(i image, disk, console string) []string {
	cmdline := []string{
		"console=ttyS0", "quiet", "loglevel=4", "panic=-1", "oops=panic", "no_timer_check", "mitigations=off", "nowatchdog", "audit=0",
		"random.trust_cpu=on", "root=/dev/nvme0n1", "rootfstype=ext4", "rw",
	}
	return []string{
		"-accel", "tcg,thread=multi", "-M", "pc", "-m", "2048", "-smp", "2",
		// Five page-table levels and cmpxchg16b are what translation is slow at.
		"-cpu", "max,la57=off,cx16=off",
		"-nodefaults", "-vga", "none", "-display", "none", "-no-reboot",
		"-kernel", i.kernel, "-append", strings.Join(append(cmdline, g.cmdline...), " "),
		"-serial", "file:" + console, "-serial", "stdio",
		"-drive", "if=none,id=root,format=raw,snapshot=on,cache=unsafe,file=" + i.root, "-device", "nvme,drive=root,serial=root",
		"-drive", "if=none,id=payload,format=raw,readonly=on,file=" + disk, "-device", "virtio-blk-pci,drive=payload",
	}
}

// script is what the agent of the guest executes.
func script(runs []run) string {
	var b strings.Builder
	say := func(text string) { fmt.Fprintf(&b, "echo \"%s%s\"\n", mark, text) }
	b.WriteString("#!/bin/sh\n")
	say("fact kernel $(uname -r)")
	say("fact systemd $(systemctl --version 2>/dev/null | sed -n 's/^systemd \\([0-9]*\\).*/\\1/p')")
	for _, r := range runs {
		say("begin " + r.driver)
		env := append([]string{"RUNTIME=/guest/onggi", "PROBE=/guest/probe", fmt.Sprintf("SLOWER=%d", slower)}, r.env...)
		args := append([]string{"./test", "-test.v=test2json", "-test.timeout=30m"}, r.flags()...)
		fmt.Fprintf(&b, "cd %s\n", quote("/guest/"+r.dir()))
		for _, word := range slices.Concat([]string{"env"}, env, args) {
			b.WriteString(quote(word) + " ")
		}
		b.WriteString("\n")
		say("end " + r.driver + " $?")
	}
	say("fact end reached")
	return b.String()
}

func quote(word string) string {
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// listen takes the stream apart.
func (h *heard) listen(stream io.Reader) {
	var run string
	var began time.Time
	lines := bufio.NewReader(stream)
	for {
		line, err := lines.ReadString('\n')
		words := strings.Fields(strings.TrimPrefix(line, mark))
		switch {
		case !strings.HasPrefix(line, mark) && run != "":
			h.runs[run] = append(h.runs[run], line...)
		case !strings.HasPrefix(line, mark) || len(words) < 2:
		case words[0] == "begin":
			run, began = words[1], time.Now()
			h.runs[run] = nil
		case words[0] == "end":
			h.status[run], h.took[run] = words[2], time.Since(began)
			run = ""
		case words[0] == "fact":
			h.facts[words[1]] = strings.Join(words[2:], " ")
		}
		if err != nil {
			return
		}
	}
}

// lastWords are the end of what the kernel said.
func (h heard) lastWords() string {
	data, err := os.ReadFile(h.console)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(regexp.MustCompile(`[^\n\t -~]`).ReplaceAllString(string(data), "")), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}
