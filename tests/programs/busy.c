/* Two threads that compute and make calls until stdin ends; prints one checksum per round of each.
 *
 * Says "ready" first. What it prints doesn't depend on time, so an observer that changes anything shows. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static atomic_int stop;
static atomic_int faults;

static void *work(void *data) {
    uint64_t state = (uintptr_t)data;
    int ends[2];
    char byte = 0;
    struct timespec moment = { 0, 200000 };
    if (pipe(ends)) {
        faults++;
        return NULL;
    }
    while (!stop) {
        for (int i = 0; i < 20000; i++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
        }
        byte = (char)(state >> 56);
        char back = 0;
        if (write(ends[1], &byte, 1) != 1 || read(ends[0], &back, 1) != 1 || back != byte) {
            faults++;
        }
        if (nanosleep(&moment, NULL) != 0 && errno != EINTR) {
            faults++;
        }
    }
    return NULL;
}

int main(void) {
    pthread_t threads[2];
    char byte;
    for (uintptr_t i = 0; i < 2; i++) {
        pthread_create(&threads[i], NULL, work, (void *)(i + 1));
    }
    puts("ready");
    fflush(stdout);
    ssize_t got;
    while ((got = read(0, &byte, 1)) == 1 || (got < 0 && errno == EINTR)) {
        printf("%c", byte);
        fflush(stdout);
    }
    stop = 1;
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    printf("faults %d\n", faults);
    return faults != 0;
}
