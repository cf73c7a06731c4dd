package plan

import "golang.org/x/sys/unix"

// notifyAt is the destination that runc uses and that images expect.
const notifyAt = "/run/notify"

// notify mounts the directory of the socket on which the program reports that it
// is ready. Start creates the socket after this mount; new files of a directory
// also appear in its bind mounts.
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
