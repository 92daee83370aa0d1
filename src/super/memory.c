/*
 * memory.c: see memory.h.
 */
#include "memory.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "io.h"

int mw_memory_resident(pid_t pid, int64_t *bytes_r)
{
    char path[48], text[128];
    long long resident;

    snprintf(path, sizeof path, "/proc/%ld/statm", (long)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return MW_EIO;
    ssize_t n = read(fd, text, sizeof text - 1);
    mw_io_close(&fd);
    if (n <= 0)
        return MW_EIO;
    text[n] = '\0';
    if (sscanf(text, "%*d %lld", &resident) != 1)
        return MW_EIO;
    *bytes_r = resident * sysconf(_SC_PAGESIZE);
    return 0;
}
