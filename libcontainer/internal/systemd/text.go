package systemd

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The text format of GVariant (its specification, "GVariant Text Format"), for the
// types of unit properties: no dictionaries, no variants.

var errText = errors.New("not GVariant text")

// keywordType returns the type that a keyword before a value stands for.
func keywordType(word string) string {
	switch word {
	case "boolean":
		return "b"
	case "byte":
		return "y"
	case "int16":
		return "n"
	case "uint16":
		return "q"
	case "int32":
		return "i"
	case "uint32":
		return "u"
	case "int64":
		return "x"
	case "uint64":
		return "t"
	case "double":
		return "d"
	case "string":
		return "s"
	case "objectpath":
		return "o"
	case "signature":
		return "g"
	}
	return ""
}

// parser reads one text. It keeps the first error.
type parser struct {
	rest  string
	depth int
	err   error
}

func parseText(text string) (Variant, error) {
	p := parser{rest: text}
	v := p.value("")
	if p.space(); p.rest != "" {
		p.fail("%q behind the value", p.rest)
	}
	return v, p.err
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("%w: %s", errText, fmt.Sprintf(format, args...))
	}
	p.rest = ""
}

func (p *parser) space() { p.rest = strings.TrimLeft(p.rest, " \t\n") }

// accept consumes a mark if it comes next.
func (p *parser) accept(mark string) bool {
	p.space()
	rest, ok := strings.CutPrefix(p.rest, mark)
	if ok {
		p.rest = rest
	}
	return ok
}

func (p *parser) expect(mark string) {
	if !p.accept(mark) {
		p.fail("no %q before %q", mark, p.rest)
	}
}

// word consumes the text up to a delimiter.
func (p *parser) word() string {
	n := strings.IndexAny(p.rest, " \t\n,()[]")
	if n < 0 {
		n = len(p.rest)
	}
	word := p.rest[:n]
	p.rest = p.rest[n:]
	return word
}

// maxDepth bounds nested values.
const maxDepth = 16

// value reads one value of type t, or of any type if t is "".
func (p *parser) value(t string) Variant {
	if p.depth++; p.depth > maxDepth {
		p.fail("too deep")
	}
	defer func() { p.depth-- }()
	p.space()
	switch {
	case p.rest == "":
		p.fail("no value")
		return Variant{}
	case p.accept("@"):
		return p.typed()
	case p.accept("["):
		return p.array(t)
	case p.accept("("):
		return p.tuple(t)
	case p.rest[0] == '\'' || p.rest[0] == '"':
		return p.text(t)
	}
	word := p.word()
	if kt := keywordType(word); kt != "" {
		v := p.value(kt)
		return p.of(t, kt, v.Value)
	}
	return p.scalar(t, word)
}

// of checks the type against the wanted one, if there is one.
func (p *parser) of(wanted, t string, v any) Variant {
	if wanted != "" && wanted != t {
		p.fail("type %s where %s is wanted", t, wanted)
	}
	return Variant{t, v}
}

// typed reads "@au [1, 2]" behind the "@".
func (p *parser) typed() Variant {
	n, ok := typeEnd(p.rest, 0)
	if !ok {
		p.fail("no type before %q", p.rest)
		return Variant{}
	}
	t := p.rest[:n]
	p.rest = p.rest[n:]
	return p.value(t)
}

// typeEnd is typeLen for a signature that may be invalid.
func typeEnd(sig string, depth int) (int, bool) {
	if sig == "" || depth > maxDepth {
		return 0, false
	}
	switch c := sig[0]; {
	case strings.ContainsRune("ybnqiuxtdsog", rune(c)):
		return 1, true
	case c == 'a':
		n, ok := typeEnd(sig[1:], depth+1)
		return n + 1, ok
	case c != '(':
		return 0, false
	}
	n := 1
	for n < len(sig) && sig[n] != ')' {
		m, ok := typeEnd(sig[n:], depth+1)
		if !ok {
			return 0, false
		}
		n += m
	}
	return n + 1, n > 1 && n < len(sig)
}

func (p *parser) text(t string) Variant {
	quote := p.rest[0]
	var b strings.Builder
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == quote:
			p.rest = p.rest[i+1:]
			if t == "o" || t == "g" {
				return Variant{t, b.String()}
			}
			return p.of(t, "s", b.String())
		case c == '\\' && i+1 < len(p.rest):
			i++
			b.WriteByte(unescape(p.rest[i]))
		default:
			b.WriteByte(c)
		}
	}
	p.fail("no end of %s", p.rest)
	return Variant{}
}

func unescape(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 't':
		return '\t'
	}
	return c
}

// scalar reads a number or a truth value.
func (p *parser) scalar(t, word string) Variant {
	if word == "true" || word == "false" {
		return p.of(t, "b", word == "true")
	}
	if t == "" {
		t = "i"
		if strings.ContainsAny(word, ".eE") && !strings.HasPrefix(word, "0x") {
			t = "d"
		}
	}
	v, err := number(t, word)
	if err != nil {
		p.fail("%q is not of type %s", word, t)
	}
	return Variant{t, v}
}

func number(t, word string) (any, error) {
	signed := func(bits int) (int64, error) { return strconv.ParseInt(word, 0, bits) }
	unsigned := func(bits int) (uint64, error) { return strconv.ParseUint(word, 0, bits) }
	switch t {
	case "y":
		n, err := unsigned(8)
		return byte(n), err
	case "n":
		n, err := signed(16)
		return int16(n), err
	case "q":
		n, err := unsigned(16)
		return uint16(n), err
	case "i":
		n, err := signed(32)
		return int32(n), err
	case "u":
		n, err := unsigned(32)
		return uint32(n), err
	case "x":
		return signed(64)
	case "t":
		return unsigned(64)
	case "d":
		return strconv.ParseFloat(word, 64)
	}
	return nil, errText
}

// array reads "[1, 2]" behind the "[". The first element decides the type of the
// others.
func (p *parser) array(t string) Variant {
	element := ""
	if t != "" {
		if t[0] != 'a' {
			p.fail("an array where %s is wanted", t)
			return Variant{}
		}
		element = t[1:]
	}
	all := []any{}
	for !p.accept("]") && p.err == nil {
		if len(all) > 0 {
			p.expect(",")
		}
		v := p.value(element)
		element = v.Type
		all = append(all, v.Value)
	}
	if element == "" {
		p.fail("an empty array without a type")
	}
	return Variant{"a" + element, all}
}

// tuple reads "(1, 'a')" behind the "(".
func (p *parser) tuple(t string) Variant {
	types, members := "", ""
	if t != "" {
		if t[0] != '(' {
			p.fail("a tuple where %s is wanted", t)
			return Variant{}
		}
		members = t[1 : len(t)-1]
	}
	var all []any
	for !p.accept(")") && p.err == nil {
		if len(all) > 0 {
			if p.expect(","); p.accept(")") {
				break // of one member: "(1,)"
			}
		}
		wanted := ""
		if members != "" {
			n, _ := typeEnd(members, 0)
			wanted, members = members[:n], members[n:]
		}
		v := p.value(wanted)
		types += v.Type
		all = append(all, v.Value)
	}
	if len(all) == 0 {
		p.fail("an empty tuple")
	}
	return p.of(t, "("+types+")", all)
}
