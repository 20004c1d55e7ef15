/* Block devices as the kernel has them: see block.h. */
#include "lib/os/block.h"

#include "lib/core/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/blkpg.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* From linux/fs.h, since Linux 5.15; older headers lack it. */
#ifndef BLKGETDISKSEQ
#define BLKGETDISKSEQ _IOR(0x12, 128, __u64)
#endif

enum { SYSFS_SECTOR = 512 }; /* sysfs counts in these whatever the disk's sectors are */

static const char *kind_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "a regular file";
	case S_IFDIR:
		return "a directory";
	case S_IFCHR:
		return "a character device";
	case S_IFIFO:
		return "a pipe";
	case S_IFSOCK:
		return "a socket";
	}
	return "no block device";
}

static const char *sysfs_dir(struct world *w, dev_t devno)
{
	return root_realpath(&w->root,
			     arena_printf(w->mem, "/sys/dev/block/%u:%u", major(devno), minor(devno)),
			     w->mem);
}

/* A kernel name has ! where the node has /. */
static const char *node_of(struct world *w, const char *name)
{
	char *path = arena_printf(w->mem, "/dev/%s", name);

	for (char *p = path; *p; p++)
		if (*p == '!')
			*p = '/';
	return path;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static dev_t parse_devno(const char *s)
{
	unsigned int ma, mi;

	return s && sscanf(s, "%u:%u", &ma, &mi) == 2 ? makedev(ma, mi) : 0;
}

static void read_holders(struct world *w, const char *dir, struct block *b)
{
	if (root_list(&w->root, arena_printf(w->mem, "%s/holders", dir), w->mem, &b->holders))
		b->holders = NULL;
	if (!b->holders)
		b->holders = arena_alloc(w->mem, sizeof *b->holders);
}

int block_describe(struct world *w, const char *path, struct block *ret, struct err *e)
{
	struct block b = { .path = root_realpath(&w->root, path, w->mem) };
	const char *dir, *disk_dir;
	struct stat st;

	if (!b.path || stat(b.path, &st))
		return err_make(e, ERR_NO_DEVICE, -errno, path, "see topo disks for those there are",
				"%s", errno == ENOENT ? "there is no such device" : strerror(errno));
	if (!S_ISBLK(st.st_mode))
		return err_make(e, ERR_NO_DEVICE, -ENOTBLK, path,
				S_ISREG(st.st_mode) ? "attach it with losetup and name the loop device"
						    : "see topo disks for those there are",
				"is %s, not a block device", kind_of(st.st_mode));
	b.devno = st.st_rdev;
	dir = sysfs_dir(w, b.devno);
	if (!dir)
		return err_make(e, ERR_NO_DEVICE, -ENXIO, path, "see topo disks for those there are",
				"is a node without a device behind it (%u:%u)", major(b.devno),
				minor(b.devno));
	b.name = base_name(dir);
	b.number = root_attr_u64(&w->root, 0, "%s/partition", dir);
	disk_dir = dir;
	if (b.number)
		disk_dir = arena_strn(w->mem, dir, strlen(dir) - strlen(b.name) - 1);
	b.disk_name = base_name(disk_dir);
	b.disk = b.number ? node_of(w, b.disk_name) : b.path;
	b.disk_devno = b.number ? parse_devno(root_attr(&w->root, w->mem, "%s/dev", disk_dir)) : b.devno;
	b.start_bytes = b.number ? root_attr_u64(&w->root, 0, "%s/start", dir) * SYSFS_SECTOR : 0;
	b.size_bytes = root_attr_u64(&w->root, 0, "%s/size", dir) * SYSFS_SECTOR;
	b.logical_sector_bytes =
		root_attr_u64(&w->root, 512, "%s/queue/logical_block_size", disk_dir);
	b.physical_sector_bytes = root_attr_u64(&w->root, b.logical_sector_bytes,
						"%s/queue/physical_block_size", disk_dir);
	b.diskseq = root_attr_u64(&w->root, U64_NONE, "%s/diskseq", disk_dir);
	b.read_only = root_attr_u64(&w->root, 0, "%s/ro", dir) ||
		      root_attr_u64(&w->root, 0, "%s/ro", disk_dir);
	read_holders(w, dir, &b);
	*ret = b;
	return 0;
}

static int open_error(const char *path, struct err *e)
{
	int code = errno;

	if (code == EACCES || code == EPERM)
		return err_make(e, ERR_UNSUPPORTED, -code, path, "run it as root", "open: %s",
				strerror(code));
	return err_sys(e, -code, path, "open");
}

int block_open(const struct block *b, int flags, struct err *e)
{
	auto_close int fd = open(b->path, flags | O_CLOEXEC | O_NONBLOCK);
	uint64_t size = 0, seq = 0;
	struct stat st;

	if (fd < 0)
		return open_error(b->path, e);
	if (fstat(fd, &st) || ioctl(fd, BLKGETSIZE64, &size))
		return err_sys(e, -errno, b->path, "look at it");
	if (st.st_rdev != b->devno || size != b->size_bytes ||
	    (b->diskseq != U64_NONE && !ioctl(fd, BLKGETDISKSEQ, &seq) && seq != b->diskseq))
		return err_refuse(e, b->path, "look again with topo disks; nothing was changed",
				  "is not the device any more that it was a moment ago");
	return take_fd(&fd);
}

static char *octal_unescape(char *s)
{
	char *to = s;

	for (char *p = s; *p; p++) {
		if (p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] && p[3]) {
			*to++ = (char)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0'));
			p += 3;
		} else {
			*to++ = *p;
		}
	}
	*to = '\0';
	return s;
}

