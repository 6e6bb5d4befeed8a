// The agent's entries and returns on x86-64.
//
// A bound function is replaced by one of `agent_entries`, which pushes its number and goes on to
// agent_enter with every register that may carry an argument put aside. agent_enter puts the address of
// one of `agent_returns` in the place of the return address, and the real one into the entry of
// agent_return_table that lies RETURN_SPAN bytes behind that return. Nothing else on the stack moves, so
// structures by value, hidden results and varargs stay where they are.
//
// The constant distance is what lets one unwind rule hold for all returns: "the return address is stored
// at my own address + RETURN_SPAN". C++ exceptions, pthread_exit and debuggers walk through it.

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
    .set i, 0
    .rept CALL_ENTRIES
    endbr64
    .byte 0x68                      // push imm32, never the short form: all entries have one size
    .long i
    .byte 0xe9                      // jmp rel32
    .long call_entered - . - 4
    .p2align 4
    .set i, i + 1
    .endr
    .rept GIL_ENTRIES
    endbr64
    .byte 0x41, 0xbb                // mov imm32, %r11d
    .long i
    .byte 0xe9
    .long gil_entered - . - 4
    .p2align 4
    .set i, i + 1
    .endr
    .cfi_endproc

// The functions of the GIL take at most one argument, so the hook is an ordinary C function around them.
    .hidden agent_gil
gil_entered:
    .cfi_startproc
    movl %r11d, %esi
    jmp agent_gil
    .cfi_endproc

    .hidden agent_enter
    .p2align 4
call_entered:
    .cfi_startproc
    .cfi_def_cfa_offset 16
    pushq %rax                      // varargs: how many vector registers are used
    pushq %r10                      // the static chain
    pushq %r9
    pushq %r8
    pushq %rcx
    pushq %rdx
    pushq %rsi
    pushq %rdi
    subq $128, %rsp
    .cfi_def_cfa_offset 208
    movaps %xmm0, (%rsp)
    movaps %xmm1, 16(%rsp)
    movaps %xmm2, 32(%rsp)
    movaps %xmm3, 48(%rsp)
    movaps %xmm4, 64(%rsp)
    movaps %xmm5, 80(%rsp)
    movaps %xmm6, 96(%rsp)
    movaps %xmm7, 112(%rsp)
    movq %rsp, %rdi
    call agent_enter
    movq %rax, %r11
    movaps (%rsp), %xmm0
    movaps 16(%rsp), %xmm1
    movaps 32(%rsp), %xmm2
    movaps 48(%rsp), %xmm3
    movaps 64(%rsp), %xmm4
    movaps 80(%rsp), %xmm5
    movaps 96(%rsp), %xmm6
    movaps 112(%rsp), %xmm7
    addq $128, %rsp
    .cfi_def_cfa_offset 80
    popq %rdi
    popq %rsi
    popq %rdx
    popq %rcx
    popq %r8
    popq %r9
    popq %r10
    popq %rax
    leaq 8(%rsp), %rsp              // lea and pop leave the flags alone
    .cfi_def_cfa_offset 8
    jmp *%r11
    .cfi_endproc

    .hidden agent_leave
    .p2align 4
call_left:
    .cfi_startproc
    .cfi_undefined %rip
    pushq %rax
    pushq %rdx
    subq $40, %rsp
    movaps %xmm0, (%rsp)
    movaps %xmm1, 16(%rsp)
    movq %rsp, %rdi
    call agent_leave
    movq %rax, %r11
    movaps (%rsp), %xmm0
    movaps 16(%rsp), %xmm1
    addq $40, %rsp
    popq %rdx
    popq %rax
    leaq 8(%rsp), %rsp
    jmp *%r11
    .cfi_endproc

// Return number 0 belongs to thread 0, which is never given away: an unwinder looks up the byte before
// the return address.
    .globl agent_returns, agent_return_table
    .hidden agent_returns, agent_return_table
    .p2align 12
agent_returns:
    .cfi_startproc simple
    // The frame has no bytes of its own. Unwinders tell frames apart by their CFA, so it gets one that no
    // aligned frame has.
    .cfi_def_cfa %rsp, 8
    .cfi_val_offset %rsp, -8
    // DW_CFA_expression(rip, DW_OP_breg16 +RETURN_SPAN): where the caller's address is stored
    .cfi_escape 0x10, 0x10, 0x04, 0x80, 0x80, 0x80, 0x04
    .set i, 0
    .rept RETURNS
    .byte 0x68
    .long i
    .byte 0xe9
    .long call_left - . - 4
    .p2align 4
    .set i, i + 1
    .endr
    .cfi_endproc
    .org agent_returns + RETURN_SPAN // the unwind rule needs this distance
agent_return_table:
    .zero RETURN_SPAN               // the agent maps writable memory over it

    .section .note.GNU-stack, "", @progbits
