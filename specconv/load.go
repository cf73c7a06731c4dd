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

// maxConfig bounds the size of the file that Load reads. Engines write 4 to
// 16 KiB. A file of a thousand times that is a mistake, or an attack on the
// runtime's memory.
const maxConfig = 16 << 20

// Config is a decoded config.json.
type Config struct {
	Spec *specs.Spec
	// Raw is the file's content, byte for byte. The container's state keeps
	// this copy, because the bundle may change after create. It also keeps
	// unknown properties.
	Raw []byte
	// SeccompRaw is the value of linux.seccomp in Raw, or nil. It is the key in
	// the cache of compiled filters.
	SeccompRaw []byte
	// Brief: Spec lacks linux.seccomp.syscalls (see Reparse).
	Brief bool
	// Warnings name the properties that the specification spells differently.
	Warnings []string
}

// Seccomp returns linux.seccomp with all its system calls, or nil.
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

// Load reads and decodes a config.json. It only decodes; [Validate] checks the
// values.
//
// It ignores unknown properties and those of other platforms, as the
// specification requires. A name that differs from a known one only in case is
// taken for that one, with a warning. A property given twice is an error. An
// error is one line; for a malformed file it starts with
// file:line:column.
func Load(file string) (*Config, error) {
	raw, err := readRegular(file)
	if errors.Is(err, fs.ErrNotExist) && filepath.Base(file) == "config.json" { // a bundle's file, not one with another name
		return nil, fmt.Errorf("JSON specification file config.json not found: %w", err)
	}
	if err != nil {
		return nil, err
	}
	return Parse(file, raw)
}

// Parse is Load for bytes in memory. Errors show name as the file. The Config
// refers to raw, which must not change afterwards.
func Parse(name string, raw []byte) (*Config, error) {
	return parse(name, raw, newDecoder(string(raw)))
}

// Reparse is Parse for a text that has passed Parse and Validate before. Two
// thirds of an engine's text are the system calls of its seccomp profile. A
// caller with the compiled filter does not need them, so Reparse skips them.
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
	c.Warnings = d.warnings
	if d.seccomp.end > 0 {
		c.SeccompRaw = raw[d.seccomp.start:d.seccomp.end:d.seccomp.end]
	}
	return c, nil
}

// Decode decodes another document of runtime-spec types, such as the process of
// `exec --process` or the resources of `update --resources`. Its rules and errors
// are those of [Load]. v points to a struct or a slice of structs.
func Decode(name string, raw []byte, v any) error {
	if err := newDecoder(string(raw)).document(v); err != nil {
		return errors.New(name + ":" + err.Error())
	}
	return nil
}

// readRegular reads a whole regular file. It opens without blocking, so a FIFO
// in place of the file causes an error and no hang.
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

// readAll reads to the end of the file. The size is a hint only: the file may
// grow, and files of /proc report 0.
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

// decodeError is a problem in a JSON text, and its position.
type decodeError struct {
	line, column int    // from 1; the column counts characters
	pointer      string // of the value, "" for a syntax error
	message      string
}

// Error returns "line:column: pointer: message". The caller puts the file's name
// and a colon in front.
func (e *decodeError) Error() string {
	s := fmt.Sprintf("%d:%d: ", e.line, e.column)
	if e.pointer != "" {
		s += e.pointer + ": "
	}
	return s + e.message
}

// position returns line and column, from 1, of a byte offset.
func position(text string, offset int) (line, column int) {
	before := text[:offset]
	start := strings.LastIndexByte(before, '\n') + 1
	return 1 + strings.Count(before, "\n"), 1 + utf8.RuneCountInString(before[start:])
}
