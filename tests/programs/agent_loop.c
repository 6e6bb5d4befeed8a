// Calls llama_nothing N times; prints nanoseconds per call and the process's peak memory in KiB.
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

int main(int argc, char ** argv) {
    const long n = argc > 1 ? atol(argv[1]) : 1000000;
    struct timespec a, b;
    llama_nothing();
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (long i = 0; i < n; i++) {
        llama_nothing();
    }
    clock_gettime(CLOCK_MONOTONIC, &b);
    printf("%.2f %ld\n", ((b.tv_sec - a.tv_sec) * 1e9 + (b.tv_nsec - a.tv_nsec)) / n, peak_kib());
    return 0;
}
