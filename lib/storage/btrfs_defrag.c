/* Defragmenting a file, or all files below a directory: see btrfs_upkeep.h. */
#include "lib/storage/btrfs_upkeep.h"

#include "lib/core/clock.h"
#include "lib/core/size.h"
#include "lib/os/btrfs_subvol.h"
#include "lib/os/btrfs_work.h"

#include <errno.h>

static const char *const compression_names[] = { "none", "zlib", "lzo", "zstd", NULL };

struct defrag_params {
	const char *path;
	uint32_t compress;
};
static const struct field params[] = {
	FIELD(struct defrag_params, path, REQUIRED | OPERAND, "a file, or a directory with all below it",
	      .complete = "file"),
	FIELD(struct defrag_params, compress, 0, "compress what is rewritten", .def = "none",
	      .arg = "KIND", .names = compression_names),
	FIELD_END,
};

struct defragged {
	const char *path;
	uint64_t files, size_bytes, failed_files;
	const char *first_error;
};
static const struct field row_fields[] = {
	FIELD(struct defragged, path, KEY, "what was asked for"),
	FIELD(struct defragged, files, 0, "files looked at"),
	FIELD(struct defragged, size_bytes, 0, "their size"),
	FIELD(struct defragged, failed_files, 0, "files that could not be defragmented"),
	FIELD(struct defragged, first_error, 0, "why the first of them could not"),
	FIELD_END,
};
static const struct table defragged_table =
	TABLE(struct defragged, "defragged", "what was done", row_fields);

struct walk {
	struct world *w;
	enum btrfs_compression compress;
	dev_t device;
	struct defragged row;
	uint64_t reported_ns;
};

static void note_failure(struct walk *k, const char *path, const char *why)
{
	k->row.failed_files++;
	if (!k->row.first_error)
		k->row.first_error = arena_printf(k->w->mem, "%s: %s", path, why);
}

static void report(struct walk *k)
{
	uint64_t now = clock_monotonic_ns();

	if (now - k->reported_ns < 250000000u)
		return;
	k->reported_ns = now;
	k->w->report(k->w,
		     arena_printf(k->w->mem, "defragment %s: %llu files", k->row.path,
				  (unsigned long long)k->row.files),
		     k->row.files, 0);
}

/* Part by part, so that a large file can be stopped. */
static void defrag_file(struct walk *k, int fd, const char *path, uint64_t size_bytes)
{
	struct err e = { 0 };

	for (uint64_t at = 0; at < size_bytes && !*k->w->stop; at += GiB) {
		if (btrfs_defrag(fd, path, at, GiB, k->compress, &e)) {
			note_failure(k, path, e.found);
			return;
		}
		report(k);
	}
	k->row.files++;
	k->row.size_bytes += size_bytes;
	report(k);
}

/* A directory on the way, and what is still to do in it: no recursion, so depth costs no stack. */
struct level {
	DIR *dir;
	char *path;
};
typedef VEC(struct level) levels;

static void push(levels *v, int *fd, char *path)
{
	struct level *l;
	DIR *d = fdopendir(*fd);

	if (!d) {
		free(path);
		return;
	}
	take_fd(fd);
	l = vec_add(v);
	l->dir = d;
	l->path = path;
}

static void pop(levels *v)
{
	struct level *l = &v->items[--v->n];

	closedir(l->dir);
	free(l->path);
}

/* Links are not followed; another filesystem or subvolume (its device number differs) is left
 * alone: snapshots below would be unshared, and so multiplied. */
static void visit(struct walk *k, levels *v, int dir, const char *dir_path, const char *name)
{
	int fd auto_close = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char *path = xasprintf("%s/%s", dir_path, name);
	struct stat st;

	if (fd < 0 || fstat(fd, &st)) {
		if (errno != ELOOP && errno != ENXIO && errno != ENOENT && errno != ENODEV)
			note_failure(k, path, strerror(errno));
	} else if (st.st_dev == k->device && S_ISDIR(st.st_mode)) {
		push(v, &fd, take(path));
	} else if (st.st_dev == k->device && S_ISREG(st.st_mode) && st.st_size) {
		defrag_file(k, fd, path, (uint64_t)st.st_size);
	}
	free(path);
}

