// agent_processes fork|vfork|exec|threads|kill|exit N: calls llama_n_ctx a known number of times in each
// process or thread, then ends as asked.
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

uint32_t llama_n_ctx(const void * context);
int llama_call_back(int (*callback)(int), int value);
int llama_sleep_us(int us);

static int count;

static void call(int times) {
    for (int i = 0; i < times; i++) {
        if (llama_n_ctx((void *) (intptr_t) i) != (uint32_t) i + 1) {
            abort();
        }
    }
}

static void * in_thread(void * argument) {
    (void) argument;
    call(count);
    return NULL;
}

static void threads(int number) {
    pthread_t ids[number];
    for (int i = 0; i < number; i++) {
        pthread_create(ids + i, NULL, in_thread, NULL);
    }
    for (int i = 0; i < number; i++) {
        pthread_join(ids[i], NULL);
    }
}

static int wait_for(pid_t child) {
    int status;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// Forks inside of a call; both processes return through it.
static int forks(int value) {
    const pid_t child = fork();
    if (child == 0) {
        call(count);
        threads(3);
        return value;
    }
    return wait_for(child) == 9 ? value : -1;
}

static int ends(int value) {
    if (value == 1) {
        raise(SIGKILL);
    }
    _exit(value);
}

static int short_threads(void) {
    for (int i = 0; i < 600; i++) {
        threads(1);
    }
    return 0;
}

int main(int argc, char ** argv) {
    const char * what = argc > 2 ? argv[1] : "";
    count = argc > 2 ? atoi(argv[2]) : 0;
    call(count);
    if (!strcmp(what, "fork")) {
        const pid_t parent = getpid();
        const int result = llama_call_back(forks, 7);
        call(1);
        return getpid() == parent ? (result == 8 ? 0 : 1) : 9;
    }
    if (!strcmp(what, "vfork")) {
        const pid_t child = vfork();
        if (child == 0) {
            execl(argv[0], argv[0], "plain", argv[2], NULL);
            _exit(1);
        }
        return wait_for(child);
    }
    if (!strcmp(what, "exec")) {
        execl(argv[0], argv[0], "plain", argv[2], NULL);
    }
    if (!strcmp(what, "threads")) {
        threads(4);
    }
    if (!strcmp(what, "short")) {
        return short_threads();
    }
    if (!strcmp(what, "kill")) {
        llama_call_back(ends, 1);
    }
    if (!strcmp(what, "exit")) {
        llama_call_back(ends, 33);
    }
    return 0;
}
