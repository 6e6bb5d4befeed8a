/* What Python sees of the perf recorder. */
#ifndef LLAMACTL_PERF_API_H
#define LLAMACTL_PERF_API_H

#include <stdint.h>

#include "calls/api.h"
#include "common/api.h"

struct perf;

/* Rings of ring_bytes per CPU; ids of tracepoints, 0 for none; tasks: births and deaths; selected:
 * 128 bytes, a bit per system call, or NULL for all. NULL when memory is short. */
struct perf * perf_new(uint32_t blocks, uint32_t ring_bytes, int enter_id, int exit_id, int faults,
                       int tasks, const uint8_t * selected);
/* A file descriptor of a tracefs mounted for us alone, or -errno. */
int perf_tracefs(void);
/* 0 or -errno; the filters must live as long as the recorder. */
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
void perf_free(struct perf * perf);
/* Before perf_open: record calls of these points, which become the recorder's, by the tracepoints
 * of our uprobes (0: none), and nothing else. */
void perf_boundary(struct perf * perf, struct points * points, int enter_id, int leave_id);
/* llama.cpp's calls to itself, which aren't recorded. */
uint64_t perf_inner(struct perf * perf);
/* After perf_open: watch a float's address; `which` is the records' nr. 0 or -errno. */
int perf_watch(struct perf * perf, int tid, int which, uint64_t address);
int perf_watch_move(struct perf * perf, int which, uint64_t address);
/* Whether perf_start was called. */
int perf_running(struct perf * perf);
/* Whether perf events may watch addresses here: 0 or -errno. */
int perf_watch_allowed(void);

#endif
