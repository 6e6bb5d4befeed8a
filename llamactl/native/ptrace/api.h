/* The functions of the module _tracer; tracer.cdef.h says the same to CFFI. */
#ifndef LLAMACTL_TRACER_API_H
#define LLAMACTL_TRACER_API_H

#include <stdint.h>

#include "calls/api.h"
#include "calls/probe_loop.h"
#include "common/sink.h"

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
    uint32_t refused; /* 1 strict seccomp, 2 to be traced by somebody else: what the program
                         couldn't have */
};

/* How the breakpoints stand. */
struct breakpoint_state {
    int armed;
    int error;
    uint32_t functions;
    uint32_t refused;
    uint64_t hits;
    uint64_t inner;
    uint64_t unrecorded;
};

/* One buffer that was watched; sizes 0 and times 0 when unknown. */
struct watch_state {
    uint64_t address;
    uint64_t bytes;
    uint64_t since_ns;
    uint64_t until_ns;  /* watching has stopped by itself */
    uint32_t moves;     /* how often it was somewhere else */
    uint32_t elsewhere; /* buffers of other processes, which aren't watched */
    int process;
    int last_watched; /* its end, too */
    int error;        /* why not: a negative errno */
    int filtered;     /* the program has set a seccomp filter: nothing new is watched since */
};

struct perf;
struct tracer * tracer_new(uint32_t blocks, const uint8_t * selected);
int tracer_launch(struct tracer * tracer, const char * path, char * const * argv,
                  char * const * envp, const char * cwd, const void * filter,
                  uint32_t filter_length, int no_new_privs, uint32_t loops);
int tracer_attach(struct tracer * tracer, int pid);
/* Another process to take hold of with the one that is attached to. Before tracer_attach; 0 or an
 * errno. */
int tracer_also(struct tracer * tracer, int pid);
int tracer_started(struct tracer * tracer);
/* Before the launch: where a call's strings can be read on entry, record only those (with
 * FLAG_ENTRY_ONLY); another recorder sees the call. */
void tracer_entry_only(struct tracer * tracer);
/* Before the launch: let the child wait, seized, until it is released. */
void tracer_hold(struct tracer * tracer);
int tracer_held(struct tracer * tracer);
void tracer_release(struct tracer * tracer);
/* Whether a recorder may keep a CPU awake between stops; else it sleeps, and so may the CPUs. */
void awake_allow(int allow);
/* For the engine python: waits for the next stop of this thread's tracees without letting the CPUs
 * fall asleep; returns the thread's id or -errno. */
struct awake * awake_new(void);
void awake_free(struct awake * awake);
int awake_next(struct awake * awake, int * status);
struct sink_block * tracer_take(struct tracer * tracer, int timeout_ms);
void tracer_give_back(struct tracer * tracer, struct sink_block * block);
void tracer_ask(struct tracer * tracer, int request);
void tracer_state_of(struct tracer * tracer, struct tracer_state * state);
void tracer_free(struct tracer * tracer);
/* Breakpoints at these points, with `bytes` of unused executable memory at `scratch`. The points
 * become the recorder's. Before tracer_attach, or in an answer to tracer_look. 0 or an errno. */
int tracer_breakpoints(struct tracer * tracer, struct points * points, uint64_t scratch,
                       uint32_t bytes);
/* Watch the buffers that llama.cpp hands out: by these perf events, or by ptrace (NULL). Before the
 * program starts. touches: stop after so many, 0 for never. asks: the agent asks while it isn't 0.
 * 0 or an errno. */
