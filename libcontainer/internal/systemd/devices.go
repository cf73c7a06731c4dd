package systemd

import (
	"fmt"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/onggi-dev/onggi/libcontainer/internal/cgroup"
)

// Devices are the device rules as properties. Always all of them: systemd
// applies its own again at daemon-reload, and what it does not know is gone
// then. It knows permissions only, so that a rule that takes some back is left
// to our own program, which holds beside systemd's. procDevices is the text of
// /proc/devices.
func Devices(rules []specs.LinuxDeviceCgroup, procDevices string) ([]Property, error) {
	allow, left, err := cgroup.Devices(rules)
	if err != nil {
		return nil, err
	}
	policy := "strict"
	list := []any{}
	if allow {
		policy = "auto" // with an empty list: everything
	} else {
		for _, r := range left {
			if name, ok := deviceName(r, procDevices); r.Allow && ok {
				list = append(list, []any{name, r.Access})
			}
		}
	}
	return []Property{
		{"DevicePolicy", Variant{"s", policy}},
		// The empty list takes away what there was; then come the entries.
		{"DeviceAllow", Variant{"a(ss)", []any{}}},
		{"DeviceAllow", Variant{"a(ss)", list}},
	}, nil
}

// deviceName is how systemd names devices (systemd.resource-control(5)): a
// path made of numbers, of which there need be no node, or the group of all
// devices of a major number. False for a major without a driver: nothing there
// can be opened.
func deviceName(r cgroup.DeviceRule, procDevices string) (string, bool) {
	kind := map[byte]string{'b': "block", 'c': "char"}[r.Kind]
	switch {
	case r.Major < 0 && r.Minor < 0:
		return kind + "-*", true
	case r.Major < 0:
		return "", false // one minor of every major: systemd has no word for it
	case r.Minor < 0:
		group, ok := deviceGroup(kind, r.Major, procDevices)
		return kind + "-" + group, ok
	}
	return fmt.Sprintf("/dev/%s/%d:%d", kind, r.Major, r.Minor), true
}

// deviceGroup finds the name of a major number in /proc/devices:
//
//	Character devices:
//	  1 mem
//
//	Block devices:
//	  8 sd
func deviceGroup(kind string, major int64, procDevices string) (string, bool) {
	section := ""
	for line := range strings.Lines(procDevices) {
		line = strings.TrimSpace(line)
		switch line {
		case "Character devices:":
			section = "char"
		case "Block devices:":
			section = "block"
		}
		number, name, ok := strings.Cut(line, " ")
		if ok && section == kind && number == fmt.Sprint(major) {
			return name, true
		}
	}
	return "", false
}
