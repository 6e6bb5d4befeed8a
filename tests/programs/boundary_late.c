// Loads libraries like llama_target.c when it is told to: a line "PATH N" loads one and calls its llama_n_ctx N times,
// "close" unloads the last one. Says "done" and the sum of the results after each.
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void) {
    char line[4096];
    void * library = NULL;
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        long sum = 0;
        char * space = strrchr(line, ' ');
        if (!strncmp(line, "close", 5)) {
            sum = dlclose(library);
        } else if (space) {
            *space = 0;
            library = dlopen(line, RTLD_NOW | RTLD_LOCAL);
            void * symbol = library ? dlsym(library, "llama_n_ctx") : NULL;
            uint32_t (*call)(const void *);
            memcpy(&call, &symbol, sizeof call);
            for (long i = 0; i < (call ? atol(space + 1) : 0); i++) {
                sum += call((const void *) (uintptr_t) i);
            }
        }
        printf("done %ld\n", sum);
        fflush(stdout);
    }
    return 7;
}
