package libcontainer

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/hooks"
	"github.com/onggi-dev/onggi/libcontainer/internal/sendfd"
	"github.com/onggi-dev/onggi/seccomp"
	"github.com/onggi-dev/onggi/specconv"
)

// appendHookOutput opens the files that the annotations name for the output of hooks. The
// returned function closes them.
func appendHookOutput(spec *specs.Spec, o *hooks.Options) (func(), error) {
	for _, stream := range []struct {
		annotation string
		file       **os.File
	}{
		{specconv.HooksStdout, &o.Stdout},
		{specconv.HooksStderr, &o.Stderr},
	} {
		path := spec.Annotations[stream.annotation]
		if path == "" {
			continue
		}
		f, err := openAppend(path)
		if err != nil {
			closeHookOutput(o)
			return nil, &Failure{Field: "/annotations/" + stream.annotation, Err: err}
		}
		*stream.file = f
	}
	return func() { closeHookOutput(o) }, nil
}

// openAppend opens a file for appending. It does not wait for the reader of a FIFO:
// without a reader it fails.
func openAppend(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_APPEND|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl(F_SETFL)", err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

func closeHookOutput(o *hooks.Options) {
	for _, f := range []*os.File{o.Stdout, o.Stderr} {
		if f != nil {
			f.Close()
		}
	}
}

// checkUnknown returns an error if libseccomp does not know a system call of the profile,
// and an annotation says that the profile is to fail then.
func checkUnknown(spec *specs.Spec, f seccomp.Filter) error {
	if len(f.Unknown) == 0 || !specconv.On(spec, specconv.SeccompFailUnknownSyscall) {
		return nil
	}
	return &Failure{Field: "/linux/seccomp/syscalls", Err: fmt.Errorf("libseccomp does not know %s", strings.Join(f.Unknown, ", "))}
}

// sendPidfds sends a pidfd of the first process to the sockets that the options and an
// annotation name.
func (c *creation) sendPidfds(ctx context.Context) error {
	for _, socket := range []string{c.o.PidfdSocket, c.config.Spec.Annotations[specconv.PidfdReceiver]} {
		if socket == "" {
			continue
		}
		if err := sendfd.Send(ctx, socket, c.container.first.pidfd, "standard"); err != nil {
			return err
		}
	}
	return nil
}
