// A library that looks like libllama to whoever binds it, and whose results are known.
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct llama_model_params {
    void * devices;
    const void * overrides;
    int32_t n_gpu_layers, split_mode, load_mode, lazy_mode, main_gpu;
    const float * tensor_split;
    void * progress;
    void * progress_data;
    const void * kv_overrides;
    bool vocab_only, check_tensors, use_extra_bufts, no_host, no_alloc, load_mtp;
};

struct llama_batch {
    int32_t n_tokens;
    int32_t * token;
    float * embd;
    int32_t * pos;
    int32_t * n_seq_id;
    int32_t ** seq_id;
    int8_t * logits;
};

const char * llama_load_mode_name(int mode) { return mode ? "other" : "auto"; }

static void sleep_ns(int64_t ns) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += ns % 1000000000;
    until.tv_sec += ns / 1000000000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0) {
    }
}

static int sleeping;
// Returns once another thread is inside of llama_sleep_us, or of a decode that sleeps.
void llama_await_sleeper(void) {
    while (!__atomic_load_n(&sleeping, __ATOMIC_SEQ_CST)) {
        sleep_ns(100000);
    }
}

// A structure that is returned through a hidden pointer: 72 bytes.
struct llama_model_params llama_model_default_params(void) {
    struct llama_model_params params = {.n_gpu_layers = -1, .load_mode = 2, .main_gpu = 7, .load_mtp = true};
    params.tensor_split = (const float *) 0x1234;
    return params;
}

// A structure by value on the stack behind a pointer in a register. Returns a sum of its fields.
int64_t llama_model_load_from_file(const char * path, struct llama_model_params p) {
    return (int64_t) strlen(path) + p.n_gpu_layers * 10 + p.load_mode * 100 + p.main_gpu * 1000
        + (int64_t) (intptr_t) p.tensor_split + p.load_mtp;
}

// How long a decode computes and then sleeps; set by the program.
int32_t llama_decode_busy_us, llama_decode_away_us;

static void compute_us(int32_t us) {
    struct timespec begin, now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
    do {
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    } while ((now.tv_sec - begin.tv_sec) * 1000000 + (now.tv_nsec - begin.tv_nsec) / 1000 < us);
}

int32_t llama_decode(void * context, struct llama_batch batch) {
    if (llama_decode_busy_us) {
        compute_us(llama_decode_busy_us);
    }
    if (llama_decode_away_us) {
        __atomic_store_n(&sleeping, 1, __ATOMIC_SEQ_CST);
        sleep_ns((int64_t) llama_decode_away_us * 1000);
    }
    int32_t sum = (int32_t) (intptr_t) context;
    for (int32_t i = 0; i < batch.n_tokens; i++) {
        sum += batch.token[i];
    }
    return sum;
}

void llama_set_n_threads(void * context, int32_t n_threads, int32_t n_threads_batch) {
    (void) context, (void) n_threads, (void) n_threads_batch;
}

struct llama_batch llama_batch_init(int32_t n_tokens, int32_t embd, int32_t n_seq_max) {
    return (struct llama_batch) {.n_tokens = n_tokens * 100 + embd * 10 + n_seq_max};
}

// Sleeps as long as a computation would take; the moments at which it ended are the truth about waits.
int64_t llama_sleep_ends[64];
int llama_sleeps;
int32_t llama_sleep_us(int32_t us) {
    __atomic_store_n(&sleeping, 1, __ATOMIC_SEQ_CST);
    sleep_ns((int64_t) us * 1000);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    llama_sleep_ends[__atomic_fetch_add(&llama_sleeps, 1, __ATOMIC_SEQ_CST) % 64]
        = now.tv_sec * (int64_t) 1000000000 + now.tv_nsec;
    return us;
}

uint32_t llama_n_ctx(const void * context) { return (uint32_t) (uintptr_t) context + 1; }

// Six integers, eight floating-point numbers, and more of both on the stack.
double llama_sum_all(int a, long b, short c, int64_t d, uint8_t e, int f, double g, float h, double i, double j,
                     float k, double l, double m, double n, long o, double p, long q) {
    return a + b * 2 + c * 3 + d * 4 + e * 5 + f * 6 + g * 7 + h * 8 + i * 9 + j * 10 + k * 11 + l * 12 + m * 13
        + n * 14 + o * 15 + p * 16 + q * 17;
}

double llama_sum_va(int count, ...) {
    va_list list;
    va_start(list, count);
    double sum = 0;
    for (int i = 0; i < count; i++) {
        sum += va_arg(list, double);
    }
    va_end(list);
    return sum;
}

struct pair { double a, b; };
struct mixed { double a; int64_t b; };
struct pair llama_pair(double a, double b) { return (struct pair) {a + 1, b + 2}; }
struct mixed llama_mixed(double a, int64_t b) { return (struct mixed) {a + 1, b + 2}; }
long double llama_long_double(long double a) { return a * 2; }
float llama_sampler_init_temp(float t) { return t * 2; }
typedef float wide __attribute__((vector_size(32)));
__attribute__((target("avx"))) void llama_wide(wide * out, const wide * in) { *out = *in + *in; }

int32_t llama_tokenize(const void * vocab, const char * text, int32_t length, int32_t * tokens, int32_t room,
                       bool special, bool parse) {
    (void) vocab, (void) text, (void) special, (void) parse;
    for (int32_t i = 0; i < length && i < room; i++) {
        tokens[i] = i;
    }
    return length;
}
int32_t llama_sampler_sample(void * sampler, void * context, int32_t index) {
    (void) context;
    compute_us((int32_t) (intptr_t) sampler);
    return 4242 + index;
}

// Touches all of the memory it is given.
size_t llama_state_get_data(void * context, uint8_t * buffer, size_t size) {
    (void) context;
    memset(buffer, 1, size);
    return size;
}

typedef int (*llama_callback)(int);
int32_t llama_call_back(llama_callback callback, int value) { return callback(value) + 1; }
jmp_buf llama_jump;
void llama_jump_out(int value) { longjmp(llama_jump, value); }
void llama_nothing(void) {}

// This call of the library to itself is none of the binding's.
int32_t llama_calls_itself(const void * context) { return (int32_t) llama_n_ctx(context) + 1; }
