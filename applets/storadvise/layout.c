/* Finds every btrfs in a disk layout (disko.nix, or its JSON): below LUKS, LVM, partitions, RAID. */
#include "applets/storadvise/facts.h"

#include <ctype.h>
#include <errno.h>

struct walk {
	struct facts *f;
	struct nix *x;
	const char *file;
	struct nix_value *up[48]; /* the sets on the way down */
	const char *names[48];
	unsigned depth, visited;
	unsigned found;
};

enum { VISITED_MAX = 200000 };

static void walk(struct walk *w, struct nix_value *v, const char *name);

/* Looks through what mkIf, mkDefault, mkForce, mkMerge leave: the value that counts, or NULL. */
static struct nix_value *plain(struct nix *x, struct nix_value *v)
{
	for (int i = 0; v && i < 16; i++) {
		const char *mark;

		if (nix_look(x, v) != NIX_ATTRS)
			return v;
		mark = nix_text(x, nix_get(x, v, "_type"));
		if (streq(mark, "override") || streq(mark, "order")) {
			v = nix_get(x, v, "content");
		} else if (streq(mark, "if")) {
			struct nix_value *c = nix_get(x, v, "condition");

			if (nix_look(x, c) == NIX_BOOL && !c->boolean)
				return NULL;
			v = nix_get(x, v, "content");
		} else if (streq(mark, "merge")) {
			struct nix_value *list = nix_get(x, v, "contents"), *last = NULL;

			if (nix_look(x, list) == NIX_LIST)
				for (uint32_t k = 0; k < list->n; k++)
					last = plain(x, list->items[k]) ? list->items[k] : last;
			v = last;
		} else {
			return v;
		}
	}
	return v;
}

static struct nix_value *get(struct walk *w, struct nix_value *set, const char *name)
{
	return plain(w->x, nix_get(w->x, set, name));
}

static const char *text(struct walk *w, struct nix_value *v)
{
	v = plain(w->x, v);
	return nix_text(w->x, v);
}

/* One word for each item; a string may hold several, as "-d raid1" does in extraArgs. */
static const char **words(struct walk *w, struct nix_value *v, char separator, const char ***unknown)
{
	const char **r = NULL;
	struct nix_value one = { 0 }, *items[1], *list = plain(w->x, v);

	if (!list)
		return NULL;
	if (nix_look(w->x, list) == NIX_STRING) {
		items[0] = list;
		one = (struct nix_value){ .type = NIX_LIST, .items = items, .n = 1 };
		list = &one;
	}
	if (list->type == NIX_UNKNOWN && unknown)
		strlist_add(w->f->mem, unknown, arena_str(w->f->mem, list->reason));
	if (list->type != NIX_LIST)
		return NULL;
	for (uint32_t i = 0; i < list->n; i++) {
		struct nix_value *item = plain(w->x, list->items[i]);
		const char *s = item ? nix_text(w->x, item) : NULL;

		if (item && item->type == NIX_UNKNOWN && unknown)
			strlist_add(w->f->mem, unknown,
				    arena_str(w->f->mem, item->reason));
		while (s && *s) {
			size_t n = 0;

			while (s[n] && s[n] != separator)
				n++;
			if (n)
				strlist_add(w->f->mem, &r, arena_strn(w->f->mem, s, n));
			s += n + (s[n] == separator);
		}
	}
	return r;
}

static const char *source_of(struct walk *w, uint32_t pos)
{
	const char *line = nix_line(w->x, pos);

	line += strspn(line, " \t");
	return *line ? arena_printf(w->f->mem, "%s: %.140s", nix_place(w->x, pos), line)
		     : arena_str(w->f->mem, w->file);
}

