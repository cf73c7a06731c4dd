package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/onggi-dev/onggi/libcontainer"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "containerd-shim-onggi-v1: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string, in io.Reader, out io.Writer) error {
	f, err := parseFlags(args)
	if err != nil {
		return err
	}
	switch {
	case f.version:
		return printVersion(out)
	case f.info:
		return printInfo(in, out)
	case f.namespace == "":
		return errors.New("-namespace is missing: containerd calls this program")
	}
	switch f.action {
	case "start":
		return start(f, in, out)
	case "delete":
		return cleanUp(f, out)
	case "":
		return serve(f)
	}
	return fmt.Errorf("unknown action %q: want start or delete", f.action)
}

// flags are the flags with which containerd calls a shim.
type flags struct {
	namespace string
	address   string // containerd's gRPC socket
	publisher string // containerd's binary; unused, because events go over ttrpc
	id        string
	bundle    string
	debug     bool
	info      bool
	version   bool
	action    string
}

// parseFlags parses the command line. A flag has one dash or two, as in package flag. That
// package would add a tenth of a millisecond to the start.
func parseFlags(args []string) (f flags, err error) {
	texts := map[string]*string{"namespace": &f.namespace, "address": &f.address, "publish-binary": &f.publisher, "id": &f.id, "bundle": &f.bundle}
	switches := map[string]*bool{"debug": &f.debug, "info": &f.info, "v": &f.version}
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		if arg == "" || arg[0] != '-' {
			if f.action != "" {
				return f, fmt.Errorf("more than one action: %s, %s", f.action, arg)
			}
			f.action = arg
			continue
		}
		name := arg[1:]
		if name != "" && name[0] == '-' {
			name = name[1:]
		}
		name, value, has := cut(name)
		switch {
		case switches[name] != nil:
			*switches[name] = !has || value == "true"
		case texts[name] == nil:
			return f, fmt.Errorf("unknown flag -%s", name)
		case has:
			*texts[name] = value
		case len(args) == 0:
			return f, fmt.Errorf("flag -%s needs a value", name)
		default:
			*texts[name], args = args[0], args[1:]
		}
	}
	return f, nil
}

func cut(flag string) (name, value string, has bool) {
	for i := range len(flag) {
		if flag[i] == '=' {
			return flag[:i], flag[i+1:], true
		}
	}
	return flag, "", false
}

// The linker sets these (-X main.version=… -X main.commit=…); otherwise they are empty.
var version, commit string

func versionName() string {
	if version != "" {
		return version
	}
	return libcontainer.Version()
}

func printVersion(out io.Writer) error {
	_, err := fmt.Fprintf(out, "containerd-shim-onggi-v1:\n  Version:  %s\n  Revision: %s\n", versionName(), commit)
	return err
}
