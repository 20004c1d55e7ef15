/* Steps that storbox does itself: see builtin.h. */
#include "lib/storage/builtin.h"

#include "lib/core/background.h"
#include "lib/core/run.h"
#include "lib/os/btrfs_replace.h"
#include "lib/os/md.h"
#include "lib/os/module.h"
#include "lib/os/mount.h"
#include "lib/storage/btrfs_balance.h"

#include <errno.h>
#include <sys/stat.h>
#include <time.h>

/* mkdir -p: the directories above a mount point may be missing in a bare root. */
static int make_directory(struct arena *a, const char *path, struct err *e)
{
	char *p = arena_str(a, path);

	for (char *slash = strchr(p + 1, '/');; slash = strchr(slash + 1, '/')) {
		if (slash)
			*slash = '\0';
		if (mkdir(p, 0755) && errno != EEXIST && errno != EROFS)
			return err_sys(e, -errno, p, "make directory");
		if (!slash)
			return 0;
		*slash = '/';
	}
}

/* vfat asks the kernel for its character sets by name, and the kernel modprobe, which an initramfs
 * may lack. The names are those of CONFIG_FAT_DEFAULT_CODEPAGE and _IOCHARSET of the distributions. */
static void load_charsets(struct world *w, const char *type)
{
	static const char *const modules[] = { "nls_cp437", "nls_ascii", "nls_iso8859_1", "nls_utf8" };

	if (!streq(type, "vfat") || run_find("modprobe", w->mem))
		return;
	for (size_t i = 0; i < COUNT(modules); i++)
		module_load(w, modules[i], NULL);
}

/* Its exit status; 8 (e2fsck(8)): it could not open the filesystem, and has changed nothing. */
static int run_e2fsck(struct world *w, const char *const *argv)
{
	struct run_result res = { 0 };
	struct err e = { 0 };

	run_program(argv, &(struct run_options){ .stop = w->stop, .timeout_s = 3600 }, w->mem, &res, &e);
	return res.status;
}

/*
 * ext4 looks at the checksums of its superblock and of its group descriptors before it replays the
 * journal (fs/ext4/super.c, ext4_check_descriptors), so a cut that tore such a block on its way to its
 * place keeps it from being mounted. e2fsck -p replays the journal first, as any boot does that checks
 * its filesystems; where the superblock is the torn one it has to be told which copy to begin with,
 * and that is where mke2fs puts the first, for blocks of 4 KiB and of 1 KiB.
 */
static bool repair_ext4(struct world *w, const char *type, const char *device, int code)
{
	static const char *const copies[][2] = { { "32768", "4096" }, { "8193", "1024" } };
	int status;

	if (!streq(type, "ext4") || (code != -EUCLEAN && code != -EBADMSG) ||
	    !run_find("e2fsck", w->mem))
		return false;
	world_warn(w, "%s: cannot be mounted: e2fsck -p replays its journal", device);
	/* Status 1 is success with something repaired; the mount tells. */
	status = run_e2fsck(w, (const char *const[]){ "e2fsck", "-p", device, NULL });
	if (status == 8)
		world_warn(w, "%s: its superblock is torn: e2fsck -p begins with a copy of it", device);
	for (size_t i = 0; i < COUNT(copies) && status == 8; i++)
		status = run_e2fsck(w, (const char *const[]){ "e2fsck", "-p", "-b", copies[i][0], "-B",
							      copies[i][1], device, NULL });
	return true;
}

/*
 * A superblock is 4 KiB, which btrfs takes for one write; on sectors of 512 bytes a cut can tear it, and
 * the kernel looks at the first copy only (fs/btrfs/disk-io.c, open_ctree(): EINVAL). super-recover
 * writes it from a good copy, and nothing where all copies are good.
 */
static bool repair_btrfs(struct world *w, const char *type, const char *device, int code)
{
	struct err e = { 0 };

	if (!streq(type, "btrfs") || (code != -EINVAL && code != -EUCLEAN))
		return false;
	if (!run_find("btrfs", w->mem)) {
		world_warn(w, "%s: if a cut of power tore its superblock, btrfs rescue super-recover "
			      "mends it", device);
		return false;
	}
	world_warn(w, "%s: cannot be mounted: btrfs rescue super-recover looks at its superblocks",
		   device);
	/* Status 2 is success with something recovered; the mount tells. */
	run_program((const char *const[]){ "btrfs", "rescue", "super-recover", "-y", device, NULL },
		    &(struct run_options){ .stop = w->stop, .timeout_s = 600 }, w->mem, NULL, &e);
	return true;
}

