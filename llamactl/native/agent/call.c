// A call of the engine: what is kept on the way in, and the record on the way out.
#include <time.h>

#include "agent/agent.h"
#include "calls/result.h"

enum { RUSAGE_OF_THREAD = 1, ENTERED_ON = 48 };
// struct rusage of the kernel, as 64-bit words.
enum { MINOR = 8, MAJOR = 9, VOLUNTARY = 16, INVOLUNTARY = 17, WORDS = 18 };

// The times in rusage are as old as the last tick, the thread's own clock is exact.
static void usage_now(uint64_t out[3]) {
    int64_t words[WORDS] = {0};
    struct timespec cpu = {0};
    sys3(__NR_getrusage, RUSAGE_OF_THREAD, (long) words, 0);
    sys3(__NR_clock_gettime, CLOCK_THREAD_CPUTIME_ID, (long) &cpu, 0);
    out[0] = (uint64_t) words[MINOR] | (uint64_t) words[MAJOR] << 32;
    out[1] = (uint64_t) words[VOLUNTARY] | (uint64_t) words[INVOLUNTARY] << 32;
    out[2] = (uint64_t) cpu.tv_sec * 1000000000u + (uint64_t) cpu.tv_nsec;
}

// Two counters in one word: each half is subtracted by itself.
static uint64_t halves_since(uint64_t now, uint64_t then) {
    return (uint64_t) (uint32_t) ((now >> 32) - (then >> 32)) << 32 |
           (uint32_t) ((uint32_t) now - (uint32_t) then);
}

// The structure that a call passes by value.
static const unsigned char * structure(const struct keep * keep,
                                       const struct saved_registers * in) {
#if defined(__x86_64__)
    (void) keep;
    return in->stack;
#else
    return (const unsigned char *) in->integers[keep->pointer];
#endif
}

// The register of an argument; on x86-64 the address of a returned structure comes before all of
// them.
static uint64_t integer(const struct row * row, unsigned index, const struct saved_registers * in) {
    return in->integers[ARCH_NATIVE == ARCH_X86_64 && row->returns == 's' ? index + 1 : index];
}

static uint64_t keep_one(const struct row * row, const struct keep * keep,
                         const struct saved_registers * in) {
    uint64_t value;
    switch (keep->source) {
    case REGISTER:
        return integer(row, keep->index, in);
    case REGISTER_32:
        return (uint64_t) (int64_t) (int32_t) integer(row, keep->index, in);
    case STACK_64:
        return *(const uint64_t *) (structure(keep, in) + keep->index);
    case STACK_EITHER:
        value = *(const uint64_t *) (structure(keep, in) + keep->index);
        return value ? value
                     : *(const uint64_t *) (structure(keep, in) + keep->index + 8) | OTHER_POINTER;
    case STACK_32:
        return (uint64_t) (int64_t) *(const int32_t *) (structure(keep, in) + keep->index);
    case FLOAT_REGISTER:
        return *(const uint32_t *) in->vectors[keep->index];
    default:
        return 0;
    }
}

static void keep_arguments(const struct row * row, const struct saved_registers * in,
                           struct record * frame) {
    unsigned at = 0;
    for (unsigned i = 0; i < KEEP_MAX && row->keeps[i].source != NOTHING; i++) {
        const struct keep * keep = row->keeps + i;
        if (keep->source == TOLD) {
            frame->text = 0;
        } else if (keep->source == STRING) {
            const char * text = (const char *) integer(row, keep->index, in);
            frame->text = text ? ring_text(text, text_length(text, TEXT_LIMIT)) : 0;
        } else {
            frame->args[at++] = keep_one(row, keep, in);
        }
    }
}

static void keep(unsigned number, const struct record * frame, uint64_t head) {
    const struct hook * hook = hooks + number;
    const enum weight weight = frame->duration >= SHORT_NS ? WORK : (enum weight) hook->weight;
    if (unlikely(!ring_put(frame, head, weight))) {
        ring_count(hook->site, frame->duration, weight);
    }
}

