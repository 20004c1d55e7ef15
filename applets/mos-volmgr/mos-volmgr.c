/* mos-volmgr: the volume manager's commands, run by its daemon, or in process where there is none. */
#include "applets/mos-volmgr/mos-volmgr.h"

#include "lib/storage/openrpc.h"

#include <errno.h>
#include <limits.h>

static const struct field options[] = {
	FIELD(struct options, socket, 0, "the daemon's socket (default " MOS_SOCKET ")", .arg = "PATH",
	      .complete = "file"),
	FIELD(struct options, direct, 0, "run in this process, even if there is a daemon"),
	FIELD(struct options, wait, 0, "scrub-start, balance-start: stay until it has ended"),
	FIELD_END,
};

/* A path as the daemon wants it, which has another working directory and follows no links: the
 * caller's own view of it. Names of disks that are no paths stay. */
static const char *own_path(const struct field *f, const char *value, struct arena *a)
{
	bool device = streq(f->complete, "device") || streq(f->complete, "disk");
	char *real auto_free = NULL;
	char cwd[PATH_MAX];

	if (device && (*value == '/' || !strchr(value, '/')))
		return value;
	if (streq(f->name, "fs") && (starts_with(value, "LABEL=") || starts_with(value, "UUID=") ||
				     starts_with(value, "/dev/")))
		return value;
	if (!device && *value)
		real = realpath(value, NULL);
	if (real)
		return arena_str(a, real);
	if (*value && *value != '/' && getcwd(cwd, sizeof cwd))
		return arena_printf(a, "%s/%s", streq(cwd, "/") ? "" : cwd, value);
	return value;
}

static const void *with_own_paths(const struct operation *op, const void *params, struct arena *a)
{
	char *copy = arena_alloc(a, op->params_size);

	memcpy(copy, params, op->params_size);
	for (const struct field *f = op->params; f && f->name; f++) {
		void *at = copy + f->offset;

		if (!f->complete || streq(f->complete, "label") || field_is_none(f, copy))
			continue;
		if (f->type == FIELD_STR) {
			*(const char **)at = own_path(f, *(const char **)at, a);
		} else if (f->type == FIELD_LIST) {
			const char **list = NULL;

			for (const char **s = *(const char ***)at; *s; s++)
				strlist_add(a, &list, own_path(f, *s, a));
			*(const char ***)at = list;
		}
	}
	return copy;
}

static int run_here(struct world *w, const struct method *m, const void *params,
		    const struct options *o, struct sink *out, struct err *e)
{
	char *document auto_free = NULL;
	int r;

	if (m->flags & METHOD_BACKGROUND && !o->wait)
		return start_detached(w, m, params, out, e);
	if (!(m->flags & METHOD_DOCUMENT))
		return m->op->run(w, params, out, e);
	r = method_run(w, m, params, &document, e);
	if (!r)
		puts(document);
	return r;
}

static int call(struct world *w, const struct mode *mode, const void *given, const void *own,
		struct sink *out, struct err *e)
{
	const struct method *m = method_by_op(mode->op);
	const void *params = with_own_paths(mode->op, given, w->mem);
	const struct options *o = own;
	const char *socket = o->socket ? o->socket : MOS_SOCKET;
	int fd auto_close = -1;
	int r;

	if (o->wait && !(m->flags & METHOD_BACKGROUND))
		return err_usage(e, "--wait", "is for scrub-start and balance-start");
	if (o->direct && o->socket)
		return err_usage(e, "--direct", "and --socket exclude each other");
	/* A recorded machine is nothing that a daemon has, and its paths are not here. */
	if (!root_is_machine(&w->root))
		return run_here(w, m, given, o, out, e);
	r = method_check_paths(m, params, e);
	if (r)
		return r;
	if (!o->direct) {
		fd = connect_daemon(socket, e);
		if (fd >= 0)
			return call_daemon(w, fd, socket, m, params, o->wait, out, e);
		if (fd != -ENOENT && fd != -ECONNREFUSED)
			return fd;
		if (o->socket)
			return err_sys(e, fd, o->socket, "connect to the daemon");
	}
	return run_here(w, m, params, o, out, e);
}

#define MODE(command, op, flags, status) { command, &op },

const struct applet mos_volmgr_applet = {
	.name = "mos-volmgr",
	.summary = "look after storage: the volume manager's command line",
	.text = "Each command is one method of mos-volmgrd. It is run by the daemon when its socket "
		"answers, else in this process, with the same rows, the same errors and the same "
		"exit status; --direct insists on this process.\n\n"
		"A scrub or balance goes on after scrub-start and balance-start have returned, which "
		"show how it stands; --wait shows progress and stays until the end. To interrupt a "
		"command that waits for the daemon leaves the daemon's work alone: scrub-cancel and "
		"balance-cancel end it.\n\n"
		"Subvolumes are those of the filesystem labelled MOSDATA unless --fs names another. "
		"Root may do everything; members of the daemon's --group may only look.",
	.modes = (const struct mode[]){ METHODS(MODE){ NULL, NULL } },
	.examples = EXAMPLES(
		{ "mos-volmgr status", "everything there is, for a person to read" },
		{ "mos-volmgr disks --json | jq -r '.[].path'", "in a script" },
		{ "mos-volmgr create-partition --disk /dev/sda --name mydata --part-type linux",
		  "a partition of all the largest gap" },
		{ "mos-volmgr create-filesystem --device /dev/sda6 --fstype btrfs --label MYDATA",
		  "a filesystem on it" },
		{ "mos-volmgr mount --source /dev/sda6 --target /mnt/mydata --fstype btrfs "
		  "-O noatime", "mounted" },
		{ "mos-volmgr set-quota myapp-data 10737418240", "at most 10 GiB" },
		{ "mos-volmgr scrub-start --wait /var/cache/system", "check all of it, with progress" },
		{ "mos-volmgr watch", "what happens, as it happens" }),
	.files = EXAMPLES({ MOS_SOCKET, "where the daemon listens" }),
	.see_also = "mkpart(8), mkvolfs(8), mos-volmgrd(8), subvol(8), topo(8)",
	.section = 8,
	.options = options,
	.options_size = sizeof(struct options),
	.call = call,
};
