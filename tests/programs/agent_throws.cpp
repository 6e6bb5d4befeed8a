// Catches what llama_throws.cpp throws, through two recorded calls, and ends a thread inside of one.
#include <pthread.h>

#include <cstdio>
#include <stdexcept>
#include <string>
extern "C" int llama_may_throw(int value);
extern "C" int llama_catches_itself(int value);
static int destroyed;
struct Guard {
    ~Guard() { destroyed++; }
};
static int caught(int value) {
    Guard guard;
    try {
        Guard inner;
        return llama_may_throw(value);
    } catch (const std::runtime_error & error) {
        return std::string(error.what()) == "negative" ? -2 : -3;
    }
}
int main() {
    for (int i = 0; i < 100; i++) {
        if (caught(-1) != -2 || caught(i) != 2 * i || llama_catches_itself(-5) != -1) {
            std::puts("wrong");
            return 1;
        }
    }
    std::printf("right %d\n", destroyed);
    return 0;
}
