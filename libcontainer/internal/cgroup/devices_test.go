package cgroup

import (
	"math/rand/v2"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// deviceRules parses "+c 1:3 rwm; -a" into the spec's form.
func deviceRules(text string) []specs.LinuxDeviceCgroup {
	var rules []specs.LinuxDeviceCgroup
	for part := range strings.SplitSeq(text, ";") {
		f := strings.FieldsFunc(part, func(r rune) bool { return r == ' ' || r == ':' })
		r := specs.LinuxDeviceCgroup{Allow: f[0][0] == '+', Type: f[0][1:]}
		if len(f) > 1 {
			r.Major, r.Minor = specNumber(f[1]), specNumber(f[2])
			r.Access = f[3]
		}
		rules = append(rules, r)
	}
	return rules
}

func specNumber(s string) *int64 {
	if s == "*" {
		return nil
	}
	n := listNumber(s)
	return &n
}

func (p policy) text() string {
	s := []string{"deny"}
	if p.allow {
		s[0] = "allow"
	}
	for _, r := range p.rules {
		sign := "-"
		if r.allow {
			sign = "+"
		}
		s = append(s, sign+r.String())
	}
	return strings.Join(s, "; ")
}

func TestNewPolicy(t *testing.T) {
	for _, test := range []struct {
		rules, want string
		v1          bool // v1 can express it
	}{
		{"-a", "deny", true},
		{"+a", "allow", true},
		{"+c 1:3 rwm; -a; +c 1:5 rw", "deny; +c 1:5 rw", true},
		{"+c 1:3 r; +c 1:3 w", "deny; +c 1:3 rw", true},
		{"+c 1:3 rwm; +c *:* m", "deny; +c 1:3 rwm; +c *:* m", true},
		{"+c 1:3 m; +c *:* m", "deny; +c *:* m", true},
		{"+c 1:3 rw; -c 1:3 w", "deny; +c 1:3 r", true},
		{"+c 1:3 rw; -c 1:* rw", "deny", true},
		{"+c *:* rw; -c 1:3 w", "deny; +c *:* rw; -c 1:3 w", false},
		{"+c *:* rw; -c 1:3 w; +c 1:3 w", "deny; +c *:* rw; +c 1:3 w", true},
		{"-b 8:0 r", "deny", true},
		{"+a; -b 8:* rwm", "allow; -b 8:* rwm", true},
		{"+a; -b 8:* rwm; +b 8:1 r", "allow; -b 8:* rwm; +b 8:1 r", false},
		{"+a *:* m", "deny; +b *:* m; +c *:* m", true},
		{"+ 1:3 r", "deny; +b 1:3 r; +c 1:3 r", true},
	} {
		p, err := newPolicy(deviceRules(test.rules))
		if err != nil {
			t.Errorf("newPolicy(%s): %v", test.rules, err)
			continue
		}
		if got := p.text(); got != test.want {
			t.Errorf("newPolicy(%s) = %s; want %s", test.rules, got, test.want)
		}
		if err := p.checkV1(); (err == nil) != test.v1 {
			t.Errorf("checkV1 of %s: %v; want fit for v1: %v", test.rules, err, test.v1)
		}
	}
}

func TestNewPolicyRefuses(t *testing.T) {
	big, negative := int64(1)<<40, int64(-2)
	_, err := newPolicy([]specs.LinuxDeviceCgroup{
		{Type: "p"}, {Type: "c", Access: "rx"}, {Type: "c", Major: &big}, {Type: "c", Minor: &negative},
	})
	want := `/linux/resources/devices/0/type: "p" is not a, b or c; ` +
		`/linux/resources/devices/1/access: "rx" has a letter other than r, w and m; ` +
		`/linux/resources/devices/2: no such device number; /linux/resources/devices/3: no such device number`
	if err == nil || err.Error() != want {
		t.Errorf("newPolicy(...): %v; want %s", err, want)
	}
}

// ordered applies rules without any simplification: for each access, the last rule that matches decides.
func ordered(rules []specs.LinuxDeviceCgroup, n nodes, a access) bool {
	for bit := mknod; bit <= writable; bit <<= 1 {
		if a&bit != 0 && !orderedBit(rules, n, bit) {
			return false
		}
	}
	return true
}

func orderedBit(rules []specs.LinuxDeviceCgroup, n nodes, bit access) bool {
	allowed := false
	for _, d := range rules {
		acc, _ := parseAccess(d.Access)
		if acc&bit != 0 && (d.Type == "a" || d.Type[0] == n.kind) &&
			(d.Major == nil || *d.Major == n.major) && (d.Minor == nil || *d.Minor == n.minor) {
			allowed = d.Allow
		}
	}
	return allowed
}

// run interprets the program like the kernel, for the opcodes that the package uses.
func run(t *testing.T, prog []instruction, n nodes, a access) bool {
	kind := uint32(blockDevice)
	if n.kind == 'c' {
		kind = charDevice
	}
	context := map[int16]uint32{0: uint32(a)<<16 | kind, 4: uint32(n.major), 8: uint32(n.minor)}
	var reg [11]uint32
	for pc := 0; ; pc++ {
		i := prog[pc]
		taken := false
		switch i.opcode {
		case loadWord:
			reg[i.dst] = context[i.offset]
		case moveReg32:
			reg[i.dst] = reg[i.src]
		case moveImm:
			reg[i.dst] = uint32(i.imm)
		case andImm32:
			reg[i.dst] &= uint32(i.imm)
		case shrImm32:
			reg[i.dst] >>= uint32(i.imm)
		case jumpIf:
			taken = reg[i.dst] == uint32(i.imm)
		case jumpIfNot:
			taken = reg[i.dst] != uint32(i.imm)
		case jumpIfAny:
			taken = reg[i.dst]&uint32(i.imm) != 0
		case jump:
			taken = true
		case exit:
			return reg[rAnswer] == 1
		default:
			t.Fatalf("unknown opcode %#x", i.opcode)
		}
		if taken {
			pc += int(i.offset)
		}
	}
}

// checkReachable checks the condition that the kernel's verifier checks first: every instruction is reachable.
func checkReachable(t *testing.T, prog []instruction) {
	reached := make([]bool, len(prog)+1)
	reached[0] = true
	for pc, i := range prog {
		if !reached[pc] {
			t.Fatalf("instruction %d of %v is never reached", pc, prog)
		}
		switch i.opcode {
		case exit:
		case jump:
			reached[pc+1+int(i.offset)] = true
		case jumpIf, jumpIfNot, jumpIfAny:
			reached[pc+1+int(i.offset)] = true
			reached[pc+1] = true
		default:
			reached[pc+1] = true
		}
	}
	if reached[len(prog)] {
		t.Fatalf("%v runs off its end", prog)
	}
}

// TestProgram compares the policies and programs of random rules with ordered, for every node and access that the
// rules can distinguish.
func TestProgram(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	for range 2000 {
		var rules []specs.LinuxDeviceCgroup
		for range random.IntN(8) {
			rules = append(rules, deviceRules(pick("+", "-")+pick("a", "b", "c", "c")+" "+
				pick("*", "1", "2")+":"+pick("*", "1", "2")+" "+pick("r", "w", "m", "rw", "rm", "rwm"))...)
		}
		p, err := newPolicy(rules)
		if err != nil {
			t.Fatal(err)
		}
		prog := p.program()
		checkReachable(t, prog)
		for _, kind := range []byte{'b', 'c'} {
			for i := range int64(3 * 3 * 7) {
				n := nodes{kind, i%3 + 1, i / 3 % 3}
				a := access(i/9) + 1
				want := ordered(rules, n, a)
				if got := p.allows(n, a); got != want {
					t.Fatalf("policy %s of %+v allows(%c %d:%d %v) = %v; want %v", p.text(), rules, kind, n.major, n.minor, a, got, want)
				}
				if got := run(t, prog, n, a); got != want {
					t.Fatalf("program of %s for %c %d:%d %v = %v; want %v", p.text(), kind, n.major, n.minor, a, got, want)
				}
			}
		}
	}
}

func TestBeyond(t *testing.T) {
	from, err := newPolicy(deviceRules("+c 1:3 rwm; +c 1:5 rw; +b *:* m"))
	if err != nil {
		t.Fatal(err)
	}
	to, err := newPolicy(deviceRules("+c 1:3 r; +c 1:5 rwm; +c 5:* r"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(ruleTexts(beyond(to, from)), "; "), "c 1:5 m; c 5:* r"; got != want {
		t.Errorf("to allow: %s; want %s", got, want)
	}
	if got, want := strings.Join(ruleTexts(beyond(from, to)), "; "), "c 1:3 wm; b *:* m"; got != want {
		t.Errorf("to deny: %s; want %s", got, want)
	}
}

func TestParseList(t *testing.T) {
	for text, want := range map[string]string{
		"a *:* rwm":               "allow",
		"c 1:3 rwm\nb *:* m\n":    "deny; +c 1:3 rwm; +b *:* m",
		"":                        "deny",
		"c 136:* rwm\nc 5:2 rw\n": "deny; +c 136:* rwm; +c 5:2 rw",
	} {
		p, err := parseList(text)
		if err != nil || p.text() != want {
			t.Errorf("parseList(%q) = %s, %v; want %s", text, p.text(), err, want)
		}
	}
	if _, err := parseList("nonsense"); err == nil {
		t.Error("parseList(nonsense) has no error")
	}
}

func TestCheckDevices(t *testing.T) {
	v1 := Paths{V1: []Dir{{Controllers: []string{"devices"}}}}
	v2 := Paths{Unified: &Dir{}}
	var many []specs.LinuxDeviceCgroup
	for n := range int64(1 << 13) {
		major := 300 + n%2 // no rule covers the next one
		many = append(many, specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: &major, Minor: &n, Access: "rw"})
	}
	tests := []struct {
		name  string
		p     Paths
		rules []specs.LinuxDeviceCgroup
		want  string
	}{
		{"no cgroup", Paths{}, many, ""},
		{"many on v1", v1, many, ""},
		{"many on v2", v2, many, "8192 rules are more than a device program can have"},
		{"fewer on v2", v2, many[:1000], ""},
		{"an exception to an exception on v1", v1, deviceRules("+a; -c *:* rwm; +c 1:3 rwm"), "cgroup v1 cannot express"},
		{"the same on v2", v2, deviceRules("+a; -c *:* rwm; +c 1:3 rwm"), ""},
	}
	for _, test := range tests {
		err := test.p.CheckDevices(test.rules)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v; want %q", test.name, err, test.want)
		}
	}
}
