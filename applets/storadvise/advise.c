/* Evaluates the rules over the facts, and orders what they find (see advise.h). */
#include "applets/storadvise/advise.h"

#include "applets/storadvise/storadvise.h"

#include <errno.h>

const char *const severity_names[] = { "info", "note", "warning", "critical", NULL };
/* From least to most disruptive. */
const char *const applicability_names[] = { "live", "remount", "new-files", "rewrite-data",
					    "offline", "mkfs", NULL };

static const struct field finding_fields[] = {
	FIELD(struct finding, id, KEY, "the rule: see `storadvise explain ID`"),
	FIELD(struct finding, severity, 0, "how bad it is", .names = severity_names),
	FIELD(struct finding, applicability, 0, "what the change disrupts",
	      .names = applicability_names),
	FIELD(struct finding, confidence, WIDE, "how sure it is: high, medium or low"),
	FIELD(struct finding, area, WIDE, "what it is about"),
	FIELD(struct finding, target, 0, "the filesystem, device, file or layout it is about"),
	FIELD(struct finding, title, 0, "what was found"),
	FIELD(struct finding, current, WIDE, "what is there"),
	FIELD(struct finding, recommended, 0, "what to have instead"),
	FIELD(struct finding, evidence, WIDE, "what speaks for it, with its source"),
	FIELD(struct finding, against, WIDE, "what speaks against it"),
	FIELD(struct finding, effect_low, WIDE, "expected effect, at least", .unit = UNIT_NONE),
	FIELD(struct finding, effect_high, WIDE, "expected effect, at most", .unit = UNIT_NONE),
	FIELD(struct finding, effect_unit, WIDE, "what the effect counts"),
	FIELD(struct finding, effect, WIDE, "the effect in words"),
	FIELD(struct finding, effect_source, WIDE, "where the range is from"),
	FIELD(struct finding, cost, WIDE, "what it costs or risks"),
	FIELD(struct finding, duration, WIDE, "how long the change takes"),
	FIELD(struct finding, command, WIDE, "the command"),
	FIELD(struct finding, undo, WIDE, "what takes it back"),
	FIELD(struct finding, layout_change, WIDE, "the change to the layout, as a diff"),
	FIELD(struct finding, change, WIDE, "against an older report: new or stays"),
	FIELD_END,
};
const struct table finding_table =
	TABLE(struct finding, "findings", "what was found", finding_fields);

const struct table gone_table = TABLE(struct finding, "gone", "found in the older report only",
				      finding_fields);

static const struct field unevaluated_fields[] = {
	FIELD(struct unevaluated, missing, 0, "the input that is missing"),
	FIELD(struct unevaluated, targets, WIDE, "what it is missing for, where not for all"),
	FIELD(struct unevaluated, rules, 0, "the rules that need it"),
	FIELD_END,
};
const struct table unevaluated_table = TABLE(struct unevaluated, "not_evaluated",
					     "rules that lacked an input", unevaluated_fields);

static const struct field rule_fields[] = {
	FIELD(struct rule_row, id, KEY, "the rule"),
	FIELD(struct rule_row, severity, 0, "of its findings", .names = severity_names),
	FIELD(struct rule_row, area, 0, "what it is about"),
	FIELD(struct rule_row, title, 0, "what it finds"),
	FIELD(struct rule_row, applicability, WIDE, "what its change disrupts",
	      .names = applicability_names),
	FIELD(struct rule_row, inputs, WIDE, "what it reads"),
	FIELD(struct rule_row, sources, WIDE, "where its facts are from"),
	FIELD(struct rule_row, what, WIDE, "what it looks for"),
	FIELD(struct rule_row, why, WIDE, "why that matters"),
	FIELD(struct rule_row, check, WIDE, "how to check it"),
	FIELD(struct rule_row, when_not, WIDE, "when it does not apply"),
	FIELD_END,
};
const struct table rule_table = TABLE(struct rule_row, "rules", "all rules", rule_fields);

