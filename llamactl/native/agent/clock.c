// Time and CPU without a system call, by the kernel's own code in each process (vdso(7)).
#include <fcntl.h>
#include <time.h>

#include "agent/agent.h"

typedef int (*clock_function)(int, struct timespec *);
typedef long (*cpu_function)(unsigned *, unsigned *, void *);
static clock_function vdso_clock;
static cpu_function vdso_cpu;

#if defined(__x86_64__)
#define VDSO_CLOCK "__vdso_clock_gettime"
#define VDSO_CPU "__vdso_getcpu"
#else
#define VDSO_CLOCK "__kernel_clock_gettime"
#define VDSO_CPU "__kernel_getcpu"
#endif

uint64_t now_ns(void) {
    struct timespec time;
    if (!vdso_clock || vdso_clock(CLOCK_MONOTONIC, &time) != 0) {
        sys3(__NR_clock_gettime, CLOCK_MONOTONIC, (long) &time, 0);
    }
    return (uint64_t) time.tv_sec * 1000000000u + (uint64_t) time.tv_nsec;
}

unsigned cpu_now(void) {
    unsigned cpu;
    return vdso_cpu && vdso_cpu(&cpu, NULL, NULL) == 0 && cpu < RECORD_CPU_UNKNOWN
               ? cpu
               : RECORD_CPU_UNKNOWN;
}

void clock_find(void) {
    uint64_t pair[2];
    const long fd = sys3(__NR_openat, AT_FDCWD, (long) "/proc/self/auxv", O_RDONLY | O_CLOEXEC);
    if (sys_failed(fd)) {
        return;
    }
    while (sys3(__NR_read, fd, (long) pair, sizeof(pair)) == sizeof(pair) && pair[0] != AT_NULL) {
        if (pair[0] != AT_SYSINFO_EHDR) {
            continue;
        }
        const Elf64_Ehdr * header = (const Elf64_Ehdr *) pair[1];
        const Elf64_Phdr * segment = (const Elf64_Phdr *) (pair[1] + header->e_phoff);
        struct link_map map = {0};
        for (int i = 0; i < header->e_phnum; i++) {
            if (segment[i].p_type == PT_LOAD) {
                map.l_addr = pair[1] + segment[i].p_offset - segment[i].p_vaddr;
            } else if (segment[i].p_type == PT_DYNAMIC) {
                map.l_ld = (Elf64_Dyn *) (pair[1] + segment[i].p_offset);
            }
        }
        vdso_clock = (clock_function) elf_symbol(&map, VDSO_CLOCK);
        vdso_cpu = (cpu_function) elf_symbol(&map, VDSO_CPU);
    }
    sys3(__NR_close, fd, 0, 0);
}
