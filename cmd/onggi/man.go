package main

// bundleFiles are the files of a bundle that a command reads or writes.
const bundleFiles = `config.json
    in the bundle: the configuration of the container, in the form of config.md
    in the OCI runtime specification
rootfs
    in the bundle: the root file system, if root.path in config.json names no
    other`

// serviceEnvironment are the variables of a service manager.
const serviceEnvironment = `LISTEN_FDS, LISTEN_PID
    descriptors for the container (sd_listen_fds(3))
NOTIFY_SOCKET
    the socket on which the container reports that it is ready (sd_notify(3))`

// criuEnvironment is the variable by which CRIU is found.
const criuEnvironment = `PATH
    the directories of criu and of the programs that CRIU runs`

// stateFiles are the files below the state root.
const stateFiles = `/run/onggi
    the state root, unless --root names another
/run/onggi/ID/state.json
    the record of a container; onggi asks the kernel whether it runs
/run/onggi/ID/config.json
    its configuration at create
/run/onggi/ID/resources.json, mounts.json
    changes by "onggi update" and "onggi mounts"
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
    the sockets of systemd for --systemd-cgroup, if they are not the usual ones`

func manCommand() command {
	return command{
		Name: "man", Args: "<directory>", Min: 1, Max: 1, Hidden: true,
		Summary: "write the man pages into a directory",
		Define:  func(*flags) action { return writeManPages },
	}
}

func writeManPages(c *call) error { return program().WriteManPages(c.args[0]) }