static void walk(struct walk *k, int *fd, const char *path)
{
	levels v = { 0 };

	push(&v, fd, xstrdup(path));
	while (v.n && !*k->w->stop) {
		struct level l = v.items[v.n - 1];
		struct dirent *d = readdir(l.dir);

		if (!d)
			pop(&v);
		else if (!streq(d->d_name, ".") && !streq(d->d_name, "..") &&
			 (d->d_type == DT_DIR || d->d_type == DT_REG || d->d_type == DT_UNKNOWN))
			visit(k, &v, dirfd(l.dir), l.path, d->d_name);
	}
	while (v.n)
		pop(&v);
	vec_free(&v);
}

/* What it rewrites is no longer shared, which may fill the disk. */
static void warn_shared(struct world *w, int fd, const char *path)
{
	struct btrfs_subvol self, *all;
	struct err ignored;
	size_t n;

	if (btrfs_subvol_get(fd, 0, path, w->mem, &self, &ignored) ||
	    btrfs_subvol_list(fd, path, w->mem, &all, &n, &ignored))
		return;
	for (size_t i = 0; i < n; i++)
		if (!memcmp(all[i].parent_uuid, self.uuid, sizeof self.uuid)) {
			world_warn(w, "%s: its subvolume has snapshots, such as %s; what is rewritten "
				      "is no longer shared with them and takes space of its own",
				   path, all[i].path);
			return;
		}
}

static int defrag(struct world *w, const void *run_params, struct sink *out, struct err *e)
{
	const struct defrag_params *p = run_params;
	struct walk k = { .w = w, .compress = p->compress, .row.path = p->path };
	int fd auto_close = open(p->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct btrfs_subvol self;
	struct stat st;
	uint64_t id;
	int r;

	if (fd < 0)
		return err_make(e, errno == ENOENT ? ERR_NO_DEVICE : ERR_INVALID, -errno, p->path,
				NULL, "%s", errno == ELOOP ? "is a symbolic link" : strerror(errno));
	if (fstat(fd, &st))
		return err_sys(e, -errno, p->path, "stat");
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
		return err_make(e, ERR_INVALID, -EINVAL, p->path, NULL,
				"is neither a file nor a directory");
	r = btrfs_subvol_id(fd, p->path, &id, e);
	if (r < 0)
		return r;
	if (!btrfs_subvol_get(fd, 0, p->path, w->mem, &self, e) && self.read_only)
		return err_make(e, ERR_FAILED, -EROFS, p->path, NULL,
				"is in a read-only subvolume, whose files cannot be rewritten");
	warn_shared(w, fd, p->path);
	k.device = st.st_dev;
	if (S_ISREG(st.st_mode))
		defrag_file(&k, fd, p->path, (uint64_t)st.st_size);
	else
		walk(&k, &fd, p->path);
	r = sink_row(out, &defragged_table, &k.row);
	if (r)
		return r;
	if (*w->stop)
		return err_make(e, ERR_FAILED, -EINTR, p->path, "run it again to go on",
				"stopped after %llu files", (unsigned long long)k.row.files);
	if (k.row.failed_files)
		return err_make(e, ERR_FAILED, -EIO, p->path, NULL,
				"%llu of %llu files could not be defragmented; %s",
				(unsigned long long)k.row.failed_files,
				(unsigned long long)k.row.files + k.row.failed_files,
				k.row.first_error);
	return 0;
}

const struct operation defrag_op = {
	.name = "defrag",
	.summary = "defragment a file of a btrfs, or all files below a directory",
	.params = params,
	.params_size = sizeof(struct defrag_params),
	.tables = TABLES(&defragged_table),
	.flags = OP_CHANGES | OP_LONG | OP_ONE_ROW,
	.run = defrag,
};
