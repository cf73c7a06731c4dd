package main

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/onggi-dev/onggi/specconv"
)

// This file parses the values of limits on the command line into linux.resources.

// text returns a parser for values that the kernel parses.
func text(p *string) func(string) error {
	return func(v string) error {
		*p = v
		return nil
	}
}

func signed(p **int64) func(string) error {
	return func(v string) error {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			return fmt.Errorf("%w: it is not a number", err)
		}
		*p = &n
		return nil
	}
}

func unsigned(p **uint64) func(string) error {
	return func(v string) error {
		n, err := parseUnsigned(v, 64)
		*p = &n
		return err
	}
}

func number32(p **uint32) func(string) error {
	return func(v string) error {
		n, err := parseUnsigned(v, 32)
		n32 := uint32(n)
		*p = &n32
		return err
	}
}

func number16(p **uint16) func(string) error {
	return func(v string) error {
		n, err := parseUnsigned(v, 16)
		n16 := uint16(n)
		*p = &n16
		return err
	}
}

func parseUnsigned(v string, bits int) (uint64, error) {
	base := 10
	if strings.HasPrefix(v, "0x") { // the form of classes in tc(8)
		base = 0
	}
	n, err := strconv.ParseUint(v, base, bits)
	if err != nil {
		return 0, fmt.Errorf("%w: it is not a number from 0 to %d", err, uint64(1)<<bits-1)
	}
	return n, nil
}

func boolean(p **bool) func(string) error {
	return func(v string) error {
		b, err := strconv.ParseBool(v)
		if err != nil {
			return fmt.Errorf("%q is not true or false", v)
		}
		*p = &b
		return nil
	}
}

// size returns a parser for bytes. -1 means no limit.
func size(p **int64) func(string) error {
	return func(v string) error {
		n := int64(-1)
		if v != "-1" {
			var err error
			if n, err = parseSize(v); err != nil {
				return err
			}
		}
		*p = &n
		return nil
	}
}

// parseSize parses bytes with a unit in powers of 1024, in the forms of docker: 512m, 1.5G,
// 1 KiB, 20MB.
func parseSize(v string) (int64, error) {
	number := strings.TrimRight(v, " bBiIkKmMgGtTpP")
	unit, known := unitOf(strings.ToLower(strings.TrimPrefix(v[len(number):], " ")))
	known = known && strings.Trim(number, "0123456789.") == ""
	if n, err := strconv.ParseUint(number, 10, 63); err == nil && known && n <= math.MaxInt64>>unit {
		return int64(n << unit), nil
	}
	n, err := strconv.ParseFloat(number, 64)
	if n *= float64(uint64(1) << unit); err == nil && known && n < math.MaxInt64 {
		return int64(n), nil
	}
	return 0, fmt.Errorf("invalid size: '%s': it is not a size such as 512m or 1.5G", v)
}

// unitOf returns a unit as a power of two.
func unitOf(unit string) (shift int, known bool) {
	switch unit {
	case "", "b":
		return 0, true
	case "k", "kb", "kib":
		return 10, true
	case "m", "mb", "mib":
		return 20, true
	case "g", "gb", "gib":
		return 30, true
	case "t", "tb", "tib":
		return 40, true
	case "p", "pb", "pib":
		return 50, true
	}
	return 0, false
}

// bandwidth returns a parser for a rate in bits per second and a burst. -1 means no limit.
func bandwidth(p **specconv.Bandwidth) func(string) error {
	return func(v string) error {
		b := specconv.Bandwidth{}
		if v != "-1" {
			var err error
			if b, err = specconv.ParseBandwidth(v); err != nil {
				return err
			}
		}
		*p = &b
		return nil
	}
}

// assignment splits v at the last "=", because the key may be a path.
func assignment(v string) (key, value string, err error) {
	i := strings.LastIndexByte(v, '=')
	if i < 1 {
		return "", "", fmt.Errorf("%q has no %q", v, "=")
	}
	return v[:i], v[i+1:], nil
}

func (u *changes) weightDevice(v string) error {
	name, value, err := assignment(v)
	if err != nil {
		return err
	}
	d := specs.LinuxWeightDevice{}
	if d.LinuxBlockIODevice, err = blockDevice(name); err != nil {
		return err
	}
	u.blockIO.WeightDevice = append(u.blockIO.WeightDevice, d)
	return number16(&u.blockIO.WeightDevice[len(u.blockIO.WeightDevice)-1].Weight)(value)
}

func throttle(list *[]specs.LinuxThrottleDevice) func(string) error {
	return func(v string) error {
		name, value, err := assignment(v)
		if err != nil {
			return err
		}
		device, err := blockDevice(name)
		if err != nil {
			return err
		}
		rate, err := parseSize(value)
		*list = append(*list, specs.LinuxThrottleDevice{LinuxBlockIODevice: device, Rate: uint64(rate)})
		return err
	}
}

