/* See shim.rs. Variables: SHIM_TRACE FILE; SHIM_KILL N; SHIM_FAIL N; SHIM_FAIL_NAME CALL;
   SHIM_ERRNO N; SHIM_SWAP FILE with SHIM_TARGET FILE. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int count, is_ready, trace = -1, kill_at, fail_at, error = EIO, is_swapped;

static int number(const char *name, int otherwise) {
    const char *text = getenv(name);
    return text ? atoi(text) : otherwise;
}

/* 0: carry the call out. */
static int step(const char *name, const char *path) {
    if (!is_ready) {
        is_ready = 1;
        kill_at = number("SHIM_KILL", 0);
        fail_at = number("SHIM_FAIL", 0);
        error = number("SHIM_ERRNO", EIO);
        const char *file = getenv("SHIM_TRACE");
        int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC;
        if (file) trace = syscall(SYS_openat, AT_FDCWD, file, flags, 0600);
    }
    int at = __sync_add_and_fetch(&count, 1);
    char line[2048];
    int length = snprintf(line, sizeof line, "%s %s\n", name, path ? path : "");
    if (trace >= 0) syscall(SYS_write, trace, line, length);
    const char *swap = getenv("SHIM_SWAP"), *target = getenv("SHIM_TARGET");
    if (swap && target && path && !strcmp(path, target) && !is_swapped) {
        is_swapped = 1;
        syscall(SYS_renameat, AT_FDCWD, swap, AT_FDCWD, target);
    }
    if (at == kill_at) {
        syscall(SYS_kill, getpid(), SIGKILL);
        for (;;) pause();
    }
    const char *failing = getenv("SHIM_FAIL_NAME");
    if (at == fail_at || (failing && !strcmp(failing, name))) {
        errno = error;
        return 1;
    }
    return 0;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define CALL(type, name, path, parameters, arguments) \
    type name parameters { return step(#name, path) ? -1 : REAL(name) arguments; }
#define OPEN(name, parameters, arguments) \
    int name parameters { \
        va_list rest; va_start(rest, flags); int mode = va_arg(rest, int); va_end(rest); \
        return step(#name, path) ? -1 : REAL(name) arguments; }

OPEN(open, (const char *path, int flags, ...), (path, flags, mode))
OPEN(open64, (const char *path, int flags, ...), (path, flags, mode))
OPEN(openat, (int at, const char *path, int flags, ...), (at, path, flags, mode))
OPEN(openat64, (int at, const char *path, int flags, ...), (at, path, flags, mode))
CALL(int, close, 0, (int fd), (fd))
CALL(int, connect, 0, (int fd, const struct sockaddr *to, socklen_t size), (fd, to, size))
CALL(int, fchmod, 0, (int fd, mode_t mode), (fd, mode))
CALL(int, fchown, 0, (int fd, uid_t uid, gid_t gid), (fd, uid, gid))
CALL(int, fdatasync, 0, (int fd), (fd))
CALL(int, flock, 0, (int fd, int what), (fd, what))
CALL(int, fsync, 0, (int fd), (fd))
CALL(int, ftruncate, 0, (int fd, off_t size), (fd, size))
CALL(int, ftruncate64, 0, (int fd, off64_t size), (fd, size))
CALL(int, mkdir, path, (const char *path, mode_t mode), (path, mode))
CALL(ssize_t, recv, 0, (int fd, void *to, size_t size, int flags), (fd, to, size, flags))
CALL(int, rename, to, (const char *from, const char *to), (from, to))
CALL(ssize_t, send, 0, (int fd, const void *data, size_t size, int flags), (fd, data, size, flags))
CALL(int, unlink, path, (const char *path), (path))
CALL(ssize_t, write, 0, (int fd, const void *data, size_t size), (fd, data, size))
