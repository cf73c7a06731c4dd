package cgroup

import "fmt"

// FieldError is an error about a field of config.json.
type FieldError struct {
	Field string // JSON pointer
	Err   error
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Err.Error() }

// Unwrap returns the error without the field.
func (e *FieldError) Unwrap() error { return e.Err }

func fieldError(field, format string, args ...any) error {
	return &FieldError{field, fmt.Errorf(format, args...)}
}

// SplitField returns the field of config.json that err is about, and the error without it.
// The field is "" if err is about none, or about more than a field. Of several errors,
// the first one decides.
func SplitField(err error) (field string, rest error) {
	switch e := err.(type) {
	case *FieldError:
		return e.Field, e.Err
	case *FileError:
		bare := *e
		bare.Field = ""
		return e.Field, &bare
	case *joined:
		field, first := SplitField(e.errs[0])
		return field, &joined{append([]error{first}, e.errs[1:]...)}
	}
	return "", err
}
