/* Reads mounts, lsblk, sysctl and nixos-facter's report (see facts.h). */
#include "applets/storadvise/facts.h"

#include <ctype.h>
#include <inttypes.h>

static void add_options(struct facts *f, struct fact_mount *m, const char *options)
{
	while (*options) {
		size_t n = strcspn(options, ",");
		char *o = arena_strn(f->mem, options, n);

		if (starts_with(o, "subvol="))
			m->subvolume = o + 7;
		if (*o && !strlist_has((const char *const *)m->options, o))
			strlist_add(f->mem, &m->options, o);
		options += n + (options[n] == ',');
	}
}

/* \040 and the like, as the kernel escapes blanks. */
static char *unescape(struct facts *f, const char *s)
{
	char *r = arena_str(f->mem, s), *to = r;

	for (const char *p = r; *p; p++) {
		if (*p == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' &&
		    p[3] >= '0' && p[3] <= '7') {
			*to++ = (char)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0'));
			p += 3;
		} else {
			*to++ = *p;
		}
	}
	*to = '\0';
	return r;
}

static struct fact_mount *add_mount(struct facts *f, const char *target, const char *device,
				    const char *fstype, const char *options, const char *source)
{
	struct fact_mount *m = fact_add(f, mounts);
	size_t n = strcspn(device, "[");

	m->target = unescape(f, target);
	/* findmnt shows a btrfs source as /dev/sda2[/@home]. */
	m->device = arena_strn(f->mem, device, n);
	m->fstype = arena_str(f->mem, fstype);
	m->source = source;
	add_options(f, m, options);
	if (streq(m->fstype, "btrfs"))
		m->filesystem = fact_filesystem(f, m->device)->id;
	return m;
}

static void findmnt(struct facts *f, const char *name, const struct json *list)
{
	for (size_t i = 0; i < json_length(list); i++) {
		const struct json *o = json_at(list, i);
		const char *target = json_string(json_get(o, "target"));
		const char *device = json_string(json_get(o, "source"));
		const char *fstype = json_string(json_get(o, "fstype"));
		const char *options = json_string(json_get(o, "options"));

		if (target && device && fstype)
			add_mount(f, target, device, fstype, options ? options : "",
				  arena_printf(f->mem, "%s: %s %s", name, target,
					       options ? options : ""));
		findmnt(f, name, json_get(o, "children"));
	}
}

int read_mounts(struct facts *f, const char *place, const char *name, char *text, struct err *e)
{
	struct json *j auto_json = NULL;
	char *line;
	int r;

	(void)place;
	facts_set_given(f, FACT_mounts);
	r = read_json(text, name, &j, e);
	if (r)
		return r;
	if (j) {
		findmnt(f, name, json_get(j, "filesystems"));
		return 0;
	}
	for (unsigned n = 1; (line = next_line(&text)); n++) {
		const char *source = source_line(f, name, n, line);
		char *w[24], *dash = strstr(line, " - "), *end[4];
		unsigned k;

		if (dash && isdigit((unsigned char)*line)) { /* mountinfo */
			if (split_words(dash + 3, end, 4) < 3)
				return read_error(e, name, n, "not a line of mountinfo");
			*dash = '\0';
			k = split_words(line, w, COUNT(w));
			if (k < 6)
				return read_error(e, name, n, "not a line of mountinfo");
			add_options(f, add_mount(f, w[4], end[1], end[0], w[5], source), end[2]);
			continue;
		}
		k = split_words(line, w, COUNT(w));
		if (!k)
			continue;
		/* mount(8): DEVICE on TARGET type FSTYPE (OPTIONS) */
		if (k >= 6 && streq(w[1], "on") && streq(w[3], "type")) {
			w[5][strcspn(w[5], ")")] = '\0';
			add_mount(f, w[2], w[0], w[4], w[5] + (*w[5] == '('), source);
		} else if (k >= 4) {
			add_mount(f, w[1], w[0], w[2], w[3], source);
		} else {
			return read_error(e, name, n, "not a line of /proc/mounts");
		}
	}
	return 0;
}

