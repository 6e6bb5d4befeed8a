/* The functions of the module _tracer; tracer.cdef.h says the same to CFFI. */
#ifndef LLAMACTL_TRACER_API_H
#define LLAMACTL_TRACER_API_H

#include <stdint.h>

#include "tracer_sink.h"

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
};

struct tracer *tracer_new(uint32_t blocks, const uint8_t *selected);
int tracer_launch(struct tracer *tracer, const char *path, char *const *argv, char *const *envp,
                  const char *cwd, const void *filter, uint32_t filter_length, int no_new_privs,
                  uint32_t loops);
int tracer_attach(struct tracer *tracer, int pid);
int tracer_started(struct tracer *tracer);
struct sink_block *tracer_take(struct tracer *tracer, int timeout_ms);
void tracer_give_back(struct tracer *tracer, struct sink_block *block);
void tracer_ask(struct tracer *tracer, int request);
void tracer_state_of(struct tracer *tracer, struct tracer_state *state);
void tracer_free(struct tracer *tracer);
int tracer_text_rule(uint32_t nr, uint8_t *kinds, uint8_t *arguments, uint16_t *sizes);
uint32_t tracer_audit_arch(void);
void *tracer_block_records(struct sink_block *block);
void *tracer_block_strings(struct sink_block *block);

typedef struct tracer tracer_t;

#endif
