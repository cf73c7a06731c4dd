package shim

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	task "github.com/containerd/containerd/api/runtime/task/v3"
	taskstatus "github.com/containerd/containerd/api/types/task"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
)

// fifo creates a FIFO and returns its path.
func (p *pod) fifo(name string) string {
	p.Helper()
	path := filepath.Join(p.dir, name)
	must(p.T, unix.Mkfifo(path, 0o600))
	return path
}

// read reads a FIFO to its end. As containerd does, it opens the FIFO before the Create.
func (p *pod) read(path string) <-chan string {
	out := make(chan string, 1)
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	must(p.T, err)
	go func() {
		defer f.Close()
		var b bytes.Buffer
		for began := time.Now(); b.Len() == 0 && time.Since(began) < 20*time.Second; time.Sleep(time.Millisecond) {
			io.Copy(&b, f) // a FIFO without a writer reads as ended
		}
		io.Copy(&b, f)
		out <- b.String()
	}()
	return out
}

// TestStreamsAreFIFOs checks the input and both outputs. CloseIO must end the input. The outputs must end with the
// process.
func TestStreamsAreFIFOs(t *testing.T) {
	p := newPod(t, "sh", "-c", "echo error >&2; cat")
	in, out, errOut := p.fifo("in"), p.fifo("out"), p.fifo("err")
	output, errors := p.read(out), p.read(errOut)
	p.up(func(r *task.CreateTaskRequest) { r.Stdin, r.Stdout, r.Stderr = in, out, errOut })
	w, err := os.OpenFile(in, os.O_WRONLY, 0)
	must(t, err)
	_, err = w.WriteString("some input")
	must(t, err)
	w.Close() // the input must stay open: clients may disconnect
	time.Sleep(100 * time.Millisecond)
	same(t, "status after the client's end", p.state("").Status, taskstatus.Status_RUNNING)
	_, err = p.task.CloseIO(p.ctx(), &task.CloseIORequest{ID: p.id, Stdin: true})
	must(t, err)
	same(t, "exit status", p.wait(""), 0)
	same(t, "output", <-output, "some input")
	same(t, "errors", <-errors, "error\n")
	p.remove()
}

// TestOutputOfAShortLife checks that the output of a short-lived container is complete.
func TestOutputOfAShortLife(t *testing.T) {
	for range 20 {
		p := newPod(t, "echo", "short")
		out := p.fifo("out")
		output := p.read(out)
		p.up(func(r *task.CreateTaskRequest) { r.Stdout = out })
		p.wait("")
		same(t, "output", <-output, "short\n")
		p.remove()
	}
}

// TestAReaderThatGoesAway checks that SIGPIPE does not kill a container while its output has no reader.
func TestAReaderThatGoesAway(t *testing.T) {
	p := newPod(t, "sh", "-c", "echo one; sleep 1; echo two; exit 5")
	out := p.fifo("out")
	f, err := os.OpenFile(out, os.O_RDONLY|unix.O_NONBLOCK, 0)
	must(t, err)
	p.up(func(r *task.CreateTaskRequest) { r.Stdout = out })
	f.Close()
	same(t, "exit status", p.wait(""), 5)
	p.remove()
}

// TestOutputToAFile checks that both outputs go to one file. The server makes the file and its directory. The container
// gets a pipe and not the file.
func TestOutputToAFile(t *testing.T) {
	p := newPod(t, "sh", "-c", "echo out; echo err >&2; readlink /proc/self/fd/1")
	path := filepath.Join(p.dir, "logs/deep/log")
	p.up(func(r *task.CreateTaskRequest) { r.Stdout, r.Stderr = "file://"+path, "file://"+path })
	p.wait("")
	p.remove()
	text, err := os.ReadFile(path)
	must(t, err)
	lines := strings.Split(string(text), "\n")
	if len(lines) < 3 || lines[0] != "out" || lines[1] != "err" || !strings.HasPrefix(lines[2], "pipe:") {
		t.Errorf("log = %q", text)
	}
}

// TestOutputToAProgram checks that a logging program gets both outputs, the id and its arguments. The shim's limit of
// one processor is not for it.
func TestOutputToAProgram(t *testing.T) {
	p := newPod(t, "sh", "-c", "echo out; echo err >&2")
	log, script := filepath.Join(p.dir, "log"), filepath.Join(p.dir, "logger")
	must(t, os.WriteFile(script, []byte("#!/bin/sh\nexec >"+log+"\necho $CONTAINER_ID $CONTAINER_NAMESPACE \"$@\" $GOMAXPROCS\nexec 5>&-\ncat <&3\ncat <&4\n"), 0o755))
	p.up(func(r *task.CreateTaskRequest) { r.Stdout = "binary://" + script + "?key=value" })
	same(t, "exit status", p.wait(""), 0)
	p.remove()
	eventually(t, "the program has not written everything", func() bool {
		text, _ := os.ReadFile(log)
		return string(text) == p.id+" test key value\nout\nerr\n"
	})
}

// TestTerminal checks output, input and size of a terminal.
func TestTerminal(t *testing.T) {
	p := newBundle(t, "sh", "-c", "read x; stty size; echo got $x; exit 3")
	p.spec.Process.Terminal = true
	p.writeConfig()
	p.start()
	in, out := p.fifo("in"), p.fifo("out")
	output := p.read(out)
	p.up(func(r *task.CreateTaskRequest) { r.Terminal, r.Stdin, r.Stdout = true, in, out })
	p.converse(in, output)
}

// converse talks with a program on a terminal, which reads a line, prints the size and the line, and exits with 3.
func (p *pod) converse(in string, output <-chan string) {
	p.Helper()
	_, err := p.task.ResizePty(p.ctx(), &task.ResizePtyRequest{ID: p.id, Width: 97, Height: 31})
	must(p.T, err)
	w, err := os.OpenFile(in, os.O_WRONLY, 0)
	must(p.T, err)
	_, err = w.WriteString("word\n")
	must(p.T, err)
	same(p.T, "exit status", p.wait(""), 3)
	p.remove()
	w.Close()
	text := <-output
	for _, want := range []string{"31 97", "got word"} {
		if !strings.Contains(text, want) {
			p.Errorf("no %q in %q", want, text)
		}
	}
}

// TestHostileStreams checks that Create refuses invalid streams and leaves nothing.
func TestHostileStreams(t *testing.T) {
	p := newPod(t, "true")
	secret := filepath.Join(p.dir, "secret")
	must(t, os.WriteFile(secret, []byte("secret"), 0o600))
	link := filepath.Join(p.dir, "link")
	must(t, os.Symlink(secret, link))
	for _, name := range []string{"relative", "gopher://x/y", "file://relative", "binary:///nosuch", "\x00", "fifo://", link, secret, "file://" + link, "/dev/null/x"} {
		_, err := p.task.Create(p.ctx(), &task.CreateTaskRequest{ID: p.id, Bundle: p.bundle, Stdout: name})
		if c := code(err); c != codes.Unknown && c != codes.InvalidArgument {
			t.Errorf("Create with stdout %q = %v; want an error", name, err)
		}
	}
	text, err := os.ReadFile(secret)
	must(t, err)
	same(t, "the file", string(text), "secret")
	p.shutdown()
}