/* Where a device with this number is mounted, or NULL. A btrfs shows an anonymous number in
 * mountinfo, so the source's node is compared too. */
static const char *mounted_at(struct world *w, const struct block *b)
{
	char *text, *line, *rest;
	struct stat st;

	if (root_read(&w->root, "/proc/self/mountinfo", 16 << 20, w->mem, &text, NULL))
		return NULL;
	for (rest = text; (line = strsep(&rest, "\n"));) {
		char target[4096], dev[32], *after = strstr(line, " - "), *source;

		if (!after || sscanf(line, "%*s %*s %31s %*s %4095s", dev, target) != 2)
			continue;
		strsep(&after, " "), strsep(&after, " "), strsep(&after, " ");
		source = octal_unescape(strsep(&after, " "));
		if (parse_devno(dev) == b->devno ||
		    (source && *source == '/' && !stat(source, &st) && S_ISBLK(st.st_mode) &&
		     st.st_rdev == b->devno))
			return arena_str(w->mem, octal_unescape(target));
	}
	return NULL;
}

static bool is_swap(struct world *w, const struct block *b)
{
	char *text, *line, *rest;
	struct stat st;

	if (root_read(&w->root, "/proc/swaps", 1 << 20, w->mem, &text, NULL))
		return false;
	for (rest = text; (line = strsep(&rest, "\n"));) {
		char path[4096];

		if (sscanf(line, "%4095s", path) == 1 && *path == '/' &&
		    !stat(octal_unescape(path), &st) && S_ISBLK(st.st_mode) &&
		    st.st_rdev == b->devno)
			return true;
	}
	return false;
}

const char *block_busy(struct world *w, const struct block *b)
{
	const char *at = mounted_at(w, b);
	int fd;

	if (at)
		return arena_printf(w->mem, "is mounted at %s", at);
	if (is_swap(w, b))
		return "is in use as swap";
	if (b->holders[0])
		return arena_printf(w->mem, "is held by %s", b->holders[0]);
	fd = open(b->path, O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0)
		close(fd);
	else if (errno == EBUSY)
		return "is in use by another program or filesystem";
	return NULL;
}

/* --- The lock --- */

struct held_lock {
	dev_t devno;
	int fd;
	unsigned depth;
	struct held_lock *next;
};

static struct held_lock *find_lock(const struct world *w, dev_t devno)
{
	for (struct held_lock *l = w->locks; l; l = l->next)
		if (l->devno == devno)
			return l;
	return NULL;
}

bool block_is_locked(const struct world *w, dev_t devno)
{
	return find_lock(w, devno) != NULL;
}

