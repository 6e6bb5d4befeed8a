// A libllama whose decode computes in threads of OpenMP, and can be held up in ways that are known.
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct llama_batch {
    int32_t n_tokens;
    int32_t * token;
    void * rest[5];
};

// Set by the program: how much each thread computes, in how many threads, memory to touch, a file to read.
int32_t llama_busy_us = 3000, llama_threads = 1, llama_wait_fd = -1;
const volatile char * llama_touch;
size_t llama_touch_bytes;
int32_t llama_touch_ms = 150; // no longer than this: disks differ
int32_t llama_worker;

static void compute_us(int32_t us) {
    struct timespec begin, now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
    do {
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    } while ((now.tv_sec - begin.tv_sec) * 1000000 + (now.tv_nsec - begin.tv_nsec) / 1000 < us);
}

static int64_t elapsed_ms(const struct timespec * begin, const struct timespec * now) {
    return (now->tv_sec - begin->tv_sec) * 1000 + (now->tv_nsec - begin->tv_nsec) / 1000000;
}

// A signal's handler that keeps whatever thread it meets from its work.
static int32_t pause_ms;
static void pause_here(int number) {
    const int error = errno;
    struct timespec left = {.tv_nsec = pause_ms * 1000000L};
    (void) number;
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) != 0) {
    }
    errno = error;
}
void llama_pause_worker(int32_t ms) {
    struct sigaction action = {.sa_handler = pause_here, .sa_flags = SA_RESTART};
    pause_ms = ms;
    sigaction(SIGUSR1, &action, NULL);
    syscall(SYS_tgkill, getpid(), llama_worker, SIGUSR1);
}

int32_t llama_decode(void * context, struct llama_batch batch) {
    (void) context;
    const int32_t us = llama_busy_us;
#pragma omp parallel num_threads(llama_threads)
    {
        if (syscall(SYS_gettid) != getpid()) {
            llama_worker = (int32_t) syscall(SYS_gettid);
        }
        compute_us(us);
    }
    int32_t sum = batch.n_tokens;
    struct timespec begin, now;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    now = begin;
    for (size_t at = 0; at < llama_touch_bytes && elapsed_ms(&begin, &now) < llama_touch_ms; at += 4096) {
        sum += llama_touch[at];
        clock_gettime(CLOCK_MONOTONIC, &now);
    }
    char byte;
    if (llama_wait_fd >= 0 && read(llama_wait_fd, &byte, 1) != 1) {
        sum++;
    }
    return sum & 0;
}
