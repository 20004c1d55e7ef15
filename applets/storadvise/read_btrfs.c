/* Reads what the btrfs tools and df print: usage, df, device stats, qgroups (see facts.h). */
#include "applets/storadvise/facts.h"

#include <errno.h>
#include <inttypes.h>

static bool is_device(const char *s)
{
	return *s == '/' || starts_with(s, "<missing");
}

/* The devices that the text names decide which filesystem it is about. */
static struct fact_filesystem *by_devices(struct facts *f, const char *place, const char *text)
{
	struct fact_filesystem *fs = NULL;
	const char **devices = NULL;

	for (const char *p = text; p; p = strchr(p, '\n'), p = p ? p + 1 : NULL) {
		size_t n;

		p += strspn(p, " \t0123456789");
		n = strcspn(p, " \t\n");
		if (*p == '/' && n) {
			char *d = arena_strn(f->mem, p, n);

			if (!strlist_has((const char *const *)devices, d))
				strlist_add(f->mem, &devices, d);
		}
	}
	if (place)
		fs = fact_filesystem(f, place);
	for (const char **d = devices; d && *d && !fs; d++)
		for (size_t i = 0; i < f->filesystems.n && !fs; i++)
			if (strlist_has((const char *const *)f->filesystems.items[i].devices, *d))
				fs = &f->filesystems.items[i];
	if (!fs)
		fs = fact_filesystem(f, devices ? *devices : NULL);
	for (const char **d = devices; d && *d; d++)
		if (!strlist_has((const char *const *)fs->devices, *d))
			strlist_add(f->mem, &fs->devices, *d);
	return fs;
}

static struct fact_space *space_row(struct facts *f, const char *fs, const char *kind,
				    const char *profile)
{
	struct fact_space *s;

	for (size_t i = 0; i < f->spaces.n; i++) {
		s = &f->spaces.items[i];
		if (streq(s->filesystem, fs) && streq(s->kind, kind) && streq(s->profile, profile))
			return s;
	}
	s = fact_add(f, spaces);
	s->filesystem = fs;
	s->kind = arena_str(f->mem, kind);
	s->profile = arena_str(f->mem, profile);
	return s;
}

static void overall(struct fact_filesystem *fs, const char *key, const char *value)
{
	const struct {
		const char *key;
		uint64_t *to;
	} map[] = {
		{ "Device size", &fs->size_bytes }, { "Device allocated", &fs->allocated_bytes },
		{ "Device unallocated", &fs->unallocated_bytes },
		{ "Device missing", &fs->missing_bytes }, { "Used", &fs->used_bytes },
		{ "Free (estimated)", &fs->free_estimated_bytes },
		{ "Free (statfs, df)", &fs->free_statfs_bytes },
	};
	const char *used;

	value += strspn(value, " \t");
	for (size_t i = 0; i < COUNT(map); i++)
		if (streq(map[i].key, key))
			*map[i].to = fact_size(value);
	if (streq(key, "Multiple profiles"))
		fs->multiple_profiles = starts_with(value, "yes");
	used = streq(key, "Global reserve") ? strstr(value, "used: ") : NULL;
	if (streq(key, "Global reserve"))
		fs->reserve_bytes = fact_size(value);
	if (used)
		fs->reserve_used_bytes = fact_size(used + 6);
}

/* Total and Used of `usage -T`: one number a column. */
static void table_row(struct facts *f, struct fact_filesystem *fs, char *line, char **kinds,
		      char **profiles, unsigned columns, const char *source)
{
	char *w[24];
	unsigned n = split_words(line, w, COUNT(w));
	bool used = n && streq(w[0], "Used");

	for (unsigned i = 0; i < columns && i + 1 < n; i++) {
		struct fact_space *s = space_row(f, fs->id, kinds[i], profiles[i]);

		*(used ? &s->used_bytes : &s->size_bytes) = fact_size(w[i + 1]);
		s->source = source;
	}
}

