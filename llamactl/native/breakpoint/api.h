/* What Python sees of breakpoints and watched buffers in a program that is traced. */
#ifndef LLAMACTL_BREAKPOINT_API_H
#define LLAMACTL_BREAKPOINT_API_H

#include <stdint.h>

#include "calls/api.h"

struct perf;
struct program;

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

/* Breakpoints at these points, with `bytes` of unused executable memory at `scratch`. The points
 * become the recorder's. Before tracer_attach, or in an answer to program_look. 0 or an errno. */
int program_breakpoints(struct program * program, struct points * points, uint64_t scratch,
                        uint32_t bytes);
/* Before the start: ask Python to look for functions at each exec of the program, and at functions
 * that say so. */
void program_looks(struct program * program);
/* Waits; 1 when the program waits to be looked at, 2 when it has just executed, 0 after the time,
 * -1 at the end. */
int program_look(struct program * program, int timeout_ms);
/* The program may go on; what program_breakpoints was given since is armed before. */
void program_looked(struct program * program);
/* Nobody will answer any more: the program waits for nothing. */
void program_looks_no_more(struct program * program);
/* While the program waits: functions whose int3 has vanished, since their library was unloaded; how
 * many. */
uint32_t program_points_gone(struct program * program, uint64_t * addresses, uint32_t most);
void program_breakpoint_state(struct program * program, struct breakpoint_state * state);

/* Before the program starts: watch what llama.cpp hands out, by these perf events, or by ptrace
 * (NULL). touches: stop after so many, 0 for never. asks: the agent asks while it isn't 0; set to 0
 * when the program filters its system calls. 0 or an errno. */
int program_watch(struct program * program, struct perf * perf, uint32_t touches, uint32_t * asks);
/* Whether a program may ask without being killed by a seccomp filter that it inherits. */
int watch_ask_allowed(void);
/* Buffer 0 is the logits, 1 embeddings, 2 the state; 0 when it was never handed out. */
int program_watch_state(struct program * program, int buffer, struct watch_state * state);
/* The mappings when the first buffer was handed out. */
const char * program_watch_maps(struct program * program, uint32_t * bytes);

#endif
