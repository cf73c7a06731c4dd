package libcontainer_test

import (
	"context"
	"fmt"
	"os"

	"github.com/onggi-dev/onggi/libcontainer"
	"github.com/onggi-dev/onggi/specconv"
)

// run creates a container from the root file system at path, starts it, and returns the exit status of its program. Any
// program can do that: it needs no call in main, and nothing is left behind.
func run(root, path string, args ...string) (int, error) {
	ctx := context.Background()
	runtime, err := libcontainer.New(libcontainer.Options{Root: root})
	if err != nil {
		return 0, err
	}
	spec := specconv.Example()
	spec.Root.Path = path
	spec.Process.Terminal = false
	spec.Process.Args = args

	id := fmt.Sprintf("example-%d", os.Getpid())
	container, err := runtime.Create(ctx, id, libcontainer.CreateOptions{Spec: spec, Stdout: os.Stdout, Stderr: os.Stderr})
	if err != nil {
		return 0, err
	}
	defer container.Delete(ctx, true)
	if err := container.Start(ctx); err != nil {
		return 0, err
	}
	return container.Wait(ctx)
}

func Example() {
	status, err := run("/run/example", "/srv/rootfs", "sh", "-c", "echo hello, $HOSTNAME")
	fmt.Println(status, err)
}
