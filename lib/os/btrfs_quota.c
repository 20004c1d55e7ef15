/* btrfs quotas: see btrfs_quota.h. */
#include "lib/os/btrfs_quota.h"

#include <errno.h>
#include <linux/btrfs.h>
#include <sys/ioctl.h>

/* Linux 6.7, not yet in Debian 12's headers (include/uapi/linux/btrfs.h). */
enum { QUOTA_CTL_ENABLE_SIMPLE = 4 };

enum { LIMIT_MAX_REFERENCED = 1, LIMIT_MAX_EXCLUSIVE = 2 };

const char *const btrfs_quota_mode_names[] = { "off", "simple", "full", NULL };

static int fail(struct err *e, const char *object, const char *doing)
{
	if (errno == EPERM || errno == EACCES)
		return err_make(e, ERR_UNSUPPORTED, -errno, object, "run it as root", "%s: %s",
				doing, strerror(errno));
	if (errno == ENOTCONN)
		return err_make(e, ERR_FAILED, -ENOTCONN, object, NULL, "%s: quotas are off", doing);
	return err_sys(e, -errno, object, "%s", doing);
}

int btrfs_quota_get(const struct root *root, const char *uuid, int fd, const char *object,
		    struct btrfs_quota *ret, struct err *e)
{
	struct btrfs_ioctl_quota_rescan_args rescan = { 0 };
	struct arena mem auto_arena = { 0 };
	const char *dir = arena_printf(&mem, "/sys/fs/btrfs/%s/qgroups", uuid);
	const char *mode = root_attr(root, &mem, "%s/mode", dir);

	*ret = (struct btrfs_quota){ .mode = BTRFS_QUOTA_OFF };
	if (mode)
		ret->mode = streq(mode, "squota")   ? BTRFS_QUOTA_SIMPLE
			    : streq(mode, "qgroup") ? BTRFS_QUOTA_FULL
						    : BTRFS_QUOTA_OFF;
	else if (root_exists(root, dir))
		ret->mode = BTRFS_QUOTA_FULL;
	ret->inconsistent = root_attr_u64(root, 0, "%s/inconsistent", dir) == 1;
	if (ret->mode != BTRFS_QUOTA_FULL || fd < 0)
		return 0;
	if (ioctl(fd, BTRFS_IOC_QUOTA_RESCAN_STATUS, &rescan))
		return errno == EPERM ? 0 : fail(e, object, "read the quota rescan's state");
	ret->rescanning = rescan.flags & 1;
	return 0;
}

static int quota_ctl(int fd, uint64_t command)
{
	struct btrfs_ioctl_quota_ctl_args args = { .cmd = command };

	return ioctl(fd, BTRFS_IOC_QUOTA_CTL, &args);
}

int btrfs_quota_enable(int fd, const char *object, enum btrfs_quota_mode *ret, struct err *e)
{
	*ret = BTRFS_QUOTA_SIMPLE;
	if (!quota_ctl(fd, QUOTA_CTL_ENABLE_SIMPLE))
		return 0;
	if (errno != EINVAL)
		return fail(e, object, "turn simple quotas on");
	*ret = BTRFS_QUOTA_FULL;
	return quota_ctl(fd, BTRFS_QUOTA_CTL_ENABLE) ? fail(e, object, "turn quotas on") : 0;
}

int btrfs_quota_disable(int fd, const char *object, struct err *e)
{
	return quota_ctl(fd, BTRFS_QUOTA_CTL_DISABLE) ? fail(e, object, "turn quotas off") : 0;
}

int btrfs_quota_rescan(int fd, const char *object, bool wait, struct err *e)
{
	struct btrfs_ioctl_quota_rescan_args args = { 0 };

	if (ioctl(fd, BTRFS_IOC_QUOTA_RESCAN, &args) && errno != EINPROGRESS)
		return fail(e, object, "start a quota rescan");
	if (wait && ioctl(fd, BTRFS_IOC_QUOTA_RESCAN_WAIT))
		return fail(e, object, "wait for the quota rescan");
	return 0;
}

bool btrfs_qgroup_get(const struct root *root, const char *uuid, uint64_t subvol_id,
		      struct btrfs_qgroup *ret)
{
	struct arena mem auto_arena = { 0 };
	const char *dir = arena_printf(&mem, "/sys/fs/btrfs/%s/qgroups/0_%llu", uuid,
				       (unsigned long long)subvol_id);
	uint64_t limits = root_attr_u64(root, UINT64_MAX, "%s/limit_flags", dir);

	*ret = (struct btrfs_qgroup){ UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX };
	if (limits == UINT64_MAX)
		return false;
	ret->referenced_bytes = root_attr_u64(root, UINT64_MAX, "%s/referenced", dir);
	ret->exclusive_bytes = root_attr_u64(root, UINT64_MAX, "%s/exclusive", dir);
	if (limits & LIMIT_MAX_REFERENCED)
		ret->max_bytes = root_attr_u64(root, UINT64_MAX, "%s/max_referenced", dir);
	if (limits & LIMIT_MAX_EXCLUSIVE)
		ret->max_exclusive_bytes = root_attr_u64(root, UINT64_MAX, "%s/max_exclusive", dir);
	return true;
}

int btrfs_qgroup_limit(int fd, const char *object, uint64_t subvol_id, uint64_t max_bytes,
		       struct err *e)
{
	/* All ones is the kernel's word for "take the limit away". */
	struct btrfs_ioctl_qgroup_limit_args args = {
		.qgroupid = subvol_id,
		.lim = { .flags = LIMIT_MAX_REFERENCED, .max_rfer = max_bytes },
	};

	return ioctl(fd, BTRFS_IOC_QGROUP_LIMIT, &args) ? fail(e, object, "set the limit") : 0;
}

static int qgroup_create(int fd, const char *object, uint64_t id, bool create, struct err *e)
{
	struct btrfs_ioctl_qgroup_create_args args = { .create = create, .qgroupid = id };

	if (ioctl(fd, BTRFS_IOC_QGROUP_CREATE, &args))
		return fail(e, object, create ? "add the quota group" : "remove the quota group");
	return 0;
}

int btrfs_qgroup_create(int fd, const char *object, uint64_t subvol_id, struct err *e)
{
	return qgroup_create(fd, object, subvol_id, true, e);
}

int btrfs_qgroup_remove(int fd, const char *object, uint64_t subvol_id, struct err *e)
{
	return qgroup_create(fd, object, subvol_id, false, e);
}