int read_sysctl(struct facts *f, const char *place, const char *name, char *text, struct err *e)
{
	char *line;

	(void)place;
	facts_set_given(f, FACT_sysctls);
	for (unsigned n = 1; (line = next_line(&text)); n++) {
		const char *source = source_line(f, name, n, line);
		char *equals = strchr(line, '='), *w[2], *end;
		struct fact_sysctl *s;
		double v;

		if (!*line || *line == '#')
			continue;
		if (!equals)
			return read_error(e, name, n, "not NAME = VALUE");
		*equals = '\0';
		v = strtod(equals + 1, &end);
		if (end == equals + 1 || !split_words(line, w, 2))
			continue;
		s = fact_add(f, sysctls);
		s->name = arena_str(f->mem, w[0]);
		s->value = v;
		s->source = source;
	}
	return 0;
}

/* The class of medium by what the model's name says; NULL when it says nothing. */
static const char *media_by_model(const char *model, const char **why)
{
	static const struct {
		const char *media, *part;
		bool start;
	} known[] = {
		{ "ssd", "SSD", false }, { "ssd", "SAMSUNG_MZ", true }, { "ssd", "SAMSUNG MZ", true },
		{ "ssd", "INTEL_SSD", true }, { "ssd", "CT", true }, { "ssd", "KINGSTON", true },
		{ "ssd", "SanDisk", true }, { "ssd", "Micron", true }, { "ssd", "CRUCIAL", true },
		{ "hdd", "ST", true }, { "hdd", "WDC_WD", true }, { "hdd", "WDC WD", true },
		{ "hdd", "TOSHIBA_DT", true }, { "hdd", "TOSHIBA DT", true },
		{ "hdd", "TOSHIBA_HD", true }, { "hdd", "TOSHIBA HD", true },
		{ "hdd", "TOSHIBA_M", true }, { "hdd", "TOSHIBA M", true },
		{ "hdd", "Hitachi", true }, { "hdd", "HGST", true }, { "hdd", "HUA", true },
	};

	for (size_t i = 0; i < COUNT(known); i++) {
		const char *p = known[i].start ? (starts_with(model, known[i].part) ? model : NULL)
					       : strstr(model, known[i].part);
		size_t n = strlen(known[i].part);

		/* ST and CT are followed by digits: ST4000DM005, CT500MX500. */
		if (!p || (n == 2 && !isdigit((unsigned char)p[n])))
			continue;
		*why = known[i].part;
		/* WDS500G2B0A is a solid-state disk; WD10EZEX is not. */
		if (starts_with(known[i].part, "WDC") && model[6] == 'S')
			return "ssd";
		return known[i].media;
	}
	return NULL;
}

static void set_media(struct facts *f, struct fact_disk *d, const char *media, const char *confidence,
		      const char *why)
{
	(void)f;
	d->media = media;
	d->confidence = confidence;
	d->media_reason = why;
}

static void classify(struct facts *f, struct fact_disk *d, const char *full_model)
{
	const char *why = NULL, *media;

	if (starts_with(d->name, "nvme"))
		return set_media(f, d, "nvme", "high", "an NVMe device");
	if (starts_with(d->name, "vd") || starts_with(d->name, "xvd") ||
	    (d->model && (strstr(d->model, "QEMU") || strstr(d->model, "VBOX") ||
			  strstr(d->model, "Virtual"))))
		return set_media(f, d, "virtual", "high",
				 "a virtual machine's disk: the medium is the host's");
	if (starts_with(d->name, "loop"))
		return set_media(f, d, "virtual", "high", "a loop device: the medium is the file's");
	media = full_model ? media_by_model(full_model, &why) : NULL;
	if (media)
		return set_media(f, d, media, "medium",
				 arena_printf(f->mem, "model %s (%s)", full_model, why));
	if (starts_with(d->name, "mmcblk"))
		return set_media(f, d, "ssd", "low", "an MMC device: flash, slower than an SSD");
	set_media(f, d, "unknown", "low", "nothing in the input tells");
}