/* An array that was assembled where one had just been stopped gets its node a moment later. */
static void await_node(struct world *w, const char *path)
{
	enum { WAIT_MS = 5000, NAP_MS = 10 };

	for (int ms = 0; starts_with(path, "/dev/") && access(path, F_OK) && ms < WAIT_MS && !*w->stop;
	     ms += NAP_MS)
		nanosleep(&(struct timespec){ .tv_nsec = NAP_MS * 1000000 }, NULL);
}

/* mount -t TYPE [-o OPTIONS] SOURCE TARGET */
static int do_mount(struct world *w, const char *const *args, struct err *e)
{
	const char *type = NULL, *options = NULL;
	int r;

	for (; args[0] && args[0][0] == '-' && args[1]; args += 2) {
		if (streq(args[0], "-t"))
			type = args[1];
		else if (streq(args[0], "-o"))
			options = args[1];
		else
			return err_usage(e, args[0], "is no option that a step's mount takes");
	}
	if (!type || !args[0] || !args[1] || args[2])
		return err_usage(e, "mount", "wants -t TYPE [-o OPTIONS] SOURCE TARGET");
	if (module_load(w, type, type))
		return err_make(e, ERR_UNSUPPORTED, -ENODEV, args[1],
				"boot a kernel that has it, or put its module into the initramfs",
				"this kernel cannot mount %s", type);
	load_charsets(w, type);
	await_node(w, args[0]);
	r = make_directory(w->mem, args[1], e);
	if (!r)
		r = mount_fs(args[0], args[1], type, options, e);
	if (r && (repair_ext4(w, type, args[0], r) || repair_btrfs(w, type, args[0], r)))
		r = mount_fs(args[0], args[1], type, options, e);
	return r;
}

/* swapon DEVICE */
static int do_swapon(struct world *w, const char *const *args, struct err *e)
{
	int r;

	(void)w;
	if (!args[0] || args[1])
		return err_usage(e, "swapon", "wants DEVICE");
	r = swap_on(args[0], -1, e);
	return r == -EBUSY ? 0 : r;
}

/* btrfs device scan [--forget] DEVICE... */
static int do_scan(struct world *w, const char *const *args, struct err *e)
{
	bool forget = streq(args[0], "--forget");
	int r = 0;

	module_load(w, "btrfs", "btrfs");
	for (args += forget; *args && !r; args++)
		r = forget ? btrfs_forget(*args, e) : btrfs_scan(*args, e);
	return r;
}

struct replace {
	struct world *w;
	const struct btrfs_fs *fs;
	uint64_t devid;
	const char *target, *what;
	struct err e;
};

static int replace_work(void *arg)
{
	struct replace *r = arg;

	return btrfs_replace(r->fs->fd, r->fs->name, r->devid, r->target, &r->e);
}

static void replace_tick(void *arg)
{
	struct replace *r = arg;
	struct btrfs_replace now;
	struct err ignored = { 0 };

	if (*r->w->stop)
		btrfs_replace_cancel(r->fs->fd, r->fs->name, &ignored);
	if (!btrfs_replace_progress(r->fs->fd, r->fs->name, &now, &ignored))
		r->w->report(r->w, r->what, now.permille, 1000);
}

/* One that the kernel took up again after a cut of power is waited for. */
static int wait_replace(struct world *w, const struct btrfs_fs *fs, const char *what,
			struct btrfs_replace *now, struct err *e)
{
	int r;

	while (!(r = btrfs_replace_progress(fs->fd, fs->name, now, e)) &&
	       now->state == BTRFS_REPLACE_RUNNING) {
		if (*w->stop)
			return err_make(e, ERR_FAILED, -EINTR, fs->name, "run it again to wait for it",
					"stopped waiting; the replace goes on in the kernel");
		w->report(w, what, now->permille, 1000);
		nanosleep(&(struct timespec){ .tv_nsec = 250000000 }, NULL);
	}
	return r;
}

/* One that a cut of power or an unmount interrupted goes on by itself once the filesystem is mounted
 * (fs/btrfs/volumes.c, btrfs_resume_balance_async()), and keeps all else out until it has ended. */