struct engine {
	struct facts *f;
	struct nix *x;
	const struct selection *s;
	struct report *r;
	struct nix_value *facts;
};

static const char *copy(struct engine *g, struct nix_value *v)
{
	const char *s = v ? nix_text(g->x, v) : NULL;

	return s && *s ? arena_str(g->f->mem, s) : NULL;
}

static const char *text(struct engine *g, struct nix_value *set, const char *name)
{
	return copy(g, nix_get(g->x, set, name));
}

static const char **texts(struct engine *g, struct nix_value *set, const char *name)
{
	struct nix_value *v = nix_get(g->x, set, name);
	const char **r = NULL;

	if (v && nix_look(g->x, v) == NIX_LIST)
		for (uint32_t i = 0; i < v->n; i++) {
			const char *s = copy(g, v->items[i]);

			if (s)
				strlist_add(g->f->mem, &r, s);
		}
	return r;
}

static double number(struct engine *g, struct nix_value *set, const char *name)
{
	struct nix_value *v = nix_get(g->x, set, name);

	switch (v ? nix_look(g->x, v) : NIX_NULL) {
	case NIX_INT:
		return (double)v->integer;
	case NIX_FLOAT:
		return v->real;
	default:
		return DOUBLE_NONE;
	}
}

static uint32_t word(const char *const *names, const char *s, uint32_t fallback)
{
	for (uint32_t i = 0; s && names[i]; i++)
		if (streq(names[i], s))
			return i;
	return fallback;
}

static const char *name_of(struct engine *g, struct nix_value *object)
{
	static const char *const keys[] = { "label", "id", "target", "path", "device", "name", "text" };

	for (size_t i = 0; i < COUNT(keys); i++) {
		const char *s = text(g, object, keys[i]);

		if (s)
			return s;
	}
	return NULL;
}

static void add_finding(struct engine *g, const struct rule_row *rule, struct nix_value *v,
			struct nix_value *object)
{
	struct finding d;
	struct nix_value *effect = nix_get(g->x, v, "effect");

	field_clear(finding_fields, &d);
	d.id = rule->id;
	d.area = rule->area;
	d.severity = word(severity_names, text(g, v, "severity"), rule->severity);
	d.applicability =
		word(applicability_names, text(g, v, "applicability"), rule->applicability);
	if (d.severity < g->s->min_severity || d.applicability > g->s->max_applicability)
		return;
	d.confidence = text(g, v, "confidence");
	if (!d.confidence)
		d.confidence = "high";
	d.title = text(g, v, "title");
	if (!d.title)
		d.title = rule->title;
	d.target = text(g, v, "target");
	if (!d.target)
		d.target = name_of(g, object);
	d.current = text(g, v, "current");
	d.recommended = text(g, v, "recommended");
	d.evidence = texts(g, v, "evidence");
	d.against = texts(g, v, "against");
	d.cost = text(g, v, "cost");
	d.duration = text(g, v, "duration");
	d.command = text(g, v, "command");
	d.undo = text(g, v, "undo");
	d.layout_change = text(g, v, "diff");
	if (effect && nix_look(g->x, effect) == NIX_ATTRS) {
		d.effect_low = number(g, effect, "low");
		d.effect_high = number(g, effect, "high");
		d.effect_unit = text(g, effect, "unit");
		d.effect = text(g, effect, "what");
		d.effect_source = text(g, effect, "source");
	}
	*vec_add(&g->r->findings) = d;
}

static void not_evaluated(struct engine *g, const struct rule_row *rule, const char *target,
			  struct nix_value *v)
{
	const char *why = v && v->type == NIX_UNKNOWN ? v->reason : "a value of the wrong type";

	struct arena *a = g->f->mem;
	struct unevaluated *u = NULL;

