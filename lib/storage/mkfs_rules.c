/* What each filesystem type allows, and the command line that makes it. Pure but for PATH. */
#include "lib/core/run.h"
#include "lib/core/size.h"
#include "lib/core/utf8.h"
#include "lib/storage/mkfs.h"

#include <errno.h>
#include <inttypes.h>

const char *const fs_type_names[] = { "btrfs", "ext4", "vfat", "swap", "bcachefs", "xfs", NULL };

static const struct {
	const char *program;
	size_t label_max; /* bytes */
	bool several;	  /* devices */
} types[] = {
	/* BTRFS_LABEL_SIZE is 256 with its NUL. */
	[FS_BTRFS] = { "mkfs.btrfs", 255, true },
	/* s_volume_name[16]; mke2fs cuts a longer one with but a warning. */
	[FS_EXT4] = { "mkfs.ext4", 16, false },
	[FS_VFAT] = { "mkfs.vfat", 11, false },
	/* volume_name[16], of which mkswap keeps one for a NUL. */
	[FS_SWAP] = { "mkswap", 15, false },
	/* BCH_SB_LABEL_SIZE */
	[FS_BCACHEFS] = { "bcachefs", 32, true },
	/* sb_fname[12] */
	[FS_XFS] = { "mkfs.xfs", 12, false },
};

/* data, metadata as mkfs.btrfs names them; replicas for bcachefs (0: it has no such profile). */
static const struct {
	const char *name, *data, *metadata;
	size_t least;
	unsigned replicas;
} profiles[] = {
	{ "single", "single", NULL, 1, 1 },
	{ "dup", "dup", "dup", 1, 0 },
	{ "raid0", "raid0", "raid1", 2, 0 },
	{ "raid1", "raid1", "raid1", 2, 2 },
	{ "raid1c3", "raid1c3", "raid1c3", 3, 3 },
	{ "raid1c4", "raid1c4", "raid1c4", 4, 0 },
	/* The kernel takes 2 devices since 5.15, before that 4. */
	{ "raid10", "raid10", "raid10", 4, 0 },
	/* The first device caches (writeback) for the others. */
	{ "cache", NULL, NULL, 2, 1 },
};

int fs_type_parse(const char *name, const char *object, enum fs_type *ret, struct err *e)
{
	for (size_t i = 0; fs_type_names[i]; i++)
		if (streq(fs_type_names[i], name)) {
			*ret = (enum fs_type)i;
			return 0;
		}
	return err_make(e, ERR_INVALID, -EINVAL, object,
			"give btrfs, ext4, vfat, swap, bcachefs or xfs",
			"'%s' is no filesystem type that can be made", name);
}

static int bad_label(struct err *e, const char *object, const char *what)
{
	return err_make(e, ERR_INVALID, -EINVAL, object, "choose another label", "%s", what);
}

/* As dosfstools 4.2 checks it; it also warns of small letters, which DOS and firmware may not show. */
static int check_vfat_label(const char *label, const char *object, struct err *e)
{
	for (const char *p = label; *p; p++)
		if (strchr("*?.,;:/\\|+=<>[]\"", *p) || (unsigned char)*p >= 0x80)
			return bad_label(e, object, "a vfat label cannot hold *?.,;:/\\|+=<>[]\" or what "
					 "is not ASCII");
	if (*label == ' ' || label[strlen(label) - 1] == ' ')
		return bad_label(e, object, "a vfat label cannot begin or end with a space");
	if (streq(label, "NO NAME"))
		return bad_label(e, object, "\"NO NAME\" is what vfat calls having no label");
	return 0;
}

int mkfs_check_label(enum fs_type t, const char *label, const char *object, struct err *e)
{
	size_t n = label ? strlen(label) : 0;

	if (!label)
		return 0;
	if (!n)
		return err_make(e, ERR_INVALID, -EINVAL, object, "leave it out for no label",
				"the label is empty");
	for (const char *p = label; *p;) {
		size_t bytes = utf8_length(p);

		if (!bytes)
			return bad_label(e, object, "the label is not valid UTF-8");
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return bad_label(e, object, "the label holds a control character");
		p += bytes;
	}
	if (n > types[t].label_max)
		return err_make(e, ERR_INVALID, -EINVAL, object, "shorten it",
				"the label has %zu bytes, one of %s at most %zu", n, fs_type_names[t],
				types[t].label_max);
	return t == FS_VFAT ? check_vfat_label(label, object, e) : 0;
}

static int find_profile(const char *name)
{
	for (size_t i = 0; i < COUNT(profiles); i++)
		if (streq(profiles[i].name, name))
			return (int)i;
	return -1;
}

static const char *profile_of(const struct create_filesystem *p)
{
	size_t n = strlist_len((const char *const *)p->device);

	return p->profile ? p->profile : n > 1 ? "raid1" : NULL;
}

