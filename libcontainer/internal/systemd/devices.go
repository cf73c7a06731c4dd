package systemd

import (
	"fmt"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/onggi-dev/onggi/libcontainer/internal/cgroup"
)

// Devices returns the device rules as properties. It always returns all of them:
// systemd applies its own list again at daemon-reload and then drops every rule that
// it does not know. systemd has only permissions, no refusals. A rule that takes a
// permission back is left to our own program, which runs beside systemd's.
// procDevices is the text of /proc/devices.
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
				list = append(list, []any{name, strings.ReplaceAll(r.Access, "a", "")})
			}
		}
	}
	return []Property{
		{"DevicePolicy", Variant{"s", policy}},
		// The empty list clears the property. The entries follow.
		{"DeviceAllow", Variant{"a(ss)", []any{}}},
		{"DeviceAllow", Variant{"a(ss)", list}},
	}, nil
}

// deviceName returns systemd's name for devices (systemd.resource-control(5)): a path
// made of numbers, which need not exist, or the group of all devices of a major
// number. It returns false for a major number without a driver, whose devices cannot
// be opened.
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
