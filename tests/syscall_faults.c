/* Counts the calls of a process into the C library that touch files below one folder, and lets one
 * of them fail, send a signal, or do less than it was asked to. Loaded by LD_PRELOAD; told what to
 * do by faults_arm(). */

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN = 1, READ = 2, WRITE = 4, STAT = 8, CHANGE = 16, LIST = 32 };
enum { COUNT, FAIL, FAIL_ON, SIGNAL, SHORT };

#define DESCRIPTORS 65536
static char prefix[4096];
static size_t prefix_length;
static atomic_int mode, mask, at, value, count;
static atomic_uchar known[DESCRIPTORS];
static char last[4096];

void faults_arm(const char *folder, int new_mode, int new_mask, int new_at, int new_value) {
    mode = COUNT;
    snprintf(prefix, sizeof prefix, "%s", folder);
    prefix_length = strlen(prefix);
    mask = new_mask;
    at = new_at;
    value = new_value;
    count = 0;
    last[0] = 0;
    mode = new_mode;
}

int faults_count(void) { return count; }
const char *faults_last(void) { return last; }

static int below(const char *path) {
    char whole[8192];
    if (!prefix_length || !path) return 0;
    if (path[0] != '/') {
        char here[4096];
        if (!getcwd(here, sizeof here)) return 0;
        snprintf(whole, sizeof whole, "%s/%s", here, path);
        path = whole;
    }
    return !strncmp(path, prefix, prefix_length);
}

static int is_known(int fd) { return fd >= 0 && fd < DESCRIPTORS && known[fd]; }
static int below_at(int folder, const char *path) {
    return path && (path[0] == '/' || folder == AT_FDCWD ? below(path) : is_known(folder));
}

/* Returns whether this call is to fail; errno says how. */
static int hit(int kind, int concerned, const char *what) {
    if (!concerned || !(mask & kind)) return 0;
    int number = atomic_fetch_add(&count, 1) + 1;
    if (mode == SHORT || mode == COUNT) return 0;
    if (mode == FAIL_ON ? number < at : number != at) return 0;
    snprintf(last, sizeof last, "%s", what);
    if (mode == SIGNAL) {
        kill(getpid(), value);
        return 0;
    }
    errno = value;
    return 1;
}

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static size_t limited(int fd, size_t size) {
    return mode == SHORT && is_known(fd) && size > (size_t)value ? (size_t)value : size;
}

