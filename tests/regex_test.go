package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// --regex of crun takes an extended regular expression of POSIX, which matches anywhere in an id.
func TestRegexSelectsContainers(t *testing.T) {
	peerFails(t, "runc", "crun's flag")
	all := namesakes(t, "web-1", "web-22", "db")
	first := all[0]
	left := func() string { return strings.Join(strings.Fields(first.must("list", "--quiet").out), " ") }
	ids := func(chosen ...*container) string {
		var list []string
		for _, c := range chosen {
			list = append(list, c.id)
		}
		return strings.Join(list, " ")
	}
	for _, c := range all {
		c.create()
	}

	first.must("kill", "--regex", "web-[[:digit:]]$", "KILL")
	all[0].stopped()
	want(t, "status of web-22", all[1].status(), "created")
	want(t, "status of db", all[2].status(), "created")

	first.must("delete", "--force", "--regex", "nobody")
	want(t, "after nobody", left(), ids(all...))
	first.must("delete", "--force", "--regex", "^(.*-db|nobody)$")
	want(t, "after db", left(), ids(all[0], all[1]))
	first.must("delete", "--force", "-r", "web")
	want(t, "after web", left(), "")
}

// An invalid expression affects no container, and the error has the reason.
func TestRegexInvalid(t *testing.T) {
	peerFails(t, "runc", "crun's flag")
	peerFails(t, "crun", "its message is its own")
	c := newContainer(t)
	c.create()
	for expression, reason := range map[string]string{
		"web-[0-9":     "missing closing ]",
		"(web":         "missing closing )",
		"[[:digits:]]": "POSIX has no character class [:digits:]",
	} {
		for _, verb := range [][]string{{"kill", "--regex", expression, "KILL"}, {"delete", "--force", "--regex", expression}} {
			r := c.verb(verb...)
			said := strconv.Quote(fmt.Sprintf("flag --regex: regular expression %q: %s", expression, reason)) // quoted as in a log
			if r.code != 1 || !strings.Contains(r.err, said) {
				t.Errorf("%v; want status 1 and %s", r, said)
			}
		}
	}
	want(t, "status", c.status(), "created")
}

// namesakes creates containers in one state root. Their ids end with the given names.
func namesakes(t *testing.T, suffixes ...string) []*container {
	t.Helper()
	var all []*container
	for _, suffix := range suffixes {
		c := newContainer(t)
		c.id += "-" + suffix
		if len(all) > 0 {
			c.root = all[0].root
		}
		all = append(all, c)
	}
	return all
}

// TestTheHelperNeedsNoTmp checks that /tmp is irrelevant: the runtime executes the helper from memory. /tmp may be missing,
// mounted noexec, or full.
func TestTheHelperNeedsNoTmp(t *testing.T) {
	peersLack(t, "the helper")
	dir, err := os.MkdirTemp("/run", "onggi-tests-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	for _, name := range []string{"proc", "state"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	binary, err := os.ReadFile(env.runtime)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "onggi"), binary, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	for name, enter := range map[string]string{
		"no /tmp":            `mount --bind /proc "$1/proc" && exec chroot "$1" /onggi --root /state "$2" "$3" "$4"`,
		"noexec, read-only":  `mount -t tmpfs -o ro,noexec none /tmp && exec "$1/onggi" --root "$1/state" "$2" "$3" "$4"`,
		"no space in a /tmp": `mount -t tmpfs -o nr_inodes=1 none /tmp && exec "$1/onggi" --root "$1/state" "$2" "$3" "$4"`,
	} {
		for expression, want := range map[string]string{"^nobody$": "", "a{": "flag --regex"} {
			cmd := exec.Command("unshare", "--mount", "sh", "-c", enter, "sh", dir, "kill", "--regex", expression)
			out, err := cmd.CombinedOutput()
			if text := string(out); (err == nil) != (want == "") || !strings.Contains(text, want) || strings.Count(text, "\n") > 1 || strings.Contains(text, "helper") {
				t.Errorf("%s, %q: %v, %q; want %q in one line", name, expression, err, text, want)
			}
		}
	}
}
