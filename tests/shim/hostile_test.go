package shim

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	task "github.com/containerd/containerd/api/runtime/task/v3"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/anypb"
)

// frame returns the bytes of a frame.
func frame(length, stream uint32, kind byte, payload string) []byte {
	b := make([]byte, 10, 10+len(payload))
	binary.BigEndian.PutUint32(b, length)
	binary.BigEndian.PutUint32(b[4:], stream)
	b[8] = kind
	return append(b, payload...)
}

// TestBrokenFrames checks that the server answers with a code or closes the connection, and then serves the next one.
func TestBrokenFrames(t *testing.T) {
	p := newPod(t, "true")
	for name, data := range map[string][]byte{
		"half a header":      {0, 0, 0},
		"half a payload":     frame(100, 1, 1, "short"),
		"an even stream":     frame(0, 2, 1, ""),
		"a response":         frame(0, 1, 2, ""),
		"no protobuf":        frame(4, 1, 1, "\xff\xff\xff\xff"),
		"length of 2^32-1":   frame(1<<32-1, 1, 1, ""),
		"the same stream":    append(frame(0, 3, 1, ""), frame(0, 3, 1, "")...),
		"an unknown type":    frame(0, 1, 77, ""),
		"an empty request":   frame(0, 1, 1, ""),
		"a recursive length": frame(3, 1, 1, "\x1a\xff\x7f"),
	} {
		conn, err := net.Dial("unix", p.socket)
		must(t, err)
		_, err = conn.Write(data)
		must(t, err)
		must(t, conn.(*net.UnixConn).CloseWrite())
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.Copy(io.Discard, conn); err != nil {
			t.Errorf("%s: %v; want an answer or an end", name, err)
		}
		conn.Close()
	}
	if !p.answers() {
		t.Error("the server is gone")
	}
	for _, call := range []struct{ service, method string }{{"containerd.task.v3.Task", "Fly"}, {"nobody.Service", "State"}} {
		err := p.client.Call(p.ctx(), call.service, call.method, &task.StateRequest{ID: p.id}, &task.StateResponse{})
		fails(t, call.service+"."+call.method, err, codes.Unimplemented)
	}
	p.shutdown()
}

// TestRandomRequests sends random bytes to each method. The server must answer each request.
func TestRandomRequests(t *testing.T) {
	p := newPod(t, "true")
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		value := make([]byte, random.IntN(64))
		for i := range value {
			value[i] = byte(random.IntN(256))
		}
		any := &anypb.Any{TypeUrl: "containerd.runc.v1.Options", Value: value}
		_, err := p.task.Create(p.ctx(), &task.CreateTaskRequest{ID: "x", Bundle: "/nosuch", Options: any})
		if err == nil {
			t.Fatal("a bundle that is not there was taken")
		}
		_, err = p.task.Exec(p.ctx(), &task.ExecProcessRequest{ID: "x", ExecID: "y", Spec: any})
		fails(t, "Exec", err, codes.NotFound)
	}
	p.shutdown()
}

// TestIDs checks that the server refuses names that would lead out of the state root.
func TestIDs(t *testing.T) {
	p := newPod(t, "true")
	for _, id := range []string{"", "..", "a/b", strings.Repeat("x", 300)} {
		_, err := p.task.Create(p.ctx(), &task.CreateTaskRequest{ID: id, Bundle: p.bundle})
		if err == nil {
			t.Errorf("Create(%q) succeeds", id)
		}
	}
	p.up()
	_, err := p.task.Create(p.ctx(), &task.CreateTaskRequest{ID: p.id, Bundle: p.bundle})
	fails(t, "Create of an id in use", err, codes.AlreadyExists)
	p.wait("")
	p.remove()
}

// TestAFullLog checks that the server works without a reader of its log.
func TestAFullLog(t *testing.T) {
	p := newPod(t, "true")
	conns := 0
	for range 300 { // each call writes a line to the log
		conn, err := net.Dial("unix", p.socket)
		must(t, err)
		conn.Write(frame(0, 2, 1, ""))
		conn.Close()
		conns++
	}
	if !p.answers() {
		t.Errorf("the server is gone after %d broken connections", conns)
	}
	p.shutdown()
}

// TestKilledAtAnyMoment kills the server during a Create. Then delete must leave nothing.
func TestKilledAtAnyMoment(t *testing.T) {
	rounds := 8
	if os.Getenv("LONG") != "" {
		rounds = 200
	}
	for i := range rounds {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			p := newPod(t, "sleep", "1000")
			pid := p.server()
			done := make(chan struct{})
			go func() {
				defer close(done)
				p.task.Create(p.ctx(), &task.CreateTaskRequest{ID: p.id, Bundle: p.bundle})
				p.task.Start(p.ctx(), &task.StartRequest{ID: p.id})
			}()
			time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond)
			must(t, unix.Kill(pid, unix.SIGKILL))
			<-done
			if out, err := p.call(nil, p.flags("-bundle", p.bundle, "delete")...); err != nil {
				t.Errorf("delete: %v: %s", err, out)
			}
			os.Remove(p.socket)
		})
	}
}

// TestManyExecs checks that memory, descriptors, threads and zombies do not grow with the number of execs. There are
// 100 execs, 100,000 with LONG=1, or EXECS.
func TestManyExecs(t *testing.T) {
	rounds := 100
	if os.Getenv("LONG") != "" {
		rounds = 100_000
	}
	if n, err := strconv.Atoi(os.Getenv("EXECS")); err == nil {
		rounds = n
	}
	p := newPod(t, "sleep", "1000000")
	p.up()
	server := p.server()
	warm := rounds / 10
	idle := func() usage {
		time.Sleep(3 * time.Second) // the server gives memory back two seconds after the last call
		return use(t, server)
	}
	p.execs(warm)
	before := idle()
	for range 2 {
		p.execs((rounds - warm) / 3)
		t.Logf("at first %+v, now %+v", before, use(t, server))
	}
	p.execs((rounds - warm) / 3)
	after := idle()
	t.Logf("at first %+v, at last %+v", before, after)
	if after.files > before.files+2 || after.threads > before.threads+2 || after.zombies > 0 || after.kilobytes > before.kilobytes+512 {
		t.Errorf("after a tenth of %d execs %+v, after all %+v", rounds, before, after)
	}
	p.kill()
	p.remove()
}

// execs runs a program n times, one after the other.
func (p *pod) execs(n int) {
	p.Helper()
	for range n {
		if _, err := p.exec("e", nil, "true"); err != nil {
			p.Fatal(err)
		}
		p.wait("e")
		if _, err := p.task.Delete(p.ctx(), &task.DeleteRequest{ID: p.id, ExecID: "e"}); err != nil {
			p.Fatal(err)
		}
	}
}

// usage counts the descriptors and threads of a process, the zombies among its children, and its anonymous memory.
type usage struct{ files, threads, zombies, kilobytes int }

func use(t *testing.T, pid int) (u usage) {
	t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	must(t, err)
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	must(t, err)
	u.files, u.threads = len(files), len(threads)
	for _, thread := range threads {
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, thread.Name())) // a thread may have ended meanwhile
		for _, child := range strings.Fields(string(children)) {
			if stat, _ := os.ReadFile("/proc/" + child + "/stat"); strings.Contains(string(stat), ") Z ") {
				u.zombies++
			}
		}
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	must(t, err)
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); f[0] == "Anonymous:" {
			u.kilobytes, err = strconv.Atoi(f[1])
			must(t, err)
		}
	}
	return u
}
