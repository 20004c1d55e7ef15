/* How space is used: see btrfs_usage.h. */
#include "lib/storage/btrfs_usage.h"

#include "lib/core/size.h"
#include "lib/storage/inventory.h"

#include <errno.h>
#include <sys/statvfs.h>

#define OV(member, flags, help, ...) FIELD(struct fs_overall, member, flags, help, ##__VA_ARGS__)
static const struct field overall_fields[] = {
	OV(path, KEY, "mount point"),
	OV(uuid, WIDE, "UUID of the filesystem"),
	OV(label, WIDE, "its label"),
	OV(device_size_bytes, 0, "its devices together"),
	OV(device_allocated_bytes, 0, "of that, in chunks"),
	OV(device_unallocated_bytes, 0, "of that, in no chunk yet"),
	OV(device_missing_bytes, 0, "devices that are missing"),
	OV(device_slack_bytes, WIDE, "what the devices have beyond the filesystem: resize takes it"),
	OV(used_bytes, 0, "used in chunks, copies counted"),
	OV(free_estimated_bytes, 0, "content that still fits, with the profiles as they are"),
	OV(free_estimated_min_bytes, WIDE, "the same if the costliest profile takes the rest"),
	OV(free_statfs_bytes, 0, "what df shows"),
	OV(data_ratio, 0, "bytes on devices for a byte of data"),
	OV(metadata_ratio, WIDE, "bytes on devices for a byte of metadata"),
	OV(global_reserve_bytes, WIDE, "metadata space kept for emergencies"),
	OV(global_reserve_used_bytes, WIDE, "of that, in use"),
	OV(multiple_profiles, WIDE, "a type has chunks of several profiles: a conversion is half done"),
	FIELD_END,
};
static const struct table overall_table =
	TABLE(struct fs_overall, "overall", "the filesystem as a whole", overall_fields);

#define SP(member, flags, help) FIELD(struct fs_space, member, flags, help)
static const struct field space_fields[] = {
	SP(type, KEY, "Data, Metadata, System, Data+Metadata or GlobalReserve"),
	SP(profile, KEY, "single, DUP, RAID1 ..."),
	SP(total_bytes, 0, "allocated, without copies"),
	SP(used_bytes, 0, "of that, used"),
	SP(used_percent, 0, "the same as a part of a hundred"),
	FIELD_END,
};
static const struct table profile_table =
	TABLE(struct fs_space, "profiles", "what each type and profile holds", space_fields);
static const struct table df_table =
	TABLE(struct fs_space, "df", "what each type and profile holds", space_fields);

#define CH(member, flags, help) FIELD(struct fs_chunks, member, flags, help)
static const struct field chunk_fields[] = {
	CH(devid, 0, "device's number in the filesystem"),
	CH(path, KEY, "device node"),
	CH(type, 0, "Data, Metadata, System, Data+Metadata, or Unallocated"),
	CH(profile, 0, "single, DUP, RAID1 ..."),
	CH(size_bytes, 0, "bytes on this device"),
	FIELD_END,
};
static const struct table chunk_table =
	TABLE(struct fs_chunks, "devices", "what is allocated on each device", chunk_fields);

/* Sums over one of data, metadata, system. */
struct kind {
	double raw, raw_used; /* on devices */
	uint64_t logical;
};

static int copies(uint64_t flags)
{
	return flags & BTRFS_RAID1C4 ? 4
	       : flags & BTRFS_RAID1C3 ? 3
	       : flags & (BTRFS_DUP | BTRFS_RAID1 | BTRFS_RAID10) ? 2
								  : 1;
}

static int parities(uint64_t flags)
{
	return flags & BTRFS_RAID5 ? 1 : flags & BTRFS_RAID6 ? 2 : 0;
}

/* How full the chunks of one type and profile are, 0 to 1. */
static double fill(const struct btrfs_space *s, size_t n, uint64_t type, uint64_t profile)
{
	uint64_t total = 0, used = 0;

	for (size_t i = 0; i < n; i++)
		if (s[i].flags & type && s[i].flags & profile && !(s[i].flags & BTRFS_GLOBAL_RESERVE))
			total += s[i].total_bytes, used += s[i].used_bytes;
	return total ? (double)used / (double)total : 0;
}

