package plan

import "fmt"

// NetDevice moves a network device from the runtime's network namespace into the
// container's. It keeps the addresses and brings the device up.
type NetDevice struct {
	runtimeStep
	Host string
	Name string // in the container; the kernel replaces a "%d" at its end by a number
}

func (s NetDevice) String() string {
	out := fmt.Sprintf("move the network device %s into the container", s.Host)
	if s.Name != s.Host {
		out += " as " + s.Name
	}
	return out
}

// netDevices adds the moves after the steps that may fail for a missing file: a
// virtual device is destroyed with the network namespace that it is in.
func (b *builder) netDevices() {
	for _, host := range sortedKeys(b.linux.NetDevices) {
		s := NetDevice{Host: host, Name: b.linux.NetDevices[host].Name}
		if s.Name == "" {
			s.Name = host
		}
		b.add("/linux/netDevices/"+escape(host), s)
	}
}
