/* The compiled BPF programs, as bytes: the only file that sees the generated headers. */
#include "applets/vfslat/vfslat.h"
#include "bpf/vfslat.skel.h"
#include "bpf/vfslat_hash.skel.h"

struct vfs_programs vfslat_programs(void)
{
	struct vfs_programs p;

	p.elf[0] = vfslat_bpf__elf_bytes(&p.size[0]);
	p.elf[1] = vfslat_hash_bpf__elf_bytes(&p.size[1]);
	return p;
}

void vfs_programs_free(struct vfs_programs *p)
{
	for (size_t i = 0; i < COUNT(p->elf); i++)
		free((void *)(uintptr_t)p->elf[i]);
}
