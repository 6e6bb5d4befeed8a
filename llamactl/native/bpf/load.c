/* Load the BPF programs, attach them, say which threads they follow (bpf(2)). */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/membarrier.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bpf/asm.h"
#include "bpf/calls.h"
#include "common/arch.h"

static int bpf(int command, union bpf_attr * attr) {
    long got = syscall(SYS_bpf, command, attr, sizeof *attr);
    return got < 0 ? -errno : (int) got;
}

static int new_map(uint32_t type, uint32_t key, uint32_t value, uint32_t entries, uint32_t flags) {
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.map_type = type;
    attr.key_size = key;
    attr.value_size = value;
    attr.max_entries = entries;
    attr.map_flags = flags;
    return bpf(BPF_MAP_CREATE, &attr);
}

static int change_map(int map, const void * key, const void * value, uint64_t flags) {
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.map_fd = (uint32_t) map;
    attr.key = (uint64_t) (uintptr_t) key;
    attr.value = (uint64_t) (uintptr_t) value;
    attr.flags = flags;
    return bpf(value ? BPF_MAP_UPDATE_ELEM : BPF_MAP_DELETE_ELEM, &attr);
}

/* Loads a program, attaches it to a raw tracepoint; the program lives as long as this link. */
static int attach(const struct code * code, const char * tracepoint) {
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.prog_type = BPF_PROG_TYPE_RAW_TRACEPOINT;
    attr.insns = (uint64_t) (uintptr_t) code->insns;
    attr.insn_cnt = (uint32_t) code->count;
    attr.license = (uint64_t) (uintptr_t) "Dual MIT/GPL"; /* Some helpers ask for it. */
    int program = bpf(BPF_PROG_LOAD, &attr);
    if (program < 0) {
        return program;
    }
    memset(&attr, 0, sizeof attr);
    attr.raw_tracepoint.name = (uint64_t) (uintptr_t) tracepoint;
    attr.raw_tracepoint.prog_fd = (uint32_t) program;
    int link = bpf(BPF_RAW_TRACEPOINT_OPEN, &attr);
    close(program);
    return link == -ENOENT ? -ENOSYS : link; /* ENOENT means that there are no types (btf.c). */
}

static int open_maps(struct call_maps * maps, uint32_t ring_bytes) {
    maps->states = new_map(BPF_MAP_TYPE_HASH, 4, sizeof(struct call_state), CALL_THREADS, 0);
    maps->rules =
        new_map(BPF_MAP_TYPE_ARRAY, 4, sizeof(struct call_rule), CALL_NUMBERS, MAP_CAN_BE_MAPPED);
    maps->scratch = new_map(BPF_MAP_TYPE_PERCPU_ARRAY, 4, TEXT_SCRATCH, 1, 0);
    maps->ring = new_map(MAP_RING, 0, 0, ring_bytes, 0);
    maps->lost = new_map(BPF_MAP_TYPE_ARRAY, 4, 8, 1, MAP_CAN_BE_MAPPED);
    const int all[] = {maps->states, maps->rules, maps->scratch, maps->ring, maps->lost};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (all[i] < 0) {
            return all[i];
        }
    }
    return 0;
}

static int map_ring(struct call_tracing * calls, uint32_t ring_bytes) {
    size_t page = (size_t) sysconf(_SC_PAGESIZE);
    int ring = calls->maps.ring;
    /* The kernel maps the data twice in a row, so that nothing wraps around its end. */
    void * consumer = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, ring, 0);
    void * producer =
        mmap(NULL, page + 2 * (size_t) ring_bytes, PROT_READ, MAP_SHARED, ring, (off_t) page);
    void * lost = mmap(NULL, page, PROT_READ, MAP_SHARED, calls->maps.lost, 0);
    calls->consumer = consumer == MAP_FAILED ? NULL : consumer;
    calls->producer = producer == MAP_FAILED ? NULL : producer;
    calls->lost = lost == MAP_FAILED ? NULL : lost;
    if (!calls->consumer || !calls->producer || !calls->lost) {
        return -ENOMEM;
    }
    calls->ring.size = ring_bytes;
    calls->ring.data = (uint8_t *) producer + page;
    return 0;
}

static struct call_rule rule_for(const struct selection * selection, uint16_t nr) {
    struct call_rule rule = {.selected = selects(selection, nr)};
    const struct text_rule * text = text_rule_of(nr);
    for (int i = 0; text && i < 2; i++) {
        if (text->part[i].kind == TEXT_VECTOR) {
            rule.once = 1; /* Only a new program has one; the list itself isn't read. */
        } else if (text->part[i].kind != TEXT_NONE) {
            rule.part[i] = text->part[i];
            rule.texts = 1;
        }
    }
    return rule;
}