/* Parity is spread by the number of devices of each chunk, so only the chunks know its size. */
static void add_parity_chunks(const struct btrfs_chunks *c, size_t n, const struct btrfs_space *s,
			      size_t n_spaces, uint64_t type, struct kind *k, double *max_ratio)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t profile = c[i].flags & (BTRFS_RAID5 | BTRFS_RAID6);
		double ratio;

		if (!profile || !(c[i].flags & type))
			continue;
		ratio = (double)c[i].stripes / (double)(c[i].stripes - (unsigned)parities(profile));
		if (ratio > *max_ratio)
			*max_ratio = ratio;
		k->raw += (double)c[i].size_bytes;
		k->raw_used = floor(k->raw_used +
				    (double)c[i].size_bytes * fill(s, n_spaces, type, profile));
	}
}

/*
 * The arithmetic is that of `btrfs filesystem usage` (btrfs-progs cmds/filesystem-usage.c), so that
 * both tools give the same numbers. A double holds whole numbers up to 8 PiB exactly.
 */
void fs_overall_from(const struct btrfs_device *d, size_t n_devices, const struct btrfs_space *s,
		     size_t n_spaces, const struct btrfs_chunks *c, size_t n_chunks,
		     struct fs_overall *ret)
{
	static const uint64_t types[] = { BTRFS_DATA, BTRFS_METADATA, BTRFS_SYSTEM };
	struct kind kinds[3] = { 0 }, *data = &kinds[0], *metadata = &kinds[1];
	uint64_t profiles[3] = { 0 };
	double max_ratio = 1, allocated, used, free_bytes;
	int64_t unallocated;
	bool mixed = false;

	for (size_t i = 0; i < n_devices; i++) {
		ret->device_size_bytes += d[i].size_bytes;
		if (d[i].device_bytes == U64_NONE)
			ret->device_missing_bytes += d[i].size_bytes;
		else
			ret->device_slack_bytes += d[i].device_bytes - d[i].size_bytes;
	}
	for (size_t k = 0; k < COUNT(types); k++)
		add_parity_chunks(c, n_chunks, s, n_spaces, types[k], &kinds[k], &max_ratio);
	for (size_t i = 0; i < n_spaces; i++) {
		uint64_t f = s[i].flags;
		int n = f & (BTRFS_RAID5 | BTRFS_RAID6) ? 0 : copies(f);

		if (n > max_ratio)
			max_ratio = n;
		if (f & BTRFS_GLOBAL_RESERVE) {
			ret->global_reserve_bytes = s[i].total_bytes;
			ret->global_reserve_used_bytes = s[i].used_bytes;
			continue;
		}
		mixed |= f & BTRFS_DATA && f & BTRFS_METADATA;
		for (size_t k = 0; k < COUNT(types); k++) {
			if (!(f & types[k]))
				continue;
			kinds[k].raw += (double)s[i].total_bytes * n;
			kinds[k].raw_used += (double)s[i].used_bytes * n;
			kinds[k].logical += s[i].total_bytes;
			ret->multiple_profiles |= profiles[k]++ > 0;
		}
	}
	allocated = data->raw + kinds[2].raw + (mixed ? 0 : metadata->raw);
	used = data->raw_used + kinds[2].raw_used + (mixed ? 0 : metadata->raw_used);
	unallocated = (int64_t)ret->device_size_bytes - (int64_t)allocated;
	ret->device_allocated_bytes = (uint64_t)allocated;
	ret->device_unallocated_bytes = unallocated;
	ret->used_bytes = (uint64_t)used;
	ret->data_ratio = data->logical ? data->raw / (double)data->logical : 1;
	ret->metadata_ratio = mixed		  ? ret->data_ratio
			      : metadata->logical ? metadata->raw / (double)metadata->logical
						  : 1;
	free_bytes = floor((data->raw - data->raw_used) / ret->data_ratio);
	if (mixed) /* then the reserve lies in the same chunks as data */
		free_bytes -= (double)(ret->global_reserve_bytes - ret->global_reserve_used_bytes);
	ret->free_estimated_bytes = ret->free_estimated_min_bytes =
		free_bytes > 0 ? (uint64_t)free_bytes : 0;
	if (unallocated >= (int64_t)(16 * MiB)) { /* less makes no chunk */
		ret->free_estimated_bytes =
			(uint64_t)(free_bytes + (double)unallocated / ret->data_ratio);
		ret->free_estimated_min_bytes =
			(uint64_t)(free_bytes + (double)unallocated / max_ratio);
	}
}

