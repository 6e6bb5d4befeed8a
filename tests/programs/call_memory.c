/* Calls on memory: maps, protects, advises, moves, locks, and touches every page. */
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES 64
#define ROUNDS 20

int main(void) {
    size_t size = PAGES * 4096;
    for (int i = 0; i < ROUNDS; i++) {
        char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) {
            return 2;
        }
        madvise(memory, size, MADV_NOHUGEPAGE);
        memset(memory, i, size);
        mprotect(memory, 4096, PROT_READ);
        mlock(memory, 4096);
        munlock(memory, 4096);
        memory = mremap(memory, size, 2 * size, MREMAP_MAYMOVE);
        munmap(memory, 2 * size);
    }
    munmap((void *)1, 1);
    void *end = sbrk(0);
    return brk((char *)end + 65536) != 0;
}
