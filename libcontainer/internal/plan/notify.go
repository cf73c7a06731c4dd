package plan

import "golang.org/x/sys/unix"

// notifyAt is where runc mounts it, and where images expect it.
const notifyAt = "/run/notify"

// notify mounts the directory with the socket on which the program says that it
// is ready. The mount comes before the socket, which start makes: what is made
// in a directory later shows in its mounts.
func (b *builder) notify(ns *namespaces) {
	if b.NotifyDir == "" || !ns.has(unix.CLONE_NEWNS) {
		return
	}
	b.covers(notifyAt)
	b.add("", Bind{
		Source: b.NotifyDir, At: b.place(notifyAt),
		Attrs: Attrs{
			Set:         unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC,
			Propagation: unix.MS_PRIVATE,
		},
	})
}
