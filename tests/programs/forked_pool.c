// A pool of OpenMP's threads is made, then the process is forked, and the child waits for a pool
// that isn't there. Prints "ready" and the child's number.
#include <stdio.h>
#include <unistd.h>

static void together(void) {
    volatile int sum = 0;
#pragma omp parallel num_threads(3)
    { sum += 1; }
}

int main(void) {
    together();
    int child = fork();
    if (child) {
        printf("ready %d\n", child);
        fflush(stdout);
        sleep(60);
        return 0;
    }
    together();
    return 0;
}
