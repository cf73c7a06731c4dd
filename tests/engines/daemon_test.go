package engines

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// daemon is a program that serves until the test ends.
type daemon struct {
	t     *testing.T
	argv  []string
	ready func() error
	log   *os.File
	cmd   *exec.Cmd
	ended chan struct{}
}

// serve starts a daemon. If the test fails, it shows the daemon's output.
func serve(t *testing.T, ready func() error, argv ...string) *daemon {
	t.Helper()
	log, err := os.CreateTemp(env.dir, "log-")
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{t: t, argv: argv, ready: ready, log: log}
	t.Cleanup(func() {
		d.stop()
		if data, _ := os.ReadFile(log.Name()); t.Failed() && testing.Verbose() {
			t.Logf("%s:\n%s", argv[0], data)
		}
		log.Close()
	})
	d.start()
	return d
}

// start starts the program and polls until it serves, because no event announces that.
func (d *daemon) start() {
	d.t.Helper()
	d.cmd, d.ended = exec.Command(d.argv[0], d.argv[1:]...), make(chan struct{})
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	go func() {
		defer close(d.ended)
		d.cmd.Wait()
	}()
	var err error
	for deadline := time.Now().Add(slowly(30 * time.Second)); time.Now().Before(deadline); {
		if err = d.ready(); err == nil {
			return
		}
		select {
		case <-d.ended:
			data, _ := os.ReadFile(d.log.Name())
			d.t.Fatalf("%s ended:\n%s", d.argv[0], data)
		case <-time.After(20 * time.Millisecond):
		}
	}
	d.t.Fatal(errors.Join(fmt.Errorf("%s does not serve", d.argv[0]), err))
}

// restart kills the program and starts it again.
func (d *daemon) restart() {
	d.t.Helper()
	d.cmd.Process.Kill()
	<-d.ended
	d.start()
}

func (d *daemon) stop() {
	d.cmd.Process.Signal(unix.SIGTERM)
	select {
	case <-d.ended:
	case <-time.After(slowly(30 * time.Second)):
		d.t.Errorf("%s does not end at SIGTERM", d.argv[0])
		d.cmd.Process.Kill()
		<-d.ended
	}
}
