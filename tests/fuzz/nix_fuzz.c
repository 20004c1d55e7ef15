/* Fuzzes the Nix evaluator: any text ends with a value or an error, within its bounds. */
#include "applets/storadvise/nix.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct root machine = { .path = "", .fd = -1 };
	struct nix *x = xcalloc(1, sizeof *x);
	struct nix_value *v;
	struct err e = { 0 };
	char *text = NULL, *source = xmalloc(size + 1);
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);

	memcpy(source, data, size);
	source[size] = '\0';
	nix_init(x, &machine, size & 1);
	x->limits = (struct nix_limits){ 200000, 16u << 20, 1u << 20, 20000 };
	x->stack_bytes = 1u << 20;
	if (!nix_eval_text(x, "/nonexistent/fuzz.nix", source, size, &v, &e)) {
		if (nix_look(x, v) == NIX_LAMBDA)
			nix_auto_call(x, v, &v, &e);
		nix_to_json(x, v, out, &e);
	}
	fclose(out);
	free(text);
	nix_done(x);
	free(source);
	free(x);
	return 0;
}
