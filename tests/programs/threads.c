/* THREADS threads that make CALLS calls of getppid each, at most AT_ONCE of them at a time. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static long calls;

static void *work(void *unused) {
    for (long i = 0; i < calls; i++) {
        syscall(SYS_getppid);
    }
    return unused;
}

int main(int argc, char **argv) {
    pthread_t threads[1024];
    if (argc != 4) {
        return 2;
    }
    int count = atoi(argv[1]), at_once = atoi(argv[3]);
    calls = atol(argv[2]);
    for (int done = 0; done < count; done += at_once) {
        for (int i = 0; i < at_once; i++) {
            if (pthread_create(&threads[i], NULL, work, NULL)) {
                return 3;
            }
        }
        for (int i = 0; i < at_once; i++) {
            pthread_join(threads[i], NULL);
        }
    }
    return 0;
}
