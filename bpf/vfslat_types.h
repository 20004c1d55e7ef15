/* The kernel's structs as far as vfslat looks into them; CO-RE finds each member in the kernel's own
 * BTF by its name, so order and neighbours do not matter. Only for BPF programs. */
#ifndef BPF_VFSLAT_TYPES_H
#define BPF_VFSLAT_TYPES_H

#include <linux/bpf.h>
#include <stdbool.h>

typedef __u64 u64;
typedef __u32 u32;
typedef __u16 u16;
typedef __u8 u8;
typedef __s64 s64;
typedef unsigned long size_t;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct super_block;
struct inode;

struct list_head {
	struct list_head *next;
};

struct qstr {
	u32 hash;
	u32 len;
	const unsigned char *name;
};

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
	struct super_block *d_sb;
};

struct vfsmount {
	struct dentry *mnt_root;
	struct super_block *mnt_sb;
};

struct mount {
	struct vfsmount mnt;
	int mnt_id;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file_system_type {
	const char *name;
};

struct super_block {
	u32 s_dev;
	unsigned long s_magic;
	struct file_system_type *s_type;
	int s_stack_depth;
};

struct inode {
	unsigned short i_mode;
	struct super_block *i_sb;
	unsigned long i_ino;
	u32 i_rdev;
};

struct file {
	struct inode *f_inode;
	struct path f_path;
	s64 f_pos;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct kernfs_node {
	struct kernfs_node *parent;
	const char *name;
	u64 id;
};

/* Since 6.15. */
struct kernfs_node___renamed {
	struct kernfs_node *__parent;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
};

struct css_set {
	struct cgroup_subsys_state *subsys[16];
	struct cgroup *dfl_cgrp;
};

enum cgroup_subsys_id { memory_cgrp_id = 0x7fff };

struct thread_info {
	u32 status;
};

struct task_struct {
	struct thread_info thread_info;
	unsigned int __state;
	int pid;
	int tgid;
	struct files_struct *files;
	struct css_set *cgroups;
};

/* Before 5.14. */
struct task_struct___old {
	long state;
};

struct io_cqe {
	int res;
};

struct io_kiocb {
	struct file *file;
	u8 opcode;
	struct io_cqe cqe;
};

#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long r10, ax, cx, dx, si, di, orig_ax, sp;
};
#elif defined(__TARGET_ARCH_arm64)
struct user_pt_regs {
	unsigned long regs[31], sp, pc;
};
struct pt_regs {
	unsigned long regs[31], sp, pc;
	unsigned long orig_x0;
	int syscallno;
};
#else
#error "vfslat knows the registers of x86 and arm64"
#endif

#pragma clang attribute pop

#endif
