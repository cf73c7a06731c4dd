package libcontainer

import (
	"os"
)

// stdio is the three standard streams. /dev/null takes the place of missing ones.
type stdio struct {
	files [3]*os.File
	null  *os.File
}

func openStdio(files ...*os.File) (*stdio, error) {
	s := &stdio{}
	copy(s.files[:], files)
	for i, f := range s.files {
		if f != nil {
			continue
		}
		if s.null == nil {
			null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
			if err != nil {
				return nil, err
			}
			s.null = null
		}
		s.files[i] = s.null
	}
	return s, nil
}

func (s *stdio) close() {
	if s.null != nil {
		s.null.Close()
	}
}
