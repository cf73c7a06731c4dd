package specconv

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"unicode/utf8"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// maxConfig bounds what Load reads. Engines write 4 to 16 KiB; a file a
// thousand times that is a mistake or an attack on the runtime's memory.
const maxConfig = 16 << 20

// Config is a decoded config.json.
type Config struct {
	Spec *specs.Spec
	// Raw is the file's content, byte for byte. The container's state keeps
	// this copy: the bundle may change after create, and unknown properties
	// must survive.
	Raw []byte
	// SeccompRaw is the part of Raw that is the value of linux.seccomp, nil
	// where there is none: the key under which a compiled filter is cached.
	SeccompRaw []byte
	// Brief: linux.seccomp.syscalls is not in Spec (see Reparse).
	Brief bool
}

// Seccomp is linux.seccomp with all its system calls, nil where there is none.
func (c *Config) Seccomp() (*specs.LinuxSeccomp, error) {
	if c.Spec.Linux == nil || c.Spec.Linux.Seccomp == nil || !c.Brief {
		return c.profile(), nil
	}
	var s specs.LinuxSeccomp
	return &s, Decode("/linux/seccomp", c.SeccompRaw, &s)
}

func (c *Config) profile() *specs.LinuxSeccomp {
	if c.Spec.Linux == nil {
		return nil
	}
	return c.Spec.Linux.Seccomp
}

// Load reads and decodes a config.json. It decodes only: what the values mean
// is checked by [Validate].
//
// Unknown properties and those of other platforms are ignored, as the
// specification asks; names are case-sensitive, and a property given twice is
// an error. An error is one line; for a malformed file it starts with
// file:line:column.
func Load(file string) (*Config, error) {
	raw, err := readRegular(file)
	if errors.Is(err, fs.ErrNotExist) && filepath.Base(file) == "config.json" { // not one that was named on its own
		return nil, fmt.Errorf("JSON specification file config.json not found: %w", err)
	}
	if err != nil {
		return nil, err
	}
	return Parse(file, raw)
}

// Parse is Load for bytes that are already in memory; name stands in for the
// file in errors. The Config refers to raw, which must not change afterwards.
func Parse(name string, raw []byte) (*Config, error) {
	return parse(name, raw, newDecoder(string(raw)))
}

// Reparse is Parse for a text that has passed Parse and Validate before. Two
// thirds of what an engine writes are the system calls of its seccomp profile,
// and who has the compiled filter does not need them: they are passed over.
func Reparse(name string, raw []byte) (*Config, error) {
	d := newDecoder(string(raw))
	d.brief = true
	return parse(name, raw, d)
}

func parse(name string, raw []byte, d *decoder) (*Config, error) {
	c := &Config{Spec: new(specs.Spec), Raw: raw, Brief: d.brief}
	if err := d.document(c.Spec); err != nil {
		return nil, errors.New(name + ":" + err.Error())
	}
	if d.seccomp.end > 0 {
		c.SeccompRaw = raw[d.seccomp.start:d.seccomp.end:d.seccomp.end]
	}
	return c, nil
}

// Decode decodes another document made of runtime-spec types, such as the
// process of `exec --process` or the resources of `update --resources`, by the
// rules and with the errors of [Load]. v points to a struct or a slice of structs.
func Decode(name string, raw []byte, v any) error {
	if err := newDecoder(string(raw)).document(v); err != nil {
		return errors.New(name + ":" + err.Error())
	}
	return nil
}

// readRegular reads a whole regular file. It opens without blocking, so that a
// FIFO in place of the file is an error and not a hang.
func readRegular(file string) ([]byte, error) {
	fd, err := unix.Open(file, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: file, Err: err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, &fs.PathError{Op: "fstat", Path: file, Err: err}
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return nil, &fs.PathError{Op: "read", Path: file, Err: unix.EISDIR}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("read %s: not a regular file", file)
	}
	if st.Size > maxConfig {
		return nil, fmt.Errorf("read %s: %d bytes, more than the limit of %d", file, st.Size, maxConfig)
	}
	return readAll(fd, file, int(st.Size))
}

// readAll reads to the end of the file. The size is a hint: the file may be
// growing, and files of /proc say 0.
func readAll(fd int, file string, size int) ([]byte, error) {
	buf := make([]byte, 0, max(size+1, 4096))
	for {
		n, err := unix.Read(fd, buf[len(buf):cap(buf)])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return nil, &fs.PathError{Op: "read", Path: file, Err: err}
		case n == 0:
			return buf, nil
		}
		buf = buf[:len(buf)+n]
		if len(buf) > maxConfig {
			return nil, fmt.Errorf("read %s: more than the limit of %d bytes", file, maxConfig)
		}
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
	}
}

// decodeError is what is wrong with a JSON text, and where.
type decodeError struct {
	line, column int    // from 1; the column counts characters
	pointer      string // of the value, "" where only the syntax is wrong
	message      string
}

// Error prints "line:column: pointer: message"; the caller puts the file's
// name and a colon before it.
func (e *decodeError) Error() string {
	s := fmt.Sprintf("%d:%d: ", e.line, e.column)
	if e.pointer != "" {
		s += e.pointer + ": "
	}
	return s + e.message
}

// position gives line and column, from 1, of a byte offset.
func position(text string, offset int) (line, column int) {
	before := text[:offset]
	start := strings.LastIndexByte(before, '\n') + 1
	return 1 + strings.Count(before, "\n"), 1 + utf8.RuneCountInString(before[start:])
}
