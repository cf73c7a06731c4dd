package specconv

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// maxDepth bounds the nesting of a document, as in encoding/json. The decoder is
// recursive, and a document must not exhaust the stack.
const maxDepth = 10000

// decoder decodes JSON into runtime-spec types.
//
// encoding/json would be too slow. Before it reads the first byte, it prepares an
// encoder and a decoder for every type that specs.Spec reaches, including those
// of Windows and Solaris. That takes 1 ms in a process that lives for 8. This
// decoder inspects a type when the document first mentions it. It also tracks its
// position, so an error carries the JSON pointer with its indices.
//
// It supports the kinds of those types: bool, integers, strings, structs
// (embedded ones too), pointers, slices, and maps with string keys.
type decoder struct {
	text    string
	pos     int
	depth   int
	path    []step
	types   map[reflect.Type][]field
	seccomp span // position of the value of type *specs.LinuxSeccomp
	brief   bool // skip its syscalls

	warnings []string // of names that the specification spells differently
}

// step is one token of a JSON pointer: an index, or a name if index is negative.
type step struct {
	name  string
	index int
}

type span struct{ start, end int }

// field is one property of a struct type.
type field struct {
	name  string
	index []int // for reflect.Value.FieldByIndex
}

func newDecoder(text string) *decoder {
	return &decoder{text: text, types: map[reflect.Type][]field{}}
}

// document decodes the whole text into the value that v points to.
func (d *decoder) document(v any) error {
	d.space()
	if err := d.value(reflect.ValueOf(v).Elem()); err != nil {
		return err
	}
	d.space()
	if d.pos < len(d.text) {
		return d.syntax("%s after the end of the document", d.found())
	}
	return nil
}

// value decodes the value at pos. As in encoding/json, null does not change v.
func (d *decoder) value(v reflect.Value) error {
	c := d.peek()
	if c == 'n' {
		return d.literal("null")
	}
	switch v.Kind() {
	case reflect.Pointer:
		return d.pointer(v)
	case reflect.Struct:
		if c != '{' {
			return d.mismatch(v)
		}
		return d.structure(v)
	case reflect.Map:
		if c != '{' {
			return d.mismatch(v)
		}
		return d.mapping(v)
	case reflect.Slice:
		if c != '[' {
			return d.mismatch(v)
		}
		return d.slice(v)
	case reflect.String:
		if c != '"' {
			return d.mismatch(v)
		}
		s, err := d.str()
		v.SetString(s)
		return err
	case reflect.Bool:
		return d.boolean(v)
	}
	return d.integer(v)
}

func (d *decoder) pointer(v reflect.Value) error {
	if v.IsNil() {
		v.Set(reflect.New(v.Type().Elem()))
	}
	start := d.pos
	err := d.value(v.Elem())
	if v.Type() == reflect.TypeFor[*specs.LinuxSeccomp]() {
		d.seccomp = span{start, d.pos}
	}
	return err
}

func (d *decoder) structure(v reflect.Value) error {
	fields := d.fields(v.Type())
	var seen uint64 // no runtime-spec type has more than 64 properties
	return d.object(func(name string, at int) error {
		i := lookup(fields, name)
		if i < 0 {
			i = d.misspelt(fields, name)
		}
		if i < 0 {
			return d.skip()
		}
		if seen&(1<<i) != 0 {
			return d.duplicate(at)
		}
		seen |= 1 << i
		if d.brief && name == "syscalls" && d.peek() == '[' && v.Type() == reflect.TypeFor[specs.LinuxSeccomp]() {
			return d.passOver()
		}
		return d.value(v.FieldByIndex(fields[i].index))
	})
}

func (d *decoder) mapping(v reflect.Value) error {
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	return d.object(func(name string, at int) error {
		key := reflect.ValueOf(name).Convert(v.Type().Key())
		if v.MapIndex(key).IsValid() {
			return d.duplicate(at)
		}
		elem := reflect.New(v.Type().Elem()).Elem()
		if err := d.value(elem); err != nil {
			return err
		}
		v.SetMapIndex(key, elem)
		return nil
	})
}

