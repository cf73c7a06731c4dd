package engines

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// fence matches a block of a page whose first line names a file: ```toml /etc/containerd/config.toml
var fence = regexp.MustCompile("(?ms)^```\\w+ (/\\S+)\n(.*?)^```$")

// configure writes the files of a page of docs/engines without a change. For another runtime it only replaces the name.
func configure(t *testing.T, page string) {
	t.Helper()
	for file, text := range shown(t, page) {
		place(t, file, strings.ReplaceAll(text, "onggi", env.kind))
	}
}

// shown returns the files of a page.
func shown(t *testing.T, page string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(env.dir, "pages", page))
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	for _, block := range fence.FindAllStringSubmatch(string(data), -1) {
		files[block[1]] = block[2]
	}
	if len(files) == 0 {
		t.Fatalf("%s shows no configuration", page)
	}
	return files
}

// TestReadme compares the configurations in README.md with those of the pages.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(env.dir, "pages", "project.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range []string{"containerd.md", "docker.md", "podman.md"} {
		for file, text := range shown(t, page) {
			if indented := beginning.ReplaceAllString(text, "    $0"); !strings.Contains(string(readme), indented) {
				t.Errorf("README.md does not show what docs/engines/%s has for %s:\n%s", page, file, indented)
			}
		}
	}
}

// beginning is the first character of a line that has one.
var beginning = regexp.MustCompile("(?m)^.")

func place(t *testing.T, path, text string) {
	t.Helper()
	if err := errorsOf(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// reconfigure changes dockerd's configuration and restarts dockerd. The end of the test case undoes the change.
func (c *client) reconfigure(change func(object)) {
	c.Helper()
	const file = "/etc/docker/daemon.json"
	page, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		page = []byte("{}")
	} else if err != nil {
		c.Fatal(err)
	}
	config := object{}
	if err := json.Unmarshal(page, &config); err != nil {
		c.Fatal(err)
	}
	change(config)
	changed, err := json.Marshal(config)
	if err != nil {
		c.Fatal(err)
	}
	renew := func(text []byte) {
		c.daemon.stop()
		place(c.T, file, string(text))
		c.daemon.start()
	}
	c.Cleanup(func() { renew(page) })
	renew(changed)
}

// more appends to a file.
func more(t *testing.T, path, text string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	place(t, path, string(data)+text)
}
