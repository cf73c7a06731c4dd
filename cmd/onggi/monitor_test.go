package main

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

func TestFirstThread(t *testing.T) {
	tasks, err := filepath.Glob("/proc/self/task/*")
	if err != nil {
		t.Fatal(err)
	}
	pid, want := os.Getpid(), 0
	for _, task := range tasks {
		if id, err := strconv.Atoi(filepath.Base(task)); err == nil && id > pid && id <= pid+64 && (want == 0 || id < want) {
			want = id
		}
	}
	if got := firstThread(pid); got != want {
		t.Errorf("firstThread(%d) = %d; want %d of %v", pid, got, want, tasks)
	}
	if got := firstThread(1 << 22); got != 0 { // above every id (pid_max)
		t.Errorf("firstThread of no process = %d; want 0", got)
	}
}
