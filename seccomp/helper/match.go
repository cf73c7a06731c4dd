package helper

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
)

// Match returns those of the texts that an extended regular expression of POSIX
// matches anywhere.
func Match(ctx context.Context, expression string, texts []string) ([]string, error) {
	r := Request{}
	r.Number(Pattern)
	r.Text(expression)
	r.Number(uint32(len(texts)))
	for _, text := range texts {
		r.Text(text)
	}
	reply, err := Ask(ctx, r)
	if err != nil {
		return nil, err
	}
	return matched(expression, texts, reply)
}

// matched reads the reply to a pattern.
func matched(expression string, texts []string, reply Reply) ([]string, error) {
	switch {
	case reply.Status == BadPattern:
		return nil, fmt.Errorf("regular expression %q: %s", expression, printable(reply.Body))
	case reply.Status != Done || len(reply.Body) != 4*len(texts):
		return nil, fmt.Errorf("helper: reply: status %d, %d bytes for %d texts", reply.Status, len(reply.Body), len(texts))
	}
	var list []string
	for i, text := range texts {
		if binary.NativeEndian.Uint32(reply.Body[4*i:]) != 0 {
			list = append(list, text)
		}
	}
	return list, nil
}

// printable is the ASCII text that bytes should be, without the other bytes.
func printable(b []byte) string {
	const enough = 256
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, string(b[:min(len(b), enough)]))
}
