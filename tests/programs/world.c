/* Prints what it inherited, a fact per line: signals, limits, descriptors, environment, credentials, scheduling. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

static void show_file(const char *path) {
    char line[4096];
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        printf("%s: %s", path, line);
    }
    if (file) {
        fclose(file);
    }
}

static void show_descriptors(void) {
    char path[64], target[4096];
    for (int fd = 0; fd < 1024; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (flags < 0) {
            continue;
        }
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(path, target, sizeof target - 1);
        target[length < 0 ? 0 : length] = 0;
        printf("fd %d: %s flags %d status %d\n", fd, target, flags, fcntl(fd, F_GETFL));
    }
}

int main(void) {
    show_descriptors();
    show_file("/proc/self/status");
    show_file("/proc/self/limits");
    show_file("/proc/self/oom_score_adj");
    show_file("/proc/self/timerslack_ns");
    show_file("/proc/self/cgroup");
    show_file("/proc/self/personality");
    show_file("/proc/self/loginuid");
    show_file("/proc/self/coredump_filter");
    printf("nice: %d\n", getpriority(PRIO_PROCESS, 0));
    printf("scheduler: %d\n", sched_getscheduler(0));
    printf("dumpable: %d\n", prctl(PR_GET_DUMPABLE));
    printf("pdeathsig: %d\n", prctl(PR_GET_PDEATHSIG, &(int){0}));
    printf("securebits: %d\n", prctl(PR_GET_SECUREBITS));
    printf("subreaper: %d\n", prctl(PR_GET_CHILD_SUBREAPER, &(int){0}));
    printf("group: %d session: %d terminal group: %d\n", getpgrp() == getpid(), getsid(0), tcgetpgrp(0) > 0);
    printf("directory: %s\n", getcwd(NULL, 0));
    for (char **entry = environ; *entry; entry++) {
        printf("env %s\n", *entry);
    }
    return 0;
}
