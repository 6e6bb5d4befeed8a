/* Everything in the tracer that depends on the processor. */
#ifndef LLAMACTL_TRACER_ARCH_H
#define LLAMACTL_TRACER_ARCH_H

#include <elf.h>
#include <linux/audit.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include <sys/user.h>

#include "common/record.h"

/* Calls that are newer than some distributions' headers; from Linux 5.1 on, numbers are the same
 * everywhere. */
enum new_call {
    NR_OPEN_TREE = 428,
    NR_MOVE_MOUNT = 429,
    NR_FSOPEN = 430,
    NR_FSCONFIG = 431,
    NR_FSMOUNT = 432,
    NR_CLONE3 = 435,
    NR_OPENAT2 = 437,
    NR_FACCESSAT2 = 439,
    NR_FCHMODAT2 = 452,
    NR_SETXATTRAT = 463,
    NR_GETXATTRAT = 464,
    NR_LISTXATTRAT = 465,
    NR_REMOVEXATTRAT = 466,
};

#if defined(__x86_64__)
#define ARCH_NATIVE_AUDIT AUDIT_ARCH_X86_64
typedef struct user_regs_struct arch_registers;
static inline uint64_t arch_call_number(const arch_registers * r) {
    return r->orig_rax;
}
static inline uint64_t arch_instruction(const arch_registers * r) {
    return r->rip;
}
/* Makes the call that is about to be made none (ptrace(2)); result: what it returns. */
static inline void arch_skip_call(arch_registers * r, long result) {
    r->orig_rax = (unsigned long) -1;
    r->rax = (unsigned long) result;
}
#elif defined(__aarch64__)
#define ARCH_NATIVE_AUDIT AUDIT_ARCH_AARCH64
typedef struct user_regs_struct arch_registers;
static inline uint64_t arch_call_number(const arch_registers * r) {
    return r->regs[8];
}
static inline uint64_t arch_instruction(const arch_registers * r) {
    return r->pc;
}
static inline void arch_skip_call(arch_registers * r, long result) {
    r->regs[0] = (unsigned long) result; /* the number has a register set of its own */
}
#else
/* Still complete, but a call that was entered before recording began stays unnamed. */
#define ARCH_NATIVE_AUDIT 0
typedef struct {
    uint64_t words[128];
} arch_registers;
static inline uint64_t arch_call_number(const arch_registers * r) {
    (void) r;
    return RECORD_NR_UNKNOWN;
}
static inline uint64_t arch_instruction(const arch_registers * r) {
    (void) r;
    return 0;
}
static inline void arch_skip_call(arch_registers * r, long result) {
    (void) r;
    (void) result;
}
#endif

/* The number that a record keeps for an AUDIT_ARCH_ value. */
static inline uint16_t arch_of_audit(uint32_t audit) {
    switch (audit) {
    case AUDIT_ARCH_X86_64:
        return ARCH_X86_64;
    case AUDIT_ARCH_AARCH64:
        return ARCH_AARCH64;
    case AUDIT_ARCH_I386:
        return ARCH_I386;
    default:
        return ARCH_OTHER;
    }
}

#endif
