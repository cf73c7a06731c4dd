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

// slower is the factor for the deadlines of tests in a guest.
const slower = 10

// heard is the output of a guest.
type heard struct {
	facts   map[string]string // kernel, systemd
	runs    map[string][]byte // output of a run, in the format of -test.v=test2json
	status  map[string]string // exit status of a run that has ended
	took    map[string]time.Duration
	console string // file with the kernel's output
}

func newHeard(console string) heard {
	return heard{facts: map[string]string{}, runs: map[string][]byte{}, status: map[string]string{}, took: map[string]time.Duration{}, console: console}
}

// boot runs a guest to its end. Its error concerns the machine, not the tests in it.
func (g guest) boot(ctx context.Context, i image, p payload, runs []run, dir string) (heard, error) {
	h := newHeard(filepath.Join(dir, "console"))
	disk := filepath.Join(dir, "payload.tar")
	if err := p.disk(disk, script(runs)); err != nil {
		return h, err
	}
	defer os.Remove(disk)
	ctx, cancel := context.WithTimeout(ctx, g.deadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, g.on.qemu[0], g.machine(i, disk, h.console)...)
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

// machine returns QEMU's command line. The serial ports carry the console and the tests' output. Debian's cloud kernels have
// the NVMe driver built in. There is only one NVMe disk, because the kernel names disks in the order of their discovery.
func (g guest) machine(i image, disk, console string) []string {
	if g.on.goarch != amd64.goarch {
		return g.port(i, disk, console)
	}
	cmdline := []string{
		"console=ttyS0", "quiet", "loglevel=4", "panic=-1", "oops=panic", "no_timer_check", "mitigations=off", "nowatchdog", "audit=0",
		"random.trust_cpu=on", "root=/dev/nvme0n1", "rootfstype=ext4", "rw",
	}
	return []string{
		"-accel", "tcg,thread=multi", "-M", "pc", "-m", "2048", "-smp", "2",
		// Translation is slow at five page-table levels and at cmpxchg16b.
		"-cpu", "max,la57=off,cx16=off",
		"-nodefaults", "-vga", "none", "-display", "none", "-no-reboot",
		"-kernel", i.kernel, "-append", strings.Join(append(cmdline, g.cmdline...), " "),
		"-serial", "file:" + console, "-serial", "stdio",
		"-drive", "if=none,id=root,format=raw,snapshot=on,cache=unsafe,file=" + i.root, "-device", "nvme,drive=root,serial=root",
		"-drive", "if=none,id=payload,format=raw,readonly=on,file=" + disk, "-device", "virtio-blk-pci,drive=payload",
	}
}

// script returns the commands for the agent of the guest.
func script(runs []run) string {
	var b strings.Builder
	say := func(text string) { fmt.Fprintf(&b, "echo \"%s%s\"\n", mark, text) }
	b.WriteString("#!/bin/sh\n")
	if dir, err := criuLibraries(); err == nil {
		fmt.Fprintf(&b, "mkdir -p %s && ln -sfn /guest/%slib %s\n", quote(filepath.Dir(dir)), peers, quote(dir))
	}
	say("fact kernel $(uname -r)")
	say("fact page $(getconf PAGESIZE)")
	say("fact systemd $(systemctl --version 2>/dev/null | sed -n 's/^systemd \\([0-9]*\\).*/\\1/p')")
	for _, r := range runs {
		say("begin " + r.driver)
		fmt.Fprintf(&b, "%s\ncd %s\n%s\n", r.before, quote("/guest/"+r.dir()), r.command())
		say("end " + r.driver + " $?")
	}
	say("fact end reached")
	return b.String()
}

// command returns the shell commands of a run. With a limit, each test has a process of its own. The testing package ends a
// process that is late. If that hangs as well, timeout(1) kills it.
func (r run) command() string {
	env := append([]string{"env", "RUNTIME=/guest/onggi", "PROBE=/guest/probe", fmt.Sprintf("SLOWER=%d", slower)}, r.env...)
	if r.limit == 0 || r.only != "" {
		return words(slices.Concat(env, []string{"./test", "-test.v=test2json", "-test.timeout=30m"}, r.flags())...)
	}
	late := fmt.Sprint(int(r.limit/time.Second) + 30)
	list := words(append(env, "./test", "-test.list="+anyOf(r.tests))...) + "| grep '^Test' | grep -vE " + quote(anyOf(r.skipped()))
	test := words(slices.Concat([]string{"timeout", "-s", "KILL", late}, env, []string{"./test", "-test.v=test2json", "-test.timeout=" + r.limit.String()})...)
	return "failed=\nfor test in $(" + list + "); do\n" + test + "\"-test.run=^$test\\$\" || failed=1\ndone\n[ -z \"$failed\" ]"
}

// words returns quoted words of the shell, each with a space behind it.
func words(list ...string) string {
	var b strings.Builder
	for _, word := range list {
		b.WriteString(quote(word) + " ")
	}
	return b.String()
}

func quote(word string) string {
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// listen splits the stream of a guest.
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

// lastWords returns the end of the kernel's output.
func (h heard) lastWords() string {
	data, err := os.ReadFile(h.console)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(regexp.MustCompile(`[^\n\t -~]`).ReplaceAllString(string(data), "")), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}
