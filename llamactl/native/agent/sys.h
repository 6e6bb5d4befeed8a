// System calls and a few helpers without a libc: the agent lives in its own link namespace, where a
// libc of its own would cost every traced process a megabyte.
#ifndef LLAMACTL_AGENT_SYS_H
#define LLAMACTL_AGENT_SYS_H

#include <stddef.h>
#include <stdint.h>

#include <asm/unistd.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define hidden __attribute__((visibility("hidden")))
#define exported __attribute__((visibility("default")))

#if defined(__x86_64__)
static inline long sys6(long nr, long a, long b, long c, long d, long e, long f) {
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long ret;
    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return ret;
}
#elif defined(__aarch64__)
static inline long sys6(long nr, long a, long b, long c, long d, long e, long f) {
    register long x8 __asm__("x8") = nr;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory");
    return x0;
}
#else
#error "the agent knows x86-64 and aarch64"
#endif

// The agent's own system calls bear a mark where the kernel reads nothing, by which llamactl tells
// them from the program's (llamactl/trace/record/agent/own_calls.py): in the sixth argument, or, of
// mmap, which has six, in the upper half of the descriptor.
#define OWN_CALL 0x6c6c616d61676e74l
#define OWN_DESCRIPTOR(fd) ((OWN_CALL >> 32) << 32 | (uint32_t) (fd))

static inline long sys4(long nr, long a, long b, long c, long d) {
    return sys6(nr, a, b, c, d, 0, OWN_CALL);
}
static inline long sys3(long nr, long a, long b, long c) {
    return sys4(nr, a, b, c, 0);
}
static inline int sys_failed(long ret) {
    return (unsigned long) ret > -4096ul;
}

// Atomics: relaxed unless the name says otherwise.
#define load(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define store(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define add(p, v) __atomic_fetch_add((p), (v), __ATOMIC_RELAXED)
#define swap_if(p, expected, v)                                                                    \
    __atomic_compare_exchange_n((p), (expected), (v), 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)

#endif
