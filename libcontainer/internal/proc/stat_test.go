package proc

import (
	"errors"
	"os"
	"strings"
	"testing"
)

const plain = "42 (cat) S 7 42 42 0 -1 4194560 90 0 0 0 0 0 0 0 20 0 1 0 12345 2600960 223 18446744073709551615"

func TestParseStat(t *testing.T) {
	tests := []struct {
		name, line string
		want       Stat
		ok         bool
	}{
		{"plain", plain, Stat{42, "cat", 'S', 7, 12345, 4194560, 0}, true},
		{"name like the rest", strings.Replace(plain, "cat", "x) R 1 (y", 1), Stat{42, "x) R 1 (y", 'S', 7, 12345, 4194560, 0}, true},
		{"newline in the name", strings.Replace(plain, "cat", "a\nb", 1), Stat{42, "a\nb", 'S', 7, 12345, 4194560, 0}, true},
		{"empty name", strings.Replace(plain, "cat", "", 1), Stat{42, "", 'S', 7, 12345, 4194560, 0}, true},
		{"empty", "", Stat{}, false},
		{"no name", "42 cat S 1", Stat{}, false},
		{"parentheses turned round", "42 )(" + plain[8:], Stat{}, false},
		{"cut off", plain[:30], Stat{}, false},
		{"pid is no number", "x" + plain, Stat{}, false},
		{"start time is no number", strings.Replace(plain, "12345", "-1", 1), Stat{}, false},
		{"long state", strings.Replace(plain, ") S", ") SS", 1), Stat{}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseStat([]byte(tt.line))
			if got != tt.want || (err == nil) != tt.ok {
				t.Errorf("ParseStat(%q) = %+v, %v; want %+v, ok %v", tt.line, got, err, tt.want, tt.ok)
			}
		})
	}
}

func TestReadStat(t *testing.T) {
	st, err := ReadStat(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if st.Pid != os.Getpid() || st.PPid != os.Getppid() || st.StartTime == 0 {
		t.Errorf("ReadStat(self) = %+v; want pid %d, ppid %d", st, os.Getpid(), os.Getppid())
	}
	if _, err := ReadStat(1 << 30); !errors.Is(err, ErrGone) {
		t.Errorf("ReadStat(1<<30) = %v; want ErrGone", err)
	}
}

func TestBootID(t *testing.T) {
	id, err := BootID()
	if err != nil || len(id) != 36 {
		t.Errorf("BootID() = %q, %v; want 36 characters", id, err)
	}
}

// A parsed line can be printed and parsed again with the same result.
func FuzzParseStat(f *testing.F) {
	f.Add([]byte(plain))
	f.Add([]byte("1 () Z 0"))
	f.Add([]byte(")("))
	f.Fuzz(func(t *testing.T, line []byte) {
		st, err := ParseStat(line)
		if err != nil {
			if st != (Stat{}) {
				t.Errorf("ParseStat(%q) = %+v with error %v", line, st, err)
			}
			return
		}
		if again, err := ParseStat(format(st)); err != nil || again != st {
			t.Errorf("ParseStat(%q) = %+v, %v; want %+v", format(st), again, err, st)
		}
	})
}