/* "systemd-udevd (process 123)": who has a flock on this node, from /proc/locks. */
static const char *lock_holder(struct world *w, int fd)
{
	char *text, *line, *rest;
	struct stat st;

	if (fstat(fd, &st) ||
	    root_read(&w->root, "/proc/locks", 1 << 20, w->mem, &text, NULL))
		return "another program";
	for (rest = text; (line = strsep(&rest, "\n"));) {
		unsigned int ma, mi;
		unsigned long inode;
		int pid;

		if (strstr(line, "->") || /* one that waits */
		    sscanf(line, "%*s FLOCK %*s %*s %d %x:%x:%lu", &pid, &ma, &mi, &inode) != 4 ||
		    inode != st.st_ino || makedev(ma, mi) != st.st_dev)
			continue;
		line = root_attr(&w->root, w->mem, "/proc/%d/comm", pid);
		return arena_printf(w->mem, "%s (process %d)", line ? line : "a program", pid);
	}
	return "another program";
}

int block_lock(struct world *w, const char *disk, dev_t devno, double timeout_s, struct err *e)
{
	struct held_lock *l = find_lock(w, devno);
	uint64_t until = clock_monotonic_ns() + (uint64_t)((timeout_s > 0 ? timeout_s : 30) * 1e9);
	auto_close int fd = -1;
	struct stat st;

	if (l) {
		l->depth++;
		return 0;
	}
	fd = open(disk, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return open_error(disk, e);
	if (fstat(fd, &st) || st.st_rdev != devno)
		return err_refuse(e, disk, "look again with topo disks; nothing was changed",
				  "is not the device any more that it was a moment ago");
	while (flock(fd, LOCK_EX | LOCK_NB)) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_sys(e, -errno, disk, "lock");
		if (*w->stop)
			return err_make(e, ERR_FAILED, -EINTR, disk, NULL, "stopped while it was locked");
		if (clock_monotonic_ns() > until)
			return err_make(e, ERR_FAILED, -EBUSY, disk, "try again when that has ended",
					"is locked by %s", lock_holder(w, fd));
		nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
	}
	l = xcalloc(1, sizeof *l);
	*l = (struct held_lock){ .devno = devno, .fd = take_fd(&fd), .depth = 1, .next = w->locks };
	w->locks = l;
	return 0;
}

void block_unlock(struct world *w, dev_t devno)
{
	for (struct held_lock **p = &w->locks; *p; p = &(*p)->next) {
		struct held_lock *l = *p;

		if (l->devno != devno)
			continue;
		if (--l->depth)
			return;
		*p = l->next;
		close(l->fd);
		free(l);
		return;
	}
}

int block_lock_scoped(struct block_lock *l, const char *disk, dev_t devno, struct err *e)
{
	int r = block_lock(l->w, disk, devno, 0, e);

	l->devno = devno;
	l->held = !r;
	return r;
}

void block_lock_release(struct block_lock *l)
{
	if (l->held)
		block_unlock(l->w, l->devno);
	l->held = false;
}

/* --- Partitions --- */

static int by_number(const void *x, const void *y)
{
	const struct block_partition *a = x, *b = y;

	return a->number < b->number ? -1 : a->number > b->number;
}

int block_partitions(struct world *w, const struct block *disk, struct block_partition **ret,
		     size_t *ret_n, struct err *e)
{
	const char *dir = sysfs_dir(w, disk->disk_devno), **names;
	struct block_partition *parts;
	size_t n = 0;
	int r = dir ? root_list(&w->root, dir, w->mem, &names) : -errno;

	if (r)
		return err_sys(e, r, disk->disk, "list its partitions in sysfs");
	parts = arena_alloc(w->mem, (strlist_len((const char *const *)names) + 1) * sizeof *parts);
	for (; names && *names; names++) {
		uint64_t number;

		if (!starts_with(*names, disk->disk_name)) /* an attribute */
			continue;
		number = root_attr_u64(&w->root, 0, "%s/%s/partition", dir, *names);
		if (!number)
			continue;
		parts[n++] = (struct block_partition){
			.number = number,
			.start_bytes = root_attr_u64(&w->root, 0, "%s/%s/start", dir, *names) *
				       SYSFS_SECTOR,
			.size_bytes = root_attr_u64(&w->root, 0, "%s/%s/size", dir, *names) *
				      SYSFS_SECTOR,
			.name = *names,
			.devno = parse_devno(root_attr(&w->root, w->mem, "%s/%s/dev", dir, *names)),
		};
	}
	qsort(parts, n, sizeof *parts, by_number);
	*ret = parts;
	*ret_n = n;
	return 0;
}

