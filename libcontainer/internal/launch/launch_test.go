package launch

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// modeEnv makes the test binary run a test in a separate process.
const modeEnv = "ONGGI_TEST_LAUNCH"

func TestMain(m *testing.M) {
	if os.Getenv(modeEnv) == "no clone3" {
		os.Exit(withoutClone3())
	}
	os.Exit(m.Run())
}

// needsKernel skips a test in an emulator: there, clone with shared memory works only for threads.
func needsKernel(t *testing.T) {
	t.Helper()
	if emulator := os.Getenv("STUB_EMULATOR"); emulator != "" {
		t.Skip("not in ", emulator)
	}
}

// report is a script for a launched shell, read from its standard input. It prints the shell's descriptors from 2 on,
// its name and its environment. It omits pipes: the shell's own, and those that the tests were started with.
const report = `
cd /proc/$$/fd
for fd in *; do
	[ $fd -lt 2 ] || ! name=$(readlink $fd) || case $name in pipe:*) ;; *) echo "$fd=${name##*/}" ;; esac
done
echo "argv0=$0 env=$(tr '\0' ' ' < /proc/$$/environ)"
`

// shell returns a descriptor of /bin/sh.
func shell(t *testing.T) int {
	t.Helper()
	fd, err := unix.Open("/bin/sh", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// script returns a descriptor of a file with the report script.
func script(t *testing.T) int {
	t.Helper()
	fd := open(t, "script", 3)
	if _, err := unix.Pwrite(fd, []byte(report), 0); err != nil {
		t.Fatal(err)
	}
	return fd
}

// open opens the named file. Its descriptor number is at least from.
func open(t *testing.T, name string, from int) int {
	t.Helper()
	fd, err := unix.Open(filepath.Join(t.TempDir(), name), unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	moved, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(moved) })
	return moved
}

// output runs a shell to its end and returns its report in lines. files become its descriptors from 2 on.
func output(t *testing.T, image int, files []int) []string {
	t.Helper()
	p := Program{Image: image, Argv0: "launched", Files: append([]int{script(t), -1}, files...), Cgroup: -1}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p.Files[1] = int(w.Fd())
	process, err := Start(p)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Error(err)
	}
	if status := end(t, process); status != 0 {
		t.Errorf("exit status %d: %v", status, process.Failure())
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// end reaps the process and releases it.
func end(t *testing.T, p *Process) int {
	t.Helper()
	defer unix.Close(p.Pidfd)
	defer p.Release()
	var ws unix.WaitStatus
	if _, err := unix.Wait4(p.Pid, &ws, 0, nil); err != nil {
		t.Fatal(err)
	}
	return ws.ExitStatus()
}

// TestDescriptors passes descriptors whose numbers overlap with their targets, and an image in the way of all.
func TestDescriptors(t *testing.T) {
	needsKernel(t)
	a, b, c := open(t, "a", 3), open(t, "b", 3), open(t, "c", 60)
	low, err := unix.FcntlInt(uintptr(shell(t)), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(low) })
	names := map[int]string{a: "a", b: "b", c: "c"}
	for name, at := range map[string]map[int]int{
		"each in its place":       {a: a, b: b},
		"two that change places":  {a: b, b: a},
		"one moved over the next": {2: a, a: b, b: c},
		"one twice":               {2: c, a: c},
		"the image's place":       {low: a},
		"none":                    {},
	} {
		t.Run(name, func(t *testing.T) {
			n := max(a, b, low) + 1
			files := make([]int, n-2)
			var want []string
			for i := 2; i < n; i++ {
				files[i-2] = -1
				if fd, ok := at[i]; ok {
					files[i-2] = fd
					want = append(want, fmt.Sprintf("%d=%s", i, names[fd]))
				}
			}
			want = append(want, "argv0=launched env=")
			slices.Sort(want)
			got := output(t, low, files)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("in the program: %q\nwant %q", got, want)
			}
		})
	}
}