static void lsblk_list(struct facts *f, const char *name, const struct json *list, const char *disk)
{
	for (size_t i = 0; i < json_length(list); i++) {
		const struct json *o = json_at(list, i);
		const char *own = json_string(json_get(o, "kname"));
		const char *shown = json_string(json_get(o, "name"));
		const char *type = json_string(json_get(o, "type")), *s;
		struct fact_disk *d;
		uint64_t v;
		bool rota;

		own = own ? own : shown;
		if (!own)
			continue;
		if (disk) {
			fact_link(f, own, disk);
			if (shown && !streq(shown, own))
				fact_link(f, shown, disk);
		} else if ((!type || streq(type, "disk") || streq(type, "loop")) &&
			   !starts_with(own, "zram")) {
			d = fact_disk(f, own);
			s = json_string(json_get(o, "model"));
			d->model = s ? arena_str(f->mem, s) : d->model;
			s = json_string(json_get(o, "sched"));
			d->scheduler = s ? arena_str(f->mem, s) : NULL;
			s = json_string(json_get(o, "tran"));
			d->usb = streq(s, "usb");
			if (!json_as_u64(json_get(o, "size"), &v))
				d->size_bytes = v;
			if (!json_as_u64(json_get(o, "ra"), &v))
				d->read_ahead_kb = v;
			if (!json_as_u64(json_get(o, "rq-size"), &v))
				d->requests = v;
			if (!d->media || streq(d->media, "unknown"))
				classify(f, d, d->model);
			if (streq(d->media, "unknown") && !json_as_bool(json_get(o, "rota"), &rota))
				set_media(f, d, rota ? "hdd" : "ssd", "high",
					  rota ? "rotational" : "not rotational");
			d->source = arena_printf(f->mem, "%s: %s, scheduler %s", name, own,
						 d->scheduler ? d->scheduler : "-");
		}
		lsblk_list(f, name, json_get(o, "children"), disk ? disk : own);
	}
}

int read_lsblk(struct facts *f, const char *place, const char *name, char *text, struct err *e)
{
	struct json *j auto_json = NULL;
	int r = json_parse(text, strlen(text), name, NULL, &j, e);

	(void)place;
	if (r)
		return r;
	facts_set_given(f, FACT_disks);
	if (!json_get(j, "blockdevices"))
		return read_error(e, name, 1, "not the output of `lsblk -J`");
	lsblk_list(f, name, json_get(j, "blockdevices"), NULL);
	return 0;
}

/* nixos-facter. A number may be written as "0x..." */
static uint64_t hex_or_number(const struct json *j)
{
	uint64_t v;
	char *end;

	if (json_string(j)) {
		v = strtoull(json_string(j), &end, 0);
		return *end ? U64_NONE : v;
	}
	return json_as_u64(j, &v) ? U64_NONE : v;
}

static bool list_has(const struct json *list, const char *s)
{
	for (size_t i = 0; i < json_length(list); i++)
		if (streq(json_string(json_at(list, i)), s))
			return true;
	return false;
}

/* The model is cut to 16 characters; /dev/disk/by-id has it whole: ata-ST1000LM035-1RK172_SERIAL. */
static const char *full_model(struct facts *f, const struct json *names, const char *model)
{
	for (size_t i = 0; i < json_length(names); i++) {
		const char *s = json_string(json_at(names, i)), *p = s ? strstr(s, "by-id/ata-") : NULL;
		const char *end = p ? strrchr(p, '_') : NULL;

		if (end)
			return arena_strn(f->mem, p + 10, (size_t)(end - p - 10));
	}
	return model ? arena_str(f->mem, model) : NULL;
}

