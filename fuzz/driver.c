/*
 * driver.c: main() for compilers without libFuzzer: runs each file that is named, and each file in
 * each folder that is named, once.
 */
#include <dirent.h>
#include <sys/stat.h>

#include "check.h"

#define INPUT_MAX (32u << 20)

static int failures;

static void run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *room = f ? malloc(INPUT_MAX) : NULL;

    if (!room) {
        perror(path);
        failures++;
    } else {
        size_t n = fread(room, 1, INPUT_MAX, f);
        uint8_t *exact = malloc(n ? n : 1); /* so that a sanitizer sees a read beyond the end */
        CHECK(exact);
        memcpy(exact, room, n);
        LLVMFuzzerTestOneInput(exact, n);
        free(exact);
    }
    free(room);
    if (f)
        fclose(f);
}

static void run_folder(const char *path, DIR *d)
{
    char file[4096];
    struct dirent *e;

    while ((e = readdir(d)) != NULL) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(file, sizeof file, "%s/%s", path, e->d_name);
        run_file(file);
    }
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        DIR *d = opendir(argv[i]);
        if (d) {
            run_folder(argv[i], d);
            closedir(d);
        } else {
            run_file(argv[i]);
        }
    }
    return failures ? 1 : 0;
}
