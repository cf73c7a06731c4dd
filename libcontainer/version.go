package libcontainer

import (
	"context"

	"github.com/onggi-dev/onggi/seccomp"
)

// version is that of the source tree; a release sets it in its commit.
const version = "0.1.0-dev"

// Version is the version of this library.
func Version() string { return version }

// SeccompVersion is the version of libseccomp that seccomp profiles are
// compiled with, "2.5.4"; an error if there is none in this program.
func SeccompVersion(ctx context.Context) (string, error) {
	return seccomp.LibraryVersion(ctx)
}