func (d *decoder) slice(v reflect.Value) error {
	v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	return d.array(func(i int) error {
		if i == v.Cap() {
			v.Grow(max(8, i))
		}
		v.SetLen(i + 1)
		return d.value(v.Index(i))
	})
}

// object iterates over the members of the object at pos. It calls member with the
// name and the position of the name; pos is then at the value.
func (d *decoder) object(member func(name string, at int) error) error {
	return d.members('}', func(int) error {
		at := d.pos
		if d.peek() != '"' {
			return d.syntax("%s where a property name in quotes is expected", d.found())
		}
		name, err := d.str()
		if err != nil {
			return err
		}
		d.space()
		if d.peek() != ':' {
			return d.syntax("%s where \":\" is expected", d.found())
		}
		d.pos++
		d.space()
		d.path = append(d.path, step{name, -1})
		err = member(name, at)
		d.path = d.path[:len(d.path)-1]
		return err
	})
}

// array iterates over the elements of the array at pos.
func (d *decoder) array(element func(i int) error) error {
	return d.members(']', func(i int) error {
		d.path = append(d.path, step{"", i})
		err := element(i)
		d.path = d.path[:len(d.path)-1]
		return err
	})
}

// members iterates over the comma-separated list from the bracket at pos to end.
func (d *decoder) members(end byte, each func(i int) error) error {
	if d.depth++; d.depth > maxDepth {
		return d.syntax("nested more than %d deep", maxDepth)
	}
	defer func() { d.depth-- }()
	d.pos++
	d.space()
	if d.peek() == end {
		d.pos++
		return nil
	}
	for i := 0; ; i++ {
		if err := each(i); err != nil {
			return err
		}
		d.space()
		switch d.peek() {
		case ',':
			d.pos++
			d.space()
		case end:
			d.pos++
			return nil
		default:
			return d.syntax("%s where \",\" or %q is expected", d.found(), string(end))
		}
	}
}

// str decodes the string at pos. Nearly all strings are plain and become part of
// the text without a copy. encoding/json decodes the others.
func (d *decoder) str() (string, error) {
	start, plain := d.pos, true
	for i := start + 1; i < len(d.text); i++ {
		switch c := d.text[i]; {
		case c == '"':
			d.pos = i + 1
			s := d.text[start+1 : i]
			if plain || utf8.ValidString(s) && strings.IndexByte(s, '\\') < 0 {
				return s, nil
			}
			return d.unquote(start)
		case c == '\\':
			plain = false
			i++
		case c < ' ':
			d.pos = i
			return "", d.syntax("control character %q in a string", rune(c))
		case c >= utf8.RuneSelf:
			plain = false
		}
	}
	d.pos = len(d.text)
	return "", d.syntax("unexpected EOF in a string")
}

// unquote resolves the escapes of the string from start to pos.
func (d *decoder) unquote(start int) (string, error) {
	var s string
	err := json.Unmarshal([]byte(d.text[start:d.pos]), &s)
	if e, ok := err.(*json.SyntaxError); ok {
		d.pos = start + int(e.Offset) - 1
		return "", d.syntax("invalid escape in a string")
	}
	return s, err
}

func (d *decoder) boolean(v reflect.Value) error {
	switch d.peek() {
	case 't':
		v.SetBool(true)
		return d.literal("true")
	case 'f':
		v.SetBool(false)
		return d.literal("false")
	}
	return d.mismatch(v)
}

// integer decodes a number that has no fraction or exponent and fits v.
func (d *decoder) integer(v reflect.Value) error {
	start := d.pos
	if c := d.peek(); c != '-' && !digit(c) {
		return d.mismatch(v)
	}
	if err := d.number(); err != nil {
		return err
	}
	lit := d.text[start:d.pos]
	bits := v.Type().Bits()
	if v.CanUint() {
		if n, err := strconv.ParseUint(lit, 10, bits); err == nil {
			v.SetUint(n)
			return nil
		}
	} else if n, err := strconv.ParseInt(lit, 10, bits); err == nil {
		v.SetInt(n)
		return nil
	}
	d.pos = start
	return d.typed("%s where %s is expected", lit, describe(v.Type()))
}

