/* A pool of libgomp with one worker, idle; how it waits is decided by OMP_WAIT_POLICY. */
#include <omp.h>
#include <stdio.h>
#include <unistd.h>

int main(void) {
    int threads = 0;
    char byte;
    omp_set_num_threads(2);
#pragma omp parallel reduction(+ : threads)
    threads += 1;
    printf("ready\n");
    fflush(stdout);
    return read(0, &byte, 1) < 0 || threads == 0;
}