static void space_row(const struct btrfs_space *s, struct fs_space *ret)
{
	*ret = (struct fs_space){
		.type = btrfs_type_name(s->flags),
		.profile = btrfs_profile_name(s->flags),
		.total_bytes = s->total_bytes,
		.used_bytes = s->used_bytes,
		.used_percent = s->total_bytes
					? 100.0 * (double)s->used_bytes / (double)s->total_bytes
					: 0,
	};
}

static int chunk_rows(const struct btrfs_device *d, size_t n_devices, const struct btrfs_chunks *c,
		      size_t n_chunks, struct sink *out)
{
	int r = 0;

	for (size_t i = 0; i < n_devices && !r; i++) {
		struct fs_chunks left = { d[i].devid, d[i].path, "Unallocated", NULL,
					  (int64_t)d[i].size_bytes };

		for (size_t k = 0; k < n_chunks && !r; k++) {
			struct fs_chunks row = { d[i].devid, d[i].path,
						 btrfs_type_name(c[k].flags),
						 btrfs_profile_name(c[k].flags),
						 (int64_t)c[k].size_bytes };

			if (c[k].devid != d[i].devid)
				continue;
			left.size_bytes -= row.size_bytes;
			/* Chunks of one kind over different numbers of devices are one row. */
			while (k + 1 < n_chunks && c[k + 1].devid == c[k].devid &&
			       c[k + 1].flags == c[k].flags) {
				row.size_bytes += (int64_t)c[++k].size_bytes;
				left.size_bytes -= (int64_t)c[k].size_bytes;
			}
			r = sink_row(out, &chunk_table, &row);
		}
		if (!r)
			r = sink_row(out, &chunk_table, &left);
	}
	return r;
}

static int fs_usage(struct world *w, const void *params, struct sink *out, struct err *e)
{
	const struct btrfs_mount_params *p = params;
	struct btrfs_fs fs auto_btrfs_fs = BTRFS_FS_CLOSED;
	struct fs_overall overall = { .path = p->mount_point };
	struct btrfs_device *devices;
	struct btrfs_chunks *chunks;
	struct btrfs_space *spaces;
	size_t n_devices, n_chunks, n_spaces;
	struct statvfs st;
	int r = btrfs_fs_open_mounted(w, p->mount_point, &fs, e);

	if (!r)
		r = btrfs_get_devices(fs.fd, fs.name, w->mem, &devices, &n_devices, e);
	if (!r)
		r = btrfs_get_spaces(fs.fd, fs.name, w->mem, &spaces, &n_spaces, e);
	if (!r)
		r = btrfs_get_chunks(fs.fd, fs.name, w->mem, &chunks, &n_chunks, e);
	if (!r)
		r = btrfs_get_label(fs.fd, fs.name, w->mem, &overall.label, e);
	if (r)
		return r;
	if (fstatvfs(fs.fd, &st))
		return err_sys(e, -errno, fs.name, "statvfs");
	overall.uuid = fs.info.uuid;
	overall.label = *overall.label ? overall.label : NULL;
	overall.free_statfs_bytes = (uint64_t)st.f_bavail * st.f_frsize;
	fs_overall_from(devices, n_devices, spaces, n_spaces, chunks, n_chunks, &overall);
	r = sink_row(out, &overall_table, &overall);
	for (size_t i = 0; i < n_spaces && !r; i++) {
		struct fs_space row;

		if (spaces[i].flags & BTRFS_GLOBAL_RESERVE)
			continue;
		space_row(&spaces[i], &row);
		r = sink_row(out, &profile_table, &row);
	}
	return r ? r : chunk_rows(devices, n_devices, chunks, n_chunks, out);
}

