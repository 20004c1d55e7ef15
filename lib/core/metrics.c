/* OpenMetrics text: see metrics.h. */
#include "lib/core/metrics.h"

#include "lib/core/field.h"
#include "lib/core/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sys/stat.h>

/* Quotes, backslashes and newlines escaped; a byte that is no UTF-8 as the text \xNN. */
static void escape(FILE *out, const char *s)
{
	while (*s) {
		size_t n = utf8_length(s);

		if (*s == '\\' || *s == '"')
			fprintf(out, "\\%c", *s);
		else if (*s == '\n')
			fputs("\\n", out);
		else if (!n)
			fprintf(out, "\\\\x%02x", (unsigned char)*s);
		else
			fwrite(s, 1, n, out);
		s += n ? n : 1;
	}
}

void metrics_family(struct metrics *m, const struct metric_family *f)
{
	static const char *const types[] = { "gauge", "counter", "histogram" };

	if (ends_with(f->name, "_total") || (f->unit && !ends_with(f->name, f->unit)))
		abort(); /* the table that calls us is wrong */
	m->family = f;
	fprintf(m->out, "# TYPE %s %s\n", f->name, types[f->type]);
	if (f->unit)
		fprintf(m->out, "# UNIT %s %s\n", f->name, f->unit);
	fprintf(m->out, "# HELP %s ", f->name);
	escape(m->out, f->help);
	fputc('\n', m->out);
}

/* The sample's name and labels; le is a histogram's bound. */
static void series(struct metrics *m, const char *suffix, const char *const *labels, const char *le)
{
	char before = '{';

	fprintf(m->out, "%s%s", m->family->name, suffix);
	for (; labels && labels[0]; labels += 2) {
		if (!labels[1])
			continue;
		fprintf(m->out, "%c%s=\"", before, labels[0]);
		escape(m->out, labels[1]);
		fputc('"', m->out);
		before = ',';
	}
	if (le) {
		fprintf(m->out, "%cle=\"%s\"", before, le);
		before = ',';
	}
	fputs(before == ',' ? "} " : " ", m->out);
}

static const char *suffix_of(const struct metrics *m)
{
	return m->family->type == METRIC_COUNTER ? "_total" : "";
}

void metrics_u64(struct metrics *m, const char *const *labels, uint64_t value)
{
	if (value == U64_NONE)
		return;
	series(m, suffix_of(m), labels, NULL);
	fprintf(m->out, "%" PRIu64 "\n", value);
}

/* The shortest text that reads back as the same number: one of at most 15 digits is what 15 digits
 * give, for %g drops zeros at the end. */
static const char *number(char buf[static 40], double v)
{
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(buf, 40, "%.*g", digits, v);
		if (strtod(buf, NULL) == v)
			break;
	}
	return buf;
}

void metrics_double(struct metrics *m, const char *const *labels, double value)
{
	char buf[40];

	if (isnan(value))
		return;
	series(m, suffix_of(m), labels, NULL);
	fprintf(m->out, "%s\n", isinf(value) ? (value > 0 ? "+Inf" : "-Inf") : number(buf, value));
}

void metrics_histogram(struct metrics *m, const char *const *labels, const struct histogram *h,
		       unsigned first, unsigned last, double divisor)
{
	uint64_t total = histogram_total(h), below = 0;
	char buf[40];

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS && i <= last; i++) {
		below += h->count[i];
		if (i < first || i + 1 == HISTOGRAM_BUCKETS)
			continue;
		/* Whole numbers: [2^i, 2^(i+1)) is what is at most 2^(i+1) - 1. */
		series(m, "_bucket", labels, number(buf, (double)(histogram_high(i) - 1) / divisor));
		fprintf(m->out, "%" PRIu64 "\n", below);
	}
	series(m, "_bucket", labels, "+Inf");
	fprintf(m->out, "%" PRIu64 "\n", total);
	series(m, "_sum", labels, NULL);
	fprintf(m->out, "%s\n", number(buf, h->sum / divisor));
	series(m, "_count", labels, NULL);
	fprintf(m->out, "%" PRIu64 "\n", total);
}

int metrics_end(struct metrics *m)
{
	fputs("# EOF\n", m->out);
	errno = 0;
	if (fflush(m->out) || ferror(m->out))
		return errno ? -errno : -EIO;
	return 0;
}

/* Takes the descriptor over. */
static int fill_fd(int fd, bool sync, void (*fill)(struct metrics *m, void *arg), void *arg)
{
	FILE *out auto_fclose = fdopen(fd, "w");
	struct metrics m = { .out = out };
	int r;

	if (!out) {
		r = -errno;
		close(fd);
		return r;
	}
	fill(&m, arg);
	r = metrics_end(&m);
	if (!r && sync && fsync(fileno(out)))
		r = -errno;
	return fclose(take(out)) && !r ? -errno : r;
}

static int fill_and_rename(const char *path, void (*fill)(struct metrics *m, void *arg), void *arg,
			   struct err *e)
{
	const char *slash = strrchr(path, '/');
	int folder = slash ? (int)(slash - path) + 1 : 0;
	/* A leading dot and no .prom at the end: the collector does not read it. */
	auto_free char *temporary = xasprintf("%.*s.%s.XXXXXX", folder, path, path + folder);
	int fd = mkostemp(temporary, O_CLOEXEC), r;

	if (fd < 0)
		return err_sys(e, -errno, path, "create a temporary file beside it");
	if (fchmod(fd, 0644)) {
		r = -errno;
		close(fd);
	} else {
		r = fill_fd(fd, true, fill, arg);
	}
	if (!r && rename(temporary, path))
		r = -errno;
	if (r)
		unlink(temporary);
	return r ? err_sys(e, r, path, "write") : 0;
}

int metrics_to_file(const char *path, void (*fill)(struct metrics *m, void *arg), void *arg,
		    struct err *e)
{
	bool is_stdout = streq(path, "-") || streq(path, "/dev/stdout"), there;
	char real[PATH_MAX];
	struct stat st;
	int fd, r;

	there = !is_stdout && !stat(path, &st);
	if (!is_stdout && !there && errno != ENOENT)
		return err_sys(e, -errno, path, "stat");
	/* A symbolic link stays one: what it points at is replaced. */
	if (!is_stdout && (!there || S_ISREG(st.st_mode)))
		return fill_and_rename(realpath(path, real) ? real : path, fill, arg, e);
	fd = is_stdout ? fcntl(1, F_DUPFD_CLOEXEC, 3) : open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, -errno, path, "open");
	r = fill_fd(fd, false, fill, arg);
	return r ? err_sys(e, r, path, "write") : 0;
}
