package main

// bundleFiles are the files of a bundle that a command reads or writes.
const bundleFiles = `config.json
    in the bundle: how the container is to be, in the form of config.md in the
    OCI runtime specification
rootfs
    in the bundle: the root file system, if root.path in config.json names no
    other`

// serviceEnvironment are the variables of a service manager.
const serviceEnvironment = `LISTEN_FDS, LISTEN_PID
    descriptors for the container, as sd_listen_fds(3) has them
NOTIFY_SOCKET
    where the container says that it is ready, as sd_notify(3) has it`

// criuEnvironment is the variable by which CRIU is found.
const criuEnvironment = `PATH
    where criu is looked up, and the programs that CRIU runs`

// stateFiles are the files below the state root.
const stateFiles = `/run/onggi
    the state root, unless --root names another
/run/onggi/ID/state.json
    what is known of a container; whether it runs is asked of the kernel
/run/onggi/ID/config.json
    its configuration, as it was at create
/run/onggi/ID/resources.json, mounts.json
    what "onggi update" and "onggi mounts" have changed
/run/onggi/ID/start, status
    the gate at which a created container waits
/run/onggi/@seccomp
    compiled seccomp filters: a cache`

const environment = `XDG_RUNTIME_DIR
    the state root of an ordinary user, and of root in a user namespace, is the
    directory onggi in this one
USER
    "root" in a user namespace: the state root is /run/onggi all the same
DBUS_SYSTEM_BUS_ADDRESS, DBUS_SESSION_BUS_ADDRESS
    where systemd is, for --systemd-cgroup, if not at its usual sockets`

func manCommand() command {
	return command{
		Name: "man", Args: "<directory>", Min: 1, Max: 1, Hidden: true,
		Summary: "write the man pages into a directory",
		Define:  func(*flags) action { return writeManPages },
	}
}

func writeManPages(c *call) error { return program().WriteManPages(c.args[0]) }
