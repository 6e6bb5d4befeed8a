// Stands for a frozen application: Python and a binding are mapped by a program that isn't an interpreter. It
// appends a line to the file LOG each time it is started. Arguments: libraries.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int count, char ** words) {
    FILE * log = fopen(getenv("LOG"), "a");
    fprintf(log, "started\n");
    fclose(log);
    for (int i = 1; i < count; i++) {
        if (!dlopen(words[i], RTLD_NOW)) {
            return 3;
        }
    }
    puts("ready");
    fflush(stdout);
    char end;
    return read(0, &end, 1) < 0;
}
