/* From facts to findings: the rules of rules.nix over every object they are about. */
#ifndef STORADVISE_ADVISE_H
#define STORADVISE_ADVISE_H

#include "applets/storadvise/facts.h"

/* In the order of weight; the names are the words in rules.nix. */
enum severity { SEVERITY_INFO, SEVERITY_NOTE, SEVERITY_WARNING, SEVERITY_CRITICAL };
extern const char *const severity_names[], *const applicability_names[];

struct finding {
	const char *id;
	uint32_t severity;
	const char *confidence, *area, *title, *target, *current, *recommended;
	const char **evidence, **against;
	double effect_low, effect_high;
	const char *effect_unit, *effect, *effect_source, *cost, *duration;
	uint32_t applicability;
	const char *command, *undo, *layout_change;
	const char *change; /* against an older report: "new" or "stays" */
};
extern const struct table finding_table, gone_table;

struct unevaluated {
	const char *missing;
	const char **rules, **targets;
};
extern const struct table unevaluated_table;

struct rule_row {
	const char *id, *area;
	uint32_t severity;
	uint32_t applicability;
	const char *title, *what, *why, *check, *when_not;
	const char **inputs, **sources;
};
extern const struct table rule_table;

struct report {
	VEC(struct finding) findings;
	VEC(struct unevaluated) unevaluated; /* one for each missing input */
	size_t not_made; /* checks that lacked an input */
	VEC(struct rule_row) rules;
	size_t fine; /* objects that a rule looked at and found nothing to say about */
};

struct selection {
	const char *const *skip, *const *only;
	uint32_t min_severity, max_applicability;
	const char *rules_file; /* more rules; NULL */
};

/* Strings go to f->mem. */
int advise(struct facts *f, const struct selection *s, struct report *r, struct err *e);
void report_free(struct report *r);
/* Marks findings as new or staying; gone are those that only the old report has. */
int compare_reports(struct world *w, const char *old, struct report *r, struct report *gone,
		    struct err *e);
void print_report(struct facts *f, const struct report *r, const struct report *gone, FILE *out);

#endif
