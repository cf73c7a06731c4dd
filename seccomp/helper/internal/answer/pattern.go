//go:build cgo

package answer

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/onggi-dev/onggi/seccomp/helper/internal/wire"
)

// pattern returns the reply to a request with an expression.
func pattern(in *wire.Reader) wire.Reply {
	expression := in.Text()
	var texts []string
	const text = 5 // bytes of the shortest
	for range in.Count(text) {
		texts = append(texts, in.Text())
	}
	if !in.Complete() {
		return wire.Reply{Status: wire.BadRequest}
	}
	re, err := compile(expression)
	if err != nil {
		return wire.Reply{Status: wire.BadPattern, Body: []byte(err.Error())}
	}
	matches := make([]uint32, len(texts))
	for i, text := range texts {
		if re.MatchString(text) {
			matches[i] = 1
		}
	}
	return wire.Reply{Body: numbers(matches...)}
}

// compile compiles an extended regular expression of POSIX (IEEE Std 1003.1,
// Base Definitions, 9.4). Other runtimes use regcomp(3) of the C library. Package
// regexp reads a few expressions differently: the walk below refuses those, or
// rewrites them so that both agree.
func compile(expression string) (*regexp.Regexp, error) {
	w := walk{rest: expression}
	for w.rest != "" && w.err == nil {
		w.element()
	}
	if w.err != nil {
		return nil, w.err
	}
	re, err := regexp.CompilePOSIX(w.out.String())
	if e := (*syntax.Error)(nil); errors.As(err, &e) {
		return nil, errors.New(e.Code.String())
	}
	return re, err
}

// A walk goes through an expression, element by element, and writes it again.
type walk struct {
	rest   string
	out    strings.Builder
	anchor bool // the last element was an anchor
	err    error
}

func (w *walk) copy(n int) {
	w.out.WriteString(w.rest[:n])
	w.rest = w.rest[n:]
}

func (w *walk) refuse(format string, args ...any) {
	w.err = fmt.Errorf(format, args...)
}

func (w *walk) element() {
	after := w.anchor
	w.anchor = false
	switch c := w.rest[0]; c {
	case '\\':
		w.escape()
	case '[':
		w.bracket()
	case '^', '$':
		w.anchor = true
		w.copy(1)
	case '*', '+', '?', '{':
		if after { // regcomp reads an ordinary character here
			w.refuse("%c after an anchor repeats nothing; \\%c is the character", c, c)
			return
		}
		w.repetition()
	default:
		w.copy(1)
	}
}

// escape copies an escape that POSIX defines, or escaped punctuation. regcomp has
// the extensions \< \> \` \' and letters, and package regexp has other letters;
// escape refuses them all.
func (w *walk) escape() {
	if len(w.rest) == 1 {
		w.refuse("a trailing backslash")
		return
	}
	if c := w.rest[1]; !strings.ContainsRune("!\"#$%&()*+,-./:;=?@[\\]^_{|}~", rune(c)) {
		w.refuse("POSIX has no %q", w.rest[:2])
		return
	}
	w.copy(2)
}

var interval = regexp.MustCompile(`^\{[0-9]+(,[0-9]*)?\}`)

// repetition copies an operator, or an interval if it is complete. POSIX does not
// define another {, and regcomp and package regexp differ.
func (w *walk) repetition() {
	n := 1
	if w.rest[0] == '{' {
		n = len(interval.FindString(w.rest))
	}
	if n == 0 {
		w.refuse(`{ begins no interval; \{ is the character`)
		return
	}
	w.copy(n)
}

var classes = []string{"alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "xdigit"}

// bracket copies a bracket expression, in which a backslash is an ordinary character.
func (w *walk) bracket() {
	w.copy(1)
	if strings.HasPrefix(w.rest, "^") {
		w.copy(1)
	}
	if strings.HasPrefix(w.rest, "]") {
		w.copy(1)
	}
	for w.err == nil {
		switch {
		case w.rest == "":
			w.refuse("missing closing ]")
		case w.rest[0] == ']':
			w.copy(1)
			return
		case w.rest[0] == '\\':
			w.out.WriteByte('\\')
			w.copy(1)
		case strings.HasPrefix(w.rest, "[=") || strings.HasPrefix(w.rest, "[."):
			w.refuse("%s in brackets: collating elements and equivalence classes are not supported", w.rest[:2])
		case strings.HasPrefix(w.rest, "[:"):
			w.class()
		default:
			w.copy(1)
		}
	}
}

func (w *walk) class() {
	name, _, closed := strings.Cut(w.rest[2:], ":]")
	if !closed || !slices.Contains(classes, name) {
		w.refuse("POSIX has no character class [:%s:]", name)
		return
	}
	w.copy(len("[:" + name + ":]"))
}
