/* What Python sees of the recorder (api.h). */
struct sink_block {
    uint32_t count;
    uint32_t string_bytes;
    ...;
};
typedef struct tracer tracer_t;

/* Functions whose calls are caught from outside (calls/api.h). */
struct point {
    uint64_t address;
    uint16_t nr;
    char returns;
    uint8_t unwinds;
    uint8_t role;
    uint8_t always;
    uint8_t endless;
    uint8_t looks;
    uint8_t count;
    uint8_t source[4];
    uint8_t index[4];
    ...;
};
struct address_range {
    uint64_t start;
    uint64_t end;
};
struct point_row {
    char returns;
    uint8_t count;
    uint8_t source[4];
    uint8_t index[4];
    const char *label[4];
};
typedef struct points points_t;
points_t *points_new(const struct point *rows, uint32_t count, const struct address_range *ranges,
                     uint32_t range_count);
void points_free(points_t *points);
/* Functions that do nothing, to measure what a uprobe costs (calls/probe_loop.h). */
const void *probe_function(int which);
uint64_t probe_loop(int which, uint32_t loops);

int points_role(const char *name);
int points_row(const char *name, const char *const *exports, struct point_row *row);
struct breakpoint_state {
    int armed;
    int error;
    uint32_t functions;
    uint32_t refused;
    uint64_t hits;
    uint64_t inner;
    uint64_t unrecorded;
};
/* The points become the recorder's; 0 or an errno. Before tracer_attach, or in an answer to tracer_look. */
int tracer_breakpoints(tracer_t *tracer, points_t *points, uint64_t scratch, uint32_t bytes);
/* Before the start: ask Python to look for functions at each exec of the program, and at functions that say so. */
void tracer_looks(tracer_t *tracer);
/* Waits; 1 when the program waits to be looked at, 2 when it has just executed, 0 after the time, -1 at the end. */
int tracer_look(tracer_t *tracer, int timeout_ms);
/* The program may go on; what tracer_breakpoints was given since is armed before. */
void tracer_looked(tracer_t *tracer);
/* Nobody will answer any more: the program waits for nothing. */
void tracer_looks_no_more(tracer_t *tracer);
/* While the program waits: functions whose int3 has vanished, since their library was unloaded; how many. */
uint32_t tracer_points_gone(tracer_t *tracer, uint64_t *addresses, uint32_t most);
void tracer_breakpoint_state(tracer_t *tracer, struct breakpoint_state *state);

struct watch_state {
    uint64_t address;
    uint64_t bytes;
    uint64_t since_ns;
    uint64_t until_ns;
    uint32_t moves;
    uint32_t elsewhere;
    int process;
    int last_watched;
    int error;
    int filtered;
};

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
    uint32_t refused; /* 1 strict seccomp, 2 to be traced by somebody else: what the program couldn't have */
};

/* NULL when memory is short; selected: 128 bytes, a bit per system call, or NULL for all. */
struct awake;
tracer_t *tracer_new(uint32_t blocks, const uint8_t *selected);
/* Starts the thread that forks and execs; what is passed must live until it has started. */
int tracer_launch(tracer_t *tracer, const char *path, char *const *argv, char *const *envp,
                  const char *cwd, const void *filter, uint32_t filter_length, int no_new_privs,
                  uint32_t loops);
int tracer_attach(tracer_t *tracer, int pid);
/* Another process to take hold of with the one that is attached to. Before tracer_attach; 0 or an errno. */
int tracer_also(tracer_t *tracer, int pid);
/* 0 not yet, 1 recording, 2 failed (see the state). */
int tracer_started(tracer_t *tracer);
/* Before the launch: where a call's strings can be read on entry, record only those (with
 * FLAG_ENTRY_ONLY); another recorder sees the call. */
void tracer_entry_only(tracer_t *tracer);
/* Before the launch: let the child wait, seized, until it is released. */
void tracer_hold(tracer_t *tracer);
int tracer_held(tracer_t *tracer);
void tracer_release(tracer_t *tracer);
/* Whether a recorder may keep a CPU awake between stops; else it sleeps, and so may the CPUs. */
void awake_allow(int allow);
/* For the engine python: waits for the next stop of this thread's tracees without letting the CPUs
 * fall asleep; returns the thread's id or -errno. */
