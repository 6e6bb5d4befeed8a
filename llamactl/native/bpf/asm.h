/* Put BPF programs together, instruction by instruction (Documentation/bpf/standardization/
 * instruction-set.rst). Jumps go to labels and are resolved at the end. */
#ifndef LLAMACTL_BPF_ASM_H
#define LLAMACTL_BPF_ASM_H

#include <linux/bpf.h>
#include <stdbool.h>
#include <stdint.h>

#define CODE_ROOM 512
#define CODE_LABELS 64
#define CODE_JUMPS 128

/* What is newer than the kernel headers of some distributions (linux/bpf.h). */
enum {
    HELPER_LOOKUP = 1,
    HELPER_UPDATE = 2,
    HELPER_DELETE = 3,
    HELPER_TIME_NS = 5,
    HELPER_CPU = 8,
    HELPER_PROCESS_AND_THREAD = 14,
    HELPER_READ_USER = 112,
    HELPER_READ_KERNEL = 113,
    HELPER_READ_USER_STRING = 114,
    HELPER_RING_OUTPUT = 130,
    MAP_RING = 27,
    MAP_CAN_BE_MAPPED = 1 << 10,
    RING_NO_WAKEUP = 1,
};
#define RING_BUSY (1u << 31)
#define RING_DISCARDED (1u << 30)

enum { R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, FP };

struct code {
    struct bpf_insn insns[CODE_ROOM];
    int count;
    int labels[CODE_LABELS]; /* where each one is */
    int label_count;
    struct {
        int at;
        int label;
    } jumps[CODE_JUMPS];
    int jump_count;
    bool full; /* it didn't fit */
};

static inline void op(struct code * c, int opcode, int dst, int src, int offset, int32_t imm) {
    if (c->count == CODE_ROOM) {
        c->full = true;
        return;
    }
    c->insns[c->count++] = (struct bpf_insn) {.code = (uint8_t) opcode,
                                              .dst_reg = (uint8_t) (dst & 15),
                                              .src_reg = (uint8_t) (src & 15),
                                              .off = (int16_t) offset,
                                              .imm = imm};
}

static inline void mov(struct code * c, int dst, int src) {
    op(c, BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0);
}

static inline void mov_imm(struct code * c, int dst, int32_t imm) {
    op(c, BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0, imm);
}

/* what: BPF_ADD, BPF_SUB, BPF_AND, BPF_OR, BPF_LSH, BPF_RSH */
static inline void alu(struct code * c, int what, int dst, int src) {
    op(c, BPF_ALU64 | what | BPF_X, dst, src, 0, 0);
}

static inline void alu_imm(struct code * c, int what, int dst, int32_t imm) {
    op(c, BPF_ALU64 | what | BPF_K, dst, 0, 0, imm);
}

/* size: BPF_B, BPF_H, BPF_W, BPF_DW (1, 2, 4 and 8 bytes) */
static inline void load(struct code * c, int size, int dst, int src, int offset) {
    op(c, BPF_LDX | size | BPF_MEM, dst, src, offset, 0);
}

static inline void store(struct code * c, int size, int dst, int offset, int src) {
    op(c, BPF_STX | size | BPF_MEM, dst, src, offset, 0);
}

static inline void store_imm(struct code * c, int size, int dst, int offset, int32_t imm) {
    op(c, BPF_ST | size | BPF_MEM, dst, 0, offset, imm);
}

static inline void load_map(struct code * c, int dst, int map) {
    op(c, BPF_LD | BPF_DW | BPF_IMM, dst, BPF_PSEUDO_MAP_FD, 0, map);
    op(c, 0, 0, 0, 0, 0);
}

static inline void call(struct code * c, int function) {
    op(c, BPF_JMP | BPF_CALL, 0, 0, 0, function);
}

static inline int new_label(struct code * c) {
    if (c->label_count == CODE_LABELS) {
        c->full = true;
        return 0;
    }
    c->labels[c->label_count] = -1;
    return c->label_count++;
}

static inline void here(struct code * c, int label) {
    c->labels[label] = c->count;
}

static inline void jump_if(struct code * c, int how, int dst, int32_t imm, int label) {
    if (c->jump_count == CODE_JUMPS) {
        c->full = true;
        return;
    }
    c->jumps[c->jump_count].at = c->count;
    c->jumps[c->jump_count++].label = label;
    op(c, BPF_JMP | how | BPF_K, dst, 0, 0, imm);
}

static inline void jump(struct code * c, int label) {
    jump_if(c, BPF_JA, 0, 0, label);
}

/* Ends the program; false when it didn't fit. */
static inline bool finish(struct code * c) {
    mov_imm(c, R0, 0);
    op(c, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
    for (int i = 0; i < c->jump_count && !c->full; i++) {
        int at = c->jumps[i].at;
        c->insns[at].off = (int16_t) (c->labels[c->jumps[i].label] - at - 1);
    }
    return !c->full;
}

#endif
