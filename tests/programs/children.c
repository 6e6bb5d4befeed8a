/* Starts COUNT short children, one after the other, each of which makes one call and ends. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
    int count = argc > 1 ? atoi(argv[1]) : 500;
    for (int i = 0; i < count; i++) {
        pid_t child = fork();
        if (child == 0) {
            syscall(SYS_getppid);
            _exit(0);
        }
        if (child < 0 || waitpid(child, NULL, 0) != child) {
            return 1;
        }
    }
    return 0;
}
