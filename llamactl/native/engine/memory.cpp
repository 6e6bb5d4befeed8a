// The one part of the engine's interface that only C++ can read, as plain structs.
#include <cstdio>
#include <cstring>

#include "engine/engine.h"
#include "llama-ext.h"

static void fill(llamactl_buffer_memory & out, ggml_backend_buffer_type_t type,
                 const llama_memory_breakdown_data & bytes) {
    ggml_backend_dev_t device = ggml_backend_buft_get_device(type);
    snprintf(out.buffer_type, sizeof out.buffer_type, "%s", ggml_backend_buft_name(type));
    snprintf(out.device, sizeof out.device, "%s", device ? ggml_backend_dev_name(device) : "");
    out.is_host = ggml_backend_buft_is_host(type);
    out.model = bytes.model;
    out.context = bytes.context;
    out.compute = bytes.compute;
}

extern "C" size_t llamactl_memory_breakdown(const struct llama_context * ctx,
                                            struct llamactl_buffer_memory * out, size_t capacity) {
    size_t n = 0;
    for (const auto & [type, bytes] : llama_get_memory_breakdown(ctx)) {
        if (n < capacity) {
            fill(out[n], type, bytes);
        }
        n++;
    }
    return n;
}

extern "C" size_t llamactl_cpu_features(char * buf, size_t size) {
    ggml_backend_reg_t reg = ggml_backend_reg_by_name("CPU");
    if (reg == nullptr) {
        return 0;
    }
    auto get = reinterpret_cast<ggml_backend_get_features_t>(
        ggml_backend_reg_get_proc_address(reg, "ggml_backend_get_features"));
    size_t length = 0;
    for (auto * feature = get ? get(reg) : nullptr; feature && feature->name; feature++) {
        int n = snprintf(buf + length, size - length, "%s%s=%s", length ? "," : "", feature->name,
                         feature->value);
        if (n < 0 || length + n >= size) {
            break;
        }
        length += n;
    }
    return length;
}
