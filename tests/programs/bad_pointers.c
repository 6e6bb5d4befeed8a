/* Calls that take a path, an argument list, an address or a structure, with pointers to nothing: the kernel
 * answers EFAULT (or an error of its own) to each, and the program goes on. Ends with 7. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static const long numbers[] = {
    SYS_execve, SYS_execveat, SYS_openat, SYS_readlinkat, SYS_newfstatat, SYS_unlinkat, SYS_mkdirat, SYS_connect,
    SYS_bind, SYS_sendto, SYS_recvfrom, SYS_accept4, SYS_socketpair, SYS_pipe2, SYS_renameat2, SYS_symlinkat,
    SYS_chdir, SYS_truncate, SYS_getrandom, SYS_uname, SYS_statx, SYS_memfd_create,
};

int main(void) {
    char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(pages, 'x', 4096);
    munmap(pages + 4096, 4096);
    const uintptr_t bad[] = {
        1, 4095, 0x7fffffffffff, 0x800000000000, 0xffff800000000000, 0xffffffffff600000, UINTPTR_MAX,
        (uintptr_t)pages + 4095, /* a string without an end */
        (uintptr_t)pages,        /* pointers that are text */
    };
    long failed = 0;
    for (size_t n = 0; n < sizeof numbers / sizeof *numbers; n++) {
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            uintptr_t p = bad[i];
            failed += syscall(numbers[n], p, p, p, p, p, p) < 0;
            failed += syscall(numbers[n], -1, p, p, p, p, p) < 0;
            failed += syscall(SYS_execve, "/bin/true", p, p) < 0;
        }
    }
    printf("%ld\n", failed);
    return 7;
}
