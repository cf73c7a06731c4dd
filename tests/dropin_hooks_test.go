package tests

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A hook without env gets the runtime's environment; a startContainer hook gets the program's. An empty env stays empty.
func TestEnvironmentOfHooks(t *testing.T) {
	peerFails(t, "runc", "clears the environment of createContainer, and takes an empty env of startContainer for none")
	c := newContainer(t, func(s *specs.Spec) { s.Process.Env = []string{"PATH=/bin", "OF=process"} })
	c.env = []string{"OF=runtime"}
	dir := filepath.Join(c.bundle, "out")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	c.edit(mount(specs.Mount{Destination: "/out", Type: "bind", Source: dir, Options: []string{"bind"}}))
	kinds := map[string]any{}
	for _, kind := range hookKinds {
		to := dir
		if kind == "startContainer" {
			to = "/out"
		}
		var list []any
		for name, env := range map[string][]string{"absent": nil, "empty": {}, "own": {"OF=hook"}} {
			h := map[string]any{"path": "/bin/sh", "args": []string{"sh", "-c", `echo "${OF-none} ${HOME-none}" > ` + to + "/" + kind + "-" + name + "; pwd > " + to + "/" + kind + ".cwd"}}
			if env != nil {
				h["env"] = env
			}
			list = append(list, h)
		}
		kinds[kind] = list
	}
	c.setRaw("hooks", kinds)
	c.create()
	c.start()
	c.stopped()
	c.must("delete", c.id)
	for _, kind := range hookKinds {
		absent, cwd := "runtime /root", c.bundle
		switch kind {
		case "startContainer":
			absent, cwd = "process /root", "/"
		case "createContainer":
			if env.kind != "crun" {
				cwd = c.rootfs
			}
		}
		for name, wanted := range map[string]string{"-absent": absent, "-empty": "none none", "-own": "hook none", ".cwd": cwd} {
			data, err := os.ReadFile(filepath.Join(dir, kind+name))
			if err != nil {
				t.Fatal(err)
			}
			want(t, kind+name, strings.TrimSpace(string(data)), wanted)
		}
	}
}

// setRaw sets a property of config.json that the types of the specification cannot express.
func (c *container) setRaw(name string, value any) {
	c.t.Helper()
	data, err := json.Marshal(c.spec)
	if err != nil {
		c.t.Fatal(err)
	}
	var all map[string]any
	decode(c.t, string(data), &all)
	all[name] = value
	if data, err = json.Marshal(all); err != nil {
		c.t.Fatal(err)
	}
	c.write("config.json", string(data))
}

// An ordinary user's container joins the user namespace of another container of the user. In it, groups cannot be set.
func TestRootlessJoinsAUserNamespaceWithoutGroups(t *testing.T) {
	u := ordinaryUser(t)
	owner := newRootless(t, u, u.single, args("sleep", "1000"))
	owner.create()
	owner.start()
	pid := owner.state().Pid
	c := newRootless(t, u, u.single, args("true"))
	c.edit(func(s *specs.Spec) {
		s.Linux.UIDMappings, s.Linux.GIDMappings = nil, nil
		s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.UserNamespace })
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace, Path: "/proc/" + strconv.Itoa(pid) + "/ns/user"})
	})
	if r := c.run(); r.code != 0 {
		t.Error(r)
	}
}