// skip passes over an unused value and checks its syntax only.
func (d *decoder) skip() error {
	switch c := d.peek(); {
	case c == '{':
		return d.object(func(string, int) error { return d.skip() })
	case c == '[':
		return d.array(func(int) error { return d.skip() })
	case c == '"':
		_, err := d.str()
		return err
	case c == 't':
		return d.literal("true")
	case c == 'f':
		return d.literal("false")
	case c == 'n':
		return d.literal("null")
	}
	return d.number()
}

// passOver is a faster skip for an array that is known to be well formed.
func (d *decoder) passOver() error {
	depth := 0
	for i := d.pos; i < len(d.text); i++ {
		switch d.text[i] {
		case '[':
			depth++
		case ']':
			if depth--; depth == 0 {
				d.pos = i + 1
				return nil
			}
		case '"':
			i = endOfString(d.text, i)
		}
	}
	return d.skip() // not well formed: skip returns the error
}

// endOfString returns the position of the quote that closes the string at start.
func endOfString(text string, start int) int {
	for i := start + 1; i < len(text); i++ {
		switch text[i] {
		case '"':
			return i
		case '\\':
			i++
		}
	}
	return len(text)
}

func (d *decoder) literal(s string) error {
	if !strings.HasPrefix(d.text[d.pos:], s) {
		return d.syntax("%s where %s is expected", d.found(), s)
	}
	d.pos += len(s)
	return nil
}

// number passes over a number: -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?
func (d *decoder) number() error {
	start := d.pos
	if d.peek() == '-' {
		d.pos++
	}
	zero := d.peek() == '0'
	if n := d.digits(); n == 0 || zero && n > 1 {
		d.pos = start
		return d.syntax("%s where a value is expected", d.found())
	}
	if d.peek() == '.' {
		d.pos++
		if d.digits() == 0 {
			return d.syntax("%s where a digit is expected", d.found())
		}
	}
	if c := d.peek(); c == 'e' || c == 'E' {
		d.pos++
		if c := d.peek(); c == '+' || c == '-' {
			d.pos++
		}
		if d.digits() == 0 {
			return d.syntax("%s where a digit is expected", d.found())
		}
	}
	return nil
}

