/*
 * floor: what the kernel alone asks for one default container.
 *
 * This is a measuring stick, not a runtime. It makes the namespaces, mounts, devices and masks of the default bundle with
 * everything known in advance. It checks nothing, parses nothing and keeps no state. A runtime cannot be faster. The
 * figure is its distance to the floor.
 *
 *     floor ROOTFS COMMAND CGROUP...
 *
 * CGROUPs are directories that do not exist yet, one for each hierarchy. The process enters a v2 one at birth
 * (CLONE_INTO_CGROUP), and a v1 one by its tasks file.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define MUST(call) do { if ((call) < 0) err(1, "%s", #call); } while (0)
#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* inherit copies a value of the parent: no process can enter a new v1 cpuset before it has processors and memory. */
static void inherit(const char *cgroup, const char *name)
{
	char path[4096], value[256];

	snprintf(path, sizeof path, "%s/../%s", cgroup, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return; /* another hierarchy */
	ssize_t length = read(fd, value, sizeof value);
	close(fd);
	snprintf(path, sizeof path, "%s/%s", cgroup, name);
	MUST(fd = open(path, O_WRONLY | O_CLOEXEC));
	MUST(write(fd, value, length));
	close(fd);
}

static void make_mounts(const char *rootfs, int hybrid)
{
	const unsigned long hard = MS_NOSUID | MS_NOEXEC | MS_NODEV;

	MUST(mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL));
	MUST(mount(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL));
	MUST(chdir(rootfs));
	MUST(mount("proc", "proc", "proc", 0, NULL));
	MUST(mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"));
	MUST(mkdir("dev/pts", 0755));
	MUST(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"));
	MUST(mkdir("dev/shm", 0755));
	MUST(mount("shm", "dev/shm", "tmpfs", hard, "mode=1777,size=65536k"));
	MUST(mkdir("dev/mqueue", 0755));
	MUST(mount("mqueue", "dev/mqueue", "mqueue", hard, NULL));
	MUST(mount("sysfs", "sys", "sysfs", hard | MS_RDONLY, NULL));
	/* A hybrid machine needs one mount for each hierarchy here. They are left out: the floor may only be too low. */
	if (!hybrid)
		MUST(mount("cgroup", "sys/fs/cgroup", "cgroup2", hard | MS_RDONLY, NULL));
}

static void make_devices(void)
{
	static const struct { const char *path; int major, minor; } nodes[] = {
		{"dev/null", 1, 3}, {"dev/zero", 1, 5}, {"dev/full", 1, 7},
		{"dev/random", 1, 8}, {"dev/urandom", 1, 9}, {"dev/tty", 5, 0},
	};
	static const char *const links[][2] = {
		{"/proc/self/fd", "dev/fd"}, {"/proc/self/fd/0", "dev/stdin"}, {"/proc/self/fd/1", "dev/stdout"},
		{"/proc/self/fd/2", "dev/stderr"}, {"pts/ptmx", "dev/ptmx"},
	};

	mode_t mask = umask(0);
	for (size_t i = 0; i < LENGTH(nodes); i++)
		MUST(mknod(nodes[i].path, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)));
	umask(mask);
	for (size_t i = 0; i < LENGTH(links); i++)
		MUST(symlink(links[i][0], links[i][1]));
}

/* A path that this kernel does not have needs no mask, so these failures are ignored. */
static void hide_paths(void)
{
	static const char *const readonly[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
	static const char *const files[] = {"/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/sched_debug"};
	static const char *const dirs[] = {"/proc/acpi", "/proc/asound", "/proc/scsi", "/sys/firmware"};

	for (size_t i = 0; i < LENGTH(readonly); i++)
		if (mount(readonly[i], readonly[i], NULL, MS_BIND | MS_REC, NULL) == 0)
			MUST(mount(NULL, readonly[i], NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL));
	for (size_t i = 0; i < LENGTH(files); i++)
		mount("/dev/null", files[i], NULL, MS_BIND, NULL);
	for (size_t i = 0; i < LENGTH(dirs); i++)
		mount("tmpfs", dirs[i], "tmpfs", MS_RDONLY, "nr_blocks=1,nr_inodes=1");
}

static void drop_privileges(void)
{
	const uint32_t keep = 1u << CAP_KILL | 1u << CAP_NET_BIND_SERVICE | 1u << CAP_AUDIT_WRITE;
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{.effective = keep, .permitted = keep}};
	const struct rlimit files = {1024, 1024};

	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	MUST(setrlimit(RLIMIT_NOFILE, &files));
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
		if (cap >= 32 || !(keep & 1u << cap))
			prctl(PR_CAPBSET_DROP, cap);
	MUST(syscall(SYS_capset, &header, data));
}

int main(int argc, char **argv)
{
	if (argc < 4)
		errx(1, "usage: floor ROOTFS COMMAND CGROUP...");
	char **cgroups = argv + 3;
	int unified = -1, hybrid = 0;

	for (char **dir = cgroups; *dir; dir++) {
		struct statfs fs;
		MUST(mkdir(*dir, 0755));
		MUST(statfs(*dir, &fs));
		if (fs.f_type == CGROUP2_SUPER_MAGIC)
			MUST(unified = open(*dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
		else {
			hybrid = 1;
			inherit(*dir, "cpuset.cpus");
			inherit(*dir, "cpuset.mems");
		}
	}

	struct clone_args how = {
		.flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_VFORK,
		.exit_signal = SIGCHLD,
	};
	if (unified >= 0) {
		how.flags |= CLONE_INTO_CGROUP;
		how.cgroup = unified;
	}
	long pid = syscall(SYS_clone3, &how, sizeof how);
	MUST(pid);
	if (pid == 0) {
		for (char **dir = cgroups; *dir && hybrid; dir++) {
			char tasks[4096];
			snprintf(tasks, sizeof tasks, "%s/tasks", *dir);
			int fd = open(tasks, O_WRONLY | O_CLOEXEC); /* the v2 one has no such file */
			if (fd >= 0) {
				MUST(write(fd, "0", 1));
				close(fd);
			}
		}
		MUST(unshare(CLONE_NEWCGROUP));
		make_mounts(argv[1], hybrid);
		make_devices();
		MUST(syscall(SYS_pivot_root, ".", "."));
		MUST(umount2(".", MNT_DETACH));
		MUST(chdir("/"));
		hide_paths();
		MUST(mount(NULL, "/", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL));
		MUST(sethostname("floor", 5));
		MUST(setsid());
		drop_privileges();
		char *const args[] = {argv[2], NULL}, *const environment[] = {"PATH=/bin", NULL};
		execve(argv[2], args, environment);
		err(1, "%s", argv[2]);
	}

	int status;
	MUST(waitpid(pid, &status, 0));
	for (char **dir = cgroups; *dir; dir++)
		while (rmdir(*dir) < 0 && errno == EBUSY)
			sched_yield();
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