	/* rules.nix says what is missing with throw. */
	why += starts_with(why, "throw: ") ? strlen("throw: ") : 0;
	g->r->not_made++;
	for (size_t i = 0; i < g->r->unevaluated.n && !u; i++)
		if (streq(g->r->unevaluated.items[i].missing, why))
			u = &g->r->unevaluated.items[i];
	if (!u) {
		u = vec_add(&g->r->unevaluated);
		u->missing = arena_str(a, why);
	}
	if (!strlist_has(u->rules, rule->id))
		strlist_add(a, &u->rules, rule->id);
	if (target && !strlist_has(u->targets, target))
		strlist_add(a, &u->targets, arena_str(a, target));
}

static void evaluate(struct engine *g, const struct rule_row *rule, struct nix_value *v)
{
	struct nix_value *each = nix_get(g->x, v, "each"), *when = nix_get(g->x, v, "when");
	struct nix_value *finding = nix_get(g->x, v, "finding");

	if (!each || nix_look(g->x, each) != NIX_LIST) {
		not_evaluated(g, rule, NULL, each);
		return;
	}
	for (uint32_t i = 0; i < each->n; i++) {
		struct nix_value *o = each->items[i];
		struct nix_value *fires = nix_lazy_call(g->x, when, o);

		if (nix_look(g->x, fires) != NIX_BOOL) {
			not_evaluated(g, rule, name_of(g, o), fires);
		} else if (!fires->boolean) {
			g->r->fine++;
		} else {
			struct nix_value *r = nix_lazy_call(g->x, finding, o);

			if (nix_look(g->x, r) == NIX_ATTRS)
				add_finding(g, rule, r, o);
			else
				not_evaluated(g, rule, name_of(g, o), r);
		}
	}
}

static void read_rule(struct engine *g, struct nix_value *v, struct rule_row *row)
{
	*row = (struct rule_row){
		.id = text(g, v, "id"), .area = text(g, v, "area"),
		.severity = word(severity_names, text(g, v, "severity"), SEVERITY_NOTE),
		.applicability = word(applicability_names, text(g, v, "applicability"), 0),
		.title = text(g, v, "title"), .what = text(g, v, "what"),
		.why = text(g, v, "why"), .check = text(g, v, "check"),
		.when_not = text(g, v, "whenNot"), .inputs = texts(g, v, "inputs"),
		.sources = texts(g, v, "sources"),
	};
}

static bool selected(const struct selection *s, const char *id)
{
	if (s->only && *s->only && !strlist_has(s->only, id))
		return false;
	return !(s->skip && strlist_has(s->skip, id));
}

/* Severity first, then what disrupts least, then what promises most. */
static int by_weight(const void *pa, const void *pb)
{
	const struct finding *a = pa, *b = pb;
	double p = isnan(a->effect_high) ? -1e300 : a->effect_high;
	double q = isnan(b->effect_high) ? -1e300 : b->effect_high;
	int r;

	if (a->severity != b->severity)
		return a->severity > b->severity ? -1 : 1;
	if (a->applicability != b->applicability)
		return a->applicability < b->applicability ? -1 : 1;
	if (p != q)
		return p > q ? -1 : 1;
	r = strcmp(a->id, b->id);
	return r ? r : strcmp(a->target ? a->target : "", b->target ? b->target : "");
}

static int run_rules(struct engine *g, const char *name, const char *rules, size_t n,
		     struct err *e)
{
	struct nix_builder b = { .x = g->x };
	struct nix_value *function, *list;
	int r = nix_eval_text(g->x, name, rules, n, &function, e);

	if (r)
		return r;
	nix_add(&b, "lib", g->x->lib);
	nix_add(&b, "m", g->facts);
	list = nix_lazy_call(g->x, function, nix_attrs(&b));
	if (nix_look(g->x, list) != NIX_LIST)
		return err_make(e, ERR_FAILED, -EBADMSG, name, NULL, "the rules give no list: %s",
				list->type == NIX_UNKNOWN ? list->reason : nix_type_name(list));
	for (uint32_t i = 0; i < list->n; i++) {
		struct rule_row row;

		read_rule(g, list->items[i], &row);
		if (!row.id)
			return err_make(e, ERR_FAILED, -EBADMSG, name, NULL,
					"rule %u has no id: %s", i + 1,
					list->items[i]->type == NIX_UNKNOWN ? list->items[i]->reason
									    : "");
		*vec_add(&g->r->rules) = row;
		if (selected(g->s, row.id))
			evaluate(g, &row, list->items[i]);
	}
	return 0;
}