int read_usage(struct facts *f, const char *place, const char *name, char *text, struct err *e)
{
	struct fact_filesystem *fs = by_devices(f, place, text);
	char *line, *kinds[8] = { 0 }, *profiles[16] = { 0 }, *before = NULL;
	bool unallocated = false, seen = false;
	unsigned columns = 0;

	for (unsigned n = 1; (line = next_line(&text)); n++) {
		const char *source = source_line(f, name, n, line);
		char *colon = strstr(line, ":"), *w[24], kind[32], profile[32], size[32], used[32];

		if (strstr(line, "Id Path")) {
			unsigned k = before ? split_words(before, kinds, COUNT(kinds)) : 0;
			unsigned p = split_words(strstr(line, "Path") + 4, profiles,
						 COUNT(profiles));

			columns = k < p ? k : p;
		} else if (columns && (starts_with(line + strspn(line, " "), "Total") ||
				       starts_with(line + strspn(line, " "), "Used"))) {
			table_row(f, fs, line, kinds, profiles, columns, source);
		} else if (sscanf(line, "%31[A-Za-z+],%31[A-Za-z0-9]: Size:%31[^,], Used:%31s", kind,
				  profile, size, used) == 4) {
			struct fact_space *s = space_row(f, fs->id, kind, profile);

			s->size_bytes = fact_size(size);
			s->used_bytes = fact_size(used);
			s->source = source;
			unallocated = false;
		} else if (starts_with(line, "Unallocated:")) {
			unallocated = true;
		} else if (starts_with(line, "    ") && colon && !columns) {
			*colon = '\0';
			overall(fs, line + 4, colon + 1);
			if (streq(line + 4, "Device unallocated"))
				fs->source = source;
			seen = true;
		} else if (unallocated && (line[0] == ' ' || line[0] == '\t')) {
			char *size_at = strrchr(line, '\t');
			struct fact_member *m;

			if (!size_at)
				size_at = strrchr(line, ' ');
			*size_at++ = '\0';
			if (!split_words(line, w, 1) || !is_device(w[0]))
				continue;
			m = fact_member(f, fs->id, starts_with(w[0], "<missing")
							   ? "<missing disk>" : w[0]);
			m->filesystem = fs->id;
			m->unallocated_bytes = fact_size(size_at);
			m->source = m->source ? m->source : source;
		}
		before = line;
	}
	if (!seen)
		return read_error(e, name, 1, "not the output of `btrfs filesystem usage`");
	return 0;
}

static const char *json_of(const struct json *o, const char *key)
{
	return json_string(json_get(o, key));
}

static uint64_t number_of(const struct json *o, const char *key)
{
	const struct json *v = json_get(o, key);
	uint64_t r;

	if (json_string(v))
		return fact_size(json_string(v));
	return json_as_u64(v, &r) ? U64_NONE : r;
}

int read_btrfs_df(struct facts *f, const char *place, const char *name, char *text, struct err *e)
{
	struct fact_filesystem *fs = fact_filesystem(f, place);
	struct json *j auto_json = NULL;
	char *line;
	bool seen = false;
	int r = read_json(text, name, &j, e);

	if (r)
		return r;
	if (j) {
		const struct json *list = json_get(j, "filesystem-df");

		for (size_t i = 0; i < json_length(list); i++) {
			const struct json *o = json_at(list, i);
			struct fact_space *s = space_row(f, fs->id, json_of(o, "bg-type"),
							 json_of(o, "bg-profile"));

			s->size_bytes = number_of(o, "total");
			s->used_bytes = number_of(o, "used");
			s->source = arena_printf(f->mem, "%s: %s total=%" PRIu64 ", used=%" PRIu64, name,
						 s->kind, s->size_bytes, s->used_bytes);
			seen = true;
		}
	}
	for (unsigned n = 1; !j && (line = next_line(&text)); n++) {
		char kind[32], profile[32], total[32], used[32];
		struct fact_space *s;

		if (sscanf(line, "%31[A-Za-z+], %31[A-Za-z0-9]: total=%31[^,], used=%31s", kind,
			   profile, total, used) != 4)
			continue;
		s = space_row(f, fs->id, kind, profile);
		s->size_bytes = fact_size(total);
		s->used_bytes = fact_size(used);
		s->source = source_line(f, name, n, line);
		if (streq(kind, "GlobalReserve")) {
			fs->reserve_bytes = s->size_bytes;
			fs->reserve_used_bytes = s->used_bytes;
		}
		seen = true;
	}
	return seen ? 0 : read_error(e, name, 1, "not the output of `btrfs filesystem df`");
}

static void count_error(struct fact_member *m, const char *what, uint64_t n)
{
	const struct {
		const char *what;
		uint64_t *to;
	} map[] = { { "write_io_errs", &m->write_errors },
		    { "read_io_errs", &m->read_errors },
		    { "flush_io_errs", &m->flush_errors },
		    { "corruption_errs", &m->corruption_errors },
		    { "generation_errs", &m->generation_errors } };

	for (size_t i = 0; i < COUNT(map); i++)
		if (streq(map[i].what, what))
			*map[i].to = n;
}

static struct fact_filesystem *of_device(struct facts *f, const char *place, const char *device)
{
	if (place)
		return fact_filesystem(f, place);
	if (*device == '<')
		return fact_filesystem(f, NULL);
	return fact_filesystem(f, device);
}

