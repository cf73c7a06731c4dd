package tests

import (
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestAMissingWorkingDirectoryOfAReadOnlyRootIsMade(t *testing.T) {
	c := newContainer(t, args("pwd"), func(s *specs.Spec) {
		s.Root.Readonly = true
		s.Process.Cwd = "/srv/new/dir"
	})
	want(t, "output", c.output(), "/srv/new/dir")
}
