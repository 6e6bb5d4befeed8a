/* The 96-byte record of a capture: the C side of llamactl/trace/capture/record.py. Without a libc,
 * since the agent has none. */
#ifndef LLAMACTL_COMMON_RECORD_H
#define LLAMACTL_COMMON_RECORD_H

#include <stdint.h>

enum record_kind {
    RECORD_SYSCALL = 1,
    RECORD_FAULT = 2,
    RECORD_MAP = 3,
    RECORD_SIGNAL = 4,
    RECORD_TASK = 5,
    RECORD_CALL = 6,
    RECORD_GIL = 7,
    RECORD_LOST = 10,
    RECORD_WATCH = 12,
    RECORD_DEVICE = 14,
};

enum record_task {
    TASK_CLONE = 1,
    TASK_FORK = 2,
    TASK_VFORK = 3,
    TASK_EXEC = 4,
    TASK_EXIT = 5,
    TASK_NAME = 6,
};

enum record_flag {
    FLAG_NO_EXIT = 1,
    FLAG_NO_ENTRY = 2,
    FLAG_TEXT_CUT = 4,
    FLAG_HELD = 8,
    FLAG_RELEASED = 16,
    FLAG_INNER = 32,
    FLAG_LEFT = 64,        /* with NO_EXIT: not open, but its end wasn't seen */
    FLAG_ENTRY_ONLY = 128, /* never in a capture: the strings of a call that perf records */
};

enum record_arch { ARCH_X86_64 = 0, ARCH_AARCH64 = 1, ARCH_I386 = 2, ARCH_OTHER = 255 };

#if defined(__x86_64__)
#define ARCH_NATIVE ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH_NATIVE ARCH_AARCH64
#else
#define ARCH_NATIVE ARCH_OTHER
#endif

#define RECORD_CPU_UNKNOWN 0xffff
#define RECORD_NR_UNKNOWN 0xffff
#define TEXT_LIMIT 4096 /* bytes of a text */

struct record {
    union {
        struct {
            uint8_t kind;
            uint8_t flags;
            uint16_t nr;
            uint16_t cpu;
            uint16_t arch;
        };
        /* The same as one word. The agent stores it last, with release order: a record whose kind
         * is 0 isn't written yet. The reader sets it back to 0. */
        uint64_t head;
    };
    int32_t tid;
    int32_t pid;
    uint64_t start;
    uint64_t duration;
    int64_t ret;
    uint64_t args[6];
    uint32_t text;
    uint32_t text2;
};

_Static_assert(sizeof(struct record) == 96, "a record has 96 bytes");

static inline struct record record_of(int kind, int32_t tid, int32_t pid, uint64_t start,
                                      uint32_t cpu) {
    return (struct record) {.kind = (uint8_t) kind,
                            .cpu = (uint16_t) cpu,
                            .arch = ARCH_NATIVE,
                            .tid = tid,
                            .pid = pid,
                            .start = start};
}

#endif