// The frame was jumped over, by an exception or longjmp: its return will not be seen.
static void abandon(struct thread * t, unsigned d) {
    if (t->abandoned & 1u << d) {
        return;
    }
    t->abandoned |= 1u << d;
    if (d >= t->base) {
        struct record * frame = t->slot->frames + d;
        keep(t->hooks[d], frame, frame->head | (FLAG_NO_EXIT | FLAG_LEFT) << 8);
        frame->head = 0;
    }
}

static unsigned number_of(const struct thread * t, unsigned d) {
    return (unsigned) (t - threads) * MAX_DEPTH + d;
}

unsigned depth_limit = MAX_DEPTH;

// A frame above the stack pointer is alive. At the same stack pointer it is alive only when the
// caller jumped here at its end (a tail call), which shows in the return address. What looks dead
// is reported but its return address is kept while there is room. Greenlets move stacks about: with
// them nothing is ever taken for dead, and calls inside calls are only counted (see depth_limit in
// agent.c).
static void find_abandoned(struct thread * t, uintptr_t stack, const void * returns_to) {
    if (depth_limit < MAX_DEPTH) {
        return;
    }
    for (unsigned d = t->depth; d-- > 0;) {
        const struct return_entry * entry = agent_return_table + number_of(t, d);
        const void * patched = agent_returns + (size_t) number_of(t, d) * RETURN_SIZE;
        if (entry->stack > stack || (entry->stack == stack && returns_to == patched)) {
            break;
        }
        abandon(t, d);
    }
    while (t->depth == MAX_DEPTH && t->abandoned & 1u << (t->depth - 1)) {
        do {
            t->depth--;
            t->abandoned &= ~(1u << t->depth);
        } while (t->depth && t->abandoned & 1u << (t->depth - 1));
    }
}

static void begin(struct thread * t, unsigned d, const struct hook * hook,
                  const struct saved_registers * in) {
    struct record * frame = t->slot->frames + d;
    const struct row * row = hook->row;
    unsigned flags = hook->via == VIA_INNER ? FLAG_INNER : 0;
    const int among_engine = hook->via == VIA_ENGINE;
    frame->text = 0;
    frame->text2 = among_engine ? 0 : t->place;
    if (unlikely(among_engine)) {
        // Who called is known of the call around it.
    } else if (t->released) {
        flags |= FLAG_RELEASED;
    } else {
        flags |= gil_state();
        frame->text2 = flags & FLAG_HELD ? python_place() : 0;
    }
    if (unlikely(hook->makes && !among_engine)) {
        python_place_is_heavy(frame->text2);
    }
    frame->tid = (int32_t) t->tid;
    frame->pid = (int32_t) t->pid;
    frame->ret = 0;
    frame->duration = 0;
    for (unsigned i = 0; i < 6; i++) {
        frame->args[i] = 0;
    }
    if (row) {
        keep_arguments(row, in, frame);
        if (row->heavy) {
            python_place_is_heavy(frame->text2);
            usage_now(t->usage[d]);
            frame->args[5] = (uint64_t) cpu_now() << ENTERED_ON;
        }
    }
    frame->start = now_ns();
    frame->head = record_head(RECORD_CALL, flags, hook->site, RECORD_CPU_UNKNOWN);
}

// Functions that aren't recorded, but tell something.
static void besides(const struct hook * hook, const struct saved_registers * in) {
    if (hook->kind == GIVES_RIGHTS_AWAY) {
        ring_hand_on();
        return;
    }
    if (hook->kind == EXECUTES || hook->kind == EXECUTES_WITH) {
        exec_begins(hook->kind == EXECUTES ? NULL : (char **) in->integers[2]);
        return;
    }
    struct thread * t = thread_self();
    if (t && t->called_back) {
        callback_seen(t, in->integers[0]);
    }
}

