// Small things that llama.cpp's programs take from their library.
#include "common.h"
#include "engine/common_answer.h"
#include "json-schema-to-grammar.h"
#include "json.h"

// The structs point into their common_params, so that lives on.
static common_params & defaults() {
    static common_params params;
    return params;
}

extern "C" llama_model_params llamactl_common_model_params() {
    return common_model_params_to_llama(defaults());
}

extern "C" llama_context_params llamactl_common_context_params() {
    return common_context_params_to_llama(defaults());
}

extern "C" llamactl_answer * llamactl_escapes(llamactl_span text) {
    return llamactl::answer([&] {
        std::string processed = llamactl::text_of(text);
        string_process_escapes(processed);
        return std::vector<std::string>{std::move(processed)};
    });
}

extern "C" llamactl_answer * llamactl_schema_grammar(llamactl_span schema) {
    return llamactl::answer([&] {
        const auto parsed = common_json::parse(llamactl::text_of(schema));
        return std::vector<std::string>{json_schema_to_grammar(parsed)};
    });
}
