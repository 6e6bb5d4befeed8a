/* What the BPF programs have in common: where things lie, and the steps they share.
 *
 * R7 is the thread's state, R8 the call's rule, R9 the buffer for a string. */
#ifndef LLAMACTL_BPF_PROGRAMS_H
#define LLAMACTL_BPF_PROGRAMS_H

#include <stddef.h>

#include "bpf/asm.h"
#include "bpf/calls.h"

#define STATE(field) ((int) offsetof(struct call_state, field))
#define RECORD(field) ((int) offsetof(struct call_state, record.field))
#define RULE(field) ((int) offsetof(struct call_rule, field))
#define TEXT(field) ((int) offsetof(struct call_text, field))

/* Places on the stack. */
enum {
    KEY = -4,
    KEY2 = -8,
    RULE_KEPT = -16,
    ADDRESS = -24,
    WORD = -32,
    REGISTERS = -32 - 112, /* as many as any processor needs */
    NEW_STATE = -8 - (int) sizeof(struct call_state),
};

/* R0: what the map holds for the key on the stack, 0 for nothing. */
static inline void lookup(struct code * c, int map, int key) {
    load_map(c, R1, map);
    mov(c, R2, FP);
    alu_imm(c, BPF_ADD, R2, key);
    call(c, HELPER_LOOKUP);
}

/* Goes on behind it, or at `out`. */
static inline void count_lost(struct code * c, const struct call_maps * maps, int out) {
    store_imm(c, BPF_W, FP, KEY2, 0);
    lookup(c, maps->lost, KEY2);
    jump_if(c, BPF_JEQ, R0, 0, out);
    mov_imm(c, R1, 1);
    op(c, BPF_STX | BPF_DW | BPF_XADD, R0, R1, 0, 0);
}

static inline void set_bit(struct code * c, int size, int field, int bit) {
    load(c, size, R1, R7, field);
    alu_imm(c, BPF_OR, R1, bit);
    store(c, size, R7, field, R1);
}

/* Read and send the strings that the rule names, when the call is entered or when it returns; to
 * `out` without a buffer. R6 is lost. */
void emit_texts(struct code * c, const struct call_maps * maps, bool exit, int out);

#endif
