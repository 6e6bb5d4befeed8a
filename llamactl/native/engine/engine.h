// Our own additions to the engine's C interface.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ggml-backend.h"
#include "llama.h"

#ifdef __cplusplus
extern "C" {
#endif

// Memory that a context and its model hold in one kind of buffer, in bytes.
struct llamactl_buffer_memory {
    char buffer_type[64]; // "CPU", "CUDA0", …, or "mapped" for the mapping of the file
    char device[64];      // name of the device, empty where a buffer type belongs to none
    bool is_host;
    size_t model;
    size_t context;
    size_t compute;
};

// Returns the number of kinds; writes at most `capacity` of them.
size_t llamactl_memory_breakdown(const struct llama_context * ctx,
                                 struct llamactl_buffer_memory * out, size_t capacity);

// Writes the CPU backend's features as "AVX2=1,FMA=1,…"; returns the length, 0 if it has none.
size_t llamactl_cpu_features(char * buf, size_t size);

// When the engine aborts, throws past its C interface or faults, prints one line and ends the
// process with `exit_code`, instead of a backtrace and a core dump.
void llamactl_guard_install(const char * program, int exit_code);
// What the line ends with: the remedy for what is being done at the moment.
void llamactl_guard_set_suffix(const char * text);

// Ctrl-C came and a worker doesn't answer: prints a line and ends the process with 130. Returns if
// the guard isn't installed.
void llamactl_guard_end_interrupted(const char * worker);

// What went to one worker and came from it since watching began.
struct llamactl_worker_traffic {
    char address[32]; // "1.2.3.4:50052"
    uint64_t connections;
    uint64_t sent_bytes;
    uint64_t received_bytes;
    uint64_t round_trips; // times that an answer was awaited after something was sent
    uint64_t waited_ns;   // waiting for answers and receiving them
};

// Counts the traffic of the RPC that `function` belongs to, for connections made from now on.
void llamactl_rpc_watch(void * function);
// False: nothing, or not all of it, is counted.
bool llamactl_rpc_watching(void);
// Returns the number of workers; writes at most `capacity` of them.
size_t llamactl_rpc_traffic(struct llamactl_worker_traffic * out, size_t capacity);

enum { LLAMACTL_ROOM_BYTES = 4096 };
// Has the library return a struct (0 llama_model_params, 1 llama_context_params, 2 llama_batch)
// into `out`; what it doesn't write stays. False where the calling convention isn't known.
bool llamactl_returned_bytes(int which, unsigned char * out);

// As ggml_threadpool_new and ggml_threadpool_free, of the CPU backend that is in use; NULL where
// there is none.
ggml_threadpool_t llamactl_threadpool_new(struct ggml_threadpool_params * params);
void llamactl_threadpool_free(ggml_threadpool_t threadpool);

// Log lines at or above `min_level` go to llamactl_py_log; the rest never touch Python.
void llamactl_log_forward(int min_level);
void llamactl_log_discard(void);
// A line for the same log, from beside the engine.
void llamactl_log_line(enum ggml_log_level level, const char * text);

// SIGINT raises a flag at once and still reaches the handler that was there before.
bool llamactl_interrupt_install(void);
void llamactl_interrupt_remove(void);
bool llamactl_interrupted(void);
const uint8_t * llamactl_interrupt_flag(void);
// llama_decode of this context returns 2 soon after the flag is raised.
void llamactl_abort_on_interrupt(struct llama_context * ctx);

#ifdef __cplusplus
}
#endif
