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

// fence is a block of a page whose first line says which file it is: ```toml /etc/containerd/config.toml
var fence = regexp.MustCompile("(?ms)^```\\w+ (/\\S+)\n(.*?)^```$")

// configure writes the files that a page of docs/engines shows, as it shows them. For another runtime only the name
// changes.
func configure(t *testing.T, page string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(env.dir, "pages", page))
	if err != nil {
		t.Fatal(err)
	}
	blocks := fence.FindAllStringSubmatch(string(data), -1)
	if len(blocks) == 0 {
		t.Fatalf("%s shows no configuration", page)
	}
	for _, block := range blocks {
		place(t, block[1], strings.ReplaceAll(block[2], "onggi", env.kind))
	}
}

func place(t *testing.T, path, text string) {
	t.Helper()
	if err := errorsOf(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// reconfigure changes dockerd's configuration until the test case ends, and lets it start anew with it.
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