static int check_profile(const struct create_filesystem *p, struct err *e)
{
	size_t n = strlist_len((const char *const *)p->device);
	const char *type = fs_type_names[p->fstype], *name = profile_of(p);
	int i;

	if (n > 1 && !types[p->fstype].several)
		return err_make(e, ERR_INVALID, -EINVAL, "--device", "name one, or make btrfs or bcachefs",
				"%s is made on one device, not on %zu", type, n);
	if (!name)
		return 0;
	if (!types[p->fstype].several)
		return err_make(e, ERR_INVALID, -EINVAL, "--profile", "leave it out", "%s has no profiles",
				type);
	i = find_profile(name);
	if (i < 0 || (p->fstype == FS_BTRFS ? !profiles[i].data : !profiles[i].replicas))
		return err_make(e, ERR_INVALID, -EINVAL, "--profile",
				p->fstype == FS_BTRFS
					? "give single, dup, raid0, raid1, raid1c3, raid1c4 or raid10"
					: "give single, raid1, raid1c3 or cache",
				"'%s' is no profile of %s", name, type);
	if (n < profiles[i].least)
		return err_make(e, ERR_INVALID, -EINVAL, "--profile", "name more devices",
				"%s needs %zu devices or more, there %s %zu", name, profiles[i].least,
				n == 1 ? "is" : "are", n);
	return 0;
}

int mkfs_check(struct world *w, const struct create_filesystem *p, struct err *e)
{
	const char *program = types[p->fstype].program;
	int r = mkfs_check_label((enum fs_type)p->fstype, p->label, "--label", e);

	if (!r)
		r = check_profile(p, e);
	if (r)
		return r;
	if (!run_find(program, w->mem))
		return err_make(e, ERR_UNSUPPORTED, -ENOENT, program,
				"install it, or put it into the initramfs",
				"the program that makes %s is missing from PATH", fs_type_names[p->fstype]);
	return 0;
}

uint64_t mkfs_minimum_bytes(enum fs_type t, uint64_t sector_bytes)
{
	/* FAT32 has 65525 clusters or more, of a sector at least, 32 reserved sectors, two FATs. */
	const uint64_t clusters = 65525, fat = ((clusters + 2) * 4 + sector_bytes - 1) / sector_bytes;

	switch (t) {
	case FS_BTRFS:
		return 114294784; /* mkfs.btrfs 6.2 says so, for one device */
	case FS_EXT4:
		return 2 * MiB; /* with a journal */
	case FS_VFAT:
		return (clusters + 32 + 2 * fat) * sector_bytes;
	case FS_SWAP:
		return 10 * (uint64_t)sysconf(_SC_PAGESIZE);
	case FS_BCACHEFS:
		return 128 * MiB; /* 512 buckets (BCH_MIN_NR_NBUCKETS) of a btree node, 256 KiB */
	case FS_XFS:
		return 300 * MiB; /* mkfs.xfs 5.19 and later */
	}
	return 0;
}

struct words {
	struct arena *mem;
	const char **argv;
};

static void word(struct words *to, const char *s)
{
	strlist_add(to->mem, &to->argv, s);
}

static void option(struct words *to, const char *name, const char *value)
{
	if (!value)
		return;
	word(to, name);
	word(to, value);
}

static void bcachefs_words(struct words *to, const struct create_filesystem *p)
{
	const char *name = profile_of(p);
	int i = name ? find_profile(name) : -1;
	bool cache = streq(name, "cache");
	size_t n = 0;

	word(to, "format");
	word(to, "--quiet");
	if (p->label)
		word(to, arena_printf(to->mem, "--fs_label=%s", p->label));
	if (i >= 0)
		word(to, arena_printf(to->mem, "--replicas=%u", profiles[i].replicas));
	if (cache) {
		word(to, "--foreground_target=ssd");
		word(to, "--promote_target=ssd");
		word(to, "--background_target=hdd");
	}
	for (const char **d = p->device; *d; d++, n++) {
		/* A device's own label comes before it. */
		if (cache)
			word(to, n ? arena_printf(to->mem, "--label=hdd.hdd%zu", n) : "--label=ssd.ssd1");
		word(to, *d);
	}
}

const char *const *mkfs_argv(struct world *w, const struct create_filesystem *p, bool whole_disk)
{
	struct words to = { .mem = w->mem };
	const char *name = profile_of(p);
	int i = name ? find_profile(name) : -1;
	const char *metadata = NULL;

	word(&to, types[p->fstype].program);
	switch ((enum fs_type)p->fstype) {
	case FS_BTRFS:
		word(&to, "-q");
		option(&to, "-L", p->label);
		if (i >= 0) {
			metadata = profiles[i].metadata;
			if (!metadata)
				metadata = p->device[1] ? "raid1" : "dup";
			option(&to, "-d", profiles[i].data);
			option(&to, "-m", metadata);
		}
		break;
	case FS_EXT4:
		word(&to, "-q");
		word(&to, "-F"); /* no questions: what they are about was checked */
		option(&to, "-L", p->label);
		break;
	case FS_VFAT:
		/* It would choose FAT16 for 100 MiB. */
		option(&to, "-F", "32");
		option(&to, "-n", p->label);
		if (whole_disk)
			word(&to, "-I");
		break;
	case FS_SWAP:
		option(&to, "-L", p->label);
		break;
	case FS_XFS:
		word(&to, "-q");
		option(&to, "-L", p->label);
		break;
	case FS_BCACHEFS:
		bcachefs_words(&to, p);
		return (const char *const *)to.argv;
	}
	for (const char **d = p->device; *d; d++)
		word(&to, *d);
	return (const char *const *)to.argv;
}