const struct operation fs_usage_op = {
	.name = "fs_usage",
	.summary = "how a btrfs uses its devices, in detail",
	.params = btrfs_mount_fields,
	.params_size = sizeof(struct btrfs_mount_params),
	.tables = TABLES(&overall_table, &profile_table, &chunk_table),
	.run = fs_usage,
};

static int fs_df(struct world *w, const void *params, struct sink *out, struct err *e)
{
	const struct btrfs_mount_params *p = params;
	struct btrfs_fs fs auto_btrfs_fs = BTRFS_FS_CLOSED;
	struct btrfs_space *spaces;
	size_t n;
	int r = btrfs_fs_open_mounted(w, p->mount_point, &fs, e);

	if (!r)
		r = btrfs_get_spaces(fs.fd, fs.name, w->mem, &spaces, &n, e);
	for (size_t i = 0; !r && i < n; i++) {
		struct fs_space row;

		space_row(&spaces[i], &row);
		r = sink_row(out, &df_table, &row);
	}
	return r;
}

const struct operation fs_df_op = {
	.name = "fs_df",
	.summary = "what data, metadata and system of a btrfs have allocated and use",
	.params = btrfs_mount_fields,
	.params_size = sizeof(struct btrfs_mount_params),
	.tables = TABLES(&df_table),
	.run = fs_df,
};

struct usage {
	const char *label, *fstype, *uuid, *mount_point;
	uint64_t total_bytes, used_bytes, available_bytes;
	double used_percent;
};
static const struct field usage_fields[] = {
	FIELD(struct usage, label, KEY, "label: MOSDATA, MOSBOOT, MOSEFI ..."),
	FIELD(struct usage, fstype, 0, "kind of filesystem"),
	FIELD(struct usage, uuid, WIDE, "its UUID"),
	FIELD(struct usage, mount_point, 0, "where it is mounted; nothing is known of one that is not"),
	FIELD(struct usage, total_bytes, 0, "its size as statvfs has it"),
	FIELD(struct usage, used_bytes, 0, "of that, used"),
	FIELD(struct usage, available_bytes, 0, "what can still be written"),
	FIELD(struct usage, used_percent, 0, "used, of what can be used at all"),
	FIELD_END,
};
static const struct table usage_table =
	TABLE(struct usage, "usage", "filesystems with a MOS label", usage_fields);

struct no_params {
	char none;
};
static const struct field no_params[] = { FIELD_END };

static int usage(struct world *w, const void *params, struct sink *out, struct err *e)
{
	struct filesystem *all;
	size_t n;
	int r = inventory_filesystems(w, &all, &n, e);

	(void)params;
	for (size_t i = 0; !r && i < n; i++) {
		const struct filesystem *f = &all[i];
		struct usage row = { f->label, f->fstype, f->uuid, NULL, U64_NONE, U64_NONE, U64_NONE,
				     DOUBLE_NONE };
		struct statvfs st;

		if (!f->label || !starts_with(f->label, "MOS") || streq(f->fstype, "swap"))
			continue;
		if (f->mount_points && root_is_machine(&w->root) &&
		    !statvfs(f->mount_points[0], &st)) {
			uint64_t unit = st.f_frsize, used = (st.f_blocks - st.f_bfree) * unit;

			row.total_bytes = st.f_blocks * unit;
			row.used_bytes = used;
			row.available_bytes = st.f_bavail * unit;
			if (used + row.available_bytes)
				row.used_percent = 100.0 * (double)used /
						   (double)(used + row.available_bytes);
		}
		row.mount_point = f->mount_points ? f->mount_points[0] : NULL;
		r = sink_row(out, &usage_table, &row);
	}
	return r;
}

const struct operation usage_op = {
	.name = "usage",
	.summary = "total, used and available bytes of each MOS filesystem",
	.params = no_params,
	.params_size = sizeof(struct no_params),
	.tables = TABLES(&usage_table),
	.run = usage,
};
