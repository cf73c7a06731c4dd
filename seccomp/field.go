package seccomp

import (
	"errors"
	"fmt"
	"strings"

	"github.com/onggi-dev/onggi/seccomp/internal/ruleset"
)

// FieldError is an error about a field of config.json. Its Field is a JSON pointer.
type FieldError = ruleset.FieldError

func fieldError(field, format string, args ...any) error {
	return &FieldError{Field: field, Err: fmt.Errorf(format, args...)}
}

// joinFields returns one error for several. It is about the field of the first one; the
// text of each other one begins with its field.
func joinFields(list []*FieldError) error {
	if len(list) == 1 {
		return list[0]
	}
	texts := []string{list[0].Err.Error()}
	for _, e := range list[1:] {
		texts = append(texts, e.Error())
	}
	return &FieldError{Field: list[0].Field, Err: errors.New(strings.Join(texts, "; "))}
}
