package state

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestResources(t *testing.T) {
	s := Store{Root: t.TempDir()}
	d, err := s.Create("c")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	read := func(want string) {
		t.Helper()
		if got, err := d.Resources(); string(got) != want || err != nil {
			t.Errorf("Resources() = %q, %v; want %q", got, err, want)
		}
	}
	read("")
	ctx := context.Background()
	if err := d.SaveResources(ctx, []byte("1"), func() error { read(""); return nil }); err != nil {
		t.Fatal(err)
	}
	read("1")
	refused := errors.New("refused")
	if err := d.SaveResources(ctx, []byte("2"), func() error { return refused }); err != refused {
		t.Errorf("SaveResources = %v; want the error of apply", err)
	}
	read("1")
	held, err := d.Lock(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := held.SaveResources(ctx, []byte("3"), func() error { return nil }); err != nil {
		t.Errorf("SaveResources with the lock = %v", err)
	}
	held.Unlock()
	read("3")

	// A file that cannot be written is an error before anything is applied.
	if err := os.Mkdir(filepath.Join(s.Root, "c", newResourcesFile), 0o700); err != nil {
		t.Fatal(err)
	}
	err = d.SaveResources(ctx, []byte("4"), func() error { t.Error("applied"); return nil })
	if err == nil {
		t.Error("SaveResources over a directory succeeded")
	}
	read("3")
	if err := d.Remove(ctx); err != nil {
		t.Errorf("Remove = %v", err)
	}
}
