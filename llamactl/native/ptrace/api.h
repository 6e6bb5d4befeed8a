/* What Python sees of the ptrace recorder. */
#ifndef LLAMACTL_PTRACE_API_H
#define LLAMACTL_PTRACE_API_H

#include <stdint.h>

#include "common/api.h"

struct awake;
struct program;
struct tracer;

struct tracer_state {
    int started;
    int done;
    int root;
    int stage;
    int error;
    int wait_status;
    int wait_status_known;
    int memory_way;
    uint64_t stops;
    uint64_t lost;
    uint64_t waits;
    uint64_t loop_ns;
    uint32_t refused; /* what the program couldn't have: 1 strict seccomp, 2 to be traced by
                         somebody else */
};

/* A child that waits before its exec until the gate is opened. */
struct launched {
    int pid;
    int gate;   /* write a byte to let the child go on */
    int report; /* the child's complaint, nothing after a successful exec */
};

/* selected: 128 bytes, a bit per system call, or NULL for all. NULL when memory is short. */
struct tracer * tracer_new(uint32_t blocks, const uint8_t * selected);
/* Starts the thread that forks and execs; what is passed must live until it has started. */
int tracer_launch(struct tracer * tracer, const char * path, char * const * argv,
                  char * const * envp, const char * cwd, const void * filter,
                  uint32_t filter_length, int no_new_privs, uint32_t loops);
int tracer_attach(struct tracer * tracer, int pid);
/* Another process to take hold of with the one that is attached to. Before tracer_attach; 0 or an
 * errno. */
int tracer_also(struct tracer * tracer, int pid);
/* 0 not yet, 1 recording, 2 failed (see the state). */
int tracer_started(struct tracer * tracer);
/* Before the launch: where a call's strings can be read on entry, record only those (with
 * FLAG_ENTRY_ONLY); another recorder sees the call. */
void tracer_entry_only(struct tracer * tracer);
/* Before the launch: let the child wait, seized, until it is released. */
void tracer_hold(struct tracer * tracer);
int tracer_held(struct tracer * tracer);
void tracer_release(struct tracer * tracer);
struct sink_block * tracer_take(struct tracer * tracer, int timeout_ms);
void tracer_give_back(struct tracer * tracer, struct sink_block * block);
/* 1 record no more, 2 detach, 3 kill; heard at once, or with the next tracer_take. */
void tracer_ask(struct tracer * tracer, int request);
void tracer_state_of(struct tracer * tracer, struct tracer_state * state);
/* The program, as breakpoint/api.h knows it. */
struct program * tracer_program(struct tracer * tracer);
/* Detaches from an attached program, kills a started one, joins the thread. */
void tracer_free(struct tracer * tracer);

/* Whether a recorder may keep a CPU awake between stops; else it sleeps, and so may the CPUs. */
void awake_allow(int allow);
/* For the engine python: waits for the next stop of this thread's tracees without letting the CPUs
 * fall asleep; returns the thread's id or -errno. */
struct awake * awake_new(void);
void awake_free(struct awake * awake);
int awake_next(struct awake * awake, int * status);

int launch_start(struct launched * child, const char * path, char * const * argv,
                 char * const * envp, const char * cwd, const void * filter, uint32_t filter_length,
                 int no_new_privs, uint32_t loops);
/* For a thread of another's that traces: what gets it out of waitpid, and the signal that does. */
void tracer_prepare_thread(void);
int tracer_wake_signal(void);
/* What a program that is started gets back of its world, from now on: a bit per ignored signal (1
 * << (number - 1)), all others default, and the limit of open files. */
void launch_world(uint64_t ignored, uint64_t files, uint64_t most_files);
int launch_open_gate(struct launched * child);
int launch_answer(struct launched * child, int * stage, int * error, uint64_t * loop_ns);
void launch_end(struct launched * child);

#endif
