/* What people say is slow: text to a workload, a path and a time (see facts.h). */
#include "applets/storadvise/facts.h"

#include <ctype.h>

/* Words that stand for a workload in complaints, process names and paths. */
static const struct {
	const char *workload, *words;
} workloads[] = {
	{ "database", "database databases db sql postgres postgresql postmaster mysql mysqld mariadb "
		      "mariadbd sqlite mongod mongodb redis etcd influxd clickhouse transaction "
		      "transactions query queries" },
	{ "container", "container containers docker dockerd podman containerd crio kubelet kubernetes "
		       "k3s pod pods image-pull buildkitd overlay2 containerd-shim" },
	{ "vm", "vm vms qemu qemu-kvm libvirt libvirtd virtualbox qcow2 guest guests "
		"qemu-system-x86_64 virt-manager" },
	{ "build", "build builds building compile compiling compilation make cargo rustc gcc cc1 "
		   "cc1plus clang ninja nix nix-build nix-daemon npm yarn gradle ide link linker "
		   "webpack bazel src" },
	{ "backup", "backup backups restic borg btrbk snapper rsync snapshot snapshots restore" },
	{ "log", "log logs logging journal journald journalctl systemd-journal rsyslogd syslog" },
	{ "media", "media video videos movie movies photo photos music plex jellyfin stream streaming" },
	{ "desktop", "desktop browser firefox chromium chrome login gnome kde startup boot home start "
		     "launch" },
};

const char *fact_workload(const char *text)
{
	while (*text) {
		size_t n = 0;

		while (*text && !isalnum((unsigned char)*text))
			text++;
		while (isalnum((unsigned char)text[n]) || text[n] == '-' || text[n] == '_')
			n++;
		for (size_t i = 0; n && i < COUNT(workloads); i++)
			for (const char *w = workloads[i].words; *w;) {
				size_t k = strcspn(w, " ");

				if (k == n && !strncasecmp(w, text, n))
					return workloads[i].workload;
				w += k + strspn(w + k, " ");
			}
		text += n;
	}
	return NULL;
}

/* A time in the text: "takes 12 s", "400ms", "3 minutes". */
static double time_in(const char *text)
{
	static const struct {
		const char *unit;
		double s;
	} units[] = { { "ms", 1e-3 }, { "millisecond", 1e-3 }, { "us", 1e-6 }, { "s", 1 },
		      { "sec", 1 }, { "second", 1 }, { "m", 60 }, { "min", 60 }, { "minute", 60 },
		      { "h", 3600 }, { "hour", 3600 } };

	for (const char *p = text; *p; p++) {
		char *end;
		double v;
		size_t n = 0;

		if (!isdigit((unsigned char)*p) ||
		    (p > text && (isalnum((unsigned char)p[-1]) || p[-1] == '/')))
			continue;
		v = strtod(p, &end);
		while (*end == ' ')
			end++;
		while (isalpha((unsigned char)end[n]))
			n++;
		if (n > 2 && end[n - 1] == 's')
			n--;
		for (size_t i = 0; i < COUNT(units); i++)
			if (strlen(units[i].unit) == n && !strncasecmp(units[i].unit, end, n))
				return v * units[i].s;
	}
	return DOUBLE_NONE;
}

void add_observation(struct facts *f, const char *text, const char *source)
{
	struct fact_observation *o = fact_add(f, observations);
	const char *slash = strchr(text, '/');

	o->text = arena_str(f->mem, text);
	o->value_s = time_in(text);
	if (slash && (slash == text || slash[-1] == ' ')) {
		size_t n = strcspn(slash, " ,;\"'");

		while (n > 1 && strchr(".:", slash[n - 1]))
			n--;
		o->path = arena_strn(f->mem, slash, n);
	}
	o->workload = fact_workload(text);
	o->source = arena_printf(f->mem, "%s: %s", source, text);
}
