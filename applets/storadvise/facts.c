/* The tables of facts, and how the rules see them (see facts.h). */
#include "applets/storadvise/facts.h"

#include <ctype.h>
#include <errno.h>

#define F(type, member, help) FIELD(struct fact_##type, member, 0, help)

static const struct field host_fields[] = {
	F(host, ram_bytes, "memory"), F(host, cpus, "CPUs"), F(host, cpu_model, "CPU"),
	F(host, kernel, "kernel release"), F(host, virtualisation, "hypervisor"),
	F(host, ram_reason, "how the memory's size is known"),
	F(host, available_bytes, "memory that is available"),
	F(host, dirty_bytes, "memory to be written"),
	F(host, writeback_bytes, "memory being written"),
	F(host, io_some_percent, "time some task waits for I/O"),
	F(host, io_full_percent, "time all tasks wait for I/O"),
	F(host, memory_some_percent, "time some task waits for memory"),
	F(host, source, "where it was seen"), FIELD_END,
};
static const struct field disk_fields[] = {
	FIELD(struct fact_disk, name, KEY, "kernel name"),
	F(disk, media, "nvme, ssd, hdd, virtual, unknown"),
	F(disk, confidence, "how sure that is"), F(disk, size_bytes, "size"), F(disk, model, "model"),
	F(disk, media_reason, "why it is taken for that"),
	FIELD(struct fact_disk, driver, WIDE, "driver"),
	FIELD(struct fact_disk, scheduler, WIDE, "I/O scheduler"),
	FIELD(struct fact_disk, read_ahead_kb, WIDE, "readahead"),
	FIELD(struct fact_disk, requests, WIDE, "queue's requests"),
	FIELD(struct fact_disk, usb, WIDE, "on USB"),
	FIELD(struct fact_disk, source, WIDE, "where it was seen"), FIELD_END,
};
static const struct field filesystem_fields[] = {
	FIELD(struct fact_filesystem, id, KEY, "mount point or device"), F(filesystem, uuid, "UUID"),
	F(filesystem, label, "label"), F(filesystem, devices, "devices"),
	F(filesystem, disks, "disks below them"), F(filesystem, size_bytes, "devices' size"),
	F(filesystem, allocated_bytes, "allocated"), F(filesystem, unallocated_bytes, "unallocated"),
	F(filesystem, missing_bytes, "on missing devices"), F(filesystem, used_bytes, "used"),
	F(filesystem, free_estimated_bytes, "free, estimated"),
	F(filesystem, free_statfs_bytes, "free as df has it"),
	F(filesystem, reserve_bytes, "the global reserve"),
	F(filesystem, reserve_used_bytes, "of the global reserve in use"),
	F(filesystem, multiple_profiles, "more than one profile of a kind"),
	F(filesystem, read_ahead_kb, "readahead"), F(filesystem, commits, "commits since mount"),
	F(filesystem, commit_max_ms, "longest commit"), F(filesystem, commit_total_ms, "all commits"),
	F(filesystem, commit_last_ms, "last commit"), F(filesystem, quota, "off, qgroup or squota"),
	F(filesystem, quota_inconsistent, "quota numbers are wrong"),
	F(filesystem, exclusive_operation, "running"), F(filesystem, features, "features"),
	F(filesystem, subvolumes, "subvolumes"), F(filesystem, snapshots, "of them snapshots"),
	F(filesystem, metadata_reclaim, "metadata's reclaim threshold"),
	F(filesystem, data_reclaim, "data's reclaim threshold"),
	F(filesystem, source, "where it was seen"), FIELD_END,
};
static const struct field space_fields[] = {
	F(space, filesystem, "filesystem"), F(space, kind, "Data, Metadata, System ..."),
	F(space, profile, "single, DUP, RAID1 ..."), F(space, size_bytes, "allocated"),
	F(space, used_bytes, "used"), F(space, source, "where it was seen"), FIELD_END,
};
static const struct field member_fields[] = {
	F(member, filesystem, "filesystem"), F(member, device, "device"), F(member, disk, "disk"),
	F(member, size_bytes, "size"), F(member, unallocated_bytes, "unallocated"),
	F(member, write_errors, "write errors"), F(member, read_errors, "read errors"),
	F(member, flush_errors, "flush errors"), F(member, corruption_errors, "corruption errors"),
	F(member, generation_errors, "generation errors"), F(member, missing, "missing"),
	F(member, source, "where it was seen"), FIELD_END,
};
static const struct field qgroup_fields[] = {
	F(qgroup, filesystem, "filesystem"), F(qgroup, qgroup, "id"), F(qgroup, path, "path"),
	F(qgroup, referenced_bytes, "referenced"), F(qgroup, exclusive_bytes, "exclusive"),
	F(qgroup, source, "where it was seen"), FIELD_END,
};
static const struct field mount_fields[] = {
	F(mount, target, "mount point"), F(mount, device, "device"), F(mount, fstype, "filesystem type"),
	F(mount, subvolume, "subvolume"), F(mount, filesystem, "filesystem"),
	F(mount, options, "options"), F(mount, source, "where it was seen"), FIELD_END,
};
static const struct field declared_fields[] = {
	FIELD(struct fact_declared, id, KEY, "path in the layout"), F(declared, disk, "disk"),
	F(declared, devices, "devices"), F(declared, mkfs, "arguments of mkfs"),
	F(declared, unknown, "what could not be known"), F(declared, encryption, "luks"),
	F(declared, swap, "a swap file is on it"), F(declared, file, "file"),
	F(declared, source, "where it was seen"), FIELD_END,
};
static const struct field subvolume_fields[] = {
	F(subvolume, declared, "filesystem in the layout"), F(subvolume, name, "name"),
	F(subvolume, mountpoint, "mount point"), F(subvolume, options, "mount options"),
	F(subvolume, swap, "holds a swap file"), F(subvolume, number, "place in the layout"),
	F(subvolume, options_source, "where its options are"),
	F(subvolume, options_file, "the file of the list of options"),
	F(subvolume, options_text, "its lines"),
	F(subvolume, options_before, "the text before the list of options"),
	F(subvolume, options_after, "the text behind it"),
	F(subvolume, options_line, "its first line"), F(subvolume, options_lines, "how many lines"),
	F(subvolume, source, "where it was seen"), FIELD_END,
};
static const struct field io_fields[] = {
	F(io, device, "device"), F(io, disk, "disk"), F(io, reads_per_s, "reads a second"),
	F(io, writes_per_s, "writes a second"), F(io, read_kb_per_s, "KiB read a second"),
	F(io, write_kb_per_s, "KiB written a second"), F(io, read_await_ms, "a read takes"),
	F(io, write_await_ms, "a write takes"), F(io, flush_await_ms, "a flush takes"),
	F(io, queue, "requests under way"), F(io, busy_percent, "busy"),
	F(io, write_kb, "KiB a write"), F(io, samples, "reports it is the median of"),
	F(io, source, "where it was seen"), FIELD_END,
};
static const struct field process_fields[] = {
	F(process, command, "command"), F(process, user, "user"), F(process, workload, "workload"),
	F(process, read_kb_per_s, "KiB read a second"), F(process, write_kb_per_s, "KiB written a second"),
	F(process, io_percent, "waits for I/O"), F(process, source, "where it was seen"), FIELD_END,
};
static const struct field observation_fields[] = {
	F(observation, text, "what was said"), F(observation, workload, "workload"),
	F(observation, path, "where"), F(observation, value_s, "how long"),
	F(observation, source, "where it was said"), FIELD_END,
};
static const struct field slow_fields[] = {
	F(slow, path, "path"), F(slow, operation, "operation"), F(slow, process, "process"),
	F(slow, workload, "workload"), F(slow, count, "how many"), F(slow, latency_ns, "it took"),
	F(slow, source, "where it was seen"), FIELD_END,
};
static const struct field sysctl_fields[] = {
	F(sysctl, name, "name"), F(sysctl, value, "value"), F(sysctl, source, "where it was seen"),
	FIELD_END,
};
static const struct field compression_fields[] = {
	F(compression, path, "path"), F(compression, algorithm, "zstd or lz (lzo's class)"),
	F(compression, level, "level"), F(compression, sample_bytes, "sample"),
	F(compression, device_bytes_per_s, "device's own speed"), F(compression, ratio, "ratio"),
	F(compression, write_bytes_per_s, "compresses, one CPU"),
	F(compression, read_bytes_per_s, "decompresses, one CPU"),
	F(compression, source, "where it was measured"), FIELD_END,
};
static const struct field file_fields[] = {
	F(file, path, "path"), F(file, workload, "workload"), F(file, filesystem, "filesystem"),
	F(file, size_bytes, "size"), F(file, extents, "extents"), F(file, nocow, "+C"),
	F(file, compressed, "compressed extents"), F(file, shared, "shared with a snapshot or copy"),
	F(file, source, "where it was seen"), FIELD_END,
};

