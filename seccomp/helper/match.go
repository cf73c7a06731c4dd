package helper

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
)

// Match returns the texts that contain a match of an extended regular expression
// of POSIX.
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

// matched returns the matching texts of a reply to a pattern.
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

// printable returns the printable ASCII characters of a text, at most 256.
func printable(b []byte) string {
	const enough = 256
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, string(b[:min(len(b), enough)]))
}
