// llama.cpp's common.cpp as it is, and a way to what is static in it.
#include "common.cpp"

#include "engine/common_whole.h"

void llamactl::sampling_of_model(const llama_model * model, common_params_sampling & sampling) {
    common_init_sampler_from_model(model, sampling);
}
