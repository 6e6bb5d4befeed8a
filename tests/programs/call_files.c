/* Calls on files, in the directory given. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

int main(int argc, char **argv) {
    char data[100] = "x";
    struct stat status;
    struct iovec parts[2] = { { data, 10 }, { data, 20 } };
    if (argc != 2 || chdir(argv[1]) != 0) {
        return 2;
    }
    int fd = open("one", O_RDWR | O_CREAT | O_TRUNC, 0600);
    for (int i = 0; i < 50; i++) {
        if (write(fd, data, sizeof data) != sizeof data) {
            return 3;
        }
    }
    lseek(fd, 0, SEEK_SET);
    while (read(fd, data, sizeof data) > 0) {
    }
    if (pread(fd, data, 7, 11) != 7 || pwritev(fd, parts, 2, 5) != 30) {
        return 4;
    }
    int copy = dup(fd);
    fcntl(copy, F_GETFL);
    fdatasync(fd);
    ftruncate(fd, 10);
    close(copy);
    close(fd);
    rename("one", "two");
    link("two", "three");
    symlink("two", "four");
    readlink("four", data, sizeof data);
    stat("two", &status);
    lstat("four", &status);
    access("nothing here", R_OK);
    open("nothing here", O_RDONLY);
    mkdir("inside", 0700);
    rmdir("inside");
    unlink("two");
    unlink("three");
    unlink("four");
    return 7;
}
