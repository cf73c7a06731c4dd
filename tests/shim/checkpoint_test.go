package shim

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	task "github.com/containerd/containerd/api/runtime/task/v3"
	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	taskstatus "github.com/containerd/containerd/api/types/task"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/anypb"
)

// needsCRIU puts the CRIU of the peers on the PATH of the shims. It skips the test if CRIU does not work on this host.
func needsCRIU(t *testing.T) {
	t.Helper()
	if why := whyNoCRIU(); why != "" {
		t.Skip(why)
	}
	t.Setenv("PATH", criuPath())
}

func criuPath() string {
	peers, _ := filepath.Abs("../../bin/peers")
	return os.Getenv("PATH") + ":" + peers
}

// whyNoCRIU returns the reason why CRIU does not work on this host, or "".
var whyNoCRIU = sync.OnceValue(func() string {
	cmd := exec.Command("sh", "-c", "exec criu check")
	cmd.Env = append(os.Environ(), "PATH="+criuPath())
	if out, err := cmd.CombinedOutput(); err != nil {
		return "there is no CRIU that works here: " + err.Error() + ": " + strings.TrimSpace(string(out))
	}
	return ""
})

// counter counts in a variable. It writes the count to a file, to stdout and to stderr, and ends at a line of input.
const counter = `i=0; while ! read -t 0 x; do i=$((i+1)); echo $i >/tmp/count; echo out $i; echo err $i >&2; sleep 0.05; done; exit 7`

// dump writes the container to a directory, waits for its end, and removes the task.
func (p *pod) dump() (images string, count int) {
	p.Helper()
	eventually(p.T, "the container does not count", func() bool { count = p.counted(); return count > 2 })
	images = filepath.Join(p.dir, "images-"+strconv.FormatInt(serial.Add(1), 10))
	must(p.T, os.Mkdir(images, 0o700))
	p.checkpoint(images, &runcoptions.CheckpointOptions{Exit: true, FileLocks: true})
	same(p.T, "Wait", p.wait(""), 128+9)
	count = max(count, p.counted()) // the dump may come when the file is empty
	if _, err := p.task.Delete(p.ctx(), &task.DeleteRequest{ID: p.id}); err != nil {
		p.Fatalf("Delete: %v", err)
	}
	return images, count
}

func (p *pod) checkpoint(images string, o *runcoptions.CheckpointOptions) {
	p.Helper()
	options, err := anypb.New(o)
	must(p.T, err)
	if _, err := p.task.Checkpoint(p.ctx(), &task.CheckpointTaskRequest{ID: p.id, Path: images, Options: options}); err != nil {
		p.Fatalf("Checkpoint: %v", err)
	}
}

// counted returns the number that the container has written last.
func (p *pod) counted() int {
	text, _ := os.ReadFile(filepath.Join(p.bundle, "rootfs/tmp/count"))
	n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return n
}

// TestCheckpointRestore writes a container to disk, and continues it in a new task with new streams.
func TestCheckpointRestore(t *testing.T) {
	for _, tt := range []struct {
		name    string
		streams func(p *pod, round string) func(*task.CreateTaskRequest)
		fifos   bool
		rounds  int // the third one restores a dump of a restored container
	}{
		{"a file", func(p *pod, round string) func(*task.CreateTaskRequest) {
			return func(r *task.CreateTaskRequest) { r.Stdout = "file://" + filepath.Join(p.dir, "out"+round) }
		}, false, 2},
		{"FIFOs", func(p *pod, round string) func(*task.CreateTaskRequest) {
			in, out, errOut := p.fifo("in"+round), p.fifo("out"+round), p.fifo("err"+round)
			return func(r *task.CreateTaskRequest) { r.Stdin, r.Stdout, r.Stderr = in, out, errOut }
		}, true, 3},
		{"one FIFO for both outputs", func(p *pod, round string) func(*task.CreateTaskRequest) {
			in, out := p.fifo("in"+round), p.fifo("out"+round)
			return func(r *task.CreateTaskRequest) { r.Stdin, r.Stdout, r.Stderr = in, out, out }
		}, true, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			needsCRIU(t)
			p := newPod(t, "sh", "-c", counter)
			if !tt.fifos {
				p.spec.Process.Args[2] = strings.Replace(counter, "! read -t 0 x", "true", 1)
				p.writeConfig()
			}
			images, n := "", 0
			for i := range tt.rounds {
				round := strconv.Itoa(i + 1)
				change := tt.streams(p, round)
				var r task.CreateTaskRequest
				change(&r)
				outputs := map[string]<-chan string{}
				if tt.fifos {
					outputs[r.Stdout], outputs[r.Stderr] = nil, nil
					for path := range outputs {
						outputs[path] = p.read(path)
					}
				}
				p.up(change, func(r *task.CreateTaskRequest) { r.Checkpoint = images })
				same(t, "status", p.state("").Status, taskstatus.Status_RUNNING)
				eventually(t, "it does not count on", func() bool { return p.counted() > n })
				if i == tt.rounds-1 {
					break
				}
				images, n = p.dump()
				for path, output := range outputs {
					if text := <-output; !strings.Contains(text, " "+strconv.Itoa(n-1)) { // the dump may come before the last output
						t.Errorf("round %s, %s: no %d in %q", round, path, n-1, text)
					}
				}
			}
			if tt.fifos {
				w, err := os.OpenFile(filepath.Join(p.dir, fmt.Sprint("in", tt.rounds)), os.O_WRONLY, 0)
				must(t, err)
				_, err = w.WriteString("end\n")
				must(t, err)
				w.Close()
				same(t, "exit status", p.wait(""), 7)
			} else {
				p.kill()
			}
			p.remove()
		})
	}
}

