// Questions about files that may never be answered. A file system whose server is gone holds
// whoever asks in the kernel, past SIGKILL, and a process with such a thread can't end. So a child
// asks, and its parent gives it up.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "snapshot/proc.h"

enum { LONGEST = 4608 };

// A network file system may know the answer from before: it is to ask its server now.
static int ask(const char * path, struct stat * found) {
#ifdef SYS_statx
    struct statx now;
    if (statx(AT_FDCWD, path, AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &now) == 0) {
        found->st_mode = now.stx_mode;
        found->st_size = (off_t) now.stx_size;
        found->st_blocks = (blkcnt_t) now.stx_blocks;
        found->st_dev = makedev(now.stx_dev_major, now.stx_dev_minor);
        found->st_ino = now.stx_ino;
        found->st_nlink = now.stx_nlink;
        found->st_rdev = makedev(now.stx_rdev_major, now.stx_rdev_minor);
        return 0;
    }
    if (errno != ENOSYS && errno != EINVAL) {
        return errno;
    }
#endif
    return stat(path, found) == 0 ? 0 : errno;
}

// What only root may do without leaving a trace (O_NOATIME) is tried first.
static int try_to_read(const char * path) {
    char first;
    int file = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | O_NOATIME);
    if (file < 0) {
        file = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    }
    int error = file < 0 || pread(file, &first, 1, 0) < 0 ? errno : 0;
    if (file >= 0) {
        close(file);
    }
    return error;
}

static void answer_all(int socket) {
    char request[LONGEST];
    for (;;) {
        ssize_t length = recv(socket, request, sizeof request - 1, 0);
        if (length < 2) {
            _exit(0);
        }
        request[length] = 0;
        struct stat found = {0};
        struct llamactl_answer answer = {0};
        answer.error = ask(request + 1, &found);
        answer.mode = found.st_mode;
        answer.size = found.st_size;
        answer.blocks = found.st_blocks;
        answer.device = (int64_t) found.st_dev;
        answer.inode = (int64_t) found.st_ino;
        answer.links = (int64_t) found.st_nlink;
        answer.special_device = (int64_t) found.st_rdev;
        if (answer.error == 0 && request[0] == 'r' && S_ISREG(found.st_mode)) {
            answer.error = try_to_read(request + 1);
        }
        if (send(socket, &answer, sizeof answer, MSG_NOSIGNAL) < 0) {
            _exit(0);
        }
    }
}

// Follow `rest` from the folder `place` without ever leaving the file system that it is on; return
// 0, or why not: EXDEV where it leads elsewhere (openat2(2)).
int llamactl_stays(const char * place, const char * rest) {
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_XDEV};
    int folder = open(place, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) {
        return errno;
    }
    int found = (int) syscall(SYS_openat2, folder, *rest ? rest : ".", &how, sizeof how);
    int error = found < 0 ? errno : 0;
    close(folder);
    if (found >= 0) {
        close(found);
    }
    return error;
}

// Start the child; return our end of the way to it, or -1. It keeps nothing of ours open: one that
// is stuck must not hold the pipe that somebody reads our output from.
int llamactl_asker_start(int32_t * pid) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
        return -1;
    }
    *pid = fork();
    if (*pid < 0) {
        close(ends[0]);
        close(ends[1]);
        return -1;
    }
    if (*pid == 0) {
        if (dup2(ends[1], 0) < 0) {
            _exit(0);
        }
        if (syscall(SYS_close_range, 1u, ~0u, 0u) < 0) {
            for (int file = 1; file < 65536; file++) {
                close(file);
            }
        }
        signal(SIGINT, SIG_IGN);
        if (chdir("/") < 0) {
            _exit(0);
        }
        answer_all(0);
    }
    close(ends[1]);
    return ends[0];
}

// Ask about a path; `request` is 's' (stat) or 'r' (read a byte of a regular file, too) with the
// path behind it. Return 0 with an answer, ETIMEDOUT without one, EPIPE when the child is gone.
int llamactl_ask(int socket, const char * request, size_t length, int limit_ms,
                 struct llamactl_answer * answer) {
    struct pollfd ready = {.fd = socket, .events = POLLIN};
    if (length >= LONGEST) {
        return ENAMETOOLONG;
    }
    if (send(socket, request, length, MSG_NOSIGNAL) < 0) {
        return EPIPE;
    }
    int found;
    do {
        found = poll(&ready, 1, limit_ms);
    } while (found < 0 && errno == EINTR);
    if (found == 0) {
        return ETIMEDOUT;
    }
    return recv(socket, answer, sizeof *answer, 0) == (ssize_t) sizeof *answer ? 0 : EPIPE;
}

// End the child and return whether it is still there: it stays in the kernel until it is answered.
int llamactl_asker_end(int socket, int32_t pid) {
    close(socket);
    kill(pid, SIGKILL);
    for (int i = 0; i < 20; i++) {
        if (waitpid(pid, NULL, WNOHANG) != 0) {
            return 0;
        }
        poll(NULL, 0, 1);
    }
    return 1;
}