func (d *decoder) digits() (n int) {
	for ; digit(d.peek()); n++ {
		d.pos++
	}
	return n
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

func (d *decoder) space() {
	for d.pos < len(d.text) {
		switch d.text[d.pos] {
		case ' ', '\t', '\r', '\n':
			d.pos++
		default:
			return
		}
	}
}

// peek returns the byte at pos, 0 at the end. (A 0 in the text is valid nowhere.)
func (d *decoder) peek() byte {
	if d.pos < len(d.text) {
		return d.text[d.pos]
	}
	return 0
}

// fields returns the properties of a struct type, without those of other
// platforms.
func (d *decoder) fields(t reflect.Type) []field {
	if fields, ok := d.types[t]; ok {
		return fields
	}
	var fields []field
	for i := range t.NumField() {
		f := t.Field(i)
		name, platform := tags(f.Tag)
		switch {
		case platform != "" && !strings.Contains(platform, "linux"):
		case f.Anonymous && name == "":
			for _, sub := range d.fields(f.Type) {
				fields = append(fields, field{sub.name, append([]int{i}, sub.index...)})
			}
		case f.IsExported() && name != "" && name != "-":
			fields = append(fields, field{name, f.Index})
		}
	}
	d.types[t] = fields
	return fields
}

// tags returns the property's name and its platforms, "" for all. It relies on
// the form that gofmt gives to tags. Two calls of StructTag.Get for each field
// took a fifth of the decoder's time.
func tags(t reflect.StructTag) (name, platform string) {
	_, rest, _ := strings.Cut(string(t), `json:"`)
	if end := strings.IndexAny(rest, `,"`); end >= 0 {
		name = rest[:end]
	}
	_, platform, _ = strings.Cut(rest, ` platform:"`)
	return name, platform
}

// misspelt looks for the property that an unknown name is meant for. One that
// differs in case alone is taken, as encoding/json and so runc do; one that is an
// edit away is left out. Both are worth a warning.
func (d *decoder) misspelt(fields []field, name string) int {
	for i := range fields {
		if strings.EqualFold(fields[i].name, name) {
			d.warn("read as %q: names are case-sensitive", fields[i].name)
			return i
		}
	}
	for i := range fields {
		if oneEdit(fields[i].name, name) {
			d.warn("unknown and ignored: %q may be meant", fields[i].name)
			return -1
		}
	}
	return -1
}

func (d *decoder) warn(format string, args ...any) {
	d.warnings = append(d.warnings, d.here()+": "+fmt.Sprintf(format, args...))
}

// oneEdit tells whether one character inserted, left out, replaced, or swapped
// with its neighbour turns a into b. Names of fewer than four are too short to
// tell.
func oneEdit(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(a) < 4 || len(b)-len(a) > 1 {
		return false
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	if len(a) < len(b) {
		return a[i:] == b[i+1:]
	}
	swapped := i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
	return i < len(a) && (a[i+1:] == b[i+1:] || swapped)
}

func lookup(fields []field, name string) int {
	for i := range fields {
		if fields[i].name == name {
			return i
		}
	}
	return -1
}

// found describes the text at pos, for an error.
func (d *decoder) found() string {
	if d.pos >= len(d.text) {
		return "unexpected EOF"
	}
	r, _ := utf8.DecodeRuneInString(d.text[d.pos:])
	return "unexpected " + strconv.Quote(string(r))
}

// mismatch returns the error for a value of the wrong type. For a value that is
// not valid JSON it returns the syntax error instead.
func (d *decoder) mismatch(v reflect.Value) error {
	start := d.pos
	if err := d.skip(); err != nil {
		return err
	}
	d.pos = start
	return d.typed("cannot unmarshal %s where %s is expected", kind(d.peek()), describe(v.Type()))
}

func (d *decoder) duplicate(at int) error {
	d.pos = at
	return d.typed("given twice")
}

func (d *decoder) syntax(format string, args ...any) error {
	line, column := position(d.text, d.pos)
	return &decodeError{line, column, "", fmt.Sprintf(format, args...)}
}

// typed returns an error about the value at the current path.
func (d *decoder) typed(format string, args ...any) error {
	line, column := position(d.text, d.pos)
	return &decodeError{line, column, d.here(), fmt.Sprintf(format, args...)}
}

// here is the path as a JSON pointer.
func (d *decoder) here() string {
	tokens := make([]any, len(d.path))
	for i, s := range d.path {
		tokens[i] = s.name
		if s.index >= 0 {
			tokens[i] = s.index
		}
	}
	return at(tokens...)
}

// kind returns the kind of a JSON value, from its first byte.
func kind(c byte) string {
	switch c {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	}
	return "a number"
}

// describe describes the JSON value that a type expects.
func describe(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice:
		return "an array"
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	}
	bits := uint(t.Bits())
	if strings.HasPrefix(t.Kind().String(), "uint") {
		return fmt.Sprintf("an integer from 0 to %d", uint64(math.MaxUint64)>>(64-bits))
	}
	return fmt.Sprintf("an integer from %d to %d", math.MinInt64>>(64-bits), math.MaxInt64>>(64-bits))
}

// at builds the JSON pointer (RFC 6901) of names and indices. It escapes
// unprintable characters as Go does, so that a key cannot add a line to an error.
func at(tokens ...any) string {
	var b strings.Builder
	for _, t := range tokens {
		b.WriteByte('/')
		switch t := t.(type) {
		case int:
			b.WriteString(strconv.Itoa(t))
		case string:
			if strings.ContainsFunc(t, func(r rune) bool { return !strconv.IsPrint(r) }) {
				quoted := strconv.Quote(t)
				t = quoted[1 : len(quoted)-1]
			}
			b.WriteString(strings.ReplaceAll(strings.ReplaceAll(t, "~", "~0"), "/", "~1"))
		}
	}
	return b.String()
}
