/* A thread that pins itself to one CPU and computes there with a pool of libgomp; the first thread isn't pinned. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

static atomic_int pinned;

static void *compute(void *unused) {
    volatile unsigned long work = 0;
    cpu_set_t all, one;
    int cpu = 0;
    sched_getaffinity(0, sizeof all, &all);
    while (!CPU_ISSET(cpu, &all)) {
        cpu++;
    }
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
    for (;;) {
#pragma omp parallel num_threads(2)
        {
            pinned++;
            for (int i = 0; i < 100000; i++) {
                work += (unsigned long) i;
            }
        }
    }
    return unused;
}

int main(void) {
    pthread_t thread;
    char byte;
    if (pthread_create(&thread, NULL, compute, NULL)) {
        return 1;
    }
    while (pinned < 2) {
        usleep(1000);
    }
    printf("ready\n");
    fflush(stdout);
    return read(0, &byte, 1) < 0;
}
