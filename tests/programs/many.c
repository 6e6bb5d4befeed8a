/* Much of one kind: "threads N" live at once, "children N" one after the other, "mappings N" at once, "exec" from a
 * thread. Prints what it made and ends with 7. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static pthread_barrier_t barrier;

static void *wait_for_all(void *data) {
    pthread_barrier_wait(&barrier);
    getppid();
    return data;
}

static int threads(int count) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 65536);
    pthread_barrier_init(&barrier, NULL, (unsigned)count + 1);
    pthread_t *all = calloc((size_t)count, sizeof *all);
    for (int i = 0; i < count; i++) {
        if (pthread_create(&all[i], &attributes, wait_for_all, NULL)) {
            exit(2);
        }
    }
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < count; i++) {
        pthread_join(all[i], NULL);
    }
    return count;
}

static int children(int count) {
    int ended = 0;
    for (int i = 0; i < count; i++) {
        pid_t child = fork();
        if (child == 0) {
            _exit(i & 127);
        }
        int status;
        ended += waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == (i & 127);
    }
    return ended;
}

static int mappings(int count) {
    int made = 0;
    for (int i = 0; i < count; i++) {
        /* Rights in turn, or the kernel would join neighbours. */
        made += mmap(NULL, 4096, i & 1 ? PROT_READ : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
    }
    return made;
}

int main(int argc, char **argv) {
    int count = argc > 2 ? atoi(argv[2]) : 0;
    int made = strcmp(argv[1], "threads") == 0    ? threads(count)
               : strcmp(argv[1], "children") == 0 ? children(count)
                                                  : mappings(count);
    printf("%d\n", made);
    return 7;
}
