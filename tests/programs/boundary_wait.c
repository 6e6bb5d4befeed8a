// Preloaded into a program: before main it says "ready" and waits for a line, so that a tracer can attach.
#include <stdlib.h>
#include <unistd.h>

__attribute__((constructor)) static void wait_for_tracer(void) {
    char byte = 0;
    unsetenv("LD_PRELOAD");
    if (write(1, "ready\n", 6) == 6) {
        while (read(0, &byte, 1) == 1 && byte != '\n') {
        }
    }
}
