/* vfslat's programs with a thread's operation in task storage: Linux 5.13 and later. */
#define TASK_STORAGE 1
#include "vfslat.bpf.h"
