package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/options"
	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/ttrpc"
	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/wire"
)

// socketDir is the directory of the servers' sockets. Other shims use it too.
const socketDir = "/run/containerd/s"

// start finds or starts the server of the container's pod, and prints its address.
// containerd reads standard output and standard error together, until both are closed.
// Therefore no warning may be printed, and the server must not inherit the descriptors.
func start(f flags, in io.Reader, out io.Writer) error {
	if f.id == "" {
		return errors.New("-id is missing")
	}
	params, o, err := readParams(f, in)
	if err != nil {
		return err
	}
	group, err := groupOf(f.id)
	if err != nil {
		return err
	}
	dir := socketDir
	if params != nil && params.GetSocketDir() != "" {
		dir = params.GetSocketDir()
	}
	path := filepath.Join(dir, fmt.Sprintf("%x", sha256.Sum256([]byte(f.address+"/"+f.namespace+"/"+group))))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	listener, err := listen(path)
	if err != nil {
		return err
	}
	if listener != nil {
		defer listener.Close()
		if err := startServer(f, params, o, listener); err != nil {
			return errors.Join(err, os.Remove(path))
		}
	}
	return answer(out, params, "unix://"+path)
}

// readParams decodes the standard input: BootstrapParams (containerd 2.3 and later), an Any
// with options, or nothing. An Any also decodes as BootstrapParams, so readParams compares
// the id and the namespace with the flags.
func readParams(f flags, in io.Reader) (*wire.BootstrapParams, options.Options, error) {
	data, err := io.ReadAll(io.LimitReader(in, inputMax))
	if err != nil {
		return nil, options.Options{}, err
	}
	if len(data) == 0 {
		return nil, options.Options{}, nil
	}
	var params wire.BootstrapParams
	if params.UnmarshalVT(data) == nil && params.InstanceId == f.id && params.Namespace == f.namespace {
		o, err := optionsOf(&params)
		return &params, o, err
	}
	var packed wire.Any
	if err := packed.UnmarshalVT(data); err != nil {
		return nil, options.Options{}, fmt.Errorf("standard input holds neither parameters nor options: %w", err)
	}
	o, err := options.Parse(&packed)
	return nil, o, err
}

// optionsOf returns the options among the extensions of params.
func optionsOf(params *wire.BootstrapParams) (options.Options, error) {
	for _, e := range params.Extensions {
		switch v := e.GetValue(); v.GetTypeUrl() {
		case wire.TypeRuncOptions, wire.TypeRuntimeOptions:
			return options.Parse(v)
		}
	}
	return options.Options{}, nil
}

// groupOf returns the name of the container's pod, or the container's id. It reads the
// annotations of the bundle in the working directory.
func groupOf(id string) (string, error) {
	data, err := os.ReadFile("config.json")
	if err != nil {
		return "", err
	}
	var config struct {
		Annotations map[string]string `json:"annotations"`
	}
	if err := json.Unmarshal(data, &config); err != nil {
		return "", fmt.Errorf("config.json: %w", err)
	}
	for _, key := range []string{"io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id"} {
		if name := config.Annotations[key]; name != "" {
			return name, nil
		}
	}
	return id, nil
}

// listen returns a listener for a new server. It returns nil if a server already answers at
// path.
func listen(path string) (*os.File, error) {
	for range 3 {
		listener, err := ttrpc.Listen(path)
		if !errors.Is(err, unix.EADDRINUSE) {
			return listener, err
		}
		conn, err := ttrpc.Dial(path)
		switch {
		case err == nil:
			conn.Close()
			return nil, nil
		case errors.Is(err, unix.ECONNREFUSED): // its server is gone
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				return nil, err
			}
		case errors.Is(err, unix.ENOENT): // its server has ended in between
		default:
			return nil, err
		}
	}
	return nil, fmt.Errorf("%s: servers come and go", path)
}

// listenerFd is the number of the listener's descriptor in a server.
const listenerFd = 3

// startServer starts the server of a pod in the working directory.
func startServer(f flags, params *wire.BootstrapParams, o options.Options, listener *os.File) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	args := []string{self, "-namespace", f.namespace, "-address", f.address, "-id", f.id}
	if f.debug {
		args = append(args, "-debug")
	}
	process, err := os.StartProcess(self, args, &os.ProcAttr{
		Env: environment(f, params), Files: []*os.File{null, null, null, listener}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return err
	}
	if err := settle(process.Pid, o); err != nil {
		_ = process.Kill()
		return err
	}
	return process.Release()
}

// environment returns the caller's environment with the address for events. By default the
// address is that of containerd's gRPC socket with the suffix ".ttrpc".
func environment(f flags, params *wire.BootstrapParams) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GOMAXPROCS=") })
	env = append(env, "GOMAXPROCS=1") // system calls take most of a server's time, and each processor's cache holds memory
	switch {
	case params != nil && params.ContainerdTtrpcAddress != "":
		return append(env, "TTRPC_ADDRESS="+params.ContainerdTtrpcAddress)
	case os.Getenv("TTRPC_ADDRESS") == "" && f.address != "":
		return append(env, "TTRPC_ADDRESS="+f.address+".ttrpc")
	}
	return env
}

// settle moves the server to its cgroup. It also sets an OOM score above containerd's, so
// that the kernel kills the server first.
func settle(pid int, o options.Options) error {
	if o.ShimCgroup != "" {
		if err := enterCgroup(pid, o.ShimCgroup); err != nil {
			return err
		}
	}
	text, err := os.ReadFile("/proc/" + strconv.Itoa(os.Getppid()) + "/oom_score_adj")
	if err != nil {
		return nil // the caller has ended, or is in another pid namespace
	}
	score, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return err
	}
	file := "/proc/" + strconv.Itoa(pid) + "/oom_score_adj"
	if err := os.WriteFile(file, []byte(strconv.Itoa(min(score+1, 1000))), 0); err != nil && !errors.Is(err, os.ErrPermission) {
		return err
	}
	return nil
}

// enterCgroup creates a cgroup in every hierarchy and moves a process to it.
func enterCgroup(pid int, path string) error {
	roots, err := cgroupRoots("/sys/fs/cgroup")
	if err != nil {
		return err
	}
	for _, root := range roots {
		dir := filepath.Join(root, filepath.Join("/", path))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
			return fmt.Errorf("shim_cgroup: %w", err)
		}
	}
	return nil
}

// cgroupRoots returns the roots of the hierarchies below mount. The type of the file system
// decides: a file cgroup.procs can be anybody's.
func cgroupRoots(mount string) ([]string, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(mount, &fs); err != nil {
		return nil, &os.PathError{Op: "statfs", Path: mount, Err: err}
	}
	if fs.Type == unix.CGROUP2_SUPER_MAGIC {
		return []string{mount}, nil
	}
	entries, err := os.ReadDir(mount)
	if err != nil {
		return nil, err
	}
	var roots []string
	for _, e := range entries {
		if e.IsDir() {
			roots = append(roots, filepath.Join(mount, e.Name()))
		}
	}
	return roots, nil
}

// answer prints the address. The form depends on params. containerd before 2.3 expects the
// address alone, and reads it from the file "address" after a restart.
func answer(out io.Writer, params *wire.BootstrapParams, address string) error {
	if params != nil {
		return write(out, &wire.BootstrapResult{Version: 3, Address: address, Protocol: "ttrpc"})
	}
	if err := os.WriteFile("address", []byte(address), 0o600); err != nil {
		return err
	}
	_, err := io.WriteString(out, address)
	return err
}
