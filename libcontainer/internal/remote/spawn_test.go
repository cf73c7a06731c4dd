package remote

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/stub"
)

func needsRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting a tmpfs takes root")
	}
}

// writable reports whether the file behind a descriptor can be changed by any way of reopening it.
func writable(t *testing.T, f *os.File) error {
	t.Helper()
	w, err := os.OpenFile("/proc/self/fd/"+itoa(int(f.Fd())), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer w.Close()
	if _, err := w.WriteAt([]byte("x"), 0); err != nil {
		return err
	}
	return nil
}

func TestMemfdImageIsSealed(t *testing.T) {
	keepsDescriptors(t)
	f, err := memfdImage(stub.Image(3, stub.Untimed))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := writable(t, f); !errors.Is(err, unix.EPERM) {
		t.Errorf("a write to the image = %v; want EPERM", err)
	}
	if err := unix.Ftruncate(int(f.Fd()), 0); err != unix.EPERM {
		t.Errorf("truncate = %v; want EPERM", err)
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_GROW); err != unix.EPERM {
		t.Errorf("another seal = %v; want EPERM", err)
	}
}

func TestTmpfsImageIsReadOnly(t *testing.T) {
	needsRoot(t)
	keepsDescriptors(t)
	mounts := mountinfo(t)
	f, err := tmpfsImage(stub.Image(3, stub.Untimed))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := writable(t, f); !errors.Is(err, unix.EROFS) {
		t.Errorf("a write to the image = %v; want EROFS", err)
	}
	if err := unix.Fchmod(int(f.Fd()), 0o777); err == nil {
		t.Error("the mode of the image can be changed")
	}
	if got := mountinfo(t); got != mounts {
		t.Errorf("the tmpfs is mounted somewhere:\n%s", got)
	}
}

func mountinfo(t *testing.T) string {
	t.Helper()
	p, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return string(p)
}

func TestStubRunsFromATmpfs(t *testing.T) {
	needsRoot(t)
	keepsDescriptors(t)
	image, err := tmpfsImage(stub.Image(4, stub.Untimed))
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	s, err := Prepare(t.Context(), Spawn{Control: 4, Timeout: 10 * time.Second, Argv0: "stub"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Kill()
	if err := s.launch(image); err != nil {
		t.Fatal(err)
	}
	speaks(t, s)
	self, err := os.OpenFile("/proc/"+itoa(s.Pid)+"/exe", os.O_RDWR, 0)
	if err == nil {
		self.Close()
	}
	if !errors.Is(err, unix.EROFS) && !errors.Is(err, unix.ETXTBSY) {
		t.Errorf("the running image can be opened for writing: %v", err)
	}
}

// speaks checks that the stub executes a batch.
func speaks(t *testing.T, s *Stub) {
	t.Helper()
	var b Batch
	_, buf := b.Readlinkat(Cwd(), "/proc/self")
	do(t, s, &b)
	if got, _, _ := bytes.Cut(buf.Bytes(), []byte{0}); string(got) != itoa(s.Pid) {
		t.Errorf("/proc/self is %q in the stub; want %d", got, s.Pid)
	}
}

// noexecEnv marks the second run of the next test.
const noexecEnv = "REMOTE_TEST_NOEXEC"

// TestStubStartsWhereMemfdsCannotBeExecuted: a stub starts even if executing a memfd is forbidden. Each pid namespace has
// its own vm.memfd_noexec.
func TestStubStartsWhereMemfdsCannotBeExecuted(t *testing.T) {
	needsRoot(t)
	const knob = "/proc/sys/vm/memfd_noexec"
	if os.Getenv(noexecEnv) == "" {
		if _, err := os.Stat(knob); err != nil {
			t.Skip("the kernel has no vm.memfd_noexec: ", err)
		}
		cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), noexecEnv+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
			t.Errorf("in a pid namespace of its own: %v\n%s", err, out)
		}
		return
	}
	for _, err := range []error{
		unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("proc", "/proc", "proc", 0, ""),
		os.WriteFile(knob, []byte("2"), 0),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := memfdImage(stub.Image(3, stub.Untimed)); !errors.Is(err, unix.EACCES) {
		t.Fatalf("a memfd that can be executed = %v; want EACCES", err)
	}
	s, err := Start(context.Background(), Spawn{Control: 3, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Kill()
	speaks(t, s)
	if exe, err := os.Readlink("/proc/" + itoa(s.Pid) + "/exe"); err != nil || exe != "/onggi" {
		t.Errorf("the stub is %q, %v; want /onggi, on a tmpfs", exe, err)
	}
}

func TestStartInAPidNamespace(t *testing.T) {
	needsRoot(t)
	keepsDescriptors(t)
	s, err := Start(t.Context(), Spawn{Control: 3, Cloneflags: unix.CLONE_NEWPID, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Kill()
	var b Batch
	sid := b.Setsid()
	do(t, s, &b)
	if sid.Value() != 1 {
		t.Errorf("setsid = %d; want 1, in a pid namespace of its own", sid.Value())
	}
}

func TestStartThatFails(t *testing.T) {
	keepsDescriptors(t)
	cgroup, err := os.Open("/") // not a cgroup
	if err != nil {
		t.Fatal(err)
	}
	defer cgroup.Close()
	s, err := Start(t.Context(), Spawn{Control: 3, Cgroup: cgroup})
	if err == nil {
		s.Kill()
		t.Error("a stub was born in a directory that is no cgroup")
	}
}

// TestNothingIsInherited: the stub does not inherit the caller's other descriptors.
func TestNothingIsInherited(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s := start(t.Context(), t, r)
	_ = s
	w.Close()
	if n, err := r.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("read = %d, %v; want EOF, since nobody holds the other end", n, err)
	}
}