#define FACT_TABLE(one, many, input)                                                     \
	extern const struct table fact_##one##_table;                                    \
	const struct table fact_##one##_table =                                          \
		TABLE(struct fact_##one, #many, "what is known of " #many, one##_fields);
FACT_TABLES(FACT_TABLE)
#define FACT_POINTER(one, many, input) &fact_##one##_table,
const struct table *const fact_tables[] = { FACT_TABLES(FACT_POINTER) NULL };
#define FACT_INPUT(one, many, input) input,
const char *const fact_inputs[] = { FACT_TABLES(FACT_INPUT) };

void *fact_new(struct facts *f, enum fact_table t)
{
	void *row = NULL;

	switch (t) {
#define FACT_NEW(one, many, input)            \
	case FACT_##many:                     \
		row = vec_add(&f->many);      \
		f->many##_given = true;       \
		break;
		FACT_TABLES(FACT_NEW)
	case FACT_COUNT:
		break;
	}
	field_clear(fact_tables[t]->fields, row);
	return row;
}

void *facts_rows(const struct facts *f, enum fact_table t, size_t *ret_n, bool *ret_given)
{
	switch (t) {
#define FACT_ROWS(one, many, input)           \
	case FACT_##many:                     \
		*ret_n = f->many.n;           \
		*ret_given = f->many##_given; \
		return f->many.items;
		FACT_TABLES(FACT_ROWS)
	case FACT_COUNT:
		break;
	}
	return NULL;
}

void facts_set_given(struct facts *f, enum fact_table t)
{
	switch (t) {
#define FACT_SET(one, many, input)        \
	case FACT_##many:                 \
		f->many##_given = true;   \
		break;
		FACT_TABLES(FACT_SET)
	case FACT_COUNT:
		break;
	}
}

void facts_free(struct facts *f)
{
#define FACT_FREE(one, many, input) vec_free(&f->many);
	FACT_TABLES(FACT_FREE)
	vec_free(&f->links);
}

void fact_link(struct facts *f, const char *child, const char *disk)
{
	*vec_add(&f->links) =
		(struct fact_link){ arena_str(f->mem, child), arena_str(f->mem, disk) };
}

static const char *linked_disk(struct facts *f, const char *device)
{
	const char *name = strrchr(device, '/'), *disk;

	name = name ? name + 1 : device;
	for (size_t i = 0; i < f->links.n; i++)
		if (streq(f->links.items[i].child, name))
			return f->links.items[i].disk;
	disk = fact_disk_of(f, device);
	return disk;
}

void facts_join(struct facts *f)
{
	for (size_t i = 0; i < f->mounts.n; i++) {
		struct fact_mount *m = &f->mounts.items[i];

		if (streq(m->fstype, "btrfs") && !m->filesystem)
			m->filesystem = fact_filesystem(f, m->device)->id;
	}
	for (size_t i = 0; i < f->members.n; i++) {
		struct fact_member *m = &f->members.items[i];

		if (!m->disk && !m->missing)
			m->disk = linked_disk(f, m->device);
	}
	for (size_t i = 0; i < f->filesystems.n; i++) {
		struct fact_filesystem *fs = &f->filesystems.items[i];

		for (const char **d = fs->devices; d && *d; d++) {
			const char *disk = linked_disk(f, *d);

			if (disk && !strlist_has((const char *const *)fs->disks, disk))
				strlist_add(f->mem, &fs->disks, disk);
		}
	}
	for (size_t i = 0; i < f->io.n; i++)
		f->io.items[i].disk = linked_disk(f, f->io.items[i].device);
}

/* Finding rows. */

static bool has(const char **list, const char *s)
{
	return strlist_has((const char *const *)list, s);
}

struct fact_filesystem *fact_filesystem(struct facts *f, const char *place)
{
	struct fact_filesystem *fs;

	for (size_t i = 0; i < f->filesystems.n; i++) {
		fs = &f->filesystems.items[i];
		if (!place || streq(fs->id, place) || streq(fs->uuid, place) ||
		    has(fs->devices, place))
			return fs;
		for (size_t j = 0; j < f->mounts.n; j++)
			if (streq(f->mounts.items[j].target, place) &&
			    streq(f->mounts.items[j].filesystem, fs->id))
				return fs;
	}
	fs = fact_add(f, filesystems);
	fs->id = arena_str(f->mem, place ? place : "the filesystem");
	if (place && starts_with(place, "/dev/"))
		strlist_add(f->mem, &fs->devices, fs->id);
	return fs;
}

struct fact_disk *fact_disk(struct facts *f, const char *name)
{
	struct fact_disk *d;

	for (size_t i = 0; i < f->disks.n; i++)
		if (streq(f->disks.items[i].name, name))
			return &f->disks.items[i];
	d = fact_add(f, disks);
	d->name = arena_str(f->mem, name);
	return d;
}

struct fact_member *fact_member(struct facts *f, const char *filesystem, const char *device)
{
	struct fact_member *m;

	for (size_t i = 0; i < f->members.n; i++)
		if (streq(f->members.items[i].device, device))
			return &f->members.items[i];
	m = fact_add(f, members);
	m->filesystem = filesystem;
	m->device = arena_str(f->mem, device);
	m->missing = starts_with(device, "<missing");
	m->disk = fact_disk_of(f, device);
	return m;
}

struct fact_host *fact_host(struct facts *f)
{
	return f->hosts.n ? &f->hosts.items[0] : fact_add(f, hosts);
}

const char *fact_disk_of(struct facts *f, const char *device)
{
	const char *name = strrchr(device, '/');
	size_t n;

	name = name ? name + 1 : device;
	if (!*name || *device == '<')
		return NULL;
	n = strlen(name);
	if (starts_with(name, "nvme") || starts_with(name, "mmcblk") || starts_with(name, "loop")) {
		const char *p = strrchr(name, 'p');

		if (p && p > name && isdigit((unsigned char)p[-1]) && isdigit((unsigned char)p[1]))
			n = (size_t)(p - name);
	} else if (starts_with(name, "sd") || starts_with(name, "vd") || starts_with(name, "hd") ||
		   starts_with(name, "xvd")) {
		while (n && isdigit((unsigned char)name[n - 1]))
			n--;
	} else {
		return NULL;
	}
	return arena_strn(f->mem, name, n);
}

/* Text helpers for the readers. */

int read_error(struct err *e, const char *name, unsigned line, const char *what)
{
	return err_make(e, ERR_FAILED, -EBADMSG, name, NULL, "line %u: %s", line, what);
}

int read_json(const char *text, const char *name, struct json **ret, struct err *e)
{
	if (text[strspn(text, " \t\r\n")] != '{')
		return 0;
	return json_parse(text, strlen(text), name, NULL, ret, e);
}

char *next_line(char **text)
{
	char *line = *text, *end;

	if (!line || !*line)
		return NULL;
	end = strchr(line, '\n');
	*text = end ? end + 1 : line + strlen(line);
	if (end)
		*end = '\0';
	if (end && end > line && end[-1] == '\r')
		end[-1] = '\0';
	return line;
}

unsigned split_words(char *line, char **words, unsigned max)
{
	unsigned n = 0;

	while (n < max) {
		line += strspn(line, " \t");
		if (!*line)
			break;
		words[n++] = line;
		line += strcspn(line, " \t");
		if (*line)
			*line++ = '\0';
	}
	return n;
}

uint64_t fact_size(const char *s)
{
	static const char units[] = "KMGTPE";
	char *end;
	double v = strtod(s, &end);
	const char *u;

	if (end == s || !(v >= 0) || v > 1e19)
		return U64_NONE;
	u = *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
	for (long i = u ? u - units + 1 : 0; i > 0; i--)
		v *= end[1] == 'B' ? 1000 : 1024;
	return v < 1.8e19 ? (uint64_t)v : U64_NONE;
}

const char *source_line(struct facts *f, const char *name, unsigned line, const char *text)
{
	while (*text == ' ' || *text == '\t')
		text++;
	return arena_printf(f->mem, "%s:%u: %.160s", name, line, text);
}

/* As the rules see them: a member without a value is unknown, and says which input has it. */

static struct nix_value *text_list(struct nix *x, const char *const *list)
{
	size_t n = strlist_len(list);
	struct nix_value **items = nix_alloc(x, (n + 1) * sizeof *items);

	for (size_t i = 0; i < n; i++)
		items[i] = nix_string(x, list[i]);
	return nix_list(x, items, n);
}

/* Which input has a member, where it is not the one that usually gives the row. */
static const struct {
	const char *prefix, *input;
} member_inputs[] = {
	{ "snapshots", "--live" }, { "subvolumes", "--live" }, { "read_ahead", "--live" },
	{ "commit", "--live (Linux 6.0)" }, { "quota", "--qgroups or --live" },
	{ "io_", "--live (/proc/pressure)" }, { "memory_some", "--live (/proc/pressure)" },
	{ "write_errors", "--device-stats or --live" }, { "read_errors", "--device-stats or --live" },
	{ "flush_errors", "--device-stats or --live" },
	{ "corruption_errors", "--device-stats or --live" },
	{ "generation_errors", "--device-stats or --live" },
	{ "unallocated_bytes", "--btrfs-usage or --live" }, { "reserve", "--btrfs-usage or --btrfs-df" },
	{ "multiple", "--btrfs-usage or --live" }, { "busy", "--iostat (with -x) or --live" },
};

static const char *input_of(const char *member_name, const char *usual)
{
	for (size_t i = 0; i < COUNT(member_inputs); i++)
		if (starts_with(member_name, member_inputs[i].prefix))
			return member_inputs[i].input;
	return usual;
}

static struct nix_value *member(struct nix *x, const struct field *f, const void *row,
				const char *input)
{
	const char *at = (const char *)row + f->offset;
	struct nix_value *v;

	if (f->type == FIELD_LIST)
		return text_list(x, *(const char *const *const *)at);
	if (f->type == FIELD_BOOL)
		return *(const bool *)at ? x->lib_true : x->lib_false;
	if (f->type == FIELD_STR) {
		const char *s = *(const char *const *)at;

		return s ? nix_string(x, s) : x->lib_null;
	}
	if (field_is_none(f, row))
		return nix_unknown(x, arena_printf(&x->mem, "%s: from %s", f->name,
							   input_of(f->name, input)));
	v = nix_new(x, NIX_INT);
	switch (f->type) {
	case FIELD_U32:
		v->integer = *(const uint32_t *)at;
		break;
	case FIELD_U64:
		v->integer = (int64_t)*(const uint64_t *)at;
		break;
	default:
		v->type = NIX_FLOAT;
		v->real = *(const double *)at;
	}
	return v;
}

struct nix_value *facts_value(struct nix *x, struct facts *f)
{
	struct nix_builder all = { .x = x };

	for (unsigned t = 0; t < FACT_COUNT; t++) {
		const struct table *table = fact_tables[t];
		struct nix_value **items;
		bool given;
		size_t n;
		const char *rows = facts_rows(f, t, &n, &given);

		if (!given) {
			nix_add(&all, table->name, nix_unknown(x, fact_inputs[t]));
			continue;
		}
		items = nix_alloc(x, (n + 1) * sizeof *items);
		for (size_t i = 0; i < n; i++) {
			struct nix_builder row = { .x = x };

			for (const struct field *fd = table->fields; fd->name; fd++)
				nix_add(&row, fd->name,
					member(x, fd, rows + i * table->row_size, fact_inputs[t]));
			items[i] = nix_attrs(&row);
		}
		nix_add(&all, table->name, nix_list(x, items, n));
	}
	return nix_attrs(&all);
}
