/* Error counters and growing: see btrfs_upkeep.h. */
#include "lib/storage/btrfs_upkeep.h"

#include "lib/storage/btrfs_balance.h"

#include <errno.h>

#define DE(member, flags, help) FIELD(struct device_errors, member, flags, help)
static const struct field errors_fields[] = {
	DE(devid, 0, "device's number in the filesystem"),
	DE(device, KEY, "device node; - for one that is missing"),
	DE(write_io_errs, 0, "writes that failed"),
	DE(read_io_errs, 0, "reads that failed"),
	DE(flush_io_errs, 0, "flushes that failed"),
	DE(corruption_errs, 0, "blocks with a wrong checksum or wrong contents"),
	DE(generation_errs, 0, "blocks that are older than they should be"),
	FIELD_END,
};
const struct table device_errors_table = TABLE(
	struct device_errors, "device_stats", "errors of each device since they were last reset",
	errors_fields);

int device_errors_read(struct world *w, const struct btrfs_fs *fs, bool reset,
		       struct device_errors **ret, size_t *ret_n, struct err *e)
{
	struct btrfs_device *devices;
	size_t n;
	int r = btrfs_get_devices(fs->fd, fs->name, w->mem, &devices, &n, e);

	if (r)
		return r;
	*ret = arena_alloc(w->mem, (n + 1) * sizeof **ret);
	*ret_n = n;
	for (size_t i = 0; i < n; i++) {
		struct device_errors *d = &(*ret)[i];
		struct btrfs_errors errors;

		*d = (struct device_errors){ devices[i].devid, devices[i].path, U64_NONE, U64_NONE,
					     U64_NONE,	       U64_NONE,	U64_NONE };
		r = btrfs_get_errors(fs->fd, fs->name, d->devid, reset, &errors, e);
		if (r == -ENODEV)
			continue;
		if (r)
			return r;
		d->write_io_errs = errors.write;
		d->read_io_errs = errors.read;
		d->flush_io_errs = errors.flush;
		d->corruption_errs = errors.corruption;
		d->generation_errs = errors.generation;
	}
	return 0;
}

static bool any_error(const struct device_errors *d)
{
	const uint64_t v[] = { d->write_io_errs, d->read_io_errs, d->flush_io_errs,
			       d->corruption_errs, d->generation_errs };

	for (size_t i = 0; i < COUNT(v); i++)
		if (v[i] && v[i] != U64_NONE)
			return true;
	return false;
}

struct mount_params {
	const char *mount_point;
	bool check;
};
#define MOUNT_POINT                                                                            \
	FIELD(struct mount_params, mount_point, REQUIRED | OPERAND, "where the btrfs is mounted", \
	      .complete = "mount")
static const struct field stats_params[] = {
	MOUNT_POINT,
	FIELD(struct mount_params, check, 0, "exit with status 3 when a counter is not 0"),
	FIELD_END,
};
static const struct field mount_params[] = { MOUNT_POINT, FIELD_END };

static int stats(struct world *w, const struct mount_params *p, bool reset, struct sink *out,
		 struct err *e)
{
	struct btrfs_fs fs auto_btrfs_fs = BTRFS_FS_CLOSED;
	struct device_errors *list;
	bool found = false;
	size_t n = 0;
	int r = btrfs_fs_open_mounted(w, p->mount_point, &fs, e);

	if (!r)
		r = device_errors_read(w, &fs, reset, &list, &n, e);
	for (size_t i = 0; !r && i < n; i++) {
		found |= any_error(&list[i]);
		r = sink_row(out, &device_errors_table, &list[i]);
	}
	return r ? r : found && p->check ? EXIT_FOUND : 0;
}

static int device_stats(struct world *w, const void *params, struct sink *out, struct err *e)
{
	return stats(w, params, false, out, e);
}

const struct operation device_stats_op = {
	.name = "device_stats",
	.summary = "error counters of a btrfs's devices",
	.params = stats_params,
	.params_size = sizeof(struct mount_params),
	.tables = TABLES(&device_errors_table),
	.run = device_stats,
};

static int reset_device_stats(struct world *w, const void *params, struct sink *out,
			      struct err *e)
{
	return stats(w, params, true, out, e);
}

const struct operation reset_device_stats_op = {
	.name = "reset_device_stats",
	.summary = "show the error counters of a btrfs's devices and set them to 0",
	.params = mount_params,
	.params_size = sizeof(struct mount_params),
	.tables = TABLES(&device_errors_table),
	.flags = OP_CHANGES,
	.run = reset_device_stats,
};

struct resized {
	uint64_t devid;
	const char *device;
	uint64_t old_bytes, new_bytes, device_bytes;
};
static const struct field resized_fields[] = {
	FIELD(struct resized, devid, 0, "device's number in the filesystem"),
	FIELD(struct resized, device, KEY, "device node; - for one that is missing"),
	FIELD(struct resized, old_bytes, 0, "what the filesystem used of it before"),
	FIELD(struct resized, new_bytes, 0, "what it uses of it now"),
	FIELD(struct resized, device_bytes, WIDE, "size of the block device"),
	FIELD_END,
};
static const struct table resized_table =
	TABLE(struct resized, "resized", "every device, grown or not", resized_fields);

/* The kernel's `max` takes one device, 1 where none is named: so each is named. */
static int resize_max(struct world *w, const void *params, struct sink *out, struct err *e)
{
	const struct mount_params *p = params;
	struct btrfs_fs fs auto_btrfs_fs = BTRFS_FS_CLOSED;
	struct btrfs_device *before, *after;
	struct err first = { 0 };
	size_t n, n_after = 0;
	int r = btrfs_fs_open_mounted(w, p->mount_point, &fs, e), failed = 0;

	if (!r)
		r = btrfs_get_devices(fs.fd, fs.name, w->mem, &before, &n, e);
	if (r)
		return r;
	for (size_t i = 0; i < n; i++) {
		const struct btrfs_device *d = &before[i];

		if (!d->path || d->device_bytes == U64_NONE) {
			world_warn(w, "%s: device %llu is missing and keeps its size", fs.name,
				   (unsigned long long)d->devid);
			continue;
		}
		r = btrfs_resize(fs.fd, d->path, d->devid, U64_NONE, e);
		if (r == -EINPROGRESS)
			return btrfs_busy(w, &fs, e);
		if (r == -EINVAL && d->device_bytes < 256 << 20)
			err_make(e, ERR_FAILED, r, d->path, NULL,
				 "btrfs does not resize below 256 MiB");
		if (r && !failed) {
			failed = r;
			first = *e;
		}
	}
	r = btrfs_get_devices(fs.fd, fs.name, w->mem, &after, &n_after, e);
	for (size_t i = 0; !r && i < n_after; i++) {
		struct resized row = { after[i].devid, after[i].path, U64_NONE, after[i].size_bytes,
				       after[i].device_bytes };

		for (size_t k = 0; k < n; k++)
			if (before[k].devid == row.devid)
				row.old_bytes = before[k].size_bytes;
		r = sink_row(out, &resized_table, &row);
	}
	if (!r && failed) {
		*e = first;
		r = failed;
	}
	return r;
}

const struct operation resize_max_op = {
	.name = "resize_max",
	.summary = "grow a btrfs to the size of every one of its devices",
	.params = mount_params,
	.params_size = sizeof(struct mount_params),
	.tables = TABLES(&resized_table),
	.flags = OP_CHANGES,
	.run = resize_max,
};