// TestCheckpointOfARunningOne checks that the container goes on, and that there is an event.
func TestCheckpointOfARunningOne(t *testing.T) {
	needsCRIU(t)
	p := newPod(t, "sh", "-c", strings.Replace(counter, "! read -t 0 x", "true", 1))
	p.up()
	eventually(t, "it does not count", func() bool { return p.counted() > 2 })
	p.checkpoint(filepath.Join(p.dir, "images"), &runcoptions.CheckpointOptions{})
	n := p.counted()
	eventually(t, "it does not count on", func() bool { return p.counted() > n })
	p.kill()
	p.remove()
	same(t, "events", p.topics(t, 5), []string{"/tasks/create", "/tasks/start", "/tasks/checkpointed", "/tasks/exit", "/tasks/delete"})
}

// TestRestoreEndsBeforeStart: the end of a restored container is reported after Start, or by Kill or Delete.
func TestRestoreEndsBeforeStart(t *testing.T) {
	needsCRIU(t)
	// The program has no file open at the dump: CRIU refuses a file that has grown since, and there are two restores.
	p := newPod(t, "sh", "-c", "echo 5 >/tmp/count; while ! test -e /tmp/end; do sleep 0.05; done; exit 5")
	p.up()
	images, _ := p.dump()
	must(t, os.WriteFile(filepath.Join(p.bundle, "rootfs/tmp/end"), nil, 0o644))
	restore := func(r *task.CreateTaskRequest) { r.Checkpoint = images }
	pid := p.create(restore)
	eventually(t, "it does not end", func() bool { return !alive(pid) })
	if _, err := p.task.Start(p.ctx(), &task.StartRequest{ID: p.id}); err != nil {
		t.Fatalf("Start: %v", err)
	}
	same(t, "exit status", p.wait(""), 5)
	if _, err := p.task.Delete(p.ctx(), &task.DeleteRequest{ID: p.id}); err != nil {
		t.Fatal(err)
	}
	same(t, "events of the second", p.topics(t, 9)[5:], []string{"/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"})
	must(t, os.Remove(filepath.Join(p.bundle, "rootfs/tmp/end")))
	pid = p.create(restore) // and is never started
	same(t, "alive", alive(pid), true)
	p.remove()
	same(t, "alive after Delete", alive(pid), false)
}

// TestCheckpointRefuses checks the errors, and that nothing is left of a failed restore.
func TestCheckpointRefuses(t *testing.T) {
	needsCRIU(t)
	p := newPod(t, "sleep", "1000")
	p.up()
	_, err := p.task.Checkpoint(p.ctx(), &task.CheckpointTaskRequest{ID: p.id, Path: "relative"})
	fails(t, "a relative path", err, codes.InvalidArgument, "relative")
	link := filepath.Join(p.dir, "link")
	must(t, os.Symlink(p.dir, link))
	_, err = p.task.Checkpoint(p.ctx(), &task.CheckpointTaskRequest{ID: p.id, Path: link})
	fails(t, "a link", err, codes.Unknown, "OCI runtime checkpoint failed: ", "link")
	p.kill()
	_, err = p.task.Checkpoint(p.ctx(), &task.CheckpointTaskRequest{ID: p.id, Path: filepath.Join(p.dir, "images")})
	fails(t, "a stopped container", err, codes.NotFound)
	if _, err := p.task.Delete(p.ctx(), &task.DeleteRequest{ID: p.id}); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"no images": p.dir, "no directory": filepath.Join(p.dir, "none"), "a file": filepath.Join(p.bundle, "config.json")} {
		_, err = p.task.Create(p.ctx(), &task.CreateTaskRequest{ID: p.id, Bundle: p.bundle, Checkpoint: path})
		fails(t, name, err, codes.Unknown, "OCI runtime create failed: ")
	}
	_, err = p.task.Create(p.ctx(), &task.CreateTaskRequest{ID: p.id, Bundle: p.bundle, Checkpoint: "relative"})
	fails(t, "a relative checkpoint", err, codes.InvalidArgument)
	p.shutdown()
}

// TestCheckpointOfATerminal: the restored program is on a new terminal.
func TestCheckpointOfATerminal(t *testing.T) {
	needsCRIU(t)
	p := newBundle(t, "sh", "-c", "echo 5 >/tmp/count; read x; echo got $x; stty size; exit 3")
	p.spec.Process.Terminal = true
	p.writeConfig()
	p.start()
	images := ""
	for _, round := range []string{"1", "2"} {
		in, out := p.fifo("in"+round), p.fifo("out"+round)
		output := p.read(out)
		p.up(func(r *task.CreateTaskRequest) { r.Terminal, r.Stdin, r.Stdout, r.Checkpoint = true, in, out, images })
		if round == "1" {
			w, err := os.OpenFile(out, os.O_WRONLY|unix.O_NONBLOCK, 0) // read ends only with text
			must(t, err)
			_, err = w.WriteString("-")
			must(t, err)
			w.Close()
			images, _ = p.dump()
			<-output
			continue
		}
		p.converse(in, output)
	}
}