static int set_rules(const struct selection * selection, int map) {
    size_t bytes = CALL_NUMBERS * sizeof(struct call_rule);
    struct call_rule * rules = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
    if (rules == MAP_FAILED) {
        return -errno;
    }
    for (uint16_t nr = 0; nr < CALL_NUMBERS; nr++) {
        rules[nr] = rule_for(selection, nr);
    }
    munmap(rules, bytes);
    return 0;
}

/* Births first: a thread that is followed must not have a child that isn't. */
static int attach_all(struct call_tracing * calls) {
    static _Thread_local struct code code;
    const char * const places[CALL_LINKS] = {"sched_process_fork", "sched_process_exec",
                                             "sched_process_exit", "sys_exit", "sys_enter"};
    int pid_offset = btf_offset("task_struct", "pid");
    if (pid_offset < 0) {
        return pid_offset;
    }
    for (int i = 0; i < CALL_LINKS; i++) {
        memset(&code, 0, sizeof code);
        bool fits = i == 0   ? program_fork(&code, &calls->maps, (uint32_t) pid_offset)
                    : i == 1 ? program_exec(&code, &calls->maps)
                    : i == 2 ? program_death(&code, &calls->maps)
                    : i == 3 ? program_exit(&code, &calls->maps)
                             : program_enter(&code, &calls->maps);
        calls->links[i] = fits ? attach(&code, places[i]) : -E2BIG;
        if (calls->links[i] < 0) {
            return calls->links[i];
        }
    }
    return 0;
}

struct call_tracing * calls_open(struct sink * sink, struct task_table * tasks,
                                 const struct selection * selection, uint32_t ring_bytes,
                                 int * error) {
    struct call_tracing * calls = calloc(1, sizeof *calls);
    if (!calls) {
        *error = -ENOMEM;
        return NULL;
    }
    *calls = (struct call_tracing) {.sink = sink, .tasks = tasks, .selection = selection};
    calls->ring = (struct ring) {.kind = &calls_ring, .owner = calls};
    calls->maps = (struct call_maps) {-1, -1, -1, -1, -1};
    memset(calls->links, -1, sizeof calls->links);
    *error = open_maps(&calls->maps, ring_bytes);
    *error = *error ? *error : map_ring(calls, ring_bytes);
    *error = *error ? *error : set_rules(selection, calls->maps.rules);
    *error = *error ? *error : attach_all(calls);
    if (*error) {
        calls_close(calls);
        return NULL;
    }
    return calls;
}

int calls_add(struct call_tracing * calls, int tid, bool dormant) {
    struct call_state state;
    memset(&state, 0, sizeof state);
    state.record.kind = RECORD_SYSCALL;
    state.record.arch = ARCH_NATIVE;
    state.phase = dormant ? PHASE_DORMANT : PHASE_IDLE;
    int error = change_map(calls->maps.states, &tid, &state, BPF_NOEXIST);
    if (error) {
        return error;
    }
    /* One that ended before it was added stays in the map, and its number may come again. */
    if (syscall(SYS_tkill, tid, 0) != 0 && errno == ESRCH) {
        change_map(calls->maps.states, &tid, NULL, 0);
        return -ESRCH;
    }
    return 0;
}

bool calls_next(struct call_tracing * calls, const int * after, int * tid,
                struct call_state * state) {
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.map_fd = (uint32_t) calls->maps.states;
    attr.key = (uint64_t) (uintptr_t) after;
    attr.next_key = (uint64_t) (uintptr_t) tid;
    if (bpf(BPF_MAP_GET_NEXT_KEY, &attr) != 0) {
        return false;
    }
    attr.key = (uint64_t) (uintptr_t) tid;
    attr.value = (uint64_t) (uintptr_t) state;
    if (bpf(BPF_MAP_LOOKUP_ELEM, &attr) != 0) {
        state->phase = PHASE_IDLE; /* It has just ended. */
    }
    return true;
}

void calls_detach(struct call_tracing * calls, bool while_running) {
    for (int i = CALL_LINKS - 1; i >= 0; i--) {
        if (calls->links[i] >= 0) {
            close(calls->links[i]);
            calls->links[i] = -1;
        }
    }
    if (while_running) {
        /* Waits until none of the programs is being executed any more. */
        syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
    }
}

void calls_close(struct call_tracing * calls) {
    size_t page = (size_t) sysconf(_SC_PAGESIZE);
    if (!calls) {
        return;
    }
    calls_detach(calls, false);
    if (calls->consumer) {
        munmap(calls->consumer, page);
    }
    if (calls->producer) {
        munmap(calls->producer, page + 2 * calls->ring.size);
    }
    if (calls->lost) {
        munmap((void *) (uintptr_t) calls->lost, page);
    }
    const int all[] = {calls->maps.states, calls->maps.rules, calls->maps.scratch, calls->maps.ring,
                       calls->maps.lost};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (all[i] >= 0) {
            close(all[i]);
        }
    }
    free(calls);
}
