/* untouched FILE: ask for the name at the start of FILE and for the one across its first page's end, from
 * memory that nobody has touched before. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096
#define ROUNDS 20

int main(int argc, char **argv) {
    int file = argc == 2 ? open(argv[1], O_RDONLY) : -1;
    if (file < 0) {
        return 2;
    }
    for (int i = 0; i < 2 * ROUNDS; i++) {
        const char *names = mmap(NULL, 2 * PAGE, PROT_READ, MAP_PRIVATE, file, 0);
        access(names + (i % 2 ? PAGE - 4 : 0), F_OK);
        munmap((void *)names, 2 * PAGE);
    }
    access((const char *)16, F_OK);
    return 0;
}
