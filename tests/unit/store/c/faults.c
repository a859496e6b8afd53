/* A disk that fails on purpose, for LD_PRELOAD.
 *
 * Of the calls of one kind on files whose path has the marker in it, the one that is armed fails,
 * and all that follow it as well if the fault is lasting.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

enum kind { NONE, OPEN, WRITE, SYNC, TRUNCATE, READ };

static enum kind armed;
static long countdown;
static int number, lasting, fired;
static char marker[64];

/* How many calls from now the fault strikes (1: the next), and whether it then stays. */
void faults_arm(int kind, const char *path, long nth, int error, int stays)
{
    strncpy(marker, path, sizeof marker - 1);
    countdown = nth;
    number = error;
    lasting = stays;
    fired = 0;
    armed = (enum kind)kind;
}

/* Whether the fault has struck. */
int faults_disarm(void)
{
    armed = NONE;
    return fired;
}

static int fails(enum kind kind, const char *path)
{
    if (kind != armed || strstr(path, marker) == NULL)
        return 0;
    countdown--;
    if (countdown > 0 || (countdown < 0 && !lasting))
        return 0;
    fired = 1;
    errno = number;
    return 1;
}

static int fails_on(enum kind kind, int file)
{
    char link[64], path[PATH_MAX];
    ssize_t length;

    if (kind != armed)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return fails(kind, path);
}

#define REAL(name) (name##_type) dlsym(RTLD_NEXT, #name)

#define OPENING(name)                                                       \
    typedef int (*name##_type)(const char *, int, ...);                     \
    int name(const char *path, int flags, ...)                              \
    {                                                                       \
        va_list rest;                                                       \
        mode_t mode;                                                        \
                                                                            \
        va_start(rest, flags);                                              \
        mode = va_arg(rest, mode_t);                                        \
        va_end(rest);                                                       \
        return fails(OPEN, path) ? -1 : (REAL(name))(path, flags, mode);    \
    }

#define POSITIONED(name, kind, pointer)                                                    \
    typedef ssize_t (*name##_type)(int, pointer, size_t, off64_t);                         \
    ssize_t name(int file, pointer data, size_t size, off64_t place)                       \
    {                                                                                      \
        return fails_on(kind, file) ? -1 : (REAL(name))(file, data, size, place);          \
    }

#define SYNCING(name)                                         \
    typedef int (*name##_type)(int);                          \
    int name(int file)                                        \
    {                                                         \
        return fails_on(SYNC, file) ? -1 : (REAL(name))(file); \
    }

#define TRUNCATING(name)                                                    \
    typedef int (*name##_type)(int, off64_t);                               \
    int name(int file, off64_t size)                                        \
    {                                                                       \
        return fails_on(TRUNCATE, file) ? -1 : (REAL(name))(file, size);    \
    }

OPENING(open)
OPENING(open64)
POSITIONED(pwrite, WRITE, const void *)
POSITIONED(pwrite64, WRITE, const void *)
POSITIONED(pread, READ, void *)
POSITIONED(pread64, READ, void *)
SYNCING(fsync)
SYNCING(fdatasync)
TRUNCATING(ftruncate)
TRUNCATING(ftruncate64)

typedef ssize_t (*write_type)(int, const void *, size_t);
ssize_t write(int file, const void *data, size_t size)
{
    return fails_on(WRITE, file) ? -1 : (REAL(write))(file, data, size);
}
