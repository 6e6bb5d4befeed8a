// The log of llama.cpp's library `common`, which would start a thread and write to the terminal
// itself: warnings and errors go where the engine's own lines go. In place of its log.cpp.
#include <cstdarg>
#include <cstdio>

#include "common.h"
#include "engine/engine.h"
#include "json.h"
#include "log.h"

int common_log_get_verbosity_thold() {
    return LOG_LEVEL_WARN;
}

void common_log_set_verbosity_thold(int) {}

bool common_log_get_jsonl() {
    return false;
}

common_log * common_log_main() {
    return nullptr;
}

void common_log_add(common_log *, ggml_log_level level, const char * format, ...) {
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    llamactl_log_line(level, line);
}

void common_log_add_json(common_log *, const char *, const common_json &) {}

void common_log_default_callback(ggml_log_level level, const char * text, void *) {
    llamactl_log_line(level, text);
}
