/* Asks for every system call from 0 to LAST, all of which are refused: what a tracer selects can be seen safely. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Numbers of x86-64 that no call has, but for the kernel's own uretprobe and uprobe, which seccomp lets pass. */
#define FIRST_GAP 335
#define LAST_GAP 423

int main(int argc, char **argv) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[5])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x7777, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { sizeof code / sizeof *code, code };
    if (argc != 2 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
        return 1;
    }
    for (long number = 0; number <= atol(argv[1]); number++) {
        if (number >= FIRST_GAP && number <= LAST_GAP) {
            continue;
        }
        syscall(number, -1L, -1L, -1L, -1L, -1L, 0x7777L);
    }
    return 0;
}
