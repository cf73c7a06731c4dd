package tests

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// agentFor starts an agent that receives listeners from all connections and answers no notification. stop ends it and returns
// the number of listeners.
func agentFor(t *testing.T, path string) (stop func() int) {
	t.Helper()
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan []*os.File)
	go func() {
		var files []*os.File
		defer func() { heard <- files }()
		for {
			conn, err := listener.AcceptUnix()
			if err != nil {
				return
			}
			_, list := receive(t, conn)
			files = append(files, list...)
			conn.Close()
		}
	}()
	return func() int {
		// The last connections may still be in the queue: exec does not wait until the agent accepts them.
		listener.SetDeadline(time.Now().Add(slowly(time.Second)))
		files := <-heard
		listener.Close()
		for _, f := range files {
			f.Close()
		}
		return len(files)
	}
}

// A process of exec has a filter of its own. It runs only after the agent has its listener.
func TestSeccompNotifyOfExec(t *testing.T) {
	privs := func(no bool) edit { return func(s *specs.Spec) { s.Process.NoNewPrivileges = no } }
	for name, edits := range map[string][]edit{
		"no_new_privs":                       {privs(true)},
		"without no_new_privs":               {privs(false)},
		"no pid namespace":                   {privs(true), without(specs.PIDNamespace)},
		"no pid namespace, nor no_new_privs": {privs(false), without(specs.PIDNamespace)},
	} {
		t.Run(name, func(t *testing.T) {
			c := newContainer(t, seccomp(specs.LinuxSyscall{Names: []string{"mkdir", "mkdirat"}, Action: specs.ActNotify}))
			path := filepath.Join(env.dir, c.id+".sock")
			c.edit(append(edits, func(s *specs.Spec) { s.Linux.Seccomp.ListenerPath = path })...)
			stop := agentFor(t, path)
			c.up()
			const execs = 10
			for range execs {
				want(t, "exec", c.execOutput(nil, "echo", "ran"), "ran")
			}
			if n := stop(); n != 1+execs {
				t.Errorf("the agent has %d listeners; want %d", n, 1+execs)
			}
			before := children()
			refused(t, c.exec(nil, "touch", "/ran"), 255, path)
			for _, pid := range children() { // processes that run although exec failed
				if !slices.Contains(before, pid) {
					<-awaitExit(pid)
				}
			}
			if err := unix.Access(filepath.Join(c.rootfs, "ran"), unix.F_OK); err == nil {
				t.Error("exec has failed, and its program has run")
			}
		})
	}
}
