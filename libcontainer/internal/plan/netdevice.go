package plan

import "fmt"

// NetDevice moves a network device of the runtime's network namespace into the
// container's, with its addresses, and brings it up.
type NetDevice struct {
	runtimeStep
	Host string
	Name string // in the container; "%d" at its end is the kernel's to fill in
}

func (s NetDevice) String() string {
	out := fmt.Sprintf("move the network device %s into the container", s.Host)
	if s.Name != s.Host {
		out += " as " + s.Name
	}
	return out
}

// netDevices stand behind all that may still fail for want of files: a virtual
// device ends with the network namespace that it has been moved to.
func (b *builder) netDevices() {
	for _, host := range sortedKeys(b.linux.NetDevices) {
		s := NetDevice{Host: host, Name: b.linux.NetDevices[host].Name}
		if s.Name == "" {
			s.Name = host
		}
		b.add("/linux/netDevices/"+escape(host), s)
	}
}
