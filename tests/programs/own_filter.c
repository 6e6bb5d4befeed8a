/* Filters its own system calls: "trace" asks for a tracer that isn't there at getppid, "strict" is strict mode,
 * "kill" ends at getppid with SIGSYS, "errno" refuses getppid with EACCES. Prints what getppid gave, if anything. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static void say(const char *text) {
    if (write(1, text, strlen(text)) < 0) {
        _exit(3);
    }
}

int main(int argc, char **argv) {
    (void)argc;
    if (strcmp(argv[1], "strict") == 0) {
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0) != 0) {
            say("refused\n");
            return 4;
        }
        say("strict\n");
        syscall(SYS_exit, 5);
    }
    unsigned action = strcmp(argv[1], "trace") == 0  ? SECCOMP_RET_TRACE | 7
                      : strcmp(argv[1], "kill") == 0 ? SECCOMP_RET_KILL_PROCESS
                                                     : SECCOMP_RET_ERRNO | EACCES;
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, action),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { sizeof code / sizeof *code, code };
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        return 2;
    }
    char line[64];
    for (int i = 0; i < 3; i++) {
        long got = syscall(SYS_getppid);
        snprintf(line, sizeof line, "%s\n", got < 0 ? strerror(errno) : "a parent");
        say(line);
    }
    return 0;
}
