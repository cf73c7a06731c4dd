package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestAppendGid(t *testing.T) {
	for in, want := range map[string][]uint32{
		"0": {0}, "4294967294": {4294967294}, "4294967295": nil, "4294967296": nil, "-1": nil, "+1": nil, "root": nil, "": nil,
	} {
		var gids []uint32
		err := appendGid(&gids, in)
		if !slices.Equal(gids, want) || (err == nil) != (want != nil) {
			t.Errorf("appendGid(%q): %v, %v; want %v", in, gids, err, want)
		}
	}
}

func TestReadProcess(t *testing.T) {
	file := filepath.Join(t.TempDir(), "process.json")
	for content, want := range map[string]bool{`{"args":["sh"],"cwd":"/"}`: true, `{"args":"sh"}`: false, ``: false} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := readProcess(file)
		if (err == nil) != want || err == nil && p.Args[0] != "sh" {
			t.Errorf("readProcess(%s) = %+v, %v", content, p, err)
		}
	}
	if _, err := readProcess(file + ".none"); err == nil {
		t.Error("readProcess of no file succeeded")
	}
}
