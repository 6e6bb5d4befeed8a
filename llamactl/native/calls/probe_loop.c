/* Functions that do nothing, to measure what a uprobe on a function costs. It depends on the first
 * instruction: the kernel emulates some, and executes others elsewhere, one step at a time, which
 * is several times as dear (arch/x86/kernel/uprobes.c, arch/arm64/kernel/probes/). */
#include "calls/api.h"

#include <time.h>

#if defined(__x86_64__)
#define FUNCTION(name, first)                                                                      \
    __asm__(".text\n.globl " #name "\n.hidden " #name "\n.type " #name                             \
            ", @function\n.p2align 4\n" #name ":\n" first "\nret\n.size " #name ", . - " #name     \
            "\n");                                                                                 \
    void name(void)
FUNCTION(probe_emulated, "push %rbp\npop %rbp");
FUNCTION(probe_marked, "endbr64");
FUNCTION(probe_stepped, "mov %rax, %rax");
#else
#define FUNCTION(name, first)                                                                      \
    __asm__(".text\n.globl " #name "\n.hidden " #name "\n.type " #name                             \
            ", %function\n.p2align 4\n" #name ":\n" first "\nret\n.size " #name ", . - " #name     \
            "\n");                                                                                 \
    void name(void)
FUNCTION(probe_emulated, "nop");
FUNCTION(probe_marked, "hint #34");
FUNCTION(probe_stepped, "mov x0, x0");
#endif

static void (*const functions[])(void) = {probe_emulated, probe_marked, probe_stepped};

const void * probe_function(int which) {
    return (const void *) functions[which];
}

uint64_t probe_loop(int which, uint32_t loops) {
    void (*volatile function)(void) = functions[which];
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (uint32_t i = 0; i < loops; i++) {
        function();
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    return (uint64_t) (end.tv_sec - begin.tv_sec) * 1000000000u + (uint64_t) end.tv_nsec -
           (uint64_t) begin.tv_nsec;
}
