// Package packages tests the packages that `make packages` makes.
//
//	make packages && go test ./tests/packages     as root
//
// The install test works in a Debian with nothing but its essential packages, in a mount namespace of its own. The tree is
// made once by mmdebstrap, and stays in tests/.cache. The other test builds everything twice, in two directories.
package packages