static void facts_in(struct nix *x, void *arg)
{
	struct engine *g = arg;

	/* Building values may hit a bound; then the error is raised here. */
	g->facts = facts_value(x, g->f);
}

int advise(struct facts *f, const struct selection *s, struct report *r, struct err *e)
{
	struct nix *x auto_free = xcalloc(1, sizeof *x);
	struct engine g = { .f = f, .x = x, .s = s, .r = r };
	const struct root machine = ROOT_MACHINE;
	size_t n_rules, n = 0;
	char *rules auto_free = rules_text(&n_rules), *more = NULL;
	int k;

	nix_init(x, &machine, true);
	nix_look(x, x->lib);
	k = nix_protect(x, facts_in, &g, e);
	if (!k)
		k = run_rules(&g, "rules", rules, n_rules, e);
	if (!k && s->rules_file) {
		k = root_read(&machine, s->rules_file, 1 << 20, f->mem, &more, &n);
		k = k ? err_sys(e, k, s->rules_file, "read")
		      : run_rules(&g, s->rules_file, more, n, e);
	}
	nix_done(x);
	if (!k && r->findings.n > 1)
		qsort(r->findings.items, r->findings.n, sizeof *r->findings.items, by_weight);
	for (const char *const *id = s->only; !k && id && *id; id++) {
		bool known = false;

		for (size_t i = 0; i < r->rules.n && !known; i++)
			known = streq(r->rules.items[i].id, *id);
		if (!known)
			k = err_usage(e, "--only", "no such rule: %s", *id);
	}
	return k;
}

void report_free(struct report *r)
{
	vec_free(&r->findings);
	vec_free(&r->unevaluated);
	vec_free(&r->rules);
}

int compare_reports(struct world *w, const char *old, struct report *r, struct report *gone,
		    struct err *e)
{
	const struct root machine = ROOT_MACHINE;
	struct json *j auto_json = NULL;
	const struct json *list;
	char *t;
	size_t n;
	int k = root_read(&machine, old, 64 << 20, w->mem, &t, &n);

	if (k)
		return err_sys(e, k, old, "read");
	k = json_parse(t, n, old, NULL, &j, e);
	if (k)
		return k;
	list = json_get(j, "findings");
	if (json_kind(list) != JSON_ARRAY)
		return err_make(e, ERR_FAILED, -EBADMSG, old, "write it with storadvise --json",
				"not an older report: it has no findings");
	for (size_t i = 0; i < r->findings.n; i++)
		r->findings.items[i].change = "new";
	for (size_t i = 0; i < json_length(list); i++) {
		const struct json *o = json_at(list, i);
		const char *id = json_string(json_get(o, "id"));
		const char *target = json_string(json_get(o, "target"));
		const char *current = json_string(json_get(o, "current"));
		struct finding *same = NULL, *d;

		for (size_t k2 = 0; k2 < r->findings.n && !same; k2++)
			if (streq(r->findings.items[k2].id, id) &&
			    streq(r->findings.items[k2].target, target))
				same = &r->findings.items[k2];
		if (same) {
			same->change = streq(same->current, current)
					       ? "stays"
					       : arena_printf(w->mem, "stays; was %s",
							      current ? current : "-");
			continue;
		}
		if (!id)
			continue;
		d = vec_add(&gone->findings);
		field_clear(finding_fields, d);
		d->id = arena_str(w->mem, id);
		d->target = arena_str(w->mem, target);
		d->current = arena_str(w->mem, current);
		d->title = arena_str(w->mem, json_string(json_get(o, "title")));
		d->severity = word(severity_names, json_string(json_get(o, "severity")), 0);
		d->applicability =
			word(applicability_names, json_string(json_get(o, "applicability")), 0);
		d->change = "gone";
	}
	return 0;
}
