// Calls llama_nothing N times; prints nanoseconds per call (median of batches) and the process's peak memory in KiB.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
void llama_nothing(void);

static long peak_kib(void) {
    char line[256];
    long kib = -1;
    FILE * file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof(line), file)) {
        if (strncmp(line, "VmHWM:", 6) == 0) {
            kib = atol(line + 6);
        }
    }
    return kib;
}

static double now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e9 + time.tv_nsec;
}

static int by_size(const void * a, const void * b) {
    return *(const double *) a > *(const double *) b ? 1 : -1;
}

// In 20 batches, of which the median counts: a batch in which another program had the CPU says nothing.
int main(int argc, char ** argv) {
    enum { BATCHES = 20 };
    const long n = (argc > 1 ? atol(argv[1]) : 1000000) / BATCHES;
    double times[BATCHES];
    llama_nothing();
    for (int batch = 0; batch < BATCHES; batch++) {
        const double begin = now_ns();
        for (long i = 0; i < n; i++) {
            llama_nothing();
        }
        times[batch] = n ? (now_ns() - begin) / (double) n : 0;
    }
    qsort(times, BATCHES, sizeof(times[0]), by_size);
    printf("%.2f %ld\n", times[BATCHES / 2], peak_kib());
    return 0;
}
