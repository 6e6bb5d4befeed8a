// A thread of the C++ library, made by this program.
#include <cstdio>
#include <thread>
#include <unistd.h>

int main() {
    int ends[2];
    if (pipe(ends) != 0) {
        return 1;
    }
    std::thread waiting([&] {
        char byte;
        (void) !read(ends[0], &byte, 1);
    });
    std::printf("ready\n");
    std::fflush(stdout);
    char byte;
    (void) !read(0, &byte, 1);
    (void) !write(ends[1], "x", 1);
    waiting.join();
}
