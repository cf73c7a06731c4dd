package remote

import (
	"encoding/binary"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// Program is the arguments of an execve(2) in the stub's memory, outside of any batch.
// Arguments and environment may be megabytes, larger than a batch (execve(2), "Limits
// on size of arguments and environment").
type Program struct {
	name            string
	path, args, env uint64 // addresses
}

// programBase is far from the image, the arena and the stack.
const programBase = 0x40000000

// Load loads a program's path, arguments and environment into the stub.
func (s *Stub) Load(path string, args, env []string) (*Program, error) {
	p, image := layOut(path, args, env)
	return p, s.load(image, programBase)
}

// layOut returns the memory image of a program. The two vectors come first, because they
// need alignment. All strings follow.
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
			binary.NativeEndian.PutUint64(image[8*i:], at)
		case i < len(args)+len(env):
			binary.NativeEndian.PutUint64(image[8*(i+1):], at) // after the NULL of the first vector
		default:
			p.path = at
		}
	}
	return p, image
}

// Execute replaces the stub by a loaded program.
func (b *Batch) Execute(p *Program) Result {
	return b.call("execve", unix.SYS_EXECVE, named(strconv.Quote(p.name), p.path), Hex(p.args), Hex(p.env))
}
