// Calls every awkward signature of llama_target.c and checks what comes back; prints one line and exits 0.
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

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
struct pair { double a, b; };
struct mixed { double a; int64_t b; };
typedef float wide __attribute__((vector_size(32)));
typedef int (*callback)(int);

struct llama_model_params llama_model_default_params(void);
int64_t llama_model_load_from_file(const char *, struct llama_model_params);
int32_t llama_decode(void *, struct llama_batch);
struct llama_batch llama_batch_init(int32_t, int32_t, int32_t);
int32_t llama_tokenize(const void *, const char *, int32_t, int32_t *, int32_t, bool, bool);
double llama_sum_all(int, long, short, int64_t, uint8_t, int, double, float, double, double, float, double, double,
                     double, long, double, long);
double llama_sum_va(int, ...);
struct pair llama_pair(double, double);
struct mixed llama_mixed(double, int64_t);
long double llama_long_double(long double);
float llama_sampler_init_temp(float);
void llama_wide(wide *, const wide *);
uint32_t llama_n_ctx(const void *);
int32_t llama_calls_itself(const void *);
int32_t llama_call_back(callback, int);
void llama_jump_out(int);
void llama_nothing(void);
extern jmp_buf llama_jump;

#define CHECK(what) do { if (!(what)) { printf("wrong: %s\n", #what); exit(1); } } while (0)

static int nested(int value) { return value > 0 ? llama_call_back(nested, value - 1) : 100; }
static int jumps(int value) { llama_jump_out(value); return 0; }
static volatile sig_atomic_t signals;
static void on_signal(int number) { (void) number; signals++; llama_nothing(); }

static void structures(void) {
    struct llama_model_params params = llama_model_default_params();
    CHECK(params.n_gpu_layers == -1 && params.load_mode == 2 && params.main_gpu == 7 && params.load_mtp);
    CHECK(llama_model_load_from_file("/model", params) == 6 - 10 + 200 + 7000 + 0x1234 + 1);
    int32_t tokens[] = {1, 2, 3};
    CHECK(llama_decode((void *) 10, (struct llama_batch) {.n_tokens = 3, .token = tokens}) == 16);
    CHECK(llama_batch_init(3, 2, 1).n_tokens == 321);
    CHECK(llama_tokenize(NULL, "secret", 6, tokens, 3, true, true) == 6);
    struct pair pair = llama_pair(1.5, 2.5);
    CHECK(pair.a == 2.5 && pair.b == 4.5);
    struct mixed mixed = llama_mixed(1.5, 40);
    CHECK(mixed.a == 2.5 && mixed.b == 42);
}

static void numbers(void) {
    CHECK(llama_sum_all(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1) == 153);
    CHECK(llama_sum_va(5, 1.5, 2.5, 3.0, 4.0, 5.0) == 16);
    CHECK(llama_long_double(1.25L) == 2.5L);
    CHECK(llama_sampler_init_temp(0.5f) == 1.0f);
    CHECK(llama_n_ctx((void *) 41) == 42 && llama_calls_itself((void *) 41) == 43);
    if (__builtin_cpu_supports("avx")) {
        wide in = {1, 2, 3, 4, 5, 6, 7, 8}, out;
        llama_wide(&out, &in);
        CHECK(out[0] == 2 && out[7] == 16);
    }
}

static void jumping(void) {
    for (volatile int i = 1; i <= 100; i++) {
        const int value = setjmp(llama_jump);
        if (value == 0) {
            llama_call_back(jumps, i);
            CHECK(!"reached");
        }
        CHECK(value == i);
    }
}

int main(void) {
    structures();
    numbers();
    CHECK(llama_call_back(nested, 5) == 106);
    CHECK(llama_call_back(nested, 40) == 141);
    jumping();
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval timer = {{0, 200}, {0, 200}};
    setitimer(ITIMER_REAL, &timer, NULL);
    long calls = 0;
    while (signals < 50) {
        llama_nothing();
        calls++;
    }
    timer = (struct itimerval) {0};
    setitimer(ITIMER_REAL, &timer, NULL);
    printf("right %ld %d\n", calls, (int) signals);
    return 0;
}
