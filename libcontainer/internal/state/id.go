package state

import (
	"errors"
	"fmt"
	"strings"
)

// ErrInvalidID is the error for an id that cannot be used.
var ErrInvalidID = errors.New("invalid container ID format")

// maxID is NAME_MAX, because an id is a file name under the root.
const maxID = 255

const idChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+.-"

// ValidID returns an error if id cannot name a container. An id is one path component of
// 1 to 255 letters, digits, "_", "+", "." and "-".
func ValidID(id string) error {
	switch {
	case id == "":
		return fmt.Errorf("%w: it is empty", ErrInvalidID)
	case len(id) > maxID:
		return fmt.Errorf("%w: it has %d bytes; at most %d are allowed", ErrInvalidID, len(id), maxID)
	case id == "." || id == "..":
		return fmt.Errorf("%w: %q is a directory of its own", ErrInvalidID, id)
	}
	if bad := strings.Trim(id, idChars); bad != "" {
		return fmt.Errorf("%w: %q has a character outside [A-Za-z0-9_+.-]", ErrInvalidID, id)
	}
	return nil
}
