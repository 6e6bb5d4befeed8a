/* Calls on processes: fork, vfork, exec, wait, signals, a program that another thread replaces, a daemon.
 *
 * Without an argument it does all of it; with one it ends with that status. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char *self;
static pthread_barrier_t both;  /* so that the first thread has left clone3 when exec ends it */

static void count(int signal) { (void)signal; }

static int run(const char *status, int how) {
    char *const argv[] = { self, (char *)status, NULL };
    int result = -1;
    pid_t child = how == SYS_vfork ? vfork() : fork();
    if (child == 0) {
        execv(self, argv);
        _exit(99);
    }
    waitpid(child, &result, 0);
    return WEXITSTATUS(result);
}

static void *replace(void *unused) {
    char *const argv[] = { self, "5", NULL };
    pthread_barrier_wait(&both);
    execv(self, argv);
    return unused;
}

static int run_from_thread(void) {
    int result = -1;
    pid_t child = fork();
    if (child == 0) {
        pthread_t thread;
        pthread_barrier_init(&both, NULL, 2);
        pthread_create(&thread, NULL, replace, NULL);
        pthread_barrier_wait(&both);
        for (;;) {
            pause();
        }
    }
    waitpid(child, &result, 0);
    return WEXITSTATUS(result);
}

static void start_daemon(int report) {
    if (fork() == 0) {
        setsid();
        if (fork() == 0) {
            write(report, "d", 1);
            _exit(0);
        }
        _exit(0);
    }
    wait(NULL);
}

int main(int argc, char **argv) {
    int ends[2];
    char got;
    self = argv[0];
    if (argc > 1) {
        return atoi(argv[1]);
    }
    if (run("3", SYS_vfork) != 3 || run("4", 0) != 4 || run_from_thread() != 5) {
        return 1;
    }
    signal(SIGUSR1, count);
    for (int i = 0; i < 10; i++) {
        kill(getpid(), SIGUSR1);
    }
    prctl(PR_SET_NAME, "renamed");
    prctl(PR_SET_DUMPABLE, 0);
    if (pipe(ends)) {
        return 2;
    }
    start_daemon(ends[1]);
    close(ends[1]);
    if (read(ends[0], &got, 1) != 1) {
        return 3;
    }
    kill(getpid(), SIGTERM);
    return 6;
}
