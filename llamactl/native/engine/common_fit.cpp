// Fitting to the devices' memory, and control vectors, as llama.cpp's programs do it.
#include "common.h"
#include "engine/common_answer.h"
#include "fit.h"

extern "C" int llamactl_fit(const char * path, llama_model_params * model,
                            llama_context_params * context, float * tensor_split,
                            llama_model_tensor_buft_override * overrides, size_t * margins,
                            uint32_t n_ctx_min) {
    try {
        return common_fit_params(path, model, context, tensor_split, overrides, margins, n_ctx_min,
                                 nullptr, GGML_LOG_LEVEL_ERROR);
    } catch (const std::exception &) {
        return COMMON_PARAMS_FIT_STATUS_ERROR;
    }
}

extern "C" llamactl_answer * llamactl_control_vector(const llamactl_span * files,
                                                     const float * scales, size_t count) {
    return llamactl::answer([&] {
        std::vector<common_control_vector_load_info> infos;
        for (size_t i = 0; i < count; i++) {
            infos.push_back({scales[i], llamactl::text_of(files[i])});
        }
        const auto loaded = common_control_vector_load(infos);
        if (loaded.n_embd <= 0) {
            throw std::runtime_error("no control vector is in it, or they don't fit each other");
        }
        const auto * data = reinterpret_cast<const char *>(loaded.data.data());
        return std::vector<std::string>{std::string(data, loaded.data.size() * sizeof(float)),
                                        std::to_string(loaded.n_embd)};
    });
}
