package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

func TestFilterTable(t *testing.T) {
	const table = "UID          PID    PPID CMD\nroot           1       0 init\nroot          12       1 a 13\n\nroot         123      12 b\n"
	for _, tt := range []struct {
		table string
		pids  []int
		want  string
	}{
		{table, []int{12}, "UID          PID    PPID CMD\nroot          12       1 a 13\n"},
		{table, []int{123, 1}, "UID          PID    PPID CMD\nroot           1       0 init\nroot         123      12 b\n"},
		{table, nil, "UID          PID    PPID CMD\n"},
		{"  PID\n   12\n", []int{12}, "  PID\n   12\n"},
		{"CMD\ninit\n", []int{1}, ""},
		{"", []int{1}, ""},
	} {
		var b strings.Builder
		err := filterTable(&b, tt.table, tt.pids)
		if b.String() != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("filterTable(%q, %v) = %q, %v; want %q", tt.table, tt.pids, b.String(), err, tt.want)
		}
	}
}

func TestPrintProcesses(t *testing.T) {
	var b strings.Builder
	if err := printProcesses(&b, []string{"-o", "pid,comm", "-p", strconv.Itoa(os.Getpid())}, []int{os.Getpid()}); err != nil {
		t.Skip("needs the host's ps: ", err)
	}
	if lines := strings.Split(b.String(), "\n"); len(lines) != 3 {
		t.Errorf("printProcesses wrote %q; want a head and one line", b.String())
	}
}

func TestPrintPids(t *testing.T) {
	for want, pids := range map[string][]int{"[]\n": nil, "[1,23]\n": {1, 23}} {
		var b strings.Builder
		if err := printPids(&b, pids); err != nil || b.String() != want {
			t.Errorf("printPids(%v) wrote %q, %v; want %q", pids, b.String(), err, want)
		}
	}
}

// After wrong options, the error has the complaint of the host's ps, without its usage.
func TestPsComplaint(t *testing.T) {
	err := printProcesses(io.Discard, []string{"--no-such-option"}, nil)
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip(err)
	}
	if err == nil || strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), "run the host's ps: exit status 1: ") {
		t.Errorf("printProcesses(--no-such-option): %v; want one line", err)
	}
}
