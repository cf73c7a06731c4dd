package tests

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// redisAddress is the address of redis in both network namespaces.
var redisAddress = [4]byte{10, 77, 0, 2}

// network is a network namespace. A process keeps it until the test ends.
type network struct {
	t    *testing.T
	path string
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET} // no Pdeathsig: it counts threads, and some end here
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return &network{t, fmt.Sprintf("/proc/%d/ns/net", cmd.Process.Pid)}
}

// ip runs the command ip in the namespace.
func (n *network) ip(args string) {
	n.t.Helper()
	out, err := exec.Command("nsenter", append([]string{"--net=" + n.path, "ip"}, strings.Fields(args)...)...).CombinedOutput()
	if err != nil {
		n.t.Fatalf("ip %s: %v: %s", args, err, out)
	}
}

// dial connects to redis from within the namespace.
func (n *network) dial() (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread()
		own, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			done <- result{nil, err}
			return
		}
		defer own.Close()
		conn, err := n.dialHere()
		// A thread that cannot return ends with its goroutine, but for the main thread, whose namespace /proc/self shows.
		if unix.Setns(int(own.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		done <- result{conn, err}
	}()
	r := <-done
	return r.conn, r.err
}

func (n *network) dialHere() (net.Conn, error) {
	ns, err := os.Open(n.path)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "client")
	defer file.Close()
	if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: redisAddress, Port: 6379}); err != nil {
		return nil, err
	}
	return net.FileConn(file)
}

// clients count in redis and check each answer. A client never connects again.
type clients struct {
	t          *testing.T
	operations atomic.Int64
	errors     atomic.Int64
	longest    atomic.Int64 // time between two answers
	stop       atomic.Bool
	all        sync.WaitGroup
}

const clientCount = 8

// begin connects all clients and lets them count.
func (c *clients) begin(from *network) {
	c.t.Helper()
	var conns []net.Conn
	eventually(c.t, "redis accepts connections", func() bool {
		conn, err := from.dial()
		if err == nil {
			conns = append(conns, conn)
		}
		return len(conns) == clientCount
	})
	for i, conn := range conns {
		c.all.Go(func() {
			defer conn.Close()
			if err := c.count(conn, i); err != nil {
				c.errors.Add(1)
				c.t.Errorf("client %d: %v", i, err)
			}
		})
	}
}

func (c *clients) count(conn net.Conn, i int) error {
	answers := bufio.NewReader(conn)
	for n := 1; !c.stop.Load(); n++ {
		began := time.Now()
		conn.SetDeadline(began.Add(time.Minute))
		if _, err := fmt.Fprintf(conn, "INCR client%d\r\n", i); err != nil {
			return err
		}
		said, err := answers.ReadString('\n')
		if err != nil {
			return err
		}
		if want := ":" + strconv.Itoa(n) + "\r\n"; said != want {
			return fmt.Errorf("redis says %q; want %q", said, want)
		}
		c.operations.Add(1)
		for took := int64(time.Since(began)); ; {
			most := c.longest.Load()
			if took <= most || c.longest.CompareAndSwap(most, took) {
				break
			}
		}
	}
	return nil
}

// more waits until the clients have counted further.
func (c *clients) more(n int64) int64 {
	c.t.Helper()
	from := c.operations.Load()
	eventually(c.t, "the clients count", func() bool { return c.errors.Load() > 0 || c.operations.Load() >= from+n })
	return c.operations.Load()
}

