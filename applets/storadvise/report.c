/* The report to read: Markdown, for a mail or a wiki (see advise.h). */
#include "applets/storadvise/advise.h"

#include "lib/core/size.h"

static void list(FILE *out, const char *heading, const char *const *items)
{
	if (!strlist_len(items))
		return;
	fprintf(out, "- %s:\n", heading);
	for (; *items; items++)
		fprintf(out, "    - `%s`\n", *items);
}

static void line(FILE *out, const char *heading, const char *text)
{
	if (text)
		fprintf(out, "- %s: %s\n", heading, text);
}

/* To three digits, but never as 1.08e+03. */
static void print_number(FILE *out, const char *before, double v)
{
	fprintf(out, fabs(v) < 100 ? "%s%.3g" : "%s%.0f", before, v);
}

static void print_finding(const struct finding *d, FILE *out)
{
	fprintf(out, "\n### %s: %s\n\n", d->id, d->title);
	fprintf(out, "- **%s** (confidence %s), for `%s`%s%s\n", severity_names[d->severity],
		d->confidence, d->target ? d->target : "-", d->change ? ", " : "",
		d->change ? d->change : "");
	line(out, "now", d->current);
	line(out, "better", d->recommended);
	list(out, "evidence", (const char *const *)d->evidence);
	list(out, "against it", (const char *const *)d->against);
	if (d->effect) {
		fprintf(out, "- expected: %s", d->effect);
		if (!isnan(d->effect_low) && !isnan(d->effect_high)) {
			print_number(out, "; ", d->effect_low);
			print_number(out, " to ", d->effect_high);
			fprintf(out, " %s", d->effect_unit ? d->effect_unit : "");
		}
		fprintf(out, " (%s)\n", d->effect_source ? d->effect_source : "no source");
	}
	line(out, "cost or risk", d->cost);
	line(out, "takes", d->duration);
	line(out, "how", applicability_names[d->applicability]);
	if (d->command)
		fprintf(out, "\n```\n%s\n```\n", d->command);
	if (d->undo)
		fprintf(out, "\nUndo: `%s`\n", d->undo);
	if (d->layout_change)
		fprintf(out, "\n```diff\n%s\n```\n", d->layout_change);
}

void print_report(struct facts *f, const struct report *r, const struct report *gone, FILE *out)
{
	size_t n[4] = { 0 };
	char size[SIZE_TEXT];

	for (size_t i = 0; i < r->findings.n; i++)
		n[r->findings.items[i].severity]++;
	fprintf(out, "# Storage advice\n\nFindings: %zu critical, %zu warning, %zu note, %zu info. "
		     "Checks: %zu fine, %zu could not be made.\n",
		n[SEVERITY_CRITICAL], n[SEVERITY_WARNING], n[SEVERITY_NOTE], n[SEVERITY_INFO],
		r->fine, r->not_made);
	if (f->hosts.n || f->disks.n)
		fprintf(out, "\n## Hardware\n\n");
	for (size_t i = 0; i < f->hosts.n; i++) {
		const struct fact_host *h = &f->hosts.items[i];

		if (h->ram_bytes != U64_NONE)
			fprintf(out, "- memory: %s (%s)\n", size_text(size, h->ram_bytes),
				h->ram_reason ? h->ram_reason : "-");
		if (h->cpus != U64_NONE)
			fprintf(out, "- CPUs: %llu%s%s\n", (unsigned long long)h->cpus,
				h->cpu_model ? ", " : "", h->cpu_model ? h->cpu_model : "");
	}
	for (size_t i = 0; i < f->disks.n; i++) {
		const struct fact_disk *d = &f->disks.items[i];

		fprintf(out, "- %s: %s (confidence %s: %s)%s%s%s\n", d->name,
			d->media ? d->media : "unknown", d->confidence ? d->confidence : "low",
			d->media_reason ? d->media_reason : "-",
			d->size_bytes == U64_NONE ? "" : ", ",
			d->size_bytes == U64_NONE ? "" : size_text(size, d->size_bytes),
			d->usb ? ", USB" : "");
	}
	if (r->findings.n)
		fprintf(out, "\n## Findings\n");
	for (size_t i = 0; i < r->findings.n; i++)
		print_finding(&r->findings.items[i], out);
	if (gone->findings.n)
		fprintf(out, "\n## Gone since the older report\n\n");
	for (size_t i = 0; i < gone->findings.n; i++)
		fprintf(out, "- %s: %s (was %s)\n", gone->findings.items[i].id,
			gone->findings.items[i].target ? gone->findings.items[i].target : "-",
			gone->findings.items[i].current ? gone->findings.items[i].current : "-");
	if (r->unevaluated.n)
		fprintf(out, "\n## Not evaluated\n\nThese rules lacked an input; they are neither fine "
			     "nor found.\n\n");
	for (size_t i = 0; i < r->unevaluated.n; i++) {
		const struct unevaluated *u = &r->unevaluated.items[i];

		fprintf(out, "- missing: %s\n", u->missing);
		list(out, "of", (const char *const *)u->targets);
		list(out, "needed by", (const char *const *)u->rules);
	}
}
