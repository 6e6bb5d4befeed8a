/* A libllama whose llama_decode ends the process in a way of one's choice, in code of "libggml". */
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef ENGINE
int ggml_end(int how) {
    switch (how) {
    case 0:
#if defined(__x86_64__)
        __asm__ volatile("ud2");
#else
        __asm__ volatile(".inst 0");
#endif
        break;
    case 1:
        *(volatile int *) (uintptr_t) 16 = 1;
        break;
    case 2:
        abort();
    case 3:
        raise(SIGTERM);
        break;
    case 4:
        for (;;) {
            pause();
        }
    }
    return how;
}
#else
int ggml_end(int how);
int llama_decode(void * context, int how) {
    (void) context;
    return ggml_end(how) + (int) getpid();
}
#endif
