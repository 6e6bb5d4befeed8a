/* The part of the BPF programs that reads strings and small structures from the program's memory.
 */
#define _GNU_SOURCE
#include "bpf/programs.h"

/* R1: the argument whose number is in `reg`. */
static void load_argument(struct code * c, int reg) {
    alu_imm(c, BPF_AND, reg, 7);
    alu_imm(c, BPF_LSH, reg, 3);
    alu(c, BPF_ADD, reg, R7);
    load(c, BPF_DW, R1, reg, RECORD(args));
}

/* R6: how many bytes part i has. */
static void find_size(struct code * c, int i, int done) {
    int at = RULE(part) + (int) sizeof(struct text_part) * i;
    int known = new_label(c), fits = new_label(c);
    load(c, BPF_H, R6, R8, at + (int) offsetof(struct text_part, size));
    load(c, BPF_B, R2, R8, at + (int) offsetof(struct text_part, kind));
    jump_if(c, BPF_JEQ, R2, TEXT_BYTES, known);
    jump_if(c, BPF_JEQ, R2, TEXT_OUT_BYTES, known);
    load_argument(c, R6);
    mov(c, R6, R1);
    jump_if(c, BPF_JEQ, R2, TEXT_SIZED, known);
    mov(c, R3, R6); /* The argument points to the size. */
    mov(c, R1, FP);
    alu_imm(c, BPF_ADD, R1, WORD);
    mov_imm(c, R2, 4);
    call(c, HELPER_READ_USER);
    jump_if(c, BPF_JNE, R0, 0, done);
    load(c, BPF_W, R6, FP, WORD);
    jump_if(c, BPF_JGT, R6, INT32_MAX, done);
    here(c, known);
    jump_if(c, BPF_JEQ, R6, 0, done);
    jump_if(c, BPF_JLE, R6, TEXT_LIMIT, fits);
    set_bit(c, BPF_B, RECORD(flags), FLAG_TEXT_CUT);
    mov_imm(c, R6, TEXT_LIMIT);
    here(c, fits);
}

/* Reads the bytes of part i into the buffer, their number into R6. */
static void read_part(struct code * c, int i, int done, int failed) {
    int at = RULE(part) + (int) sizeof(struct text_part) * i;
    int bytes = new_label(c), whole = new_label(c);
    load(c, BPF_B, R2, R8, at + (int) offsetof(struct text_part, argument));
    load_argument(c, R2);
    jump_if(c, BPF_JEQ, R1, 0, done);
    store(c, BPF_DW, FP, ADDRESS, R1);
    load(c, BPF_B, R2, R8, at + (int) offsetof(struct text_part, kind));
    jump_if(c, BPF_JNE, R2, TEXT_STRING, bytes);
    mov(c, R3, R1);
    mov(c, R1, R9);
    alu_imm(c, BPF_ADD, R1, TEXT(bytes));
    mov_imm(c, R2, TEXT_LIMIT + 1);
    call(c, HELPER_READ_USER_STRING);
    jump_if(c, BPF_JSLT, R0, 1, failed);
    alu_imm(c, BPF_SUB, R0, 1);
    mov(c, R6, R0);
    jump_if(c, BPF_JLT, R6, TEXT_LIMIT, whole);
    set_bit(c, BPF_B, RECORD(flags), FLAG_TEXT_CUT);
    mov_imm(c, R6, TEXT_LIMIT);
    jump(c, whole);
    here(c, bytes);
    find_size(c, i, done);
    mov(c, R1, R9);
    alu_imm(c, BPF_ADD, R1, TEXT(bytes));
    mov(c, R2, R6);
    load(c, BPF_DW, R3, FP, ADDRESS);
    call(c, HELPER_READ_USER);
    jump_if(c, BPF_JNE, R0, 0, failed);
    here(c, whole);
}

static void send_part(struct code * c, const struct call_maps * maps, int i, int done) {
    int sent = new_label(c);
    store(c, BPF_W, R9, TEXT(length), R6);
    load(c, BPF_W, R1, R7, RECORD(tid));
    store(c, BPF_W, R9, TEXT(tid), R1);
    store_imm(c, BPF_B, R9, TEXT(kind), RECORD_TEXT);
    store_imm(c, BPF_B, R9, TEXT(part), i);
    load_map(c, R1, maps->ring);
    mov(c, R2, R9);
    mov(c, R3, R6);
    alu_imm(c, BPF_ADD, R3, (int) sizeof(struct call_text));
    mov_imm(c, R4, RING_NO_WAKEUP);
    call(c, HELPER_RING_OUTPUT);
    jump_if(c, BPF_JEQ, R0, 0, sent);
    count_lost(c, maps, done);
    jump(c, done);
    here(c, sent);
    set_bit(c, BPF_W, RECORD(text), 1 << i);
}

/* A page that nobody has touched yet can't be read here; the kernel will have touched it when the
 * call returns. */
static void part_on_entry(struct code * c, const struct call_maps * maps, int i) {
    int done = new_label(c), later = new_label(c), failed = new_label(c);
    int at = RULE(part) + (int) (sizeof(struct text_part) * (size_t) i);
    load(c, BPF_B, R1, R8, at + (int) offsetof(struct text_part, kind));
    jump_if(c, BPF_JEQ, R1, TEXT_NONE, done);
    jump_if(c, BPF_JGE, R1, TEXT_OUT_BYTES, later);
    read_part(c, i, done, failed);
    send_part(c, maps, i, done);
    jump(c, done);
    here(c, failed);
    load(c, BPF_B, R1, R8, RULE(once));
    jump_if(c, BPF_JEQ, R1, 0, later);
    set_bit(c, BPF_B, RECORD(flags), FLAG_TEXT_CUT);
    jump(c, done);
    here(c, later);
    set_bit(c, BPF_W, STATE(todo), 1 << i);
    here(c, done);
}

static void part_on_exit(struct code * c, const struct call_maps * maps, int i) {
    int done = new_label(c), failed = new_label(c), early = new_label(c);
    int at = RULE(part) + (int) (sizeof(struct text_part) * (size_t) i);
    load(c, BPF_W, R1, R7, STATE(todo));
    alu_imm(c, BPF_AND, R1, 1 << i);
    jump_if(c, BPF_JEQ, R1, 0, done);
    load(c, BPF_B, R1, R8, at + (int) offsetof(struct text_part, kind));
    jump_if(c, BPF_JLT, R1, TEXT_OUT_BYTES, early);
    load(c, BPF_DW, R1, R7, RECORD(ret));
    jump_if(c, BPF_JSLT, R1, 0, done);
    here(c, early);
    read_part(c, i, done, failed);
    send_part(c, maps, i, done);
    jump(c, done);
    here(c, failed);
    set_bit(c, BPF_B, RECORD(flags), FLAG_TEXT_CUT);
    here(c, done);
}

/* R9: the buffer; to `out` without it. */
static void find_buffer(struct code * c, const struct call_maps * maps, int out) {
    store_imm(c, BPF_W, FP, KEY2, 0);
    lookup(c, maps->scratch, KEY2);
    jump_if(c, BPF_JEQ, R0, 0, out);
    mov(c, R9, R0);
}

void emit_texts(struct code * c, const struct call_maps * maps, bool exit, int out) {
    find_buffer(c, maps, out);
    for (int i = 0; i < 2; i++) {
        if (exit) {
            part_on_exit(c, maps, i);
        } else {
            part_on_entry(c, maps, i);
        }
    }
}