int read_stats(struct facts *f, const char *place, const char *name, char *text, struct err *e)
{
	struct json *j auto_json = NULL;
	char *line;
	bool seen = false;
	int r = read_json(text, name, &j, e);

	if (r)
		return r;
	if (j) {
		const struct json *list = json_get(j, "device-stats");

		for (size_t i = 0; i < json_length(list); i++) {
			const struct json *o = json_at(list, i);
			const char *device = json_of(o, "device");
			struct fact_member *m;

			if (!device)
				continue;
			m = fact_member(f, of_device(f, place, device)->id, device);
			for (struct json_member k = { 0 }; json_next(o, &k);) {
				uint64_t v = number_of(o, k.key);

				count_error(m, k.key, v);
				/* The first counter that is not 0 is the one to quote. */
				if (v && v != U64_NONE && ends_with(k.key, "_errs"))
					m->source = arena_printf(f->mem, "%s: [%s].%s %" PRIu64,
								 name, device, k.key, v);
			}
			seen = true;
		}
	}
	for (unsigned n = 1; !j && (line = next_line(&text)); n++) {
		const char *source = source_line(f, name, n, line);
		char *close = strstr(line, "].");
		char *w[3];
		struct fact_member *m;

		if (*line != '[' || !close)
			continue;
		*close = '\0';
		if (split_words(close + 2, w, 3) < 2)
			return read_error(e, name, n, "a counter is missing");
		m = fact_member(f, of_device(f, place, line + 1)->id, line + 1);
		count_error(m, w[0], fact_size(w[1]));
		if (!m->source || strcmp(w[1], "0"))
			m->source = source;
		seen = true;
	}
	return seen ? 0 : read_error(e, name, 1, "not the output of `btrfs device stats`");
}

int read_qgroups(struct facts *f, const char *place, const char *name, char *text, struct err *e)
{
	struct fact_filesystem *fs = fact_filesystem(f, place);
	struct json *j auto_json = NULL;
	char *line;
	int r;

	facts_set_given(f, FACT_qgroups);
	if (strstr(text, "quotas not enabled") || !text[strspn(text, " \n\t")]) {
		fs->quota = "off";
		return 0;
	}
	r = read_json(text, name, &j, e);
	if (r)
		return r;
	if (j) {
		const struct json *list = json_get(j, "qgroup-show");

		for (size_t i = 0; i < json_length(list); i++) {
			const struct json *o = json_at(list, i);
			struct fact_qgroup *q = fact_add(f, qgroups);

			q->filesystem = fs->id;
			q->qgroup = arena_str(f->mem, json_of(o, "qgroupid"));
			q->path = arena_str(f->mem, json_of(o, "path"));
			q->referenced_bytes = number_of(o, "referenced");
			q->exclusive_bytes = number_of(o, "exclusive");
			q->source = arena_printf(f->mem, "%s: %s", name, q->qgroup ? q->qgroup : "");
			if (q->referenced_bytes != U64_NONE && q->exclusive_bytes != U64_NONE)
				q->source = arena_printf(f->mem, "%s referenced=%" PRIu64
								 ", exclusive=%" PRIu64, q->source,
							 q->referenced_bytes, q->exclusive_bytes);
			fs->quota = "qgroup";
		}
	}
	for (unsigned n = 1; !j && (line = next_line(&text)); n++) {
		const char *source = source_line(f, name, n, line);
		char *w[5];
		unsigned k = split_words(line, w, 5);
		struct fact_qgroup *q;

		if (strstr(source, "inconsistent"))
			fs->quota_inconsistent = 1;
		if (k < 3 || !strchr(w[0], '/') || *w[0] < '0' || *w[0] > '9')
			continue;
		q = fact_add(f, qgroups);
		q->filesystem = fs->id;
		q->qgroup = arena_str(f->mem, w[0]);
		q->referenced_bytes = fact_size(w[1]);
		q->exclusive_bytes = fact_size(w[2]);
		q->path = k > 3 ? arena_str(f->mem, w[3]) : NULL;
		q->source = source;
		fs->quota = "qgroup";
	}
	if (!fs->quota)
		return read_error(e, name, 1, "not the output of `btrfs qgroup show`");
	if (fs->quota_inconsistent == U32_NONE)
		fs->quota_inconsistent = 0;
	return 0;
}

int read_df(struct facts *f, const char *place, const char *name, char *text, struct err *e)
{
	char *line = next_line(&text), *w[10];
	bool typed, human;
	uint64_t unit = 1024;

	(void)place;
	if (!line || !starts_with(line, "Filesystem"))
		return read_error(e, name, 1, "not the output of `df`");
	typed = strstr(line, " Type");
	human = strstr(line, " Size ");
	if (strstr(line, " 1-blocks") || strstr(line, " 1B-blocks"))
		unit = 1;
	for (unsigned n = 2; (line = next_line(&text)); n++) {
		const char *source = source_line(f, name, n, line);
		unsigned k = split_words(line, w, COUNT(w)), at = typed ? 2 : 1;
		struct fact_filesystem *fs;
		uint64_t v[3];

		if (k < at + 5)
			continue;
		if (typed && strcmp(w[1], "btrfs"))
			continue;
		for (int i = 0; i < 3; i++) {
			v[i] = fact_size(w[at + (unsigned)i]);
			if (!human && v[i] != U64_NONE)
				v[i] *= unit;
		}
		fs = fact_filesystem(f, w[0]);
		if (fs->size_bytes == U64_NONE)
			fs->size_bytes = v[0];
		if (fs->used_bytes == U64_NONE)
			fs->used_bytes = v[1];
		if (fs->free_statfs_bytes == U64_NONE)
			fs->free_statfs_bytes = v[2];
		if (!fs->source)
			fs->source = source;
	}
	return 0;
}
