package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// reread puts a binary into the page cache in the same way for every competitor: it writes dirty pages to the disk, has the
// kernel drop the file's pages (POSIX_FADV_DONTNEED), and reads the file from its beginning to its end. The size of the pages
// in the cache decides how many faults a start has. A binary that was just linked, copied or downloaded has other sizes.
//
// The pages stay where they are on a tmpfs, and where a process has mapped them. reread says so if the binary runs.
func reread(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := errors.Join(f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)); err != nil {
		return fmt.Errorf("evict %s from the page cache: %w", path, err)
	}
	n, err := cached(f)
	if err != nil {
		return fmt.Errorf("page cache of %s: %w", path, err)
	}
	if n > 0 {
		fmt.Fprintf(os.Stderr, "bench: %d pages of %s stay in the page cache: a process runs it\n", n, path)
	}
	_, err = io.Copy(io.Discard, f)
	return err
}

// cached counts the pages of a file that are in the page cache.
func cached(f *os.File) (pages int, err error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil || st.Type == unix.TMPFS_MAGIC {
		return 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return 0, err
	}
	defer unix.Munmap(data)
	present := make([]byte, (len(data)+os.Getpagesize()-1)/os.Getpagesize())
	if err := mincore(data, present); err != nil {
		return 0, err
	}
	for _, p := range present {
		pages += int(p & 1)
	}
	return pages, nil
}
