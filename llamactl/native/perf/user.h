/* The user's registers and stack in a sample (PERF_SAMPLE_REGS_USER, asm/perf_regs.h). */
#ifndef LLAMACTL_PERF_USER_H
#define LLAMACTL_PERF_USER_H

#include <asm/perf_regs.h>

#include "calls/points.h"

#define USER_STACK_BYTES STACK_BYTES

#if defined(__x86_64__)
/* In the order of their numbers, which is the order in a sample. */
#define USER_REGISTERS                                                                             \
    (1ull << PERF_REG_X86_AX | 1ull << PERF_REG_X86_CX | 1ull << PERF_REG_X86_DX |                 \
     1ull << PERF_REG_X86_SI | 1ull << PERF_REG_X86_DI | 1ull << PERF_REG_X86_SP |                 \
     1ull << PERF_REG_X86_R8 | 1ull << PERF_REG_X86_R9)
enum { USER_AX, USER_CX, USER_DX, USER_SI, USER_DI, USER_SP, USER_R8, USER_R9, USER_COUNT };
enum { USER_RESULT = USER_AX };
static const int user_arguments[6] = {USER_DI, USER_SI, USER_DX, USER_CX, USER_R8, USER_R9};
#define USER_SLOT_BELOW 8 /* at a return the stack pointer has left the return address behind */
#else
#define USER_REGISTERS (0x3full | 1ull << 30 | 1ull << 31)
enum { USER_X0, USER_X5 = 5, USER_LR, USER_SP, USER_COUNT };
enum { USER_RESULT = USER_X0 };
static const int user_arguments[6] = {0, 1, 2, 3, 4, 5};
#define USER_SLOT_BELOW 0
#endif

/* What lies behind a sample's raw data. */
struct user_state {
    const uint64_t * registers; /* USER_COUNT of them; NULL when the sample has none */
    const uint8_t * stack;
    uint64_t stack_bytes;
};

struct user_state user_state_of(const struct sample * sample, bool with_stack);

#endif
