/* lib/storage/k8s as a program, for vfslat.bats: what a cgroup's or a host's path says. */
#include "lib/storage/k8s.h"

#include <stdio.h>

static const char *or_dash(const char *s)
{
	return s ? s : "-";
}

/* Lines "cgroup PATH" or "path PATH" on stdin; a line each on stdout. */
int main(void)
{
	char line[4096];

	while (fgets(line, sizeof line, stdin)) {
		struct arena mem auto_arena = { 0 };
		struct k8s_container c;
		struct k8s_volume v;
		char *what;

		line[strcspn(line, "\n")] = '\0';
		what = strchr(line, ' ');
		if (!what)
			return 2;
		*what++ = '\0';
		if (streq(line, "cgroup")) {
			printf("%s", k8s_parse_cgroup(what, &c, &mem) ? "" : "none ");
			printf("%s %.8s %s %s\n", or_dash(c.pod_uid), or_dash(c.id),
			       or_dash(c.runtime), or_dash(c.qos));
		} else {
			k8s_parse_path(what, "/var/lib/kubelet", &v, &mem);
			printf("%s %s %s %s %.8s\n", volume_type_names[v.type], or_dash(v.pod_uid),
			       or_dash(v.name), or_dash(v.plugin), or_dash(v.container_id));
		}
	}
	return 0;
}
