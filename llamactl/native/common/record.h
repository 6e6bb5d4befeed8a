/* The 96-byte record of a capture: the C side of llamactl/trace/capture/record.py. */
#ifndef LLAMACTL_CAPTURE_RECORD_H
#define LLAMACTL_CAPTURE_RECORD_H

#include <assert.h>
#include <stdint.h>

enum record_kind {
    RECORD_SYSCALL = 1,
    RECORD_FAULT = 2,
    RECORD_MAP = 3,
    RECORD_SIGNAL = 4,
    RECORD_TASK = 5,
    RECORD_CALL = 6,
    RECORD_LOST = 10,
    RECORD_WATCH = 12,
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
    FLAG_LEFT = 64,        /* with NO_EXIT: not open, but its end wasn't seen */
    FLAG_ENTRY_ONLY = 128, /* never in a capture: the strings of a call that perf records */
};

enum record_arch { ARCH_X86_64 = 0, ARCH_AARCH64 = 1, ARCH_I386 = 2, ARCH_OTHER = 255 };

#define RECORD_CPU_UNKNOWN 0xffff
#define RECORD_NR_UNKNOWN 0xffff

struct record {
    uint8_t kind;
    uint8_t flags;
    uint16_t nr;
    uint16_t cpu;
    uint16_t arch;
    int32_t tid;
    int32_t pid;
    uint64_t start;
    uint64_t duration;
    int64_t ret;
    uint64_t args[6];
    uint32_t text;
    uint32_t text2;
};

static_assert(sizeof(struct record) == 96, "a record has 96 bytes");

#endif
