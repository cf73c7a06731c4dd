// Package task implements containerd's task service: containers, their processes and their
// events.
//
//	Group      the tasks of one pod: registry, methods, events   group.go, methods.go
//	  task     one container, with its root file system          task.go, create.go, delete.go
//	    process  the first process, or a process of Exec         process.go, exec.go
//
// The service answers State from memory, because an exec probe calls it nine times. One epoll
// instance of the server receives all reports of the kernel: ends of processes and OOM kills.
package task

import (
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/options"
	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/publish"
	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/ttrpc"
	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/watch"
	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/wire"
	"github.com/onggi-dev/onggi/libcontainer"
)

// Group is the tasks of one pod. Its methods may run concurrently.
type Group struct {
	namespace string
	publisher *publish.Publisher
	watch     *watch.Set
	log       func(text string)
	unified   bool
	slots     chan struct{} // one element for each Create or Exec in progress

	mu       sync.Mutex
	tasks    map[string]*task // by id; nil while Create is in progress
	runtimes map[runtimeKey]*libcontainer.Runtime
	over     chan struct{} // shutdown closes it
	unlisten func()        // shutdown calls it before
	closed   bool
}

// atOnce bounds the concurrent Creates and Execs. Go never ends an idle thread, so a burst of
// hundreds would cost memory for the life of the server.
const atOnce = 8

// New returns a group without tasks. Shutdown calls unlisten before its answer: containerd
// expects that the socket is gone with the last task.
func New(namespace string, publisher *publish.Publisher, set *watch.Set, unified bool, log func(text string), unlisten func()) *Group {
	return &Group{
		namespace: namespace, publisher: publisher, watch: set, unified: unified, log: log,
		slots: make(chan struct{}, atOnce), tasks: map[string]*task{}, runtimes: map[runtimeKey]*libcontainer.Runtime{},
		over: make(chan struct{}), unlisten: unlisten,
	}
}

// Over returns a channel that is closed after Shutdown.
func (g *Group) Over() <-chan struct{} { return g.over }

// IsEmpty reports whether the group has no task.
func (g *Group) IsEmpty() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.tasks) == 0
}

// runtimeKey has the options that need a libcontainer.Runtime of their own.
type runtimeKey struct {
	root    string
	manager string
}

// runtime returns the libcontainer.Runtime for a task.
func (g *Group) runtime(o options.Options, manager string) (*libcontainer.Runtime, error) {
	key := runtimeKey{StateRoot(o, g.namespace), manager}
	g.mu.Lock()
	defer g.mu.Unlock()
	if r := g.runtimes[key]; r != nil {
		return r, nil
	}
	r, err := libcontainer.New(libcontainer.Options{Root: key.root, CgroupManager: manager, Warn: g.log})
	if err == nil {
		g.runtimes[key] = r
	}
	return r, err
}

// StateRoot returns the state root for the tasks of a namespace.
func StateRoot(o options.Options, namespace string) string {
	if o.Root == "" {
		o.Root = options.DefaultRoot
	}
	return filepath.Join(o.Root, namespace)
}

// reserve reserves an id for a Create.
func (g *Group) reserve(id string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return ttrpc.Errorf(ttrpc.Unavailable, "the shim is shutting down: unavailable")
	}
	if _, used := g.tasks[id]; used {
		return ttrpc.Errorf(ttrpc.AlreadyExists, "container %s: already exists", id)
	}
	g.tasks[id] = nil
	return nil
}

// put registers a created task. With nil it frees the id.
func (g *Group) put(id string, t *task) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t == nil {
		delete(g.tasks, id)
		return
	}
	g.tasks[id] = t
}

func (g *Group) find(id string) (*task, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t := g.tasks[id]; t != nil {
		return t, nil
	}
	return nil, ttrpc.Errorf(ttrpc.NotFound, "container %s: not found", id)
}

// findProcess returns a task, and its first process or a process of Exec.
func (g *Group) findProcess(id, execID string) (*task, *process, error) {
	t, err := g.find(id)
	if err != nil {
		return nil, nil, err
	}
	p, err := t.process(execID)
	return t, p, err
}

// shutdown ends the group if it has no task. containerd calls it after each Delete.
func (g *Group) shutdown() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.tasks) == 0 && !g.closed {
		g.closed = true
		g.unlisten()
		close(g.over)
	}
}

// enter waits for a slot for a Create or an Exec. leave frees it.
func (g *Group) enter() { g.slots <- struct{}{} }
func (g *Group) leave() { <-g.slots }

// send publishes an event of a task.
func (g *Group) send(topic, name string, m wire.Message) {
	g.publisher.Send("/tasks/"+topic, "containerd.events."+name, m)
}

// warn logs an error that occurred after the answer to the client.
func (g *Group) warn(what string, err error) {
	if err != nil {
		g.log(fmt.Sprintf("%s: %v", what, err))
	}
}

// endTime bounds the waits for processes that have been killed, and for the last output of a
// process.
const endTime = 10 * time.Second