// blockDevice parses 8:0, or the path of a device node.
func blockDevice(name string) (d specs.LinuxBlockIODevice, err error) {
	if strings.HasPrefix(name, "/") {
		kind, major, minor, err := deviceNode(name)
		if err == nil && kind != "b" {
			err = fmt.Errorf("%s is not a block device", name)
		}
		d.Major, d.Minor = major, minor
		return d, err
	}
	major, minor, err := deviceNumbers(name)
	if err != nil || major == nil || minor == nil {
		return d, fmt.Errorf("%q is neither MAJOR:MINOR nor a path", name)
	}
	d.Major, d.Minor = *major, *minor
	return d, nil
}

func deviceNode(path string) (kind string, major, minor int64, err error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return "", 0, 0, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFBLK:
		kind = "b"
	case unix.S_IFCHR:
		kind = "c"
	default:
		return "", 0, 0, fmt.Errorf("%s is not a device", path)
	}
	return kind, int64(unix.Major(st.Rdev)), int64(unix.Minor(st.Rdev)), nil
}

// deviceNumbers parses 8:0. It returns nil for "*", which means all.
func deviceNumbers(v string) (major, minor *int64, err error) {
	first, second, ok := strings.Cut(v, ":")
	numbers := [2]*int64{}
	for i, part := range []string{first, second} {
		if part == "*" {
			continue
		}
		n, err := strconv.ParseUint(part, 10, 32)
		if err != nil || !ok {
			return nil, nil, fmt.Errorf("%q is not MAJOR:MINOR, where each may be *", v)
		}
		numbers[i] = new(int64(n))
	}
	return numbers[0], numbers[1], nil
}

// rule parses "c 10:200 rwm". A path may take the place of the first two words, and "a" means
// all devices. Without an access, the rule is for all of it.
func (u *changes) rule(allow bool) func(string) error {
	return func(v string) error {
		f := strings.Fields(v)
		r := specs.LinuxDeviceCgroup{Allow: allow, Access: "rwm"}
		var err error
		switch {
		case len(f) > 0 && strings.HasPrefix(f[0], "/"):
			var major, minor int64
			r.Type, major, minor, err = deviceNode(f[0])
			r.Major, r.Minor = &major, &minor
			f = f[1:]
		case len(f) == 1 && f[0] == "a":
			r.Type, f = "a", nil
		case len(f) > 1:
			r.Type = f[0]
			r.Major, r.Minor, err = deviceNumbers(f[1])
			f = f[2:]
		default:
			err = fmt.Errorf("%q is not a rule such as \"c 10:200 rwm\" or \"/dev/fuse rw\"", v)
		}
		if len(f) == 1 {
			r.Access = f[0]
		}
		if len(f) > 1 {
			err = fmt.Errorf("%q has more than a type, a number and an access", v)
		}
		u.rules = append(u.rules, r)
		return err
	}
}

func (u *changes) hugepage(v string) error {
	page, value, err := assignment(v)
	if err != nil {
		return err
	}
	limit, err := parseSize(value)
	u.resources.HugepageLimits = append(u.resources.HugepageLimits, specs.LinuxHugepageLimit{Pagesize: page, Limit: uint64(limit)})
	return err
}

// rdma parses "mlx5_0=hca_handle=2,hca_object=2000", in the kernel's words.
func (u *changes) rdma(v string) error {
	device, limits, ok := strings.Cut(v, "=")
	if !ok {
		return fmt.Errorf("%q has no %q", v, "=")
	}
	r := u.resources.Rdma[device]
	for limit := range strings.SplitSeq(limits, ",") {
		key, value, _ := strings.Cut(limit, "=")
		p, ok := map[string]**uint32{"hca_handle": &r.HcaHandles, "hca_object": &r.HcaObjects}[key]
		if !ok {
			return fmt.Errorf("%q is not hca_handle=N or hca_object=N", limit)
		}
		if err := number32(p)(value); err != nil {
			return err
		}
	}
	u.resources.Rdma[device] = r
	return nil
}

func (u *changes) priority(v string) error {
	name, value, err := assignment(v)
	if err != nil {
		return err
	}
	n, err := parseUnsigned(value, 32)
	u.network.Priorities = append(u.network.Priorities, specs.LinuxInterfacePriority{Name: name, Priority: uint32(n)})
	return err
}

// unified parses "memory.high=1g". The value is the kernel's own, and may contain a "=".
func (u *changes) unified(v string) error {
	file, value, ok := strings.Cut(v, "=")
	if !ok {
		return fmt.Errorf("%q has no %q", v, "=")
	}
	u.resources.Unified[file] = value
	return nil
}
