/* The BPF programs: which threads are followed, and a record for each of their system calls.
 *
 * sys_enter and sys_exit run for every program of the machine, so the first thing they do is to
 * look the thread up. R6 is the context and later free, R7 the thread's state, R8 the call's rule,
 * R9 the buffer for a string. */
#define _GNU_SOURCE
#include "bpf/programs.h"
#include "common/arch.h"

/* struct pt_regs of the kernel, which is asm/ptrace.h's with what was on entry behind it */
#if defined(__x86_64__)
#define REGS_FIRST 32 /* bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs */
#define REGS_BYTES 112
#define REGS_NUMBER 120
#define REGS_CODE_SEGMENT 104 /* in what was read */
#define USER_32_CS 0x23
static const int argument_at[6] = {80, 72, 64, 24, 40, 32};
static const int argument_at_32[6] = {8, 56, 64, 72, 80, 0};
#else
#define REGS_FIRST 0 /* x0 to x5 */
#define REGS_BYTES 48
#define REGS_NUMBER 280
static const int argument_at[6] = {0, 8, 16, 24, 32, 40};
#endif

/* R7: the state of the thread that runs; R9: its process and thread. To `out` when it isn't ours.
 */
static void find_self(struct code * c, const struct call_maps * maps, int out) {
    call(c, HELPER_PROCESS_AND_THREAD);
    mov(c, R9, R0);
    store(c, BPF_W, FP, KEY, R0);
    lookup(c, maps->states, KEY);
    jump_if(c, BPF_JEQ, R0, 0, out);
    mov(c, R7, R0);
}

/* Who and where, from R9. */
static void say_who(struct code * c) {
    store(c, BPF_W, R7, RECORD(tid), R9);
    alu_imm(c, BPF_RSH, R9, 32);
    store(c, BPF_W, R7, RECORD(pid), R9);
    call(c, HELPER_CPU);
    store(c, BPF_H, R7, RECORD(cpu), R0);
    store_imm(c, BPF_W, R7, RECORD(text), 0);
    store_imm(c, BPF_W, R7, STATE(todo), 0);
}

static void copy_arguments(struct code * c, const int * from) {
    for (int i = 0; i < 6; i++) {
        load(c, BPF_DW, R1, FP, REGISTERS + from[i]);
        store(c, BPF_DW, R7, RECORD(args) + 8 * i, R1);
    }
}

static void read_arguments(struct code * c) {
    mov(c, R1, FP);
    alu_imm(c, BPF_ADD, R1, REGISTERS);
    mov_imm(c, R2, REGS_BYTES);
    load(c, BPF_DW, R3, R6, 0);
    alu_imm(c, BPF_ADD, R3, REGS_FIRST);
    call(c, HELPER_READ_KERNEL);
#ifdef USER_32_CS
    int native = new_label(c), read = new_label(c);
    load(c, BPF_DW, R1, FP, REGISTERS + REGS_CODE_SEGMENT);
    jump_if(c, BPF_JNE, R1, USER_32_CS, native);
    copy_arguments(c, argument_at_32);
    store_imm(c, BPF_DW, FP, RULE_KEPT, 0); /* Its number means another call. */
    store_imm(c, BPF_H, R7, RECORD(arch), ARCH_I386);
    jump(c, read);
    here(c, native);
    store_imm(c, BPF_H, R7, RECORD(arch), ARCH_NATIVE);
    copy_arguments(c, argument_at);
    here(c, read);
#else
    copy_arguments(c, argument_at);
#endif
}

bool program_enter(struct code * c, const struct call_maps * maps) {
    int out = new_label(c), selected = new_label(c), known = new_label(c), read = new_label(c);
    mov(c, R6, R1);
    find_self(c, maps, out);
    load(c, BPF_W, R1, R7, STATE(phase));
    jump_if(c, BPF_JEQ, R1, PHASE_DORMANT, out);
    store_imm(c, BPF_W, R7, STATE(phase), PHASE_SKIPPED);
    load(c, BPF_DW, R8, R6, 8);
    store(c, BPF_W, FP, KEY2, R8);
    lookup(c, maps->rules, KEY2);
    store(c, BPF_DW, FP, RULE_KEPT, R0);
    jump_if(c, BPF_JEQ, R0, 0, selected);
    load(c, BPF_B, R1, R0, RULE(selected));
    jump_if(c, BPF_JEQ, R1, 0, out);
    here(c, selected);
    jump_if(c, BPF_JLE, R8, RECORD_NR_UNKNOWN - 1, known);
    mov_imm(c, R8, RECORD_NR_UNKNOWN);
    here(c, known);
    store(c, BPF_H, R7, RECORD(nr), R8);
    store_imm(c, BPF_B, R7, RECORD(flags), 0);
    say_who(c);
    read_arguments(c);
    store_imm(c, BPF_W, R7, STATE(phase), PHASE_IN);
    load(c, BPF_DW, R8, FP, RULE_KEPT);
    jump_if(c, BPF_JEQ, R8, 0, read);
    load(c, BPF_B, R1, R8, RULE(texts));
    jump_if(c, BPF_JEQ, R1, 0, read);
    emit_texts(c, maps, false, read);
    here(c, read);
    call(c, HELPER_TIME_NS);
    store(c, BPF_DW, R7, RECORD(start), R0);
    here(c, out);
    return finish(c);
}

