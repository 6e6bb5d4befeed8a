/* Raises SIGTRAP in every way there is, with a handler of its own, and counts what arrives; then sends itself
 * a SIGTRAP that nobody handles when asked to. Says "ready" first and reads a byte. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static volatile sig_atomic_t traps;

static void on_trap(int number) {
    (void)number;
    traps++;
}

int main(int argc, char **argv) {
    char byte;
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_trap;
    sigaction(SIGTRAP, &action, NULL);
    puts("ready");
    fflush(stdout);
    if (read(0, &byte, 1) != 1) {
        return 2;
    }
    for (int i = 0; i < 20; i++) {
        raise(SIGTRAP);
        kill(getpid(), SIGTRAP);
#if defined(__x86_64__)
        __asm__ volatile("int3");
#endif
        syscall(SYS_getppid);
    }
    printf("traps %d\n", (int)traps);
    fflush(stdout);
    if (argc > 1 && strcmp(argv[1], "die") == 0) {
        signal(SIGTRAP, SIG_DFL);
        raise(SIGTRAP);
    }
    return 0;
}
