package libcontainer

import (
	"context"

	"github.com/onggi-dev/onggi/seccomp"
)

// version is the version of the source tree. A release sets it in its own commit.
const version = "0.1.0"

// Version returns the version of this library.
func Version() string { return version }

// SeccompVersion returns the version of libseccomp that compiles seccomp profiles, for example
// "2.5.4". It returns an error if this program has no libseccomp.
func SeccompVersion(ctx context.Context) (string, error) {
	return seccomp.LibraryVersion(ctx)
}
