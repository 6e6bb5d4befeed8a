/* The first thread ends when it reads a byte; the other goes on, and at the next byte makes 100 calls. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_barrier_t both;

static void *work(void *unused) {
    char byte;
    pthread_barrier_wait(&both);
    if (read(0, &byte, 1) == 1) {
        for (int i = 0; i < 100; i++) {
            syscall(SYS_getppid);
        }
    }
    return unused;
}

int main(void) {
    pthread_t thread;
    char byte;
    pthread_barrier_init(&both, NULL, 2);
    pthread_create(&thread, NULL, work, NULL);
    puts("ready");
    fflush(stdout);
    if (read(0, &byte, 1) == 1) {
        pthread_barrier_wait(&both);
        pthread_exit(NULL);
    }
    return 1;
}