/* Where the list of options is written out, what stands around it, so that a diff can be made. */
static void around_options(struct walk *w, struct fact_subvolume *r, uint32_t pos)
{
	unsigned line, column, depth = 0;
	const struct nix_file *file = nix_position(w->x, pos, &line, &column);
	const char *p, *start, *end = file ? file->text + file->n : NULL;
	bool quoted = false;

	if (!file || file->text[pos - file->base] != '[')
		return;
	p = file->text + (pos - file->base);
	start = p - (column - 1);
	r->options_before = arena_strn(w->f->mem, start, (size_t)(p - start));
	r->options_line = line;
	r->options_lines = 1;
	for (; p < end; p++) {
		if (*p == '\\' && quoted)
			p++;
		else if (*p == '"')
			quoted = !quoted;
		else if (*p == '#' && !quoted)
			break; /* a comment would be lost */
		else if (*p == '[' && !quoted)
			depth++;
		else if (*p == ']' && !quoted && !--depth)
			break;
		if (*p == '\n')
			r->options_lines++;
	}
	if (p >= end || *p != ']') {
		r->options_before = NULL;
		return;
	}
	p++;
	r->options_after = arena_strn(w->f->mem, p, strcspn(p, "\n"));
	r->options_text = arena_strn(w->f->mem, start, (size_t)(p - start) + strcspn(p, "\n"));
	r->options_file = arena_str(w->f->mem, file->name);
}

static void add_subvolume(struct walk *w, const char *declared, const char *name,
			  struct nix_value *s, uint32_t pos, uint64_t number, const char ***unknown)
{
	struct fact_subvolume *r = fact_add(w->f, subvolumes);
	struct nix_value *options = get(w, s, "mountOptions"), *swap = get(w, s, "swap");
	const char *renamed = text(w, get(w, s, "name"));

	r->declared = declared;
	r->name = arena_str(w->f->mem, renamed ? renamed : name);
	r->mountpoint = arena_str(w->f->mem, text(w, get(w, s, "mountpoint")));
	r->swap = swap && nix_look(w->x, swap) == NIX_ATTRS && swap->attrs->n;
	r->number = number;
	r->source = source_of(w, pos);
	r->options_source = options && options->pos ? source_of(w, options->pos) : r->source;
	if (options)
		around_options(w, r, options->pos);
	r->options = words(w, options, ',', unknown);
	if (!options) /* disko's default */
		strlist_add(w->f->mem, &r->options, "defaults");
}

static int by_pos(const void *pa, const void *pb)
{
	const struct nix_attr *const *a = pa, *const *b = pb;

	return (*a)->pos < (*b)->pos ? -1 : (*a)->pos > (*b)->pos;
}

static void add_btrfs(struct walk *w, struct nix_value *v)
{
	struct facts *f = w->f;
	struct fact_declared *d = fact_add(f, declared);
	const char *id = "", *mountpoint = text(w, get(w, v, "mountpoint")), **unknown = NULL;
	struct nix_value *subvolumes = get(w, v, "subvolumes"), *device = get(w, v, "device");
	uint64_t n = 0;
	struct nix_value *swap = get(w, v, "swap");

	for (unsigned i = 0; i < w->depth; i++) {
		const char *type = nix_text(w->x, nix_get(w->x, w->up[i], "type"));

		id = arena_printf(f->mem, "%s%s%s", id, *id ? "." : "", w->names[i]);
		if (streq(type, "luks"))
			d->encryption = "luks";
		if (streq(type, "disk")) {
			struct nix_value *at = get(w, w->up[i], "device");

			d->disk = arena_str(f->mem, text(w, at));
			if (at && at->type == NIX_UNKNOWN)
				strlist_add(f->mem, &unknown,
					    arena_printf(f->mem, "device: %s", at->reason));
		}
	}
	d->id = *id ? id : "the layout";
	d->file = w->file;
	d->source = source_of(w, v->pos);
	if (device)
		d->disk = arena_str(f->mem, text(w, device));
	if (d->disk)
		strlist_add(f->mem, &d->devices, d->disk);
	d->mkfs = words(w, get(w, v, "extraArgs"), ' ', &unknown);
	for (const char **a = d->mkfs; a && *a; a++)
		if (starts_with(*a, "/dev/"))
			strlist_add(f->mem, &d->devices, *a);
	d->swap = swap && nix_look(w->x, swap) == NIX_ATTRS && swap->attrs->n;
	facts_set_given(f, FACT_subvolumes);
	if (mountpoint)
		add_subvolume(w, d->id, "/", v, v->pos, n++, &unknown);
	if (subvolumes && nix_look(w->x, subvolumes) == NIX_ATTRS) {
		const struct nix_attr **order = nix_by_name(w->x, subvolumes->attrs);

		qsort(order, subvolumes->attrs->n, sizeof *order, by_pos);
		for (uint32_t i = 0; i < subvolumes->attrs->n; i++) {
			struct nix_value *s = plain(w->x, order[i]->value);

			if (s && nix_look(w->x, s) == NIX_ATTRS)
				add_subvolume(w, d->id, order[i]->name->name, s, order[i]->pos, n++,
					      &unknown);
			else if (s && s->type == NIX_UNKNOWN)
				strlist_add(f->mem, &unknown, arena_str(f->mem, s->reason));
		}
	} else if (subvolumes && subvolumes->type == NIX_UNKNOWN) {
		strlist_add(f->mem, &unknown, arena_printf(f->mem, "subvolumes: %s",
							   subvolumes->reason));
	}
	f->declared.items[f->declared.n - 1].unknown = unknown;
	w->found++;
}

