// How C++ answers C: a status and texts.
#pragma once
#include <exception>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "engine/common_api.h"

struct llamactl_answer {
    llamactl_status status;
    std::vector<std::string> parts;
};

namespace llamactl {

inline std::string text_of(llamactl_span span) {
    return span.size ? std::string(span.data, span.size) : std::string();
}

// Runs `make`, which returns the parts, and puts an exception into the answer. NULL without memory
// for even that.
template <typename Make> llamactl_answer * answer(Make && make) {
    try {
        try {
            return new llamactl_answer{LLAMACTL_DONE, make()};
        } catch (const std::bad_alloc &) {
            return new llamactl_answer{LLAMACTL_NO_MEMORY, {}};
        } catch (const std::exception & error) {
            return new llamactl_answer{LLAMACTL_FAILED, {error.what()}};
        }
    } catch (...) {
        return nullptr;
    }
}

} // namespace llamactl
