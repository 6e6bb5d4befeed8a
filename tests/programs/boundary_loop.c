// Calls the library of llama_target.c from N threads, M times each, when a line comes on its input; then says so.
// With "twice" it waits for one more line and prints its result before it ends.
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

uint32_t llama_n_ctx(const void * context);
int32_t llama_calls_itself(const void * context);

static long calls;

static void * work(void * data) {
    long sum = 0;
    for (long i = 0; i < calls; i++) {
        sum += llama_n_ctx((const void *) (uintptr_t) i);
    }
    *(long *) data = sum;
    return NULL;
}

int main(int argc, char ** argv) {
    int threads = argc > 1 ? atoi(argv[1]) : 4;
    calls = argc > 2 ? atol(argv[2]) : 5000;
    char line[64];
    long sums[64] = {0}, sum = 0;
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        pthread_t ids[64];
        for (int i = 0; i < threads; i++) {
            pthread_create(&ids[i], NULL, work, &sums[i]);
        }
        for (int i = 0; i < threads; i++) {
            pthread_join(ids[i], NULL);
            sum += sums[i];
        }
        printf("done %ld %d\n", sum, llama_calls_itself((const void *) 41));
        fflush(stdout);
    }
    return 7;
}