/* A thread that we follow comes out of a call that it never entered: it was inside when recording
 * began, or a seccomp filter refused the call, or it has just been born. */
static void unseen_entry(struct code * c, int out) {
#ifdef USER_32_CS
    /* A program of 32 bits has just been executed, and the number is that of its own execve. */
    mov(c, R1, FP);
    alu_imm(c, BPF_ADD, R1, KEY2);
    mov_imm(c, R2, 4);
    load(c, BPF_DW, R3, R6, 0);
    alu_imm(c, BPF_ADD, R3, REGS_FIRST + REGS_CODE_SEGMENT);
    call(c, HELPER_READ_KERNEL);
    load(c, BPF_W, R1, FP, KEY2);
    jump_if(c, BPF_JEQ, R1, USER_32_CS, out);
    store_imm(c, BPF_H, R7, RECORD(arch), ARCH_NATIVE);
#endif
    mov(c, R1, FP);
    alu_imm(c, BPF_ADD, R1, KEY2);
    mov_imm(c, R2, 4);
    load(c, BPF_DW, R3, R6, 0);
    alu_imm(c, BPF_ADD, R3, REGS_NUMBER);
    call(c, HELPER_READ_KERNEL);
    load(c, BPF_W, R1, FP, KEY2);
    jump_if(c, BPF_JGE, R1, RECORD_NR_UNKNOWN, out);
    store(c, BPF_H, R7, RECORD(nr), R1);
    store_imm(c, BPF_B, R7, RECORD(flags), FLAG_NO_ENTRY);
    for (int i = 0; i < 6; i++) {
        store_imm(c, BPF_DW, R7, RECORD(args) + 8 * i, 0);
    }
    say_who(c);
    call(c, HELPER_TIME_NS);
    store(c, BPF_DW, R7, RECORD(start), R0);
}

static void put_record(struct code * c, const struct call_maps * maps, int out) {
    load_map(c, R1, maps->ring);
    mov(c, R2, R7);
    mov_imm(c, R3, (int) sizeof(struct record));
    mov_imm(c, R4, RING_NO_WAKEUP);
    call(c, HELPER_RING_OUTPUT);
    jump_if(c, BPF_JEQ, R0, 0, out);
    count_lost(c, maps, out);
}

static void end_now(struct code * c) {
    call(c, HELPER_TIME_NS);
    load(c, BPF_DW, R1, R7, RECORD(start));
    alu(c, BPF_SUB, R0, R1);
    store(c, BPF_DW, R7, RECORD(duration), R0);
}

bool program_exit(struct code * c, const struct call_maps * maps) {
    int out = new_label(c), inside = new_label(c), put = new_label(c);
    mov(c, R6, R1);
    find_self(c, maps, out);
    load(c, BPF_W, R1, R7, STATE(phase));
    jump_if(c, BPF_JEQ, R1, PHASE_IN, inside);
    jump_if(c, BPF_JEQ, R1, PHASE_DORMANT, out);
    store_imm(c, BPF_W, R7, STATE(phase), PHASE_IDLE);
    jump_if(c, BPF_JNE, R1, PHASE_IDLE, out);
    unseen_entry(c, out);
    here(c, inside);
    store_imm(c, BPF_W, R7, STATE(phase), PHASE_IDLE);
    load(c, BPF_DW, R1, R6, 8);
    store(c, BPF_DW, R7, RECORD(ret), R1);
    end_now(c);
    load(c, BPF_W, R1, R7, STATE(todo));
    jump_if(c, BPF_JEQ, R1, 0, put);
    load(c, BPF_H, R1, R7, RECORD(nr));
    store(c, BPF_W, FP, KEY2, R1);
    lookup(c, maps->rules, KEY2);
    jump_if(c, BPF_JEQ, R0, 0, put);
    mov(c, R8, R0);
    emit_texts(c, maps, true, put);
    here(c, put);
    put_record(c, maps, out);
    here(c, out);
    return finish(c);
}

