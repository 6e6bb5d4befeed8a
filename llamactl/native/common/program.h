/* A program in the hands of one recording thread, as every room sees it that looks at its stops. */
#ifndef LLAMACTL_COMMON_PROGRAM_H
#define LLAMACTL_COMMON_PROGRAM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "common/sink.h"
#include "common/tasks.h"

struct breakpoints;
struct look;
struct watching;

struct program {
    struct sink sink;
    struct task_table tasks;
    pid_t root;
    bool recording;
    bool detaching;
    bool killing;
    bool passing;       /* resume without stopping at calls */
    atomic_int request; /* what Python asks for (ptrace/tracer.h); 0: nothing */
    atomic_int done;
    struct breakpoints * breakpoints; /* NULL: none */
    int boundary_error;               /* why they couldn't be armed */
    struct look * look;               /* breakpoint/look.c; NULL: nobody looks */
    struct watching * watching;       /* buffers to be watched (breakpoint/buffers.h); NULL: none */
};

#endif
