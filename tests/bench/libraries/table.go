package main

// library is one that could replace a part of onggi's own.
type library struct {
	own     string // the part
	files   []string
	module  string
	imports []string // as in Go
	use     string   // statements that refer to everything onggi would use
	why     string
}

var commandLine = []string{"cmd/onggi/internal/cli/*.go"}

var libraries = []library{
	{
		own: "cgroups v1 and v2", files: []string{"libcontainer/internal/cgroup/*.go"},
		module:  "github.com/opencontainers/cgroups",
		imports: []string{`"github.com/opencontainers/cgroups"`, `"github.com/opencontainers/cgroups/manager"`},
		use:     "m, _ := manager.New(&cgroups.Cgroup{})\n_, _ = m.Apply(1), m.Set(&cgroups.Resources{})\n_, _ = m.GetStats()\n_ = m.Freeze(cgroups.Frozen)",
		why:     "It takes paths, where onggi holds descriptors; it has no mark of the owner, no undo of an update, and no limits of the network",
	},
	{
		own: "eBPF programs of devices and of the network", files: []string{"libcontainer/internal/cgroup/bpf*.go", "libcontainer/internal/cgroup/bandwidth*.go", "libcontainer/internal/cgroup/bucket.go"},
		module:  "github.com/cilium/ebpf",
		imports: []string{`"github.com/cilium/ebpf"`, `"github.com/cilium/ebpf/link"`},
		use:     "p, _ := ebpf.NewProgram(&ebpf.ProgramSpec{})\nm, _ := ebpf.NewMap(&ebpf.MapSpec{})\n_ = m.Close()\n_ = link.RawAttachProgram(link.RawAttachProgramOptions{Program: p})\n_, _ = link.QueryPrograms(link.QueryOptions{})",
		why:     "The programs are a few dozen instructions that depend on the limits: nothing is loaded from a file, and no C is compiled",
	},
	{
		own: "systemd's scopes: D-Bus", files: []string{"libcontainer/internal/systemd/bus.go", "libcontainer/internal/systemd/message.go", "libcontainer/internal/systemd/value.go"},
		module:  "github.com/godbus/dbus/v5",
		imports: []string{`"context"`, `"github.com/godbus/dbus/v5"`},
		use:     "c, _ := dbus.Dial(\"\", dbus.WithContext(context.Background()))\n_ = c.Auth(nil)\nvar s string\n_ = c.Object(\"\", \"\").Call(\"\", 0, dbus.Variant{}).Store(&s)\nc.Signal(make(chan *dbus.Signal, 1))\n_ = c.AddMatchSignal()",
		why:     "Five methods and one signal, with a deadline for each",
	},
	{
		own: "network devices: netlink", files: []string{"libcontainer/internal/netdev/*.go"},
		module:  "github.com/vishvananda/netlink",
		imports: []string{`"github.com/vishvananda/netlink"`},
		use:     "l, _ := netlink.LinkByName(\"\")\n_, _ = netlink.LinkSetNsFd(l, 0), netlink.LinkSetUp(l)\na, _ := netlink.AddrList(l, 0)\n_ = netlink.AddrAdd(l, &a[0])",
		why:     "The container's side of it runs in the stub, where there is no Go",
	},
	{
		own: "flags, help, completion", files: commandLine,
		module:  "github.com/urfave/cli/v3",
		imports: []string{`"context"`, `"github.com/urfave/cli/v3"`},
		use:     "_ = (&cli.Command{Flags: []cli.Flag{&cli.StringFlag{}, &cli.BoolFlag{}}}).Run(context.Background(), os.Args)",
		why:     "Commands are data, from which help, man pages and completions come",
	},
	{
		own: "the same", files: commandLine,
		module:  "github.com/spf13/cobra",
		imports: []string{`"github.com/spf13/cobra"`},
		use:     "_ = (&cobra.Command{}).Execute()",
		why:     "The same",
	},
	{
		own: "the screen of `top`", files: []string{"cmd/onggi/screen.go", "cmd/onggi/frame.go"},
		module:  "github.com/gdamore/tcell/v2",
		imports: []string{`"github.com/gdamore/tcell/v2"`},
		use:     "s, _ := tcell.NewScreen()\n_ = s.Init()\ns.SetContent(0, 0, 'x', nil, tcell.StyleDefault)\ns.Show()\n_ = s.PollEvent()",
		why:     "One table that is drawn anew every second",
	},
	{
		own: "Intel RDT", files: []string{"libcontainer/internal/resctrl/*.go"},
		module:  "github.com/intel/goresctrl",
		imports: []string{`"github.com/intel/goresctrl/pkg/rdt"`},
		use:     "_ = rdt.Initialize(\"\")\nc, _ := rdt.GetClass(\"\")\n_ = c.AddPids(\"1\")",
		why:     "It writes classes that its own configuration file defines; config.json has the schemata as text",
	},
	{
		own: "terminals", files: []string{"libcontainer/console/*.go", "libcontainer/internal/console/*.go"},
		module:  "github.com/containerd/console",
		imports: []string{`"github.com/containerd/console"`},
		use:     "c, _, _ := console.NewPty()\n_ = c.SetRaw()\ne, _ := console.NewEpoller()\n_, _ = e.Add(c)",
		why:     "The stub opens the terminal inside the container; the rest is a copy in two directions, which also passes on signals",
	},
	{
		own: "the log in the journal", files: []string{"cmd/onggi/logsocket.go"},
		module:  "github.com/coreos/go-systemd/v22",
		imports: []string{`"github.com/coreos/go-systemd/v22/journal"`},
		use:     "_ = journal.Send(\"\", journal.PriErr, nil)",
		why:     "It sends to syslog(3) too, and never waits for a full socket",
	},
}
