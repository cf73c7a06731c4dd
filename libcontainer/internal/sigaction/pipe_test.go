package sigaction

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// modeEnv makes the test binary a program of its own.
const modeEnv = "ONGGI_TEST_SIGACTION"

func TestMain(m *testing.M) {
	switch os.Getenv(modeEnv) {
	case "fault":
		os.Exit(faultAndRecover())
	case "ignored":
		os.Exit(ignoredStays())
	case "known":
		os.Exit(ignoredAreKnown())
	}
	os.Exit(m.Run())
}

func open(t *testing.T, list ...unix.Signal) *Pipe {
	t.Helper()
	p, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	if err := p.Catch(list...); err != nil {
		t.Fatal(err)
	}
	return p
}

func raise(t *testing.T, sig unix.Signal) {
	t.Helper()
	if err := unix.Kill(os.Getpid(), sig); err != nil {
		t.Fatal(err)
	}
}

func TestSignalsComeInOrder(t *testing.T) {
	// A real-time signal, a fault signal, and one that would end the process.
	list := []unix.Signal{50, unix.SIGSEGV, unix.SIGTERM, unix.SIGUSR2, unix.SIGTERM}
	p := open(t, list...)
	for _, want := range list {
		raise(t, want)
		if got := p.Next(); got != want {
			t.Errorf("Next() = %v; want %v", got, want)
		}
	}
}

func TestWake(t *testing.T) {
	p := open(t)
	p.Wake()
	if got := p.Next(); got != 0 {
		t.Errorf("Next() = %v; want 0", got)
	}
}

func TestOnePipeAtATime(t *testing.T) {
	p := open(t)
	if second, err := Open(); err != unix.EBUSY {
		t.Errorf("a second Open() = %v, %v; want EBUSY", second, err)
	}
	_ = p
}

// A pipe that nobody reads must not stop the signalled process.
func TestAFullPipeLosesSignals(t *testing.T) {
	p := open(t, unix.SIGUSR1)
	const more = 100_000 // than a pipe holds
	for range more {
		raise(t, unix.SIGUSR1)
	}
	if got := p.Next(); got != unix.SIGUSR1 {
		t.Errorf("Next() = %v; want SIGUSR1", got)
	}
}

func TestCloseRestores(t *testing.T) {
	before, err := getAction(unix.SIGUSR2)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Catch(unix.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	p.Close()
	if after, err := getAction(unix.SIGUSR2); err != nil || after != before {
		t.Errorf("the action is %+v, %v; want %+v", after, err, before)
	}
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, unix.SIGUSR2)
	defer signal.Stop(ch)
	raise(t, unix.SIGUSR2)
	<-ch
}

func TestFaultsGoToTheRuntime(t *testing.T) { again(t, "fault") }
func TestIgnoredSignalsStaySo(t *testing.T) { again(t, "ignored", "env", "--ignore-signal=HUP") }

// TestIgnoredAreKnown starts a program with all signals ignored that can be.
func TestIgnoredAreKnown(t *testing.T) { again(t, "known", "env", "--ignore-signal") }

// ignoredAreKnown compares the Go runtime's knowledge with the kernel's. A release of Go with other
// handlers needs another list of unhandled signals.
func ignoredAreKnown() (status int) {
	for sig := unix.Signal(1); sig <= signals; sig++ {
		a, err := getAction(sig)
		if err != nil || slices.Contains(unhandled, sig) {
			continue
		}
		if got, want := signal.Ignored(sig), a.handler == ignore; got != want {
			fmt.Fprintf(os.Stderr, "signal.Ignored(%d) = %v; want %v\n", int(sig), got, want)
			status = 1
		}
	}
	if !slices.Contains(Ignored(), unix.SIGTSTP) || !slices.Contains(Ignored(), unix.SIGHUP) {
		fmt.Fprintf(os.Stderr, "Ignored() = %v; want SIGTSTP and SIGHUP among them\n", Ignored())
		status = 1
	}
	return status
}

// again runs a mode of this program, under the same emulator if there is one.
func again(t *testing.T, mode string, prefix ...string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	argv := prefix
	if emulator := os.Getenv("STUB_EMULATOR"); emulator != "" {
		argv = append(argv, emulator)
	}
	argv = append(argv, self)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), modeEnv+"="+mode)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// faultAndRecover returns 0 if a nil pointer causes the usual panic.
func faultAndRecover() (status int) {
	p, err := Open()
	if err != nil || p.Catch(unix.SIGSEGV) != nil || p.Catch(unix.SIGSEGV) != nil {
		return 2
	}
	defer func() {
		if recover() == nil {
			status = 3
		}
	}()
	var null *int
	return *null
}

func ignoredStays() int {
	p, err := Open()
	if err != nil || p.Catch(unix.SIGHUP, unix.SIGUSR2) != nil {
		return 2
	}
	_ = unix.Kill(os.Getpid(), unix.SIGHUP)
	_ = unix.Kill(os.Getpid(), unix.SIGUSR2)
	if p.Next() != unix.SIGUSR2 {
		return 3
	}
	return 0
}

func TestIgnored(t *testing.T) {
	const sig = unix.SIGTTIN
	if slices.Contains(Ignored(), sig) {
		t.Fatalf("%v is ignored already", sig)
	}
	ignoring(t, sig)
	if got := Ignored(); !slices.Contains(got, sig) {
		t.Errorf("Ignored() = %v; want %d among them", got, int(sig))
	}
}

// ignoring ignores a signal for the length of a test. (After signal.Ignore,
// Reset leaves it ignored.)
func ignoring(t *testing.T, sig unix.Signal) {
	t.Helper()
	before, err := getAction(sig)
	if err != nil {
		t.Fatal(err)
	}
	if err := setAction(sig, action{handler: ignore}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = setAction(sig, before) })
}

// TestIgnoredAtEveryMoment asks for the ignored signals while others are being
// caught, as exec does.
func TestIgnoredAtEveryMoment(t *testing.T) {
	const sig = unix.SIGTTIN
	ignoring(t, sig)
	p := open(t)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				_ = p.Catch(sig)
			}
		}
	}()
	missed := 0
	for range 2000 {
		if !slices.Contains(Ignored(), sig) {
			missed++
		}
	}
	close(stop)
	<-stopped
	if missed > 0 {
		t.Errorf("not ignored in %d of 2000 looks while it was caught", missed)
	}
}

// TestThePipeStays checks two promises: a handler may write to the pipe at any
// time, and the next owner does not see the signals of the previous one.
func TestThePipeStays(t *testing.T) {
	first, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Catch(unix.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	raise(t, unix.SIGUSR1)
	first.Close()
	second := open(t, unix.SIGUSR2)
	if second.read != first.read || second.write != first.write {
		t.Errorf("the pipe was %d, %d and is %d, %d", first.read, first.write, second.read, second.write)
	}
	raise(t, unix.SIGUSR2)
	if sig := second.Next(); sig != unix.SIGUSR2 {
		t.Errorf("Next() = %v; want SIGUSR2, not what came before", sig)
	}
}
