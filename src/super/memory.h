/*
 * memory.h: how much memory a worker has. Supervisor only.
 */
#ifndef MW_MEMORY_H
#define MW_MEMORY_H

#include <sys/types.h>

#include "base.h"

/* Bytes of resident memory of a process that the caller has not reaped, as the kernel counts them.
 * MW_EIO: not to be had. */
MW_MUST_CHECK int mw_memory_resident(pid_t pid, int64_t *bytes_r);

#endif
