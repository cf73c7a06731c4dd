package remote

import (
	"encoding/binary"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// FD is a descriptor in the stub's table. It is one of the files that the stub was
// started with, or the result of a call in a batch. In the second case the runtime
// side knows its number once the batch is done; until then the stub itself uses the
// result of the call.
type FD struct {
	name  string   // for error messages: "rootfs", "/proc"
	n     int      // the number; -1: not known yet; Gone
	batch *content // the batch that opens it, while n is not known
	call  int      // index of the call that opens it
	off   int      // offset of its number in the batch's reply
	// context marks a file system context of fsopen(2) or fspick(2).
	context bool
}

// Inherited returns a descriptor that the stub was started with.
func Inherited(n int, name string) *FD { return &FD{name: name, n: n} }

// Number returns the descriptor's number in the stub, or -1 while it is not known.
func (f *FD) Number() int { return f.n }

// cwd is AT_FDCWD: a path relative to the stub's working directory.
var cwd = &FD{name: "cwd", n: -100}

// Cwd returns the descriptor for AT_FDCWD.
func Cwd() *FD { return cwd }

type argKind uint8

const (
	argValue  argKind = iota // the value itself
	argFD                    // a descriptor: its number, or a load of the result of its call
	argData                  // address of bytes in the batch's data
	argReply                 // address of bytes in the reply
	argResult                // address of an earlier call's result
	argLoad                  // an earlier call's result
	argLow                   // address of the low 32 bits of an earlier call's result
	argBehind                // address of the arena's first page after the batch
	argFree                  // number of bytes from that page to the arena's end
)

// Arg is one argument of a call, with its printed form. Arguments are decoded only
// when a call is printed, which happens after failures and in traces.
type Arg struct {
	kind  argKind
	show  show
	value uint64 // the value, the offset in the data or the reply, or the index of a call
	of    any    // *FD, *flagSet with the names of the value's bits, string to print, or nil
}

// fd returns the descriptor of an argFD, nil for NULL.
func (a *Arg) fd() *FD {
	fd, _ := a.of.(*FD)
	return fd
}

// show is how a value or a structure is printed.
type show uint8

const (
	showDecimal show = iota
	showOctal
	showHex
	showString    // a string, in quotes
	showText      // Arg.of
	showOpenHow   // struct open_how
	showMountAttr // struct mount_attr
	showCaps      // two struct __user_cap_data_struct
)

// Int is a number, printed in decimal.
func Int[T ~int | ~int32 | ~int64 | ~uint | ~uint32 | ~uint64 | ~uintptr](v T) Arg {
	return Arg{value: uint64(v)}
}

// Hex is a number, printed in hexadecimal.
func Hex(v uint64) Arg { return Arg{value: v, show: showHex} }

// Mode is a file mode, printed in octal.
func Mode(v uint32) Arg { return Arg{value: uint64(v), show: showOctal} }

func fdArg(f *FD) Arg { return Arg{kind: argFD, of: f} }

// flagSet names the bits of a flags argument.
type flagSet struct {
	bits  []uint64
	names []string
}

func (s *flagSet) arg(v uint64) Arg { return Arg{value: v, of: s} }

// formatArg prints the argument like strace.
func (b *content) formatArg(a *Arg) string {
	switch a.kind {
	case argFD:
		return a.fd().format()
	case argReply, argResult, argLoad, argLow, argBehind, argFree:
		return "&"
	case argData:
		return b.formatData(a)
	}
	switch of := a.of.(type) {
	case string:
		return of
	case *flagSet:
		return of.format(a.value)
	}
	switch {
	case a.show == showOctal && a.value != 0:
		return "0" + strconv.FormatUint(a.value, 8)
	case a.show == showHex:
		return "0x" + strconv.FormatUint(a.value, 16)
	}
	return strconv.FormatInt(int64(a.value), 10)
}

func (b *content) formatData(a *Arg) string {
	at := b.data[a.value:]
	word := func(i int) uint64 { return binary.NativeEndian.Uint64(at[8*i:]) }
	switch a.show {
	case showString:
		return strconv.Quote(unix.ByteSliceToString(at))
	case showText:
		return a.of.(string)
	case showOpenHow:
		return "{" + openFlags.format(word(0)) + ", " + resolveFlags.format(word(2)) + "}"
	case showMountAttr:
		return "{set " + attrFlags.format(word(0)) + ", clear " + attrFlags.format(word(1)) + ", " + propagationFlags.format(word(2)) + "}"
	case showCaps:
		half := func(i int) uint64 { return uint64(binary.NativeEndian.Uint32(at[4*i:])) }
		set := func(i int) string { return Hex16(half(i) | half(i+3)<<32) }
		return "{effective " + set(0) + ", permitted " + set(1) + ", inheritable " + set(2) + "}"
	}
	return "&{…}"
}

func (f *FD) format() string {
	switch {
	case f == nil:
		return "NULL"
	case f.n == -100:
		return "AT_FDCWD"
	case f.name != "":
		return "<" + f.name + ">"
	}
	return strconv.Itoa(f.n)
}

func (s *flagSet) format(v uint64) string {
	if v == 0 {
		return "0"
	}
	var out []string
	for i, b := range s.bits {
		if b != 0 && v&b == b {
			out = append(out, s.names[i])
			v &^= b
		}
	}
	if v != 0 {
		out = append(out, "0x"+strconv.FormatUint(v, 16))
	}
	return strings.Join(out, "|")
}

// IsContext reports whether fsopen(2) or fspick(2) returned the descriptor.
func (f *FD) IsContext() bool { return f.context }

// SetName sets the descriptor's name in error messages.
func (f *FD) SetName(name string) { f.name = name }
