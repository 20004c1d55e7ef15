/* The safety rules: see safety.h. */
#include "lib/storage/safety.h"

#include "lib/os/blkid.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* "LVM2_member (label x)" in words. */
static const char *content_words(const char *content, struct arena *a)
{
	static const struct {
		const char *type, *words;
	} known[] = {
		{ "linux_raid_member", "is a member of a Linux RAID array" },
		{ "LVM2_member", "is an LVM physical volume" },
		{ "LVM1_member", "is an LVM physical volume" },
		{ "crypto_LUKS", "holds a LUKS encrypted volume" },
		{ "BitLocker", "holds a BitLocker encrypted volume" },
		{ "zfs_member", "is a member of a ZFS pool" },
		{ "mpath_member", "is a path of a multipath disk" },
		{ "swap", "holds a swap area" },
		{ "swsuspend", "holds a hibernated system" },
	};
	size_t n = strcspn(content, " ");

	if (starts_with(content, "conflicting "))
		return arena_printf(a, "holds %s", content);
	if (starts_with(content, "damaged "))
		return arena_printf(a, "holds a %s signature", content);
	for (size_t i = 0; i < COUNT(known); i++)
		if (strlen(known[i].type) == n && !strncmp(content, known[i].type, n))
			return arena_printf(a, "%s%s", known[i].words, content + n);
	if (n > 7 && !strncmp(content + n - 7, "_member", 7))
		return arena_printf(a, "is a RAID member, %s", content);
	return arena_printf(a, "holds a%s %.*s filesystem%s", strchr("aeioux", *content) ? "n" : "",
			    (int)n, content, content + n);
}

static const char *uses(const struct disk *d, struct arena *a)
{
	char *all = NULL;

	for (const char **u = d->used_by; u && *u; u++)
		all = all ? arena_printf(a, "%s, %s", all, *u) : arena_str(a, *u);
	return all;
}

static void set_hint(const char **hint, const char *text)
{
	if (hint)
		*hint = text;
}

const char *disk_busy(const struct disk *d, struct arena *a, const char **hint)
{
	const char *use = uses(d, a);

	if (use) {
		set_hint(hint, "unmount it or take it out of use first, or name another disk");
		return arena_printf(a, "is in use: %s", use);
	}
	if (d->read_only) {
		set_hint(hint, "make it writable with blockdev --setrw, or name another disk");
		return "is read-only";
	}
	if (!d->size_bytes || d->size_bytes == U64_NONE) {
		set_hint(hint, "insert a medium, or name another disk");
		return "has no size";
	}
	return NULL;
}

const char *disk_refusal(const struct disk *d, struct arena *a, const char **hint)
{
	const char *why;

	set_hint(hint, NULL);
	if (d->boot) {
		set_hint(hint, "name another disk");
		why = uses(d, a);
		return why ? arena_printf(a, "is the disk that the system runs from: %s", why)
			   : "is the disk that the system runs from";
	}
	why = disk_busy(d, a, hint);
	if (why)
		return why;
	if (d->probe_error) {
		set_hint(hint, "what cannot be read counts as not empty; name another disk");
		return arena_printf(a, "cannot be probed: %s", d->probe_error);
	}
	set_hint(hint, "wipe it with wipefs -a if nothing on it is wanted, or name another disk");
	if (d->content)
		return d->table && !starts_with(d->content, "damaged ")
			       ? arena_printf(a, "%s, and has a %s partition table",
					      content_words(d->content, a), d->table)
			       : content_words(d->content, a);
	if (streq(d->table, "PMBR"))
		return "has a protective MBR whose GPT is broken";
	if (d->table)
		return arena_printf(a, "has a %s partition table with %" PRIu64 " partition%s",
				    d->table, d->partitions == U64_NONE ? 0 : d->partitions,
				    d->partitions == 1 ? "" : "s");
	if (d->partitions && d->partitions != U64_NONE)
		return arena_printf(a, "has %" PRIu64 " partition%s", d->partitions,
				    d->partitions == 1 ? "" : "s");
	if (d->removable) {
		set_hint(hint, "name another disk, or force it on this one by name");
		return "is removable";
	}
	set_hint(hint, NULL);
	return NULL;
}

static int changed(const struct disk *d, struct err *e, const char *what, const char *was,
		   const char *is)
{
	return err_make(e, ERR_FAILED, -ESTALE, d->path, "look at the disks again and start over",
			"is another disk than before: %s was %s and is %s", what, was ? was : "none",
			is ? is : "none");
}

/* The open descriptor itself: a node may have been replaced since the disk was looked up. */
static int check_fd(const struct disk *d, int fd, struct arena *a, struct err *e)
{
	struct stat st;
	uint64_t size;
	const char *devno;

	if (fstat(fd, &st))
		return err_sys(e, -errno, d->path, "look again");
	if (!S_ISBLK(st.st_mode))
		return err_make(e, ERR_NO_DEVICE, -ENOTBLK, d->path, NULL, "is no block device");
	devno = arena_printf(a, "%u:%u", major(st.st_rdev), minor(st.st_rdev));
	if (!streq(devno, d->devno))
		return changed(d, e, "its device number", d->devno, devno);
	if (ioctl(fd, BLKGETSIZE64, &size))
		return err_sys(e, -errno, d->path, "look again at its size");
	if (size != d->size_bytes)
		return changed(d, e, "its size", arena_printf(a, "%" PRIu64, d->size_bytes),
			       arena_printf(a, "%" PRIu64, size));
	return 0;
}

/*
 * Whether somebody holds the disk or a partition exclusively who left no trace in sysfs or among
 * our mounts: another mount namespace, a program with O_EXCL. Only for an instant, under the lock.
 */
static int check_exclusive(const struct disk *d, int fd, struct err *e)
{
	char path[40];
	int claim;

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	claim = open(path, O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC);
	if (claim < 0 && errno == ENOENT) /* no procfs */
		claim = open(d->path, O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC);
	if (claim < 0 && errno == EBUSY)
		return err_make(e, ERR_FAILED, -EBUSY, d->path,
				"find who with fuser or lsof, and try again",
				"is held by another program or mount namespace");
	if (claim < 0)
		return err_sys(e, -errno, d->path, "open exclusively");
	close(claim);
	return 0;
}

int disk_still_same(struct world *w, const struct disk *d, int fd, bool must_be_empty,
		    struct err *e)
{
	struct disk now;
	const char *why, *hint;
	int r = check_fd(d, fd, w->mem, e);

	if (r)
		return r;
	r = inventory_disk(w, d->path, &now, e);
	if (r)
		return r;
	if (!streq(d->serial, now.serial))
		return changed(d, e, "its serial number", d->serial, now.serial);
	if (!streq(d->wwn, now.wwn))
		return changed(d, e, "its WWN", d->wwn, now.wwn);
	if (d->diskseq != now.diskseq)
		return changed(d, e, "its diskseq", arena_printf(w->mem, "%" PRIu64, d->diskseq),
			       arena_printf(w->mem, "%" PRIu64, now.diskseq));
	if (d->size_bytes != now.size_bytes || !streq(d->devno, now.devno))
		return changed(d, e, "its device number", d->devno, now.devno);
	if (!must_be_empty)
		return 0;
	/* A removable disk may have been forced; what is on it may not have changed. */
	now.removable = false;
	why = disk_refusal(&now, w->mem, &hint);
	if (why)
		return err_refuse(e, d->path, hint, "%s", why);
	return check_exclusive(d, fd, e);
}
