// Reading what C++ answered.
#include "engine/common_answer.h"

extern "C" llamactl_status llamactl_answer_status(const llamactl_answer * answer) {
    return answer ? answer->status : LLAMACTL_NO_MEMORY;
}

extern "C" llamactl_span llamactl_answer_part(const llamactl_answer * answer, size_t part) {
    if (!answer || part >= answer->parts.size()) {
        return {nullptr, 0};
    }
    return {answer->parts[part].data(), answer->parts[part].size()};
}

extern "C" void llamactl_answer_free(llamactl_answer * answer) {
    delete answer;
}