/* A child is followed before its parent lets it run: sched_process_fork(parent, child). */
bool program_fork(struct code * c, const struct call_maps * maps, uint32_t pid_offset) {
    int out = new_label(c);
    mov(c, R6, R1);
    find_self(c, maps, out);
    mov(c, R1, FP);
    alu_imm(c, BPF_ADD, R1, KEY2);
    mov_imm(c, R2, 4);
    load(c, BPF_DW, R3, R6, 8);
    alu_imm(c, BPF_ADD, R3, (int32_t) pid_offset);
    call(c, HELPER_READ_KERNEL);
    for (int i = 0; i < (int) sizeof(struct call_state); i += 8) {
        store_imm(c, BPF_DW, FP, NEW_STATE + i, 0);
    }
    store_imm(c, BPF_B, FP, NEW_STATE + RECORD(kind), RECORD_SYSCALL);
    store_imm(c, BPF_H, FP, NEW_STATE + RECORD(arch), ARCH_NATIVE);
    load_map(c, R1, maps->states);
    mov(c, R2, FP);
    alu_imm(c, BPF_ADD, R2, KEY2);
    mov(c, R3, FP);
    alu_imm(c, BPF_ADD, R3, NEW_STATE);
    mov_imm(c, R4, BPF_ANY);
    call(c, HELPER_UPDATE);
    jump_if(c, BPF_JEQ, R0, 0, out);
    count_lost(c, maps, out);
    here(c, out);
    return finish(c);
}

static void forget(struct code * c, const struct call_maps * maps, int key) {
    load_map(c, R1, maps->states);
    mov(c, R2, FP);
    alu_imm(c, BPF_ADD, R2, key);
    call(c, HELPER_DELETE);
}

/* A thread other than the first that calls exec takes the first one's id:
 * sched_process_exec(task, old_pid, bprm). */
bool program_exec(struct code * c, const struct call_maps * maps) {
    int out = new_label(c), moved = new_label(c);
    load(c, BPF_DW, R6, R1, 8);
    store(c, BPF_W, FP, KEY2, R6);
    load(c, BPF_W, R6, FP, KEY2); /* a pid_t: the upper half may be anything */
    call(c, HELPER_PROCESS_AND_THREAD);
    mov(c, R9, R0);
    store(c, BPF_W, FP, KEY, R0);
    lookup(c, maps->states, KEY2);
    jump_if(c, BPF_JEQ, R0, 0, out);
    mov(c, R7, R0);
    load(c, BPF_W, R1, FP, KEY);
    alu(c, BPF_SUB, R1, R6);
    jump_if(c, BPF_JNE, R1, 0, moved);
    load(c, BPF_W, R1, R7, STATE(phase));
    jump_if(c, BPF_JNE, R1, PHASE_DORMANT, out);
    store_imm(c, BPF_W, R7, STATE(phase), PHASE_IDLE);
    jump(c, out);
    here(c, moved);
    store(c, BPF_W, R7, RECORD(tid), R9);
    load_map(c, R1, maps->states);
    mov(c, R2, FP);
    alu_imm(c, BPF_ADD, R2, KEY);
    mov(c, R3, R7);
    mov_imm(c, R4, BPF_ANY);
    call(c, HELPER_UPDATE);
    mov(c, R6, R0);
    forget(c, maps, KEY2);
    jump_if(c, BPF_JEQ, R6, 0, out);
    count_lost(c, maps, out);
    here(c, out);
    return finish(c);
}

bool program_death(struct code * c, const struct call_maps * maps) {
    int out = new_label(c), gone = new_label(c);
    find_self(c, maps, out);
    load(c, BPF_W, R1, R7, STATE(phase));
    jump_if(c, BPF_JNE, R1, PHASE_IN, gone);
    set_bit(c, BPF_B, RECORD(flags), FLAG_NO_EXIT);
    store_imm(c, BPF_DW, R7, RECORD(ret), 0);
    end_now(c);
    put_record(c, maps, gone);
    here(c, gone);
    forget(c, maps, KEY);
    here(c, out);
    return finish(c);
}
