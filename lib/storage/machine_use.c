/* Who uses which device: mounts, swap, holders, and what the machine boots from. */
#include "lib/storage/machine.h"

#include <errno.h>

/* One mounted filesystem's devices, as the kernel lists them in /sys/fs, whatever the namespace of
 * its mounts. */
struct member_set {
	const char *fstype, *uuid;
	VEC(struct blockdev *) devices;
	bool seen; /* a mount of this namespace leads to it */
};

struct member_sets {
	VEC(struct member_set) sets;
};

static void release_sets(struct member_sets *s)
{
	for (size_t i = 0; i < s->sets.n; i++)
		vec_free(&s->sets.items[i].devices);
	vec_free(&s->sets);
}

static void add_once(struct machine *m, const char ***list, const char *text)
{
	if (!strlist_has(*list, text))
		strlist_add(m->mem, list, text);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* /sys/fs/btrfs/FSID/devices/NAME; /sys/fs/bcachefs/UUID/dev-N/block links to the device. */
static void read_sets(struct machine *m, const char *fstype, const char *subdir,
		      struct member_sets *ret)
{
	const struct root *r = &m->w->root;
	const char **ids, **names;

	if (root_list(r, arena_printf(m->mem, "/sys/fs/%s", fstype), m->mem, &ids))
		return;
	for (; *ids; ids++) {
		const char *dir = arena_printf(m->mem, "/sys/fs/%s/%s%s", fstype, *ids, subdir);
		struct member_set *set;

		/* Not every folder is a filesystem: "features". */
		if (strlen(*ids) != 36 || root_list(r, dir, m->mem, &names))
			continue;
		set = vec_add(&ret->sets);
		set->fstype = fstype;
		set->uuid = *ids;
		for (; *names; names++) {
			const char *name = *names, *link;
			struct blockdev *b;

			if (!*subdir) {
				if (!starts_with(name, "dev-"))
					continue;
				link = root_readlink(r, arena_printf(m->mem, "%s/%s/block", dir, name),
						     m->mem);
				name = link ? base_name(link) : NULL;
			}
			b = name ? machine_by_name(m, name) : NULL;
			if (b)
				*vec_add(&set->devices) = b;
		}
	}
}

static struct member_set *set_of(struct member_sets *s, const struct blockdev *b)
{
	for (size_t i = 0; i < s->sets.n; i++)
		for (size_t j = 0; j < s->sets.items[i].devices.n; j++)
			if (s->sets.items[i].devices.items[j] == b)
				return &s->sets.items[i];
	return NULL;
}

static bool is_boot_target(const char *target)
{
	static const char *const targets[] = { "/", "/boot", "/usr", "/boot/efi", "/efi", NULL };

	return strlist_has(targets, target);
}

static void mark_boot(struct machine *m, struct member_sets *s, struct blockdev *b);

/* The mount that a path lies on: the longest target that is a prefix of it, the last one of those. */
static void mark_boot_file(struct machine *m, struct member_sets *s, const char *file)
{
	const struct mount_info *best = NULL;
	struct blockdev *b;
	size_t best_n = 0;

	for (size_t i = 0; i < m->n_mounts; i++) {
		const char *t = m->mounts[i].target;
		size_t n = strlen(t);

		if (n >= best_n && starts_with(file, t) &&
		    (n == 1 || file[n] == '/' || !file[n])) {
			best = &m->mounts[i];
			best_n = n;
		}
	}
	b = best ? machine_by_devno(m, best->devno) : NULL;
	if (!b && best)
		b = machine_by_path(m, best->source);
	if (b)
		mark_boot(m, s, b);
}

static void mark_boot(struct machine *m, struct member_sets *s, struct blockdev *b)
{
	struct member_set *set;

	if (b->boot)
		return;
	b->boot = true;
	mark_boot(m, s, b->disk);
	for (size_t i = 0; i < b->slaves.n; i++)
		mark_boot(m, s, b->slaves.items[i]);
	set = set_of(s, b);
	for (size_t i = 0; set && i < set->devices.n; i++)
		mark_boot(m, s, set->devices.items[i]);
	if (b->backing_file)
		mark_boot_file(m, s, b->backing_file);
}

/* A live system's root: overlayfs names its layers in its options. */
static void mark_boot_overlay(struct machine *m, struct member_sets *s, const char *options)
{
	static const char *const keys[] = { "lowerdir=", "upperdir=" };

	for (size_t k = 0; options && k < COUNT(keys); k++) {
		const char *at = strstr(options, keys[k]);

		for (at = at ? at + strlen(keys[k]) : ""; *at && *at != ',';) {
			size_t n = strcspn(at, ":,");

			if (*at == '/')
				mark_boot_file(m, s, arena_strn(m->mem, at, n));
			at += n + (at[n] == ':');
		}
	}
}

static void use_mounted(struct machine *m, struct blockdev *b, const char *target)
{
	add_once(m, &b->mount_points, target);
	add_once(m, &b->uses, arena_printf(m->mem, "mounted at %s", target));
}

static void read_mount(struct machine *m, struct member_sets *s, const struct mount_info *mount)
{
	struct blockdev *b = starts_with(mount->devno, "0:") ? NULL
							     : machine_by_devno(m, mount->devno);
	bool boot = is_boot_target(mount->target);
	bool many = streq(mount->fstype, "btrfs") || streq(mount->fstype, "bcachefs");
	struct member_set *set;

	if (boot && streq(mount->fstype, "overlay"))
		mark_boot_overlay(m, s, mount->fs_options);
	if (!b && many && mount->source) /* bcachefs: "/dev/sda:/dev/sdb" */
		b = machine_by_path(m, arena_strn(m->mem, mount->source,
						  strcspn(mount->source, ":")));
	if (!b && many) {
		/* A source that no longer leads anywhere: rather every filesystem of that type is
		 * in use than that one is taken by mistake. */
		for (size_t i = 0; i < s->sets.n; i++) {
			set = &s->sets.items[i];
			for (size_t j = 0; streq(set->fstype, mount->fstype) && j < set->devices.n; j++)
				use_mounted(m, set->devices.items[j], mount->target);
			set->seen |= streq(set->fstype, mount->fstype);
		}
		return;
	}
	if (!b)
		return;
	set = set_of(s, b);
	use_mounted(m, b, mount->target);
	for (size_t j = 0; set && j < set->devices.n; j++)
		use_mounted(m, set->devices.items[j], mount->target);
	if (set)
		set->seen = true;
	if (boot)
		mark_boot(m, s, b);
}

/* Filesystems that sysfs names by device: mounted, though no mount is seen from here. */
static void read_hidden_mounts(struct machine *m, struct member_sets *s)
{
	static const char *const types[] = { "ext4", "xfs", "f2fs" };

	for (size_t i = 0; i < COUNT(types); i++) {
		const char **names;

		if (root_list(&m->w->root, arena_printf(m->mem, "/sys/fs/%s", types[i]), m->mem,
			      &names))
			continue;
		for (; *names; names++) {
			struct blockdev *b = machine_by_name(m, *names);

			if (b && !b->mount_points)
				add_once(m, &b->uses,
					 arena_printf(m->mem, "mounted (%s) in another mount namespace",
						      types[i]));
		}
	}
	for (size_t i = 0; i < s->sets.n; i++)
		for (size_t j = 0; !s->sets.items[i].seen && j < s->sets.items[i].devices.n; j++)
			add_once(m, &s->sets.items[i].devices.items[j]->uses,
				 arena_printf(m->mem, "mounted (%s) in another mount namespace",
					      s->sets.items[i].fstype));
}

static void read_holders(struct machine *m, struct blockdev *b)
{
	for (size_t i = 0; i < b->holders.n; i++) {
		const struct blockdev *h = b->holders.items[i];

		add_once(m, &b->uses,
			 h->mapping ? arena_printf(m->mem, "held by %s (%s)", h->name, h->mapping)
				    : arena_printf(m->mem, "held by %s", h->name));
	}
}

/* A loop over a device: not among the kernel's slaves. */
static void read_loop(struct machine *m, struct blockdev *b)
{
	struct blockdev *s = b->backing_file && starts_with(b->backing_file, "/dev/")
				     ? machine_by_path(m, b->backing_file)
				     : NULL;

	if (!s || s == b)
		return;
	*vec_add(&b->slaves) = s;
	*vec_add(&s->holders) = b;
}

int machine_read_uses(struct machine *m, struct err *e)
{
	struct member_sets sets auto_release(release_sets) = { 0 };

	(void)e;
	read_sets(m, "btrfs", "/devices", &sets);
	read_sets(m, "bcachefs", "", &sets);
	for (size_t i = 0; i < m->devices.n; i++)
		read_loop(m, m->devices.items[i]);
	for (size_t i = 0; i < m->n_mounts; i++)
		read_mount(m, &sets, &m->mounts[i]);
	for (size_t i = 0; i < m->n_swaps; i++) {
		struct blockdev *b = machine_by_path(m, m->swaps[i].path);

		if (!b)
			continue;
		add_once(m, &b->mount_points, "[SWAP]");
		add_once(m, &b->uses, "swap");
	}
	for (size_t i = 0; i < m->devices.n; i++)
		read_holders(m, m->devices.items[i]);
	read_hidden_mounts(m, &sets);
	return 0;
}