#define OPENS(name) \
    int name(const char *path, int flags, ...) { \
        REAL(name); \
        va_list rest; \
        va_start(rest, flags); \
        mode_t rights = va_arg(rest, int); \
        va_end(rest); \
        int ours = below(path); \
        if (hit(OPEN, ours, #name)) return -1; \
        int fd = real(path, flags, rights); \
        if (fd >= 0 && fd < DESCRIPTORS) known[fd] = ours; \
        return fd; \
    }
OPENS(open)
OPENS(open64)

#define OPENS_AT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        REAL(name); \
        va_list rest; \
        va_start(rest, flags); \
        mode_t rights = va_arg(rest, int); \
        va_end(rest); \
        int ours = below_at(folder, path); \
        if (hit(OPEN, ours, #name)) return -1; \
        int fd = real(folder, path, flags, rights); \
        if (fd >= 0 && fd < DESCRIPTORS) known[fd] = ours; \
        return fd; \
    }
OPENS_AT(openat)
OPENS_AT(openat64)

int close(int fd) {
    REAL(close);
    if (fd >= 0 && fd < DESCRIPTORS) known[fd] = 0;
    return real(fd);
}

ssize_t read(int fd, void *data, size_t size) {
    REAL(read);
    if (hit(READ, is_known(fd), "read")) return -1;
    return real(fd, data, limited(fd, size));
}

#define PREADS(name, offset_type) \
    ssize_t name(int fd, void *data, size_t size, offset_type offset) { \
        REAL(name); \
        if (hit(READ, is_known(fd), #name)) return -1; \
        return real(fd, data, limited(fd, size), offset); \
    }
PREADS(pread, off_t)
PREADS(pread64, off64_t)

#define PREADVS(name, offset_type) \
    ssize_t name(int fd, const struct iovec *parts, int number, offset_type offset) { \
        REAL(name); \
        if (hit(READ, is_known(fd), #name)) return -1; \
        struct iovec first = parts[0]; \
        if (number != 1) return real(fd, parts, number, offset); \
        first.iov_len = limited(fd, first.iov_len); \
        return real(fd, &first, 1, offset); \
    }
PREADVS(preadv, off_t)
PREADVS(preadv64, off64_t)

#define PREADVS_2(name, offset_type) \
    ssize_t name(int fd, const struct iovec *parts, int number, offset_type offset, int flags) { \
        REAL(name); \
        if (hit(READ, is_known(fd), #name)) return -1; \
        struct iovec first = parts[0]; \
        if (number != 1) return real(fd, parts, number, offset, flags); \
        first.iov_len = limited(fd, first.iov_len); \
        return real(fd, &first, 1, offset, flags); \
    }
PREADVS_2(preadv2, off_t)
PREADVS_2(preadv64v2, off64_t)

ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    if (hit(WRITE, is_known(fd), "write")) {
        int failure = errno;
        if (failure != EINTR) real(fd, data, size / 2);
        errno = failure;
        return -1;
    }
    return real(fd, data, limited(fd, size));
}

#define PATH(name, kind, parameters, arguments, concerned) \
    int name parameters { \
        REAL(name); \
        if (hit(kind, concerned, #name)) return -1; \
        return real arguments; \
    }
struct stat;
struct stat64;
PATH(stat, STAT, (const char *path, struct stat *out), (path, out), below(path))
PATH(lstat, STAT, (const char *path, struct stat *out), (path, out), below(path))
PATH(fstat, STAT, (int fd, struct stat *out), (fd, out), is_known(fd))
PATH(stat64, STAT, (const char *path, struct stat64 *out), (path, out), below(path))
PATH(lstat64, STAT, (const char *path, struct stat64 *out), (path, out), below(path))
PATH(fstat64, STAT, (int fd, struct stat64 *out), (fd, out), is_known(fd))
PATH(fstatat, STAT, (int folder, const char *path, struct stat *out, int flags),
     (folder, path, out, flags), below_at(folder, path))
PATH(fstatat64, STAT, (int folder, const char *path, struct stat64 *out, int flags),
     (folder, path, out, flags), below_at(folder, path))
PATH(mkdir, CHANGE, (const char *path, mode_t rights), (path, rights), below(path))
PATH(rmdir, CHANGE, (const char *path), (path), below(path))
PATH(unlink, CHANGE, (const char *path), (path), below(path))
PATH(unlinkat, CHANGE, (int folder, const char *path, int flags), (folder, path, flags),
     below_at(folder, path))
PATH(rename, CHANGE, (const char *from, const char *to), (from, to), below(from))
PATH(truncate, CHANGE, (const char *path, off_t size), (path, size), below(path))
PATH(truncate64, CHANGE, (const char *path, off64_t size), (path, size), below(path))
PATH(ftruncate, CHANGE, (int fd, off_t size), (fd, size), is_known(fd))
PATH(ftruncate64, CHANGE, (int fd, off64_t size), (fd, size), is_known(fd))

DIR *opendir(const char *path) {
    REAL(opendir);
    if (hit(LIST, below(path), "opendir")) return NULL;
    return real(path);
}

/* Returns its error instead of setting errno. */
#define FALLOCATES(name, offset_type) \
    int name(int fd, offset_type offset, offset_type size) { \
        REAL(name); \
        return hit(CHANGE, is_known(fd), #name) ? errno : real(fd, offset, size); \
    }
FALLOCATES(posix_fallocate, off_t)
FALLOCATES(posix_fallocate64, off64_t)

#define MAPS(name, offset_type) \
    void *name(void *start, size_t size, int rights, int flags, int fd, offset_type offset) { \
        REAL(name); \
        if (!(flags & MAP_ANONYMOUS) && hit(READ, is_known(fd), #name)) return MAP_FAILED; \
        return real(start, size, rights, flags, fd, offset); \
    }
MAPS(mmap, off_t)
MAPS(mmap64, off64_t)