static void facter_disk(struct facts *f, const char *name, const struct json *o, size_t index)
{
	const struct json *names = json_get(o, "unix_device_names"), *resources;
	const char *node = json_string(json_get(o, "unix_device_name"));
	const char *sysfs = json_string(json_get(o, "sysfs_id"));
	const char *model = json_string(json_get(o, "model"));
	const char *driver = json_string(json_get(o, "driver"));
	struct fact_disk *d;

	/* "/class/block/sda" is the kernel's name; /dev/root and the like are not. */
	if (sysfs && strstr(sysfs, "/block/"))
		node = sysfs;
	for (size_t i = 0; !node && i < json_length(names); i++) {
		const char *s = json_string(json_at(names, i));

		if (s && starts_with(s, "/dev/") && !strchr(s + 5, '/'))
			node = s;
	}
	if (!node || !strrchr(node, '/'))
		return;
	node = strrchr(node, '/') + 1;
	if (starts_with(node, "zram") || starts_with(node, "sr"))
		return;
	d = fact_disk(f, node);
	d->model = full_model(f, names, model);
	d->driver = arena_str(f->mem, driver);
	d->usb = streq(driver, "usb-storage") || streq(driver, "uas") ||
		 list_has(json_get(o, "drivers"), "usb-storage") ||
		 list_has(json_get(o, "drivers"), "uas") || list_has(json_get(o, "class_list"), "usb");
	resources = json_get(o, "resources");
	for (size_t i = 0; i < json_length(resources); i++) {
		const struct json *r = json_at(resources, i);
		uint64_t n = hex_or_number(json_get(r, "value_1"));
		uint64_t unit = hex_or_number(json_get(r, "value_2")), bytes;

		if (streq(json_string(json_get(r, "type")), "size") && n != U64_NONE &&
		    unit != U64_NONE && !__builtin_mul_overflow(n, unit, &bytes))
			d->size_bytes = bytes;
	}
	classify(f, d, d->model);
	d->source = arena_printf(f->mem, "%s: hardware.disk[%zu] %s, model %s, driver %s", name, index,
				 node, d->model ? d->model : "-", driver ? driver : "-");
}

static void facter_memory(struct facts *f, const char *name, const struct json *j)
{
	const struct json *dimms = json_path(j, "smbios", "memory_device", NULL);
	const struct json *memory = json_path(j, "hardware", "memory", NULL);
	struct fact_host *h = fact_host(f);
	uint64_t sum = 0, v;

	for (size_t i = 0; i < json_length(dimms); i++) {
		v = hex_or_number(json_get(json_at(dimms, i), "size"));
		if (v != U64_NONE && v < (UINT64_C(1) << 40))
			sum += v << 10;
	}
	h->ram_reason = "sum of smbios.memory_device[].size";
	for (size_t i = 0; !sum && i < json_length(memory); i++) {
		const struct json *r = json_get(json_at(memory, i), "resources");

		for (size_t k = 0; k < json_length(r); k++) {
			v = hex_or_number(json_get(json_at(r, k), "range"));
			if (streq(json_string(json_get(json_at(r, k), "type")), "phys_mem") &&
			    v != U64_NONE)
				sum += v;
		}
		h->ram_reason = "hardware.memory[].resources phys_mem";
	}
	if (sum)
		h->ram_bytes = sum;
	h->source = arena_printf(f->mem, "%s: %s", name, h->ram_reason);
}

int read_facter(struct facts *f, const char *place, const char *name, char *text, struct err *e)
{
	struct json *j auto_json = NULL;
	int r = json_parse(text, strlen(text), name, NULL, &j, e);
	const struct json *hardware, *disks, *cpus;
	struct fact_host *h;
	uint64_t v, threads = 0;
	const char *s;

	(void)place;
	if (r)
		return r;
	hardware = json_get(j, "hardware");
	if (json_kind(hardware) != JSON_OBJECT)
		return read_error(e, name, 1, "not nixos-facter's report: it has no `hardware`");
	facts_set_given(f, FACT_disks);
	disks = json_get(hardware, "disk");
	for (size_t i = 0; i < json_length(disks); i++)
		facter_disk(f, name, json_at(disks, i), i);
	facter_memory(f, name, j);
	h = fact_host(f);
	cpus = json_get(hardware, "cpu");
	for (size_t i = 0; i < json_length(cpus); i++) {
		const struct json *c = json_at(cpus, i);

		v = hex_or_number(json_get(c, "siblings"));
		if (v == U64_NONE)
			v = hex_or_number(json_get(c, "cores"));
		if (v != U64_NONE && v < 4096)
			threads = threads > v ? threads : v;
		s = json_string(json_get(c, "model_name"));
		if (s)
			h->cpu_model = arena_str(f->mem, s);
	}
	if (threads)
		h->cpus = threads;
	s = json_string(json_get(j, "virtualisation"));
	if (s && strcmp(s, "none"))
		h->virtualisation = arena_str(f->mem, s);
	return 0;
}