// TestSignalsAreBlocked: signals are blocked in the program until it changes its mask, and unchanged in this process.
func TestSignalsAreBlocked(t *testing.T) {
	needsKernel(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, after unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, nil, &before); err != nil {
		t.Fatal(err)
	}
	cat, err := unix.Open("/bin/cat", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(cat)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p, err := Start(Program{Image: cat, Argv0: "cat", Files: []int{int(r.Fd()), 1, 2}, Cgroup: -1})
	r.Close()
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, nil, &after); err != nil || after != before {
		t.Errorf("our mask was %v and is %v, %v", before, after, err)
	}
	executed := func() bool {
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.Pid))
		return string(name) == "cat\x00"
	}
	for deadline := time.Now().Add(10 * time.Second); !executed() && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Pid))
	if err != nil || !strings.Contains(string(status), "SigBlk:\tfffffffffffbfeff\n") { // all except SIGKILL and SIGSTOP
		t.Errorf("the program: %s, %v", status, err)
	}
	w.Close()
	end(t, p)
}

// TestWait: with Program.Wait, Start returns after the child has executed the program or ended.
func TestWait(t *testing.T) {
	needsKernel(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p, err := Start(Program{Image: shell(t), Argv0: "launched", Files: []int{int(r.Fd()), 1, 2}, Cgroup: -1, Wait: true})
	r.Close()
	if err != nil {
		t.Fatal(err)
	}
	if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", p.Pid)); err != nil || exe == self(t) {
		t.Errorf("it is %q, %v; want the shell", exe, err)
	}
	w.Close()
	end(t, p)
	p, err = Start(Program{Image: shell(t), Files: []int{1 << 20}, Cgroup: -1, Wait: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Failure(); !errors.Is(err, unix.EBADF) {
		t.Errorf("Failure() = %v; want EBADF", err)
	}
	end(t, p)
}

// TestFailure: after the child's end, Failure returns the error of its failed call.
func TestFailure(t *testing.T) {
	needsKernel(t)
	text := open(t, "no program", 3)
	if _, err := unix.Write(text, []byte("no program")); err != nil {
		t.Fatal(err)
	}
	gone := open(t, "gone", 200)
	unix.Close(gone)
	for name, tt := range map[string]struct {
		program Program
		call    string
		errno   unix.Errno
	}{
		"no program":      {Program{Image: text, Files: []int{0, 1, 2}, Cgroup: -1}, "execveat(", unix.EACCES},
		"no such file":    {Program{Image: shell(t), Files: []int{0, 1, gone}, Cgroup: -1}, fmt.Sprintf("dup3(%d, 2)", gone), unix.EBADF},
		"not open at all": {Program{Image: gone, Files: []int{0, 1, 2}, Cgroup: -1}, fmt.Sprintf("execveat(%d, ", gone), unix.EBADF},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Start(tt.program)
			if err != nil {
				t.Fatal(err)
			}
			if err := unix.Waitid(unix.P_PIDFD, p.Pidfd, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
				t.Fatal(err)
			}
			err = p.Failure()
			if err == nil || !strings.Contains(err.Error(), tt.call) || !errors.Is(err, tt.errno) {
				t.Errorf("Failure() = %v; want %s…: %v", err, tt.call, tt.errno)
			}
			if status := end(t, p); status != exitStatus {
				t.Errorf("exit status %d", status)
			}
			if err := p.Failure(); err != nil {
				t.Errorf("Failure() after Release = %v", err)
			}
		})
	}
	var none *Process
	none.Release()
	if err := none.Failure(); err != nil {
		t.Errorf("nobody's failure = %v", err)
	}
}

func TestStartThatCannot(t *testing.T) {
	needsKernel(t)
	file := open(t, "no cgroup", 3)
	p, err := Start(Program{Image: shell(t), Files: []int{0, 1, 2}, Cgroup: file})
	if err == nil {
		end(t, p)
		t.Fatal("born in a file")
	}
	if !strings.Contains(err.Error(), "CLONE_INTO_CGROUP") || !errors.Is(err, unix.EBADF) {
		t.Errorf("Start = %v; want clone3({…CLONE_INTO_CGROUP…}): EBADF", err)
	}
}

