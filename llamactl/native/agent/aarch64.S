// The agent's entries and returns on aarch64. See x86_64.S for how they work; here the return
// address is in x30 and the caller's arguments begin at sp.

#define CALL_ENTRIES 3072
#define GIL_ENTRIES 1024
#define RETURNS 4096
#define RETURN_SPAN 65536

    .text
    .globl agent_entries
    .hidden agent_entries
    .p2align 4
agent_entries:
    .cfi_startproc
    .rept CALL_ENTRIES
    hint #34                        // bti c
    adr x16, .
    b call_entered
    .p2align 4
    .endr
    .rept GIL_ENTRIES
    hint #34
    adr x16, .
    b gil_entered
    .p2align 4
    .endr
    .cfi_endproc

    .hidden agent_gil
gil_entered:
    .cfi_startproc
    adrp x17, agent_entries
    add x17, x17, :lo12:agent_entries
    sub x16, x16, x17
    lsr x1, x16, #4
    b agent_gil
    .cfi_endproc

    .hidden agent_enter
    .p2align 4
call_entered:
    .cfi_startproc
    sub sp, sp, #224
    .cfi_def_cfa_offset 224
    stp q0, q1, [sp]
    stp q2, q3, [sp, #32]
    stp q4, q5, [sp, #64]
    stp q6, q7, [sp, #96]
    stp x0, x1, [sp, #128]
    stp x2, x3, [sp, #144]
    stp x4, x5, [sp, #160]
    stp x6, x7, [sp, #176]
    stp x8, x30, [sp, #192]         // x8: where a structure is returned to
    adrp x17, agent_entries
    add x17, x17, :lo12:agent_entries
    sub x16, x16, x17
    lsr x16, x16, #4
    str x16, [sp, #208]
    mov x0, sp
    bl agent_enter
    mov x16, x0
    ldp q0, q1, [sp]
    ldp q2, q3, [sp, #32]
    ldp q4, q5, [sp, #64]
    ldp q6, q7, [sp, #96]
    ldp x0, x1, [sp, #128]
    ldp x2, x3, [sp, #144]
    ldp x4, x5, [sp, #160]
    ldp x6, x7, [sp, #176]
    ldp x8, x30, [sp, #192]
    add sp, sp, #224
    .cfi_def_cfa_offset 0
    br x16
    .cfi_endproc

    .hidden agent_leave
    .p2align 4
call_left:
    sub sp, sp, #96
    stp q0, q1, [sp]
    stp q2, q3, [sp, #32]
    stp x0, x1, [sp, #64]
    adrp x17, agent_returns
    add x17, x17, :lo12:agent_returns
    sub x16, x16, x17
    lsr x16, x16, #4
    str x16, [sp, #80]
    mov x0, sp
    bl agent_leave
    mov x30, x0
    ldp q0, q1, [sp]
    ldp q2, q3, [sp, #32]
    ldp x0, x1, [sp, #64]
    add sp, sp, #96
    ret

    .globl agent_returns, agent_return_table
    .hidden agent_returns, agent_return_table
    .p2align 16
agent_returns:
    .cfi_startproc simple
    .cfi_def_cfa sp, 8
    .cfi_val_offset sp, -8
    // DW_CFA_expression(x30, DW_OP_breg30 +RETURN_SPAN)
    .cfi_escape 0x10, 0x1e, 0x04, 0x8e, 0x80, 0x80, 0x04
    .rept RETURNS
    adr x16, .
    b call_left
    .p2align 4
    .endr
    .cfi_endproc
    .org agent_returns + RETURN_SPAN
agent_return_table:
    .zero RETURN_SPAN

    .section .note.GNU-stack, "", @progbits