static int find_partition(struct world *w, const struct block *disk, uint64_t number,
			  struct block_partition *ret, struct err *e)
{
	struct block_partition *parts;
	size_t n;
	int r = block_partitions(w, disk, &parts, &n, e);

	if (r)
		return r;
	for (size_t i = 0; i < n; i++)
		if (parts[i].number == number) {
			*ret = parts[i];
			return 1;
		}
	return 0;
}

static int blkpg(const struct block *disk, int op, uint64_t number, uint64_t start_bytes,
		 uint64_t size_bytes)
{
	struct blkpg_partition p = { .start = (long long)start_bytes,
				     .length = (long long)size_bytes, .pno = (int)number };
	struct blkpg_ioctl_arg arg = { .op = op, .datalen = sizeof p, .data = &p };
	auto_close int fd = open(disk->disk, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	return fd < 0 || ioctl(fd, BLKPG, &arg) ? -errno : 0;
}

int block_add_partition(struct world *w, const struct block *disk, uint64_t number,
			uint64_t start_bytes, uint64_t size_bytes, struct err *e)
{
	struct block_partition there;
	int r = blkpg(disk, BLKPG_ADD_PARTITION, number, start_bytes, size_bytes);

	if (!r)
		return 0;
	/* udevd may have made the kernel read the table meanwhile. */
	if (r == -EBUSY && find_partition(w, disk, number, &there, e) == 1 &&
	    there.start_bytes == start_bytes && there.size_bytes == size_bytes)
		return 0;
	return err_make(e, ERR_FAILED, r, disk->disk,
			"the table is written: have it read again with blockdev --rereadpt, or reboot",
			"tell the kernel about partition %" PRIu64 ": %s", number, strerror(-r));
}

int block_del_partition(struct world *w, const struct block *disk, uint64_t number, struct err *e)
{
	int r = blkpg(disk, BLKPG_DEL_PARTITION, number, 0, 0);

	(void)w;
	if (!r || r == -ENXIO) /* the kernel does not have it */
		return 0;
	return err_sys(e, r, disk->disk, "have the kernel forget partition %" PRIu64, number);
}

int block_resize_partition(struct world *w, const struct block *disk, uint64_t number,
			   uint64_t start_bytes, uint64_t size_bytes, struct err *e)
{
	int r = blkpg(disk, BLKPG_RESIZE_PARTITION, number, start_bytes, size_bytes);

	(void)w;
	return r ? err_sys(e, r, disk->disk, "tell the kernel the size of partition %" PRIu64, number)
		 : 0;
}

int block_partition_node(struct world *w, const struct block *disk, uint64_t number,
			 const char **ret_path, struct err *e)
{
	uint64_t until = clock_monotonic_ns() + 5000000000u;
	struct block_partition p;
	const char *path;
	struct stat st;
	int r;

	for (;;) {
		r = find_partition(w, disk, number, &p, e);
		if (r < 0)
			return r;
		path = r ? node_of(w, p.name) : NULL;
		if (path && !stat(path, &st) && S_ISBLK(st.st_mode) && st.st_rdev == p.devno) {
			*ret_path = path;
			return 0;
		}
		if (clock_monotonic_ns() > until || *w->stop)
			break;
		nanosleep(&(struct timespec){ .tv_nsec = 5000000 }, NULL);
	}
	if (!path)
		return err_make(e, ERR_NO_DEVICE, -ENXIO, disk->disk,
				"have its table read again with blockdev --rereadpt",
				"the kernel has no partition %" PRIu64 " of it", number);
	return err_make(e, ERR_NO_DEVICE, -ENOENT, path, "mount devtmpfs at /dev",
			"the kernel has the partition (%u:%u), but its node did not appear",
			major(p.devno), minor(p.devno));
}