// The test moves redis to another network namespace, together with the connections of eight clients.
func TestCheckpointMovesRedis(t *testing.T) {
	onOneLayout(t)
	c := newContainer(t)
	needsCRIU(t, c)
	redisRoot(t, c)
	transcript := newTranscript()
	outside, first, second := newNetwork(t), newNetwork(t), newNetwork(t)
	outside.ip("link add br0 type bridge")
	outside.ip("addr add 10.77.0.1/24 dev br0")
	outside.ip("link set br0 up")
	for name, n := range map[string]*network{"first": first, "second": second} {
		pid := strings.Split(n.path, "/")[2]
		outside.ip("link add " + name + " type veth peer name eth0 address 02:00:00:00:00:02 netns " + pid)
		outside.ip("link set " + name + " master br0")
		n.ip("addr add 10.77.0.2/24 dev eth0")
		n.ip("link set eth0 up")
		n.ip("link set lo up")
	}
	outside.ip("link set first up")

	join := func(n *network) edit {
		return func(s *specs.Spec) {
			for i := range s.Linux.Namespaces {
				if s.Linux.Namespaces[i].Type == specs.NetworkNamespace {
					s.Linux.Namespaces[i].Path = n.path
				}
			}
		}
	}
	c.edit(join(first), func(s *specs.Spec) {
		s.Process.Args = []string{"redis-server", "--save", "", "--protected-mode", "no", "--bind", "10.77.0.2", "--daemonize", "no", "--dir", "/tmp"}
		s.Root.Readonly = false
	})
	c.up()
	work := &clients{t: t}
	defer func() {
		work.stop.Store(true)
		work.all.Wait()
	}()
	work.begin(outside)
	before := work.more(2000)
	transcript.command("onggi checkpoint --image-path /srv/images --tcp-established redis")
	began := time.Now()
	c.must("checkpoint", "--image-path", c.images(), "--tcp-established", c.id)
	transcript.says("%d clients have had %d answers; the images have %d KiB; the dump took %d ms", clientCount, before, sizeOf(t, c.images())>>10, time.Since(began).Milliseconds())
	transcript.command("ip link set first down      # on the bridge")
	outside.ip("link set first down")
	c.edit(join(second))
	transcript.command("onggi restore --bundle /srv/redis --image-path /srv/images --tcp-established --detach redis </dev/null")
	began = time.Now()
	c.must(c.restoreArgs("--detach", "--tcp-established")...)
	transcript.says("the restore took %d ms", time.Since(began).Milliseconds())
	// Before, the namespace would answer a packet for a connection that it does not have yet with a reset.
	transcript.command("ip link set second up")
	outside.ip("link set second up")
	at := work.operations.Load()
	work.more(2000)
	work.stop.Store(true)
	work.all.Wait()
	transcript.says("%d more answers, %d errors, 0 reconnects; the longest wait for an answer was %d ms", work.operations.Load()-at, work.errors.Load(), time.Duration(work.longest.Load()).Milliseconds())
	want(t, "errors", strconv.FormatInt(work.errors.Load(), 10), "0")
	t.Log("\n" + transcript.String())
	if *update {
		transcript.publish(t)
	}
}

// redisRoot fills the root file system of a container with a Debian with redis.
func redisRoot(t *testing.T, c *container) {
	t.Helper()
	archive, err := filepath.Abs("../bin/debian.tar")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(archive); err != nil {
		t.Skip("no redis: make bin/debian.tar")
	}
	for _, program := range []string{"ip", "nsenter"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	if err := os.RemoveAll(c.rootfs); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(c.rootfs, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("tar", "-C", c.rootfs, "-xf", archive).CombinedOutput(); err != nil {
		t.Fatalf("tar: %v: %s", err, out)
	}
	for _, dir := range []string{"dev", "proc", "sys", "tmp"} {
		if err := os.MkdirAll(filepath.Join(c.rootfs, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func sizeOf(t *testing.T, dir string) (total int64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			total += info.Size()
		}
	}
	return total
}

// transcript is a part of docs/checkpoint.md that a test writes.
type transcript struct{ strings.Builder }

func newTranscript() *transcript { return new(transcript) }

func (t *transcript) command(text string) { fmt.Fprintf(t, "    # %s\n", text) }

func (t *transcript) says(format string, args ...any) { fmt.Fprintf(t, "    "+format+"\n", args...) }

func (t *transcript) publish(tb testing.TB) {
	publish(tb, "<!-- redis -->\n", t.String())
}

// publish replaces a part of docs/checkpoint.md between a tag and the end of the part.
func publish(t testing.TB, tag, text string) {
	t.Helper()
	const page, end = "../docs/checkpoint.md", "<!-- end -->\n"
	before, rest, ok := strings.Cut(textOf(t, page), tag)
	_, after, ended := strings.Cut(rest, end)
	if !ok || !ended {
		t.Fatalf("%s has no place for %s", page, tag)
	}
	if err := os.WriteFile(page, []byte(before+tag+"\n"+text+"\n"+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
