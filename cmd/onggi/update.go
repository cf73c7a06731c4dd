package main

import (
	"context"
	"errors"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/onggi-dev/onggi/cmd/onggi/internal/cli"
	"github.com/onggi-dev/onggi/libcontainer"
	"github.com/onggi-dev/onggi/specconv"
)

func updateCommand() command {
	return command{
		Name: "update", Args: "<container-id>", Min: 1, Max: 1,
		Summary: "change limits of a running container",
		Detail: `Changes only the given limits. If one limit is refused, none changes. Sizes may
have a unit (512m, 1.5G); -1 means no limit. DEVICE is the MAJOR:MINOR or the
path of a block device. The last rule for a device applies. The devices of every
container (/dev/null, terminals, ...) stay allowed.
With --resources, the limits come as JSON in the form of linux.resources of
config.json, and no other flag may be given.`,
		Manual: cli.Manual{Examples: `Half a processor, 512 MiB, and 100 processes:

    onggi update --cpu-quota 50000 --cpu-period 100000 \
        --memory 512m --pids-limit 100 web

No limit of processes any more:

    onggi update --pids-limit -1 web

1 MiB in a second to the disk 8:0, and access to /dev/fuse:

    onggi update --blkio-write-bps-device 8:0=1m web
    onggi update --device-allow 'c 10:229 rwm' web

The request of an engine:

    echo '{"pids": {"limit": 50}}' | onggi update --resources - web`},
		Define: defineUpdate,
	}
}

func defineUpdate(f *flags) action {
	var file string
	f.String(&file, "resources", "r", "FILE", "read the limits from this file, or from standard input for -")
	u := newChanges()
	u.define(f)
	return func(c *call) error {
		container, err := c.container()
		if err != nil {
			return err
		}
		if file != "" && u.given {
			return misuse("update", "flag --resources goes with no other flag")
		}
		if file == "" {
			return whole(c.ctx, func(ctx context.Context) error { return u.apply(ctx, container) })
		}
		r, err := readResources(c, file)
		if err != nil {
			return err
		}
		return whole(c.ctx, func(ctx context.Context) error { return container.Update(ctx, r) })
	}
}

// readResources reads the limits that an engine passes.
func readResources(c *call, file string) (*specs.LinuxResources, error) {
	data, name, err := c.read(file)
	if err != nil {
		return nil, err
	}
	r := &specs.LinuxResources{}
	if err := specconv.Decode(name, data, r); err != nil {
		return nil, err
	}
	return r, nil
}

// changes are the limits that the flags give.
type changes struct {
	given           bool
	memory          specs.LinuxMemory
	cpu             specs.LinuxCPU
	pids            specs.LinuxPids
	blockIO         specs.LinuxBlockIO
	network         specs.LinuxNetwork
	resources       specs.LinuxResources
	rules           []specs.LinuxDeviceCgroup // rules to append to the present ones
	bandwidth       libcontainer.BandwidthUpdate
	l3Cache         string
	memoryBandwidth string
}

func newChanges() *changes {
	u := &changes{}
	u.resources = specs.LinuxResources{
		Memory: &u.memory, CPU: &u.cpu, Pids: &u.pids, BlockIO: &u.blockIO, Network: &u.network,
		Rdma: map[string]specs.LinuxRdma{}, Unified: map[string]string{},
	}
	return u
}

// apply applies all changes. If one fails, it undoes the others.
func (u *changes) apply(ctx context.Context, container *libcontainer.Container) error {
	var undo []func() error
	for _, apply := range []func(context.Context, *libcontainer.Container) (func() error, error){u.applyIntelRdt, u.applyBandwidth, u.applyLimits} {
		back, err := apply(ctx, container)
		if err != nil {
			for _, back := range undo {
				err = errors.Join(err, back())
			}
			return err
		}
		if back != nil {
			undo = append(undo, back)
		}
	}
	return nil
}

// applyIntelRdt returns a function that undoes the change.
func (u *changes) applyIntelRdt(_ context.Context, container *libcontainer.Container) (undo func() error, err error) {
	if u.l3Cache == "" && u.memoryBandwidth == "" {
		return nil, nil
	}
	old := container.IntelRdt()
	if err := container.UpdateIntelRdt(&specs.LinuxIntelRdt{L3CacheSchema: u.l3Cache, MemBwSchema: u.memoryBandwidth}); err != nil {
		return nil, err
	}
	return func() error {
		return container.UpdateIntelRdt(&specs.LinuxIntelRdt{L3CacheSchema: old.L3, MemBwSchema: old.MB})
	}, nil
}

// applyBandwidth returns a function that undoes the change.
func (u *changes) applyBandwidth(ctx context.Context, container *libcontainer.Container) (undo func() error, err error) {
	if u.bandwidth == (libcontainer.BandwidthUpdate{}) {
		return nil, nil
	}
	old, err := container.UpdateBandwidth(ctx, u.bandwidth)
	if err != nil {
		return nil, err
	}
	return func() error {
		_, err := container.UpdateBandwidth(context.WithoutCancel(ctx), old)
		return err
	}, nil
}

// applyLimits appends the device rules: a rule has no key by which it could replace another. It comes
// last, so it needs no undo.
func (u *changes) applyLimits(ctx context.Context, container *libcontainer.Container) (undo func() error, err error) {
	if len(u.rules) > 0 {
		now, err := container.Resources()
		if err != nil {
			return nil, err
		}
		u.resources.Devices = append(now.Devices, u.rules...)
	}
	return nil, container.Update(ctx, &u.resources)
}