int tracer_watch(struct tracer * tracer, struct perf * perf, uint32_t touches, uint32_t * asks);
/* Whether a program may ask without being killed by a seccomp filter that it inherits. */
int tracer_ask_allowed(void);
/* Buffer 0 is the logits, 1 embeddings, 2 the state; 0 when it was never handed out. */
int tracer_watch_state(struct tracer * tracer, int buffer, struct watch_state * state);
/* The mappings when the first buffer was handed out. */
const char * tracer_watch_maps(struct tracer * tracer, uint32_t * bytes);
/* See tracer.cdef.h. */
void tracer_looks(struct tracer * tracer);
int tracer_look(struct tracer * tracer, int timeout_ms);
void tracer_looked(struct tracer * tracer);
void tracer_looks_no_more(struct tracer * tracer);
uint32_t tracer_points_gone(struct tracer * tracer, uint64_t * addresses, uint32_t most);
void tracer_breakpoint_state(struct tracer * tracer, struct breakpoint_state * state);
int tracer_text_rule(uint32_t nr, uint8_t * kinds, uint8_t * arguments, uint16_t * sizes);
uint32_t tracer_audit_arch(void);
void * tracer_block_records(struct sink_block * block);
void * tracer_block_strings(struct sink_block * block);

typedef struct tracer tracer_t;

typedef struct perf perf_t;

/* A child that waits before its exec. */
struct launched {
    int pid;
    int gate;   /* write a byte to let the child go on */
    int report; /* the child's complaint, nothing after a successful exec */
};

struct perf * perf_new(uint32_t blocks, uint32_t ring_bytes, int enter_id, int exit_id, int faults,
                       int tasks, const uint8_t * selected);
int perf_tracefs(void);
int perf_open(struct perf * perf, int tid, int on_exec, const char * enter_filter,
              const char * exit_filter);
/* After perf_new with ids 0, before perf_open: system calls come from BPF programs of our own, with
 * their strings, through a ring of ring_bytes. 0, or -errno where that isn't allowed. */
int perf_calls(struct perf * perf, uint32_t ring_bytes);
/* After perf_calls: follow a thread that runs already, and its children. 0 or -errno. */
int perf_follow(struct perf * perf, int tid);
/* enable: at once, not at exec; watched: the process attached to, 0 for none. */
int perf_start(struct perf * perf, int enable, int watched);
struct sink_block * perf_take(struct perf * perf, int timeout_ms);
void perf_give_back(struct perf * perf, struct sink_block * block);
void perf_stop(struct perf * perf);
int perf_done(struct perf * perf);
uint64_t perf_lost(struct perf * perf);
/* Every event before this moment (CLOCK_MONOTONIC, ns) has been taken from the rings. */
uint64_t perf_drained(struct perf * perf);
int perf_stage(struct perf * perf);
uint64_t perf_ring_bytes(struct perf * perf);
void perf_free(perf_t * perf);
/* Before perf_open: record calls of these points, which become the recorder's, by the tracepoints
 * of our uprobes (0: none), and nothing else. */
void perf_boundary(perf_t * perf, points_t * points, int enter_id, int leave_id);
uint64_t perf_inner(perf_t * perf);
/* After perf_open: watch a float's address; `which` is the records' nr. 0 or -errno. */
int perf_watch(perf_t * perf, int tid, int which, uint64_t address);
int perf_watch_move(perf_t * perf, int which, uint64_t address);
/* Whether perf_start was called. */
int perf_running(perf_t * perf);
/* Whether perf events may watch addresses here: 0 or -errno. */
int perf_watch_allowed(void);

int launch_start(struct launched * child, const char * path, char * const * argv,
                 char * const * envp, const char * cwd, const void * filter, uint32_t filter_length,
                 int no_new_privs, uint32_t loops);
/* Stops one thread by SIGSTOP. */
/* For a thread of another's that traces: what gets it out of waitpid, and the signal that does. */
void tracer_prepare_thread(void);
int tracer_wake_signal(void);
void launch_world(uint64_t ignored, uint64_t files, uint64_t most_files);
int launch_open_gate(struct launched * child);
int launch_answer(struct launched * child, int * stage, int * error, uint64_t * loop_ns);
void launch_end(struct launched * child);

#endif
