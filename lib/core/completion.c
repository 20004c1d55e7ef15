/* Shell completion for bash, zsh and fish, from the applets' tables. */
#include "lib/core/opt.h"

static void bash_words(const struct applet *a, FILE *out)
{
	char name[OPTION_NAME_MAX];

	for (const struct mode *m = a->modes; m->op; m++) {
		if (m->word && *m->word && !streq(m->word, "-"))
			fprintf(out, " %s", m->word);
		for (const struct field *f = m->op->params; f && f->name; f++)
			if (!(f->flags & (OPERAND | HIDDEN)))
				fprintf(out, " --%s", option_name(f, name));
	}
	for (const struct field *f = a->options; f && f->name; f++)
		if (!(f->flags & HIDDEN))
			fprintf(out, " --%s", option_name(f, name));
	for (const struct field *f = common_fields; f->name; f++)
		fprintf(out, " --%s", option_name(f, name));
}

static const char *source_of(const struct field *f, struct arena *a)
{
	if (f->names) {
		char *all = arena_str(a, "");

		for (size_t i = 0; f->names[i]; i++)
			all = arena_printf(a, "%s%s%s", all, i ? " " : "", f->names[i]);
		return arena_printf(a, "COMPREPLY=($(compgen -W '%s' -- \"$cur\"))", all);
	}
	if (streq(f->complete, "disk") || streq(f->complete, "device"))
		return "COMPREPLY=($(compgen -G \"${cur:-/dev/}*\"))";
	if (streq(f->complete, "dir") || streq(f->complete, "mount"))
		return "COMPREPLY=($(compgen -d -- \"$cur\"))";
	return f->type == FIELD_BOOL ? NULL : "COMPREPLY=($(compgen -f -- \"$cur\"))";
}

static void bash_values(const struct field *fields, FILE *out, struct arena *a)
{
	for (const struct field *f = fields; f && f->name; f++) {
		char name[OPTION_NAME_MAX];
		const char *source = source_of(f, a);

		if (!source || f->flags & (OPERAND | HIDDEN))
			continue;
		fprintf(out, "\t--%s", option_name(f, name));
		if (f->letter)
			fprintf(out, " | -%c", f->letter);
		fprintf(out, ") %s; return ;;\n", source);
	}
}

static void bash(const struct applet *const *applets, FILE *out)
{
	struct arena mem auto_arena = { 0 };

	fputs("# bash completion for storbox\n", out);
	for (; *applets; applets++) {
		const struct applet *a = *applets;
		char *fn = arena_str(&mem, a->name);

		for (char *c = fn; *c; c++)
			*c = *c == '-' ? '_' : *c;
		fprintf(out, "_storbox_%s() {\n\tlocal cur=${COMP_WORDS[COMP_CWORD]}\n"
			     "\tlocal prev=${COMP_WORDS[COMP_CWORD-1]}\n\tcase $prev in\n",
			fn);
		bash_values(common_fields, out, &mem);
		bash_values(a->options, out, &mem);
		for (const struct mode *m = a->modes; m->op; m++)
			bash_values(m->op->params, out, &mem);
		fputs("\tesac\n\tif [[ $cur == /* ]]; then COMPREPLY=($(compgen -f -- \"$cur\")); "
		      "return; fi\n\tCOMPREPLY=($(compgen -W '",
		      out);
		bash_words(a, out);
		fprintf(out, "' -- \"$cur\"))\n}\ncomplete -F _storbox_%s %s\n", fn, a->name);
	}
}

/* Inside double quotes of zsh's _arguments and fish's strings these characters mean something. */
static void quoted(FILE *out, const char *s, const char *special)
{
	for (; *s; s++) {
		if (strchr(special, *s))
			fputc('\\', out);
		fputc(*s, out);
	}
}

static void zsh_options(const struct field *fields, FILE *out)
{
	for (const struct field *f = fields; f && f->name; f++) {
		char name[OPTION_NAME_MAX];

		if (f->flags & (OPERAND | HIDDEN))
			continue;
		fprintf(out, "\t\t\"--%s[", option_name(f, name));
		quoted(out, f->help, "\"`$\\[]:");
		fputs("]", out);
		if (f->names) {
			fputs(":value:(", out);
			for (size_t i = 0; f->names[i]; i++)
				fprintf(out, "%s%s", i ? " " : "", f->names[i]);
			fputs(")", out);
		} else if (f->type != FIELD_BOOL) {
			fputs(":value:_files", out);
		}
		fputs("\" \\\n", out);
	}
}

static void zsh(const struct applet *const *applets, FILE *out)
{
	fputs("#compdef", out);
	for (const struct applet *const *p = applets; *p; p++)
		fprintf(out, " %s", (*p)->name);
	fputs("\n# zsh completion for storbox\ncase $service in\n", out);
	for (; *applets; applets++) {
		const struct applet *a = *applets;

		fprintf(out, "%s)\n\t_arguments \\\n", a->name);
		for (const struct mode *m = a->modes; m->op; m++)
			zsh_options(m->op->params, out);
		zsh_options(a->options, out);
		zsh_options(common_fields, out);
		fputs("\t\t\"*:argument:(", out);
		for (const struct mode *m = a->modes; m->op; m++)
			if (m->word && *m->word && m->word[0] != '-')
				fprintf(out, " %s", m->word);
		fputs(")\"\n\t;;\n", out);
	}
	fputs("esac\n", out);
}

static void fish_options(const struct applet *a, const struct field *fields, FILE *out)
{
	for (const struct field *f = fields; f && f->name; f++) {
		char name[OPTION_NAME_MAX];

		if (f->flags & (OPERAND | HIDDEN))
			continue;
		fprintf(out, "complete -c %s -l %s", a->name, option_name(f, name));
		if (f->letter)
			fprintf(out, " -s %c", f->letter);
		if (f->names) {
			fputs(" -x -a '", out);
			for (size_t i = 0; f->names[i]; i++)
				fprintf(out, "%s%s", i ? " " : "", f->names[i]);
			fputs("'", out);
		} else if (f->type != FIELD_BOOL) {
			fputs(" -r", out);
		}
		fputs(" -d '", out);
		quoted(out, f->help, "'\\");
		fputs("'\n", out);
	}
}

static void fish(const struct applet *const *applets, FILE *out)
{
	fputs("# fish completion for storbox\n", out);
	for (; *applets; applets++) {
		const struct applet *a = *applets;

		for (const struct mode *m = a->modes; m->op; m++) {
			if (m->word && *m->word && m->word[0] != '-') {
				fprintf(out, "complete -c %s -n __fish_use_subcommand -a %s -d '",
					a->name, m->word);
				quoted(out, m->op->summary, "'\\");
				fputs("'\n", out);
			} else if (m->word && starts_with(m->word, "--")) {
				fprintf(out, "complete -c %s -l %s -d '", a->name, m->word + 2);
				quoted(out, m->op->summary, "'\\");
				fputs("'\n", out);
			}
			fish_options(a, m->op->params, out);
		}
		fish_options(a, a->options, out);
		fish_options(a, common_fields, out);
	}
}

void help_completion(const struct applet *const *applets, const char *shell, FILE *out)
{
	if (streq(shell, "bash"))
		bash(applets, out);
	else if (streq(shell, "zsh"))
		zsh(applets, out);
	else if (streq(shell, "fish"))
		fish(applets, out);
}