static void walk_function(struct walk *w, struct nix_value *v, const char *name)
{
	struct nix_value *r;
	struct err e = { 0 };

	if (!nix_auto_call(w->x, v, &r, &e))
		walk(w, r, name);
}

static void walk(struct walk *w, struct nix_value *v, const char *name)
{
	if (w->depth >= COUNT(w->up) || ++w->visited > VISITED_MAX)
		return;
	v = plain(w->x, v);
	if (!v)
		return;
	w->up[w->depth] = v;
	w->names[w->depth++] = name;
	switch (nix_look(w->x, v)) {
	case NIX_ATTRS: {
		const struct nix_attr **order;

		if (v->attrs == w->x->lib->attrs)
			break;
		if (streq(text(w, nix_get(w->x, v, "type")), "btrfs"))
			add_btrfs(w, v);
		order = nix_by_name(w->x, v->attrs);
		qsort(order, v->attrs->n, sizeof *order, by_pos);
		for (uint32_t i = 0; i < v->attrs->n; i++)
			walk(w, order[i]->value, order[i]->name->name);
		break;
	}
	case NIX_LIST:
		for (uint32_t i = 0; i < v->n; i++)
			walk(w, v->items[i], arena_printf(w->f->mem, "[%u]", i));
		break;
	case NIX_LAMBDA:
		/* A tree of modules; a function that gives a function is followed a few times. */
		if (w->depth < 8)
			walk_function(w, v, name);
		break;
	default:
		break;
	}
	w->depth--;
}

struct from_json {
	const struct json *json;
	struct nix_value *value;
};

static void from_json(struct nix *x, void *arg)
{
	struct from_json *j = arg;

	j->value = nix_from_json(x, j->json, 0);
}

int read_layout(struct facts *f, const char *path, struct err *e)
{
	struct nix *x auto_free = xcalloc(1, sizeof *x);
	struct walk w = { .f = f, .x = x, .file = arena_str(f->mem, path) };
	struct nix_value *v = NULL;
	int r;

	facts_set_given(f, FACT_declared);
	facts_set_given(f, FACT_subvolumes);
	nix_init(x, &f->w->root, true);
	nix_look(x, x->lib);
	if (ends_with(path, ".json")) {
		struct json *j auto_json = NULL;
		char *t;
		size_t n;

		r = root_read(&f->w->root, path, 8 << 20, f->mem, &t, &n);
		if (r)
			err_sys(e, r, path, "read");
		else
			r = json_parse(t, n, path, NULL, &j, e);
		if (!r) {
			struct from_json given = { .json = j };

			r = nix_protect(x, from_json, &given, e);
			v = given.value;
		}
	} else {
		r = nix_eval_file(x, path, &v, e);
	}
	if (!r) {
		walk(&w, v, "");
		if (x->fault.kind == FAULT_LIMIT)
			r = err_make(e, ERR_FAILED, -E2BIG, path, NULL, "%s", x->fault.text);
	}
	nix_done(x);
	return r;
}
