/* A thread other than the first executes this program anew, and takes the first one's id with it. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_int created;

static void *work(void *name) {
    char *again[] = { name, "again", NULL };
    while (!created) { /* The first thread is to have made all its calls: which it makes last is chance. */
    }
    for (int i = 0; i < 10; i++) {
        syscall(SYS_getppid);
    }
    execv("/proc/self/exe", again);
    _exit(9);
}

int main(int argc, char **argv) {
    pthread_t thread;
    if (argc > 1) {
        for (int i = 0; i < 7; i++) {
            syscall(SYS_getppid);
        }
        return 3;
    }
    pthread_create(&thread, NULL, work, argv[0]);
    created = 1;
    for (;;) {
    }
}
