package startlimit_test

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/libcontainer/internal/startlimit"
)

const printEnv = "ONGGI_TEST_STARTLIMIT"

func TestMain(m *testing.M) {
	if os.Getenv(printEnv) != "" {
		var now unix.Rlimit
		if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, nil, &now); err != nil {
			fmt.Println(err)
		}
		fmt.Println(startlimit.NoFile().Soft, startlimit.NoFile().Hard, now.Cur)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestNoFileIsFromBeforeGo runs with a soft limit that Go raises. The test is in
// an external package: its imports would make the package initialize late.
func TestNoFileIsFromBeforeGo(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", "ulimit -Sn 77; exec "+os.Getenv("STUB_EMULATOR")+" "+self)
	cmd.Env = append(os.Environ(), printEnv+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var soft, hard, now uint64
	if _, err := fmt.Sscan(string(out), &soft, &hard, &now); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	if soft != 77 || hard <= soft || now != hard-1 {
		t.Errorf("NoFile() = %d, %d, and Go's limit is %d; want 77, and Go's to be one below the hard one", soft, hard, now)
	}
}

func TestRaised(t *testing.T) {
	type limit = startlimit.Limit
	for _, tt := range []struct {
		was, now limit
		want     bool
	}{
		{limit{1024, 4096}, limit{4095, 4096}, true},
		{limit{1024, 4096}, limit{4096, 4096}, false},
		{limit{1024, 4096}, limit{2000, 4096}, false},
		{limit{1024, 4096}, limit{2047, 2048}, false},
		{limit{4096, 4096}, limit{4096, 4096}, false},
		{limit{4095, 4096}, limit{4095, 4096}, false},
		{limit{0, 0}, limit{0, 0}, false},
	} {
		if got := tt.was.Raised(tt.now); got != tt.want {
			t.Errorf("%v.Raised(%v) = %v; want %v", tt.was, tt.now, got, tt.want)
		}
	}
}
