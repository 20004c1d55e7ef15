/* vfslat's programs with a thread's operation in a hash map: kernels without task storage. */
#include "vfslat.bpf.h"
