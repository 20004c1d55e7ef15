/* An evaluation from its start to its end: its builtins, its files, what is asked of it (see nix.h). */
#include "applets/storadvise/nix.h"

#include <errno.h>

struct nix_value *nix_import(struct nix *x, const char *path, uint32_t pos)
{
	char *text, *file = nix_canonical(x, path);
	struct nix_file *f;
	struct stat st;
	struct nix_value *v;
	size_t n;
	int r;

	if (streq(path, "<nixpkgs/lib>"))
		return x->lib;
	if (streq(path, "<nixpkgs>")) /* a function of its settings, to a set that holds lib */
		return nix_get(x, x->lib, "storboxNixpkgs");
	if (!root_stat(x->root, file, &st) && S_ISDIR(st.st_mode)) {
		char *inside = nix_alloc(x, strlen(file) + sizeof "/default.nix");

		memcpy(inside, file, strlen(file));
		memcpy(inside + strlen(file), "/default.nix", sizeof "/default.nix");
		file = inside;
	}
	for (size_t i = 0; i < x->files_n; i++)
		if (x->files[i].value && streq(x->files[i].name, file))
			return x->files[i].value;
	r = root_read(x->root, file, x->limits.file_bytes, &x->mem, &text, &n);
	if (r == -EFBIG)
		nix_raise(x, FAULT_LIMIT, pos, "%s: more than %zu bytes of Nix", file,
			  x->limits.file_bytes);
	if (r)
		nix_raise(x, FAULT_FILE, pos, "%s: %s", file, strerror(-r));
	f = nix_load(x, file, text, n);
	v = nix_new(x, NIX_THUNK);
	f->value = v;
	v->pos = f->base;
	v->env = x->base_env;
	v->expr = nix_parse(x, f);
	return v;
}

struct start {
	const char *name, *text;
	size_t n;
	struct nix_value *r;
};

static struct nix_value *eval_loaded(struct nix *x, const char *name, const char *text, size_t n)
{
	struct nix_file *f = nix_load(x, name, text, n);
	struct nix_value *v = nix_new(x, NIX_THUNK);

	v->pos = f->base;
	v->env = x->base_env;
	v->expr = nix_parse(x, f);
	return v;
}

static void eval_text(struct nix *x, void *arg)
{
	struct start *s = arg;

	if (s->n > x->limits.file_bytes)
		nix_raise(x, FAULT_LIMIT, 0, "%s: more than %zu bytes of Nix", s->name,
			  x->limits.file_bytes);
	s->r = s->text ? eval_loaded(x, s->name, s->text, s->n) : nix_import(x, s->name, 0);
	nix_force(x, s->r);
}

int nix_eval_text(struct nix *x, const char *name, const char *text, size_t n,
		  struct nix_value **ret, struct err *e)
{
	struct start s = { .name = name, .text = text, .n = n };
	int r = nix_protect(x, eval_text, &s, e);

	if (!r)
		*ret = s.r;
	return r;
}

int nix_eval_file(struct nix *x, const char *path, struct nix_value **ret, struct err *e)
{
	return nix_eval_text(x, path, NULL, 0, ret, e);
}

static void set_up(struct nix *x, void *arg)
{
	struct nix_builder b = { .x = x }, names = { .x = x };
	struct nix_value *v;

	(void)arg;
	x->lib_null = nix_new(x, NIX_NULL);
	x->lib_true = nix_new(x, NIX_BOOL);
	x->lib_true->boolean = true;
	x->lib_false = nix_new(x, NIX_BOOL);
	nix_add(&b, "true", x->lib_true);
	nix_add(&b, "false", x->lib_false);
	nix_add(&b, "null", x->lib_null);
	nix_primitives_core(&b);
	nix_primitives_text(&b);
	nix_primitives_lists(&b);
	/* builtins.builtins is builtins itself. */
	x->builtins = nix_new(x, NIX_NULL);
	nix_add(&b, "builtins", x->builtins);
	*x->builtins = *nix_attrs(&b);
	/* What stands without `builtins.`; the rest is there as __name. */
	static const char *const global[] = {
		"true", "false", "null", "builtins", "abort", "baseNameOf", "derivation", "dirOf",
		"fetchGit", "fetchTarball", "fromTOML", "import", "isNull", "map", "placeholder",
		"removeAttrs", "scopedImport", "throw", "toString",
	};
	for (uint32_t i = 0; i < b.n; i++) {
		size_t j = 0;

		while (j < COUNT(global) && strcmp(global[j], b.items[i].name->name))
			j++;
		if (j < COUNT(global)) {
			nix_add(&names, global[j], b.items[i].value);
		} else {
			char *hidden = nix_alloc(x, b.items[i].name->n + 3u);

			memcpy(hidden, "__", 2);
			memcpy(hidden + 2, b.items[i].name->name, b.items[i].name->n);
			nix_add(&names, hidden, b.items[i].value);
		}
	}
	v = nix_attrs(&names);
	x->base_env = nix_base_env(x, v);
	v = eval_loaded(x, "<lib>", nix_lib_text, nix_lib_text_size);
	x->lib = v;
}

void nix_init(struct nix *x, const struct root *root, bool soft)
{
	struct err e = { 0 };

	memset(x, 0, sizeof *x);
	x->root = root;
	x->soft = soft;
	x->limits = (struct nix_limits){ 20000000, 256u << 20, 4u << 20, 500000 };
	x->stack_bytes = 5u << 20;
	x->next_base = 1;
	/* Our own text: an error here is a bug that every test meets. */
	if (nix_protect(x, set_up, NULL, &e)) {
		fprintf(stderr, "storadvise: %s: %s\n", e.object, e.found);
		abort();
	}
}

void nix_done(struct nix *x)
{
	free(x->symbols);
	free(x->files);
	arena_free(&x->mem);
}
