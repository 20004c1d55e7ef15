/* What filesystems are called: mount points, labels, and the words a user names them by. */
#include "applets/bcachefs-iostat/model.h"

#include "lib/core/clock.h"
#include "lib/os/mount.h"

#include <inttypes.h>
#include <strings.h>
#include <sys/sysmacros.h>

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* The kernel's name of a device: of /dev/mapper/x it is dm-0. */
static const char *kernel_name(const struct root *root, const char *path, struct arena *a)
{
	const char *real = root_realpath(root, path, a);

	return base_name(real ? real : path);
}

static bool has_device(const struct filesystem *fs, const char *name)
{
	for (size_t i = 0; i < fs->members.n; i++)
		if (streq(fs->members.items[i].device, name))
			return true;
	return false;
}

/* The source of a mount: "/dev/sda:/dev/sdb", by one of its devices. */
static bool is_source(const struct root *root, const struct filesystem *fs, const char *source,
		      struct arena *a)
{
	for (const char *p = source; p && *p; p += strcspn(p, ":"), p += *p == ':') {
		const char *path = arena_strn(a, p, strcspn(p, ":"));

		if (has_device(fs, base_name(path)) || has_device(fs, kernel_name(root, path, a)))
			return true;
	}
	return false;
}

/* udev writes \x20 for a blank in a link's name. */
static const char *unescape(const char *name, struct arena *a)
{
	char *out = arena_str(a, name), *to = out;

	for (const char *p = out; *p; p++) {
		unsigned v;

		if (p[0] == '\\' && p[1] == 'x' && sscanf(p + 2, "%2x", &v) == 1) {
			*to++ = (char)v;
			p += 3;
		} else {
			*to++ = *p;
		}
	}
	*to = '\0';
	return out;
}

void filesystems_describe(const struct root *root, struct snapshot *s)
{
	struct arena a auto_arena = { 0 };
	struct err ignored = { 0 };
	struct mount_info *mounts = NULL;
	const char **labels;
	size_t n_mounts = 0;

	if (!s->filesystems.n)
		return;
	if (mounts_read(root, &a, &mounts, &n_mounts, &ignored))
		n_mounts = 0;
	for (size_t i = 0; i < s->filesystems.n; i++) {
		struct filesystem *fs = &s->filesystems.items[i];

		fs->mounts = NULL;
		/* First where the whole of it is mounted, then parts of it. */
		for (int whole = 1; whole >= 0; whole--)
			for (size_t k = 0; k < n_mounts; k++) {
				const struct mount_info *m = &mounts[k];

				if (streq(m->fstype, "bcachefs") && streq(m->root, "/") == whole &&
				    is_source(root, fs, m->source, &a))
					strlist_add(&s->mem, &fs->mounts,
						    arena_str(&s->mem, m->target));
			}
	}
	if (root_list(root, "/dev/disk/by-label", &a, &labels))
		return;
	for (; *labels; labels++) {
		const char *path = arena_printf(&a, "/dev/disk/by-label/%s", *labels);
		const char *link = root_readlink(root, path, &a);

		for (size_t i = 0; link && i < s->filesystems.n; i++)
			if (has_device(&s->filesystems.items[i], base_name(link)))
				s->filesystems.items[i].label = unescape(*labels, &s->mem);
	}
}

/*
 * The label in a member's superblock (bcachefs_format.h: struct bch_sb, 4096 bytes into the
 * device). Read only when a word means nothing else: a monitor should not wait for a sick disk.
 */
static bool superblock_label_is(const struct root *root, const struct filesystem *fs,
				const char *word)
{
	static const unsigned char magic[] = { 0xc6, 0x85, 0x73, 0xf6, 0x66, 0xce, 0x90, 0xa9,
					       0xd9, 0x6a, 0x60, 0xcf, 0x80, 0x3d, 0xf7, 0xef };
	enum { MAGIC = 24, LABEL = 72, LABEL_MAX = 32 };

	for (size_t i = 0; i < fs->members.n; i++) {
		unsigned char sb[LABEL + LABEL_MAX];
		char path[300], label[LABEL_MAX + 1] = "";

		if (!fs->members.items[i].device)
			continue;
		snprintf(path, sizeof path, "/dev/%s", fs->members.items[i].device);
		auto_close int fd = root_open(root, path, O_RDONLY | O_NONBLOCK);
		if (fd < 0 || pread(fd, sb, sizeof sb, 4096) != sizeof sb ||
		    memcmp(sb + MAGIC, magic, sizeof magic))
			continue;
		memcpy(label, sb + LABEL, LABEL_MAX);
		return *label && streq(label, word);
	}
	return false;
}

bool filesystem_named(const struct root *root, const struct filesystem *fs, const char *word)
{
	struct arena a auto_arena = { 0 };
	bool only_label = starts_with(word, "LABEL="), only_uuid = starts_with(word, "UUID=");
	const char *real;

	word += only_label ? 6 : only_uuid ? 5 : 0;
	if (!*word)
		return false;
	if (!only_label && !strcasecmp(fs->name, word))
		return true;
	if (only_uuid)
		return false;
	if (streq(fs->label, word))
		return true;
	if (!only_label) {
		if (has_device(fs, word))
			return true;
		if (word[0] == '/') {
			real = root_realpath(root, word, &a);
			if (strlist_has(fs->mounts, word) ||
			    (real && strlist_has(fs->mounts, real)))
				return true;
			return has_device(fs, starts_with(word, "/dev/") ? word + 5 : word) ||
			       (real && starts_with(real, "/dev/") &&
				has_device(fs, base_name(real)));
		}
	}
	return !fs->label && superblock_label_is(root, fs, word);
}

bool filesystem_selected(const struct root *root, const struct filesystem *fs,
			 const char *const *words)
{
	if (!words || !*words)
		return true;
	for (; *words; words++)
		if (filesystem_named(root, fs, *words))
			return true;
	return false;
}

double filesystem_age_s(const struct root *root, const char *name)
{
	struct arena a auto_arena = { 0 };
	/* Recovery reads and writes before the thread starts; after a minute that matters little. */
	const char *thread = arena_printf(&a, "bch-reclaim/%s", name), **pids;
	unsigned long long start;

	/* Since Linux 5.17 comm is the whole name of a kernel thread (get_kthread_comm()). */
	if (root_list(root, "/proc", &a, &pids))
		return NAN;
	for (; *pids; pids++) {
		const char *comm, *stat, *p;
		double uptime_s;

		if (**pids < '1' || **pids > '9')
			continue;
		comm = root_attr(root, &a, "/proc/%s/comm", *pids);
		if (!streq(comm, thread))
			continue;
		/* proc(5): the 22nd field is its start in clock ticks after boot; the name in
		 * brackets may hold blanks. */
		stat = root_attr(root, &a, "/proc/%s/stat", *pids);
		p = stat ? strrchr(stat, ')') : NULL;
		for (int i = 0; p && i < 20; i++)
			p = strchr(p + 1, ' ');
		stat = root_attr(root, &a, "/proc/uptime");
		if (!p || !stat || sscanf(p, "%llu", &start) != 1)
			return NAN;
		uptime_s = strtod(stat, NULL);
		uptime_s -= (double)start / (double)sysconf(_SC_CLK_TCK);
		return uptime_s >= 60 ? uptime_s : NAN;
	}
	return NAN;
}