// TestFrozenBirth: a frozen cgroup stops the child, and not this process.
func TestFrozenBirth(t *testing.T) {
	needsKernel(t)
	dir := unified(t)
	if err := os.WriteFile(filepath.Join(dir, "cgroup.freeze"), []byte("1"), 0); err != nil {
		t.Skip(err)
	}
	cgroup, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer cgroup.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p, err := Start(Program{Image: shell(t), Argv0: "launched", Files: []int{script(t), int(w.Fd())}, Cgroup: int(cgroup.Fd())})
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	frozen := func() bool {
		events, _ := os.ReadFile(filepath.Join(dir, "cgroup.events"))
		return strings.Contains(string(events), "populated 1\nfrozen 1")
	}
	for deadline := time.Now().Add(10 * time.Second); !frozen(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the child is not frozen")
		}
	}
	if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", p.Pid)); err != nil || exe != self(t) {
		t.Errorf("it is %q, %v; want what we are", exe, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.freeze"), []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(r); err != nil || !strings.Contains(string(text), "argv0=launched env=") {
		t.Errorf("the program, thawed, said %q, %v", text, err)
	}
	if status := end(t, p); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// unified makes a cgroup2 cgroup.
func unified(t *testing.T) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		before, after, _ := strings.Cut(line, " - ")
		if strings.HasPrefix(after, "cgroup2 ") {
			dir := filepath.Join(strings.Fields(before)[4], fmt.Sprintf("launch-test-%d", os.Getpid()))
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Skip(err)
			}
			t.Cleanup(func() {
				if err := os.Remove(dir); err != nil {
					t.Error(err)
				}
			})
			return dir
		}
	}
	t.Skip("there is no cgroup v2 hierarchy")
	return ""
}

// TestWithoutClone3 runs Start under a seccomp filter that hides clone3, like the profile of an engine.
func TestWithoutClone3(t *testing.T) {
	needsKernel(t)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), modeEnv+"=no clone3")
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "launched\n" {
		t.Errorf("%v: %q", err, out)
	}
}

func withoutClone3() int {
	runtime.LockOSThread()
	const nr = 0 // offset in seccomp_data
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: nr},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 0, Jf: 1, K: unix.SYS_CLONE3},
		{Code: unix.BPF_RET, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
		{Code: unix.BPF_RET, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		fmt.Println(err)
		return 1
	}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0); err != nil {
		fmt.Println(err)
		return 1
	}
	if err := launchShell(); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

func launchShell() error {
	image, err := unix.Open("/bin/sh", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	if _, err := w.WriteString("echo $0\n"); err != nil {
		return err
	}
	w.Close()
	p, err := Start(Program{Image: image, Argv0: "launched", Files: []int{int(r.Fd()), 1, 2}, Cgroup: -1})
	if err != nil {
		return err
	}
	var ws unix.WaitStatus
	if _, err := unix.Wait4(p.Pid, &ws, 0, nil); err != nil || ws != 0 {
		return fmt.Errorf("wait4: %w, status %#x", err, ws)
	}
	return nil
}

// TestChildOfAFork tests the child's loop without a clone that shares memory, for emulators. The loop must execute its
// calls in order, up to the first failure.
func TestChildOfAFork(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var l list
	l.add(unix.SYS_DUP3, uint64(w.Fd()), 90, unix.O_CLOEXEC)
	l.add(unix.SYS_CLOSE, uint64(w.Fd()))
	text := []byte("written")
	l.add(unix.SYS_WRITE, 90, address(&text[0]), uint64(len(text)))
	l.add(unix.SYS_CLOSE, 91) // EBADF
	l.add(unix.SYS_EXECVEAT, 0, 0, 0, 0, 0)
	p, err := l.allocate("")
	if err != nil {
		t.Fatal(err)
	}
	p.area.clone = oldClone(uint64(unix.SIGCHLD), 0)
	pid := p.clone()
	w.Close()
	if pid <= 0 {
		t.Fatalf("clone = %d", pid)
	}
	buf := make([]byte, 100)
	n, err := r.Read(buf)
	if err != nil || string(buf[:n]) != string(text) {
		t.Errorf("the child wrote %q, %v; want %q", buf[:n], err, text)
	}
	var ws unix.WaitStatus
	if _, err := unix.Wait4(int(pid), &ws, 0, nil); err != nil || ws.ExitStatus() != exitStatus {
		t.Errorf("wait4 = %v, exit status %d; want %d", err, ws.ExitStatus(), exitStatus)
	}
	p.Release()
	p.Release()
}
