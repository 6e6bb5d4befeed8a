// What llama.cpp's library keeps to itself.
#pragma once
#include "common.h"

namespace llamactl {

// Takes what the model's file says of sampling (general.sampling.*), except what was asked for.
void sampling_of_model(const llama_model * model, common_params_sampling & sampling);

} // namespace llamactl
