// A library whose function throws through its C boundary, as one compiled from C++ may.
#include <stdexcept>
extern "C" int llama_may_throw(int value) {
    if (value < 0) {
        throw std::runtime_error("negative");
    }
    return value * 2;
}
extern "C" int llama_catches_itself(int value) {
    try {
        return llama_may_throw(value);
    } catch (const std::exception &) {
        return -1;
    }
}
