package ruleset

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/seccomp/helper"
)

// Build asks libseccomp for the program of a ruleset.
func Build(ctx context.Context, set *Set) (*Program, error) {
	q := newQuestion(set)
	reply, err := helper.Ask(ctx, q.request())
	if err != nil {
		return nil, fieldError("/linux/seccomp", "%w", err)
	}
	return q.program(reply)
}

// A question is a ruleset in the form of a request: it refers to names by index,
// and each of its rules is for one name and one alternative.
type question struct {
	set   *Set
	names []string          // of all rules, each once
	index map[string]uint32 // of names
	rules []place
}

// A place is the origin of a question's rule in the set.
type place struct{ rule, name, match int }

// newQuestion leaves out the rules that repeat the default action, because
// libseccomp refuses them. Their names stay, since the profile's author knows them.
func newQuestion(set *Set) *question {
	q := &question{set: set, index: make(map[string]uint32)}
	for i, rule := range set.Rules {
		for j, name := range rule.Names {
			if _, ok := q.index[name]; !ok {
				q.index[name] = uint32(len(q.names))
				q.names = append(q.names, name)
			}
			if rule.Action == set.Default {
				continue
			}
			for k := range rule.Match {
				q.rules = append(q.rules, place{i, j, k})
			}
		}
	}
	return q
}

// request returns the question in the layout of package helper.
func (q *question) request() helper.Request {
	var r helper.Request
	r.Number(helper.Filter)
	r.Number(q.set.Default)
	r.Number(uint32(len(q.set.Archs)))
	for _, arch := range q.set.Archs {
		r.Number(arch.Token)
	}
	r.Number(uint32(len(q.names)))
	for _, name := range q.names {
		r.Text(name)
	}
	r.Number(uint32(len(q.rules)))
	for _, at := range q.rules {
		q.rule(&r, at)
	}
	return r
}

func (q *question) rule(r *helper.Request, at place) {
	rule := &q.set.Rules[at.rule]
	r.Number(rule.Action)
	r.Number(q.index[rule.Names[at.name]])
	r.Number(uint32(len(rule.Match[at.match])))
	for _, c := range rule.Match[at.match] {
		r.Number(c.Arg)
		r.Number(c.Op)
		r.Value(c.Value)
		r.Value(c.Two)
	}
}

// program reads a reply. It does not trust the reply: it checks every length, and
// that the kernel could load the program.
func (q *question) program(reply helper.Reply) (*Program, error) {
	const head, number = 16, 4
	body := reply.Body
	if len(body) < head {
		return nil, fieldError("/linux/seccomp", "helper: reply: %d bytes", len(body))
	}
	word := binary.NativeEndian.Uint32
	p := &Program{Library: fmt.Sprintf("%d.%d.%d", word(body), word(body[4:]), word(body[8:]))}
	if reply.Status != helper.Done {
		return nil, q.refusal(reply, p.Library)
	}
	native, body := word(body[12:]), body[head:]
	row := number * len(q.names)
	table := row * (1 + len(q.set.Archs))
	if len(body) < table {
		return nil, fieldError("/linux/seccomp", "helper: reply: %d bytes for %d names", len(body), len(q.names))
	}
	p.Code = body[table:]
	p.Unknown, p.Named = q.read(native, body[:row], body[row:table])
	return p, p.Check()
}

// read reads the table of numbers. -1 is a name that libseccomp does not know.
// Other negative numbers are names that an architecture lacks.
func (q *question) read(native uint32, first, others []byte) (unknown []string, named []Named) {
	known := make([]bool, len(q.names))
	for i, name := range q.names {
		known[i] = numberAt(first, i) != -1
		if !known[i] {
			unknown = append(unknown, name)
		}
	}
	named = []Named{{native, numbers(first, known)}}
	for _, arch := range q.set.Archs {
		if arch.Token != native {
			named = append(named, Named{arch.Token, numbers(others[:len(first)], known)})
		}
		others = others[len(first):]
	}
	return unknown, named
}

func numbers(row []byte, known []bool) []uint32 {
	var list []uint32
	for i := range known {
		if n := numberAt(row, i); known[i] && n >= 0 {
			list = append(list, uint32(n))
		}
	}
	return list
}

func numberAt(row []byte, i int) int32 {
	return int32(binary.NativeEndian.Uint32(row[4*i:]))
}

// refusal returns the error for a ruleset that libseccomp has refused.
func (q *question) refusal(reply helper.Reply, library string) error {
	at, of, err := "/linux/seccomp", "", error(reply.Errno)
	switch i := reply.Index; {
	case reply.Status == helper.BadDefault:
		at += "/defaultAction"
	case reply.Status == helper.BadArchitecture && int64(i) < int64(len(q.set.Archs)):
		at, of = q.set.Archs[i].Pointer, q.set.Archs[i].Name+": "
		err = archError(reply.Errno)
	case reply.Status == helper.BadRule && int64(i) < int64(len(q.rules)):
		rule := &q.set.Rules[q.rules[i].rule]
		name := q.rules[i].name
		at, of = fmt.Sprintf("%s/names/%d", rule.Pointer, name), rule.Names[name]+": "
		err = ruleError(reply.Errno)
	case reply.Status != helper.BadFilter:
		return fieldError("/linux/seccomp", "helper: reply: status %d, index %d", reply.Status, i)
	}
	return fieldError(at, "%slibseccomp %s: %w", of, library, err)
}

func archError(errno unix.Errno) error {
	switch errno {
	case unix.EDOM:
		return errors.New("its byte order is not this machine's")
	case unix.EINVAL:
		return errors.New("it does not have this architecture")
	}
	return errno
}

func ruleError(errno unix.Errno) error {
	if errno == unix.EEXIST {
		return errors.New("an earlier rule has another action for the same arguments")
	}
	return errno
}
