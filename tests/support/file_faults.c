/* Preloaded into a process, lets its N-th call that changes a file below a folder fail, or kills the process there.

   POPBENCH_FAULT is "FOLDER:N:ERRNO", ERRNO 0 for a kill. At the end, the number of calls is written to FOLDER.calls. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[4096];
static long wanted, calls;
static int code;
static char below[4096]; /* by descriptor */

__attribute__((constructor)) static void begin(void) {
    char text[4200];
    const char *given = getenv("POPBENCH_FAULT");
    if (!given) return;
    snprintf(text, sizeof text, "%s", given);
    code = atoi(strrchr(text, ':') + 1);
    *strrchr(text, ':') = 0;
    wanted = atol(strrchr(text, ':') + 1);
    *strrchr(text, ':') = 0;
    strcpy(folder, text);
}

__attribute__((destructor)) static void end(void) {
    char name[4200];
    FILE *file;
    if (!folder[0]) return;
    snprintf(name, sizeof name, "%s.calls", folder);
    folder[0] = 0;
    if ((file = fopen(name, "w"))) { fprintf(file, "%ld", calls); fclose(file); }
}

static int inside(const char *path) { return folder[0] && path && !strncmp(path, folder, strlen(folder)); }

static int fails(void) {
    if (++calls != wanted) return 0;
    if (!code) kill(getpid(), SIGKILL);
    errno = code;
    return 1;
}

#define REAL(type, name, ...) static type (*real)(__VA_ARGS__); if (!real) real = dlsym(RTLD_NEXT, #name)
#define ON(fd) ((fd) >= 0 && (fd) < (int) sizeof below && below[fd] && fails())
#define OPEN(name) int name(const char *path, int flags, ...) { \
    va_list rest; va_start(rest, flags); mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0; va_end(rest); \
    REAL(int, name, const char *, int, ...); \
    int here = inside(path) && flags & (O_WRONLY | O_RDWR); \
    if (here && fails()) return -1; \
    int fd = real(path, flags, mode); \
    if (fd >= 0 && fd < (int) sizeof below) below[fd] = here; \
    return fd; }
#define TWO(name) int name(const char *from, const char *to) { \
    REAL(int, name, const char *, const char *); return inside(to) && fails() ? -1 : real(from, to); }
#define ONE(name) int name(const char *path) { \
    REAL(int, name, const char *); return inside(path) && fails() ? -1 : real(path); }
#define SYNC(name) int name(int fd) { REAL(int, name, int); return ON(fd) ? -1 : real(fd); }
#define WRITE(name) ssize_t name(int fd, const void *data, size_t size, off_t at) { \
    REAL(ssize_t, name, int, const void *, size_t, off_t); return ON(fd) ? -1 : real(fd, data, size, at); }

#undef open64
#undef pwrite64
OPEN(open)
OPEN(open64)
WRITE(pwrite)
WRITE(pwrite64)
SYNC(fsync)
SYNC(fdatasync)
TWO(rename)
ONE(unlink)

ssize_t write(int fd, const void *data, size_t size) {
    REAL(ssize_t, write, int, const void *, size_t);
    return ON(fd) ? -1 : real(fd, data, size);
}
