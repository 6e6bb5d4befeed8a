/* What Python sees of the recorder (tracer_api.h). */
struct sink_block {
    uint32_t count;
    uint32_t string_bytes;
    ...;
};
typedef struct tracer tracer_t;

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

/* NULL when memory is short; selected: 128 bytes, a bit per system call, or NULL for all. */
tracer_t *tracer_new(uint32_t blocks, const uint8_t *selected);
/* Starts the thread that forks and execs; everything passed must live until tracer_started isn't 0. */
int tracer_launch(tracer_t *tracer, const char *path, char *const *argv, char *const *envp,
                  const char *cwd, const void *filter, uint32_t filter_length, int no_new_privs,
                  uint32_t loops);
int tracer_attach(tracer_t *tracer, int pid);
/* 0 not yet, 1 recording, 2 failed (see the state). */
int tracer_started(tracer_t *tracer);
struct sink_block *tracer_take(tracer_t *tracer, int timeout_ms);
void tracer_give_back(tracer_t *tracer, struct sink_block *block);
/* 1 record no more, 2 detach, 3 kill; returns when the request was heard. */
void tracer_ask(tracer_t *tracer, int request);
void tracer_state_of(tracer_t *tracer, struct tracer_state *state);
/* Detaches from an attached program, kills a started one, joins the thread. */
void tracer_free(tracer_t *tracer);
int tracer_text_rule(uint32_t nr, uint8_t *kinds, uint8_t *arguments, uint16_t *sizes);
uint32_t tracer_audit_arch(void);
void *tracer_block_records(struct sink_block *block);
void *tracer_block_strings(struct sink_block *block);
