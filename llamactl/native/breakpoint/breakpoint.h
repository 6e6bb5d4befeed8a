/* Breakpoints (int3) on chosen functions of one program, in the recording thread (ptrace/tracer.h).
 * x86-64.
 *
 * The first byte of a function becomes int3. A thread that meets it goes on in a slot: the
 * function's first instruction, copied, and a jump behind the original. Its return address is
 * replaced by the address of one more int3, the trampoline, and kept in the task's frames. Slots
 * and trampoline lie in the zeros that pad the last page of a mapped library, so nothing has to be
 * mapped in the program. */
#ifndef LLAMACTL_BREAKPOINT_H
#define LLAMACTL_BREAKPOINT_H

#include "breakpoint/api.h"
#include "calls/points.h"
#include "common/program.h"

#define INT3 0xcc
#define SLOT_BYTES 32
#define JUMP_BYTES 14

/* Functions that were found at one time, and where their slots lie. */
struct point_set {
    struct points * points;
    uint64_t scratch;
    uint32_t scratch_bytes;
    uint64_t used_end; /* behind the last slot; 0: nothing is placed yet */
    bool unusable;     /* its scratch isn't what it was taken for */
    struct point_set * next;
};

struct breakpoints {
    struct point_set * sets; /* in the order of their coming */
    uint64_t trampoline;     /* in the first one's scratch */
    int memory;              /* /proc/PID/mem of the program */
    pid_t process;
    bool armed;  /* int3s are in the functions */
    bool placed; /* slots and trampoline are in the scratch */
    uint32_t armed_count;
    uint32_t refused; /* functions whose first instruction isn't understood */
    uint64_t hits;
    uint64_t inner;      /* llama.cpp's calls to itself */
    uint64_t unrecorded; /* calls whose return couldn't be caught: recorded without an end */
};

/* Copies the instruction so that it works at `to`, with the jump back behind it; returns how many
 * of the slot's SLOT_BYTES that takes, 0 when the instruction isn't understood. */
unsigned slot_build(const uint8_t * code, uint64_t from, uint64_t to, uint8_t * slot);

void breakpoints_free(struct breakpoints * breakpoints);
const struct point * breakpoint_point(const struct breakpoints * b, uint64_t address);
/* Whether the address is llama.cpp's own, in a library that others call. */
bool breakpoint_inside(const struct breakpoints * b, uint64_t address);
/* look.c: Python looks for functions while the program waits, then they are armed. */
void breakpoint_look(struct program * program);
void look_executed(struct program * program);
void look_free(struct look * look);
/* Puts in those that aren't yet. 0, or an errno: takes effect at once. */
int breakpoints_arm(struct program * program);
/* Takes the int3s out of the functions; threads may run meanwhile. */
void breakpoints_disarm(struct program * program);
/* True when the SIGTRAP a thread has stopped with was ours; it can be resumed without a signal. */
bool breakpoint_trap(struct program * program, struct task * task);
/* A task's first stop: a child with memory of its own gets it back as it was. */
void breakpoint_newcomer(struct program * program, struct task * task);
/* The task's program is replaced: nothing of ours is left in it. */
void breakpoint_exec(struct program * program, struct task * task);
/* The task has ended: its open calls are reported. */
void breakpoint_ended(struct program * program, struct task * task);
/* The same, at the thread's own end; the last one to go while detaching leaves nothing of ours
 * behind. */
void breakpoint_gone(struct program * program, struct task * task);
/* Makes a stopped thread ready to run without us. False when it must be resumed once more, since a
 * trap of ours is still on its way. */
bool breakpoint_release(struct program * program, struct task * task);

/* registers.c: brings a stopped thread's debug registers up to date, and clears them. */
void breakpoint_watch_thread(struct program * program, struct task * task);
void breakpoint_unwatch_thread(struct task * task);
/* True when the SIGTRAP was of a watched address. */
bool breakpoint_watch_trap(struct program * program, struct task * task);

/* set.c: the program's memory, and what is taken out of it. */
int breakpoint_memory(pid_t pid);
void breakpoint_write_originals(const struct breakpoints * b, int memory);
void breakpoint_clear_scratch(const struct breakpoints * b, int memory);
void breakpoint_free_sets(struct breakpoints * b);

/* For hit.c. */
/* The thread is let go: its stack is restored, its open calls are reported. */
void breakpoint_left(struct program * program, struct task * task);
bool breakpoint_read(const struct breakpoints * b, uint64_t address, void * buffer, size_t size);
bool breakpoint_write(const struct breakpoints * b, uint64_t address, const void * bytes,
                      size_t size);
void frame_lost(struct program * program, struct task * task, struct frame * frame);
/* Gives a thread's stack its return addresses back. */
void frames_restore(const struct breakpoints * b, struct frames * frames, int memory);

#endif
