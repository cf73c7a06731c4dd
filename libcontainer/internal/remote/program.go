package remote

import (
	"encoding/binary"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// Program is what execve(2) takes, in memory of the stub that is no batch's.
// Arguments and environment may be larger than a batch: megabytes (execve(2),
// "Limits on size of arguments and environment").
type Program struct {
	name            string
	path, args, env uint64 // addresses
}

// programBase is far from the image, the arena and the stack.
const programBase = 0x40000000

// Load brings a program's arguments and environment into the stub.
func (s *Stub) Load(path string, args, env []string) (*Program, error) {
	p, image := layOut(path, args, env)
	return p, s.load(image, programBase)
}

// layOut puts the two vectors first, for the alignment, and all strings behind
// them.
func layOut(path string, args, env []string) (*Program, []byte) {
	strings := slices.Concat(args, env, []string{path})
	vectors := 8 * (len(args) + 1 + len(env) + 1)
	size := vectors
	for _, s := range strings {
		size += len(s) + 1
	}
	p := &Program{name: path, args: programBase, env: programBase + 8*uint64(len(args)+1)}
	image := make([]byte, vectors, size)
	for i, s := range strings {
		at := programBase + uint64(len(image))
		image = append(append(image, s...), 0)
		switch {
		case i < len(args):
			binary.LittleEndian.PutUint64(image[8*i:], at)
		case i < len(args)+len(env):
			binary.LittleEndian.PutUint64(image[8*(i+1):], at) // behind the NULL of the first
		default:
			p.path = at
		}
	}
	return p, image
}

// Execute replaces the stub with a program that was loaded.
func (b *Batch) Execute(p *Program) Result {
	return b.call("execve", unix.SYS_EXECVE, named(strconv.Quote(p.name), p.path), Hex(p.args), Hex(p.env))
}