// define declares runc's flags first, then those that only onggi has.
func (u *changes) define(f *flags) {
	u.flag(f, "blkio-weight", "N", "weight of block I/O, 10 to 1000", number16(&u.blockIO.Weight))
	u.flag(f, "cpu-period", "USEC", "period of the CPU quota", unsigned(&u.cpu.Period))
	u.flag(f, "cpu-quota", "USEC", "CPU time in each period", signed(&u.cpu.Quota))
	u.flag(f, "cpu-burst", "USEC", "unused quota that may be saved up", unsigned(&u.cpu.Burst))
	u.flag(f, "cpu-share", "N", "weight of CPU time, 2 to 262144", unsigned(&u.cpu.Shares))
	u.flag(f, "cpu-rt-period", "USEC", "period of the real-time budget (cgroup v1)", unsigned(&u.cpu.RealtimePeriod))
	u.flag(f, "cpu-rt-runtime", "USEC", "real-time budget in each period (cgroup v1)", signed(&u.cpu.RealtimeRuntime))
	u.flag(f, "cpuset-cpus", "LIST", "processors to run on, such as 0-2,7", text(&u.cpu.Cpus))
	u.flag(f, "cpuset-mems", "LIST", "memory nodes to allocate from", text(&u.cpu.Mems))
	u.flag(f, "cpu-idle", "0|1", "1 runs the container only when processors are idle", signed(&u.cpu.Idle))
	u.flag(f, "memory", "SIZE", "limit of memory", size(&u.memory.Limit))
	u.flag(f, "memory-reservation", "SIZE", "memory that is not reclaimed while others have more", size(&u.memory.Reservation))
	u.flag(f, "memory-swap", "SIZE", "limit of memory and swap together", size(&u.memory.Swap))
	//lint:ignore SA1019 runc has the flag
	u.flag(f, "kernel-memory", "SIZE", "no longer a limit: ignored", size(&u.memory.Kernel)) //nolint:staticcheck // runc has the flag
	f.Hide()
	u.flag(f, "kernel-memory-tcp", "SIZE", "limit of memory for TCP buffers, of cgroup v1 only", size(&u.memory.KernelTCP))
	f.Hide()
	u.flag(f, "pids-limit", "N", "limit of processes and threads", signed(&u.pids.Limit))
	u.flag(f, "l3-cache-schema", "TEXT", "Intel RDT cache schema", text(&u.l3Cache))
	u.flag(f, "mem-bw-schema", "TEXT", "Intel RDT memory bandwidth schema", text(&u.memoryBandwidth))

	u.flag(f, "memory-swappiness", "N", "how readily memory is swapped out, 0 to 100 (cgroup v1)", unsigned(&u.memory.Swappiness))
	u.flag(f, "oom-kill-disable", "true|false", "stop processes at the memory limit instead of killing one (cgroup v1)", boolean(&u.memory.DisableOOMKiller))
	u.flag(f, "memory-check", "true|false", "refuse a memory limit below the memory in use", boolean(&u.memory.CheckBeforeUpdate))
	u.list(f, "blkio-weight-device", "DEVICE=N", "weight of block I/O of one device", u.weightDevice)
	u.list(f, "blkio-read-bps-device", "DEVICE=SIZE", "limit of bytes read in a second; 0 for none", throttle(&u.blockIO.ThrottleReadBpsDevice))
	u.list(f, "blkio-write-bps-device", "DEVICE=SIZE", "limit of bytes written in a second; 0 for none", throttle(&u.blockIO.ThrottleWriteBpsDevice))
	u.list(f, "blkio-read-iops-device", "DEVICE=N", "limit of reads in a second; 0 for none", throttle(&u.blockIO.ThrottleReadIOPSDevice))
	u.list(f, "blkio-write-iops-device", "DEVICE=N", "limit of writes in a second; 0 for none", throttle(&u.blockIO.ThrottleWriteIOPSDevice))
	u.list(f, "hugepage", "PAGE=SIZE", "limit of memory in huge pages of one size, such as 2MB=64m", u.hugepage)
	u.list(f, "rdma", "DEVICE=hca_handle=N,hca_object=N", "limits of one RDMA device, or one of the two", u.rdma)
	u.flag(f, "network-egress", "RATE[:BURST]", "limit of sent traffic, such as 10mbit or 10mbit:256k (cgroup v2)", bandwidth(&u.bandwidth.Egress))
	u.flag(f, "network-ingress", "RATE[:BURST]", "limit of received traffic (cgroup v2)", bandwidth(&u.bandwidth.Ingress))
	u.flag(f, "network-class", "N", "class of the packets (cgroup v1), or mark of new sockets (v2)", number32(&u.network.ClassID))
	u.list(f, "network-priority", "INTERFACE=N", "priority of the packets on one interface (cgroup v1), or of new sockets (v2)", u.priority)
	u.list(f, "unified", "FILE=VALUE", "write to this file of the cgroup (cgroup v2)", u.unified)
	u.list(f, "device-allow", "RULE", "allow access to devices: TYPE MAJOR:MINOR ACCESS, such as \"c 10:200 rwm\"", u.rule(true))
	u.list(f, "device-deny", "RULE", "deny access to devices", u.rule(false))
}

// flag declares a limit. An empty value means "no change", as with runc: engines pass it.
func (u *changes) flag(f *flags, name, arg, help string, set func(string) error) {
	f.Add(cli.Option{Name: name, Arg: arg, Text: help, Set: func(v string) error {
		if v == "" {
			return nil
		}
		u.given = true
		if err := set(v); err != nil {
			return &cli.ValueError{Flag: name, Err: err}
		}
		return nil
	}})
}

// list declares a limit that may be given several times, for different things.
func (u *changes) list(f *flags, name, arg, help string, set func(string) error) {
	f.Each(name, "", arg, help, func(v string) error {
		u.given = true
		return set(v)
	})
}