static int wait_balance(struct world *w, const struct btrfs_fs *fs, struct err *e)
{
	const char *what = arena_printf(w->mem, "balance of %s, begun before", fs->name);
	struct btrfs_balance now;
	int r;

	while ((r = btrfs_balance_progress(fs->fd, fs->name, &now, e)) == 1 && now.running) {
		if (*w->stop)
			return err_make(e, ERR_FAILED, -EINTR, fs->name, "run it again to wait for it",
					"stopped waiting; the balance goes on in the kernel");
		w->report(w, what, now.completed, now.expected);
		nanosleep(&(struct timespec){ .tv_nsec = 250000000 }, NULL);
	}
	return r < 0 ? r : 0;
}

/* Data chunks that are mostly free, into fewer: what they leave is unallocated again. */
static int compact(struct world *w, const struct btrfs_fs *fs, struct err *e)
{
	const struct btrfs_balance_filter sparse = {
		.types = BTRFS_DATA,
		.usage_percent = 75,
		.limit = U64_NONE,
	};
	struct btrfs_balance done;
	int r = balance_run(w, fs, &sparse, &done, e);

	return r ? r : btrfs_commit(fs->fd, fs->name, e);
}

static int no_room(struct err *e, const char *mount, const char *found)
{
	return err_make(e, ERR_FAILED, -ENOSPC, mount,
			"delete files from it until a third of it is free, and run mos-sysvol --repair "
			"again, which goes on from here; nothing is lost",
			"%s", found);
}

static int start_replace(struct replace *job, struct err *e)
{
	int r;

	job->e = (struct err){ 0 };
	r = background_run(replace_work, replace_tick, job);
	if (r && job->e.code)
		*e = job->e;
	else if (r)
		err_sys(e, r, job->fs->name, "start a thread for the replace");
	return r;
}

/* A replace that was under way when this one was planned may have put it there since. */
static int is_member(struct world *w, const struct btrfs_fs *fs, uint64_t devid, const char *device,
		     bool *ret, struct err *e)
{
	struct btrfs_device *devices;
	struct stat want, have;
	size_t n;
	int r = btrfs_get_devices(fs->fd, fs->name, w->mem, &devices, &n, e);

	*ret = false;
	if (r || stat(device, &want))
		return r;
	for (size_t i = 0; i < n; i++)
		if (devices[i].devid == devid && devices[i].path && !stat(devices[i].path, &have))
			*ret = have.st_rdev == want.st_rdev;
	return 0;
}

/* btrfs replace start -B -f DEVID TARGET MOUNT */
static int do_replace(struct world *w, const char *const *args, struct err *e)
{
	struct btrfs_fs fs auto_btrfs_fs = BTRFS_FS_CLOSED;
	struct replace job = { .w = w, .fs = &fs };
	struct btrfs_replace now;
	bool done = false;
	int r;

	while (args[0] && args[0][0] == '-')
		args++;
	if (!args[0] || !args[1] || !args[2] || args[3])
		return err_usage(e, "btrfs replace start", "wants DEVID TARGET MOUNTPOINT");
	job.devid = strtoull(args[0], NULL, 10);
	job.target = args[1];
	job.what = arena_printf(w->mem, "replace devid %s of %s by %s", args[0], args[2], args[1]);
	r = btrfs_fs_open_mounted(w, args[2], &fs, e);
	if (!r)
		r = wait_balance(w, &fs, e);
	if (!r)
		r = btrfs_replace_progress(fs.fd, fs.name, &now, e);
	/* Its target was not there at the mount, and may never come again. */
	if (!r && now.state == BTRFS_REPLACE_SUSPENDED)
		r = btrfs_replace_cancel(fs.fd, fs.name, e);
	if (r)
		return r;
	if (now.state == BTRFS_REPLACE_RUNNING) {
		r = wait_replace(w, &fs, job.what, &now, e);
		return r || now.state == BTRFS_REPLACE_FINISHED
			       ? r
			       : err_make(e, ERR_FAILED, -ECANCELED, fs.name, "run it again",
					  "the replace that was under way did not finish");
	}
	r = is_member(w, &fs, job.devid, job.target, &done, e);
	if (r || done)
		return r;
	r = start_replace(&job, e);
	/* Each chunk is made read-only while it is copied (fs/btrfs/scrub.c, scrub_enumerate_chunks()),
	 * for which there must be room for another one. */
	if (r == -ENOSPC && !compact(w, &fs, e))
		r = start_replace(&job, e);
	if (*w->stop)
		return r;
	return r == -ENOSPC ? no_room(e, fs.name, "has too little unallocated space for the kernel to "
				      "copy it to the new half")
			    : r;
}

