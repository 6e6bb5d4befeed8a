// Preloaded (LD_PRELOAD) into llama-bench or llamactl: each repetition waits until it is told to
// begin. Both call llama_memory_clear just before their clock starts, and next after it has
// stopped. On the socket TURNS_FD goes out how long the thread waited for a CPU since it was told;
// a byte comes in.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define WAKE_NS 5000000

struct llama_memory_i;

// The second number of schedstat, see Documentation/scheduler/sched-stats.rst.
static int64_t run_delay_ns(void) {
    char text[128];
    long long on_cpu = 0, waited = 0;
    int file = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : read(file, text, sizeof text - 1);
    close(file);
    if (length <= 0) {
        return 0;
    }
    text[length] = '\0';
    return sscanf(text, "%lld %lld", &on_cpu, &waited) == 2 ? waited : 0;
}

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
}

void llama_memory_clear(struct llama_memory_i * memory, bool data);

void llama_memory_clear(struct llama_memory_i * memory, bool data) {
    static void (*real)(struct llama_memory_i *, bool);
    static int64_t before;
    int64_t waited = run_delay_ns() - before;
    char go;
    if (real == NULL) {
        // Not RTLD_NEXT: Python loads the engine for its own module alone.
        void * engine = dlopen("libllama.so", RTLD_LAZY | RTLD_NOLOAD);
        real = (void (*)(struct llama_memory_i *, bool)) dlsym(engine, "llama_memory_clear");
    }
    int turns = atoi(getenv("TURNS_FD"));
    if (write(turns, &waited, sizeof waited) != sizeof waited || read(turns, &go, 1) != 1) {
        _exit(1);
    }
    // llamactl reads its counters before its clock starts, llama-bench does nothing: a CPU that has
    // just slept, and the other side's last steps, would be in its time alone.
    for (int64_t end = now_ns() + WAKE_NS; now_ns() < end;) {
    }
    real(memory, data);
    before = run_delay_ns();
}