hidden void * agent_enter(struct saved_registers * in) {
    const struct hook * hook = hooks + in->index;
    if (unlikely(hook->kind)) {
        besides(hook, in);
        return hook->target;
    }
    if (unlikely(hook->via == VIA_INNER && hook->library->called)) {
        return hook->target;
    }
    struct thread * t = thread_self();
    if (unlikely(!t)) {
        return hook->target;
    }
    const uintptr_t stack = (uintptr_t) in->stack;
    if (unlikely(t->depth)) {
        find_abandoned(t, stack, in->return_address);
    }
    const unsigned d = t->depth;
    if (unlikely(d >= depth_limit)) {
        if (hook->device) {
            ring_count(hook->site, 0, CHEAP);
        } else {
            add(&ring->lost_depth, hook->via != VIA_ENGINE);
        }
        return hook->target;
    }
    // ggml's calls to itself on the way to what was asked of it.
    if (unlikely(hook->via == VIA_ENGINE && d && hooks[t->hooks[d - 1]].tells)) {
        return hook->target;
    }
    t->depth = d + 1; // First: a signal handler that calls in here uses the next frame.
    t->slot->frames[d].head = 0;
    t->called_back &= ~(1u << d);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    t->slot->depth = d + 1;
    struct return_entry * entry = agent_return_table + number_of(t, d);
    entry->address = in->return_address;
    entry->stack = stack;
    t->hooks[d] = (uint16_t) (hook - hooks);
    if (hook->device) {
        device_begin(t, hook, in, t->slot->frames + d);
    } else {
        begin(t, d, hook, in);
    }
    in->return_address = agent_returns + (size_t) number_of(t, d) * RETURN_SIZE;
    return hook->target;
}

static void end(struct thread * t, unsigned d, struct saved_results * out, uint64_t now) {
    struct record * frame = t->slot->frames + d;
    const uint64_t head = frame->head;
    const struct row * row = hooks[t->hooks[d]].row;
    frame->duration = now - frame->start;
    if (hooks[t->hooks[d]].device && !device_end(hooks + t->hooks[d], out, frame)) {
        return;
    }
    if (row) {
        frame->ret =
            result_of(row->returns, out->integers[RESULT], *(const uint32_t *) out->vectors[0]);
        if (row->heavy) {
            uint64_t usage[3];
            usage_now(usage);
            frame->args[3] = halves_since(usage[0], t->usage[d][0]);
            frame->args[4] = halves_since(usage[1], t->usage[d][1]);
            // Where it began goes above the CPU time, which so has room for three days.
            frame->args[5] |= (usage[2] - t->usage[d][2]) & ((1ull << ENTERED_ON) - 1);
        }
    }
    if (unlikely(hooks[t->hooks[d]].tells) && !buffers_told(hooks + t->hooks[d], frame)) {
        return;
    }
    keep(t->hooks[d], frame, (head & ~(0xFFFFull << 32)) | (uint64_t) cpu_now() << 32);
    if (unlikely(hooks[t->hooks[d]].role)) {
        watch_result(hooks[t->hooks[d]].role, frame);
    }
}

hidden void * agent_leave(struct saved_results * out) {
    const uint64_t now = now_ns();
    const unsigned d = out->index % MAX_DEPTH;
    struct thread * t = threads + out->index / MAX_DEPTH;
    void * address = agent_return_table[out->index].address;
    if (unlikely(thread_self() != t)) {
        return address; // In a forked child that found no room for itself.
    }
    for (unsigned above = t->depth; above-- > d + 1;) {
        abandon(t, above);
    }
    if (d >= t->base && !(t->abandoned & 1u << d)) {
        end(t, d, out, now);
        t->slot->frames[d].head = 0;
    }
    t->abandoned &= (1u << d) - 1;
    t->base = t->base > d ? d : t->base;
    t->slot->depth = d;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    t->depth = d;
    return address;
}