struct awake *awake_new(void);
void awake_free(struct awake *awake);
int awake_next(struct awake *awake, int *status);
struct sink_block *tracer_take(tracer_t *tracer, int timeout_ms);
void tracer_give_back(tracer_t *tracer, struct sink_block *block);
/* 1 record no more, 2 detach, 3 kill; heard at once, or with the next tracer_take. */
void tracer_ask(tracer_t *tracer, int request);
void tracer_state_of(tracer_t *tracer, struct tracer_state *state);
/* Detaches from an attached program, kills a started one, joins the thread. */
void tracer_free(tracer_t *tracer);
int tracer_text_rule(uint32_t nr, uint8_t *kinds, uint8_t *arguments, uint16_t *sizes);
uint32_t tracer_audit_arch(void);
void *tracer_block_records(struct sink_block *block);
void *tracer_block_strings(struct sink_block *block);

typedef struct perf perf_t;
/* Before the program starts: watch what llama.cpp hands out, by perf or (NULL) ptrace. touches: stop after
 * so many, 0 for never; asks: the agent's word, set to 0 when the program filters its system calls. 0 or an
 * errno. */
int tracer_watch(tracer_t *tracer, perf_t *perf, uint32_t touches, uint32_t *asks);
int tracer_ask_allowed(void);
int tracer_watch_state(tracer_t *tracer, int buffer, struct watch_state *state);
const char *tracer_watch_maps(tracer_t *tracer, uint32_t *bytes);
int perf_running(perf_t *perf);
int perf_watch_allowed(void);
/* Rings of ring_bytes per CPU; ids of tracepoints, 0 for none; tasks: births and deaths. */
perf_t *perf_new(uint32_t blocks, uint32_t ring_bytes, int enter_id, int exit_id, int faults,
                 int tasks,
                 const uint8_t *selected);
/* A file descriptor of a tracefs mounted for us alone, or -errno. */
int perf_tracefs(void);
/* 0, or -errno and the stage; the filters must live as long as the recorder. */
int perf_open(perf_t *perf, int tid, int on_exec, const char *enter_filter,
              const char *exit_filter);
/* After perf_new with ids 0, before perf_open: system calls come from BPF programs of our own, with
 * their strings, through a ring of ring_bytes. 0, or -errno where that isn't allowed. */
int perf_calls(perf_t *perf, uint32_t ring_bytes);
/* After perf_calls: follow a thread that runs already, and its children. 0 or -errno. */
int perf_follow(perf_t *perf, int tid);
/* enable: at once, not at exec; watched: the process attached to, 0 for none. */
int perf_start(perf_t *perf, int enable, int watched);
struct sink_block *perf_take(perf_t *perf, int timeout_ms);
void perf_give_back(perf_t *perf, struct sink_block *block);
void perf_stop(perf_t *perf);
int perf_done(perf_t *perf);
uint64_t perf_lost(perf_t *perf);
/* Every event before this moment (CLOCK_MONOTONIC, ns) has been taken from the rings. */
uint64_t perf_drained(perf_t *perf);
int perf_stage(perf_t *perf);
uint64_t perf_ring_bytes(perf_t *perf);
void perf_free(perf_t *perf);
/* Before perf_open: record calls of these points, which become the recorder's, by the tracepoints of our
 * uprobes (0: none), and nothing else. */
void perf_boundary(perf_t *perf, points_t *points, int enter_id, int leave_id);
uint64_t perf_inner(perf_t *perf);
/* After perf_open: watch a float's address; `which` is the records' nr. 0 or -errno. */
int perf_watch(perf_t *perf, int tid, int which, uint64_t address);
int perf_watch_move(perf_t *perf, int which, uint64_t address);

/* A child that waits before its exec until the gate is opened. */
struct launched {
    int pid;
    int gate;
    int report;
};
int launch_start(struct launched *child, const char *path, char *const *argv, char *const *envp,
                 const char *cwd, const void *filter, uint32_t filter_length, int no_new_privs,
                 uint32_t loops);
/* Stops one thread by SIGSTOP. */
/* For a thread of another's that traces: what gets it out of waitpid, and the signal that does. */
void tracer_prepare_thread(void);
int tracer_wake_signal(void);
/* What a program that is started gets back of its world, from now on: a bit per ignored signal (1 << (number
 * - 1)), all others default, and the limit of open files. */
void launch_world(uint64_t ignored, uint64_t files, uint64_t most_files);
int launch_open_gate(struct launched *child);
int launch_answer(struct launched *child, int *stage, int *error, uint64_t *loop_ns);
void launch_end(struct launched *child);