/* What a replace or an earlier balance gave back can be used only after a commit. */
static int convert(struct world *w, const struct btrfs_fs *fs, struct err *e)
{
	const struct btrfs_balance_filter raid1 = {
		.types = BTRFS_DATA | BTRFS_METADATA,
		.usage_percent = U64_NONE,
		.limit = U64_NONE,
		.convert = BTRFS_RAID1,
	};
	struct btrfs_balance done;
	int r = btrfs_commit(fs->fd, fs->name, e);

	return r ? r : balance_run(w, fs, &raid1, &done, e);
}

/* btrfs balance start -dconvert=raid1,soft -mconvert=raid1,soft MOUNT */
static int do_convert(struct world *w, const char *const *args, struct err *e)
{
	struct btrfs_fs fs auto_btrfs_fs = BTRFS_FS_CLOSED;
	int r;

	if (!streq(args[0], "-dconvert=raid1,soft") || !streq(args[1], "-mconvert=raid1,soft") ||
	    !args[2] || args[3])
		return err_usage(e, "btrfs balance start",
				 "wants -dconvert=raid1,soft -mconvert=raid1,soft MOUNTPOINT");
	r = btrfs_fs_open_mounted(w, args[2], &fs, e);
	if (!r)
		r = wait_balance(w, &fs, e);
	if (!r)
		r = convert(w, &fs, e);
	if (r == -ENOSPC && !compact(w, &fs, e))
		r = convert(w, &fs, e);
	if (r != -ENOSPC)
		return r;
	if (*w->stop)
		return err_make(e, ERR_FAILED, -EINTR, fs.name, "run it again to go on", "stopped");
	return no_room(e, fs.name, "the new half is in it, but there is no room to mirror all that was "
		       "written while a half was missing");
}

/* mdadm --wait ARRAY */
static int do_array_wait(struct world *w, const char *const *args, struct err *e)
{
	const char *name = args[0] ? root_realpath(&w->root, args[0], w->mem) : NULL;
	const char *what;

	if (!name)
		return err_usage(e, "mdadm --wait", "wants ARRAY");
	what = arena_printf(w->mem, "resync of %s", args[0]);
	for (;;) {
		struct arena mem auto_arena = { 0 };
		const struct md_array *found = NULL;
		struct md_array *all;
		size_t n;

		md_arrays(&w->root, &mem, &all, &n);
		for (size_t i = 0; i < n; i++)
			if (streq(all[i].path, name))
				found = &all[i];
		if (!found || !found->sync_action || streq(found->sync_action, "idle"))
			return 0;
		if (*w->stop)
			return err_make(e, ERR_FAILED, -EINTR, args[0], "run it again to wait for it",
					"stopped waiting; the resync goes on in the kernel");
		if (found->sync_total_sectors != UINT64_MAX)
			w->report(w, what, found->sync_done_sectors, found->sync_total_sectors);
		nanosleep(&(struct timespec){ .tv_nsec = 250000000 }, NULL);
	}
}

builtin_fn *builtin_find(const char *const *argv, const char *const **ret_args)
{
	static const struct {
		const char *words[4];
		builtin_fn *fn;
	} builtins[] = {
		{ { "mount" }, do_mount },
		{ { "swapon" }, do_swapon },
		{ { "btrfs", "device", "scan" }, do_scan },
		{ { "btrfs", "replace", "start" }, do_replace },
		{ { "btrfs", "balance", "start" }, do_convert },
		{ { "mdadm", "--wait" }, do_array_wait },
	};

	for (size_t i = 0; i < COUNT(builtins); i++) {
		size_t n = 0;

		while (builtins[i].words[n] && argv[n] && streq(builtins[i].words[n], argv[n]))
			n++;
		if (builtins[i].words[n])
			continue;
		*ret_args = argv + n;
		return builtins[i].fn;
	}
	return NULL;
}
