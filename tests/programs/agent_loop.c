// Calls llama_nothing N times and prints nanoseconds per call.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
void llama_nothing(void);
int main(int argc, char ** argv) {
    const long n = argc > 1 ? atol(argv[1]) : 1000000;
    struct timespec a, b;
    llama_nothing();
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (long i = 0; i < n; i++) {
        llama_nothing();
    }
    clock_gettime(CLOCK_MONOTONIC, &b);
    printf("%.2f\n", ((b.tv_sec - a.tv_sec) * 1e9 + (b.tv_nsec - a.tv_nsec)) / n);
    return 0;
}
