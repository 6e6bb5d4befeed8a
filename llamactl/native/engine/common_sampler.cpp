// llama.cpp's sampler (common_sampler) behind C: what it is made of, making it, and choosing a
// token with its bytes in one crossing. After a decode the caches hold weights, and every Python
// instruction and every extra crossing costs microseconds instead of nanoseconds.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <memory>

#include "common.h"
#include "engine/common_answer.h"
#include "engine/common_whole.h"
#include "engine/engine.h"
#include "sampling.h"

struct llamactl_sampling {
    common_params_sampling params;
};

struct llamactl_sampler {
    common_sampler * now;
    common_sampler *
        begin; // as it was made: common_sampler_reset leaves grammar and budget as they are
};

namespace {

using params = common_params_sampling;

// The numbers by name, and the mark that keeps the file's own value from replacing what a person
// asks for.
const struct number {
    const char * name;
    float params::* real;
    int32_t params::* whole;
    uint64_t asked;
} numbers[] = {
    {"temperature", &params::temp, nullptr, COMMON_PARAMS_SAMPLING_CONFIG_TEMP},
    {"dynatemp_range", &params::dynatemp_range, nullptr, 0},
    {"dynatemp_exponent", &params::dynatemp_exponent, nullptr, 0},
    {"top_k", nullptr, &params::top_k, COMMON_PARAMS_SAMPLING_CONFIG_TOP_K},
    {"top_p", &params::top_p, nullptr, COMMON_PARAMS_SAMPLING_CONFIG_TOP_P},
    {"min_p", &params::min_p, nullptr, COMMON_PARAMS_SAMPLING_CONFIG_MIN_P},
    {"typical_p", &params::typ_p, nullptr, 0},
    {"top_n_sigma", &params::top_n_sigma, nullptr, 0},
    {"xtc_probability", &params::xtc_probability, nullptr,
     COMMON_PARAMS_SAMPLING_CONFIG_XTC_PROBABILITY},
    {"xtc_threshold", &params::xtc_threshold, nullptr, COMMON_PARAMS_SAMPLING_CONFIG_XTC_THRESHOLD},
    {"adaptive_target", &params::adaptive_target, nullptr, 0},
    {"adaptive_decay", &params::adaptive_decay, nullptr, 0},
    {"repeat_last_n", nullptr, &params::penalty_last_n,
     COMMON_PARAMS_SAMPLING_CONFIG_PENALTY_LAST_N},
    {"repeat_penalty", &params::penalty_repeat, nullptr,
     COMMON_PARAMS_SAMPLING_CONFIG_PENALTY_REPEAT},
    {"presence_penalty", &params::penalty_present, nullptr, 0},
    {"frequency_penalty", &params::penalty_freq, nullptr, 0},
    {"dry_multiplier", &params::dry_multiplier, nullptr, 0},
    {"dry_base", &params::dry_base, nullptr, 0},
    {"dry_allowed_length", nullptr, &params::dry_allowed_length, 0},
    {"dry_penalty_last_n", nullptr, &params::dry_penalty_last_n, 0},
    {"mirostat", nullptr, &params::mirostat, COMMON_PARAMS_SAMPLING_CONFIG_MIROSTAT},
    {"mirostat_tau", &params::mirostat_tau, nullptr, COMMON_PARAMS_SAMPLING_CONFIG_MIROSTAT_TAU},
    {"mirostat_eta", &params::mirostat_eta, nullptr, COMMON_PARAMS_SAMPLING_CONFIG_MIROSTAT_ETA},
};

const number * find(const char * name) {
    for (const number & each : numbers) {
        if (std::string(name) == each.name) {
            return &each;
        }
    }
    return nullptr;
}

int64_t now_ns() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
}

// The engine prints what is wrong with a grammar on stderr itself: caught, so that it can be told.
class caught_stderr {
  public:
    caught_stderr(char * text, size_t room) : said(text), size(room) {
        text[0] = '\0';
#ifdef __GLIBC__
        // glibc lets `stderr` be assigned; Python writes to the descriptor and doesn't notice.
        terminal = stderr;
        caught = fmemopen(said, size, "w");
        if (caught != nullptr) {
            stderr = caught;
        }
#endif
    }
    ~caught_stderr() {
#ifdef __GLIBC__
        stderr = terminal;
        if (caught != nullptr) {
            fclose(caught);
            said[size - 1] = '\0';
        }
#endif
    }

  private:
    char * said;
    size_t size;
    FILE *terminal = nullptr, *caught = nullptr;
};

std::vector<common_sampler_type> order_of(const std::string & names) {
    std::vector<common_sampler_type> types;
    for (const auto & name : string_split<std::string>(names, ';')) {
        const auto found = common_sampler_types_from_names({name});
        if (found.empty()) {
            throw std::invalid_argument(name);
        }
        types.push_back(found[0]);
    }
    return types;
}

std::vector<std::string> sampler_names() {
    std::string names, letters;
    for (int type = 0; type < 64; type++) {
        const auto name = common_sampler_type_to_str((common_sampler_type) type);
        if (!name.empty()) {
            names += (names.empty() ? "" : ";") + name;
            letters += common_sampler_type_to_chr((common_sampler_type) type);
        }
    }
    return {names, letters};
}

} // namespace

extern "C" llamactl_sampling * llamactl_sampling_new() {
    return new (std::nothrow) llamactl_sampling;
}

extern "C" void llamactl_sampling_free(llamactl_sampling * sampling) {
    delete sampling;
}

extern "C" bool llamactl_sampling_set(llamactl_sampling * sampling, const char * name,
                                      double value) {
    const number * found = find(name);
    if (!found) {
        return false;
    }
    params & p = sampling->params;
    if (found->real) {
        p.*found->real = (float) value;
    } else {
        p.*found->whole = (int32_t) value;
    }
    p.user_sampling_config |= found->asked;
    return true;
}

extern "C" double llamactl_sampling_get(const llamactl_sampling * sampling, const char * name) {
    const number * found = find(name);
    if (!found) {
        return std::nan("");
    }
    return found->real ? sampling->params.*found->real : sampling->params.*found->whole;
}

extern "C" void llamactl_sampling_set_seed(llamactl_sampling * sampling, uint32_t seed) {
    sampling->params.seed = seed;
}

extern "C" llamactl_answer * llamactl_sampler_names() {
    return llamactl::answer([] { return sampler_names(); });
}

extern "C" llamactl_answer * llamactl_sampling_order(llamactl_sampling * sampling,
                                                     llamactl_span order) {
    return llamactl::answer([&] {
        sampling->params.samplers = order_of(llamactl::text_of(order));
        sampling->params.user_sampling_config |= COMMON_PARAMS_SAMPLING_CONFIG_SAMPLERS;
        return std::vector<std::string>{};
    });
}

extern "C" llamactl_answer * llamactl_sampling_breakers(llamactl_sampling * sampling,
                                                        const llamactl_span * breakers,
                                                        size_t count) {
    return llamactl::answer([&] {
        auto & list = sampling->params.dry_sequence_breakers;
        list.clear();
        for (size_t i = 0; i < count; i++) {
            list.push_back(llamactl::text_of(breakers[i]));
        }
        return std::vector<std::string>{};
    });
}

extern "C" llamactl_answer * llamactl_sampling_bias(llamactl_sampling * sampling,
                                                    const llama_logit_bias * biases, size_t count) {
    return llamactl::answer([&] {
        auto & list = sampling->params.logit_bias;
        list.insert(list.end(), biases, biases + count);
        return std::vector<std::string>{};
    });
}

extern "C" llamactl_answer * llamactl_sampling_grammar(llamactl_sampling * sampling,
                                                       llamactl_span grammar) {
    return llamactl::answer([&] {
        sampling->params.grammar = {COMMON_GRAMMAR_TYPE_USER, llamactl::text_of(grammar)};
        return std::vector<std::string>{};
    });
}

extern "C" llamactl_answer * llamactl_sampling_of_model(llamactl_sampling * sampling,
                                                        const llama_model * model,
                                                        bool ignore_eos) {
    return llamactl::answer([&] {
        params & p = sampling->params;
        llamactl::sampling_of_model(model, p);
        const llama_vocab * vocab = llama_model_get_vocab(model);
        // As common_init_result does: without an EOS token there is nothing to ignore.
        if (ignore_eos && llama_vocab_eos(vocab) != LLAMA_TOKEN_NULL) {
            for (llama_token token = 0; token < llama_vocab_n_tokens(vocab); token++) {
                if (llama_vocab_is_eog(vocab, token)) {
                    p.logit_bias.push_back({token, -INFINITY});
                }
            }
        }
        return std::vector<std::string>{};
    });
}

extern "C" llamactl_answer * llamactl_sampling_budget(llamactl_sampling * sampling,
                                                      const llama_vocab * vocab,
                                                      const llamactl_budget * budget) {
    return llamactl::answer([&] {
        params & p = sampling->params;
        const auto tokens = [&](llamactl_span text) {
            return common_tokenize(vocab, llamactl::text_of(text), false, true);
        };
        p.reasoning_budget_tokens = budget->tokens;
        p.reasoning_budget_start = tokens(budget->start);
        for (size_t i = 0; i < budget->n_ends; i++) {
            p.reasoning_budget_end.push_back(tokens(budget->ends[i]));
        }
        if (!p.reasoning_budget_end.empty()) {
            p.reasoning_budget_forced = tokens(budget->message);
            const auto & end = p.reasoning_budget_end.front();
            p.reasoning_budget_forced.insert(p.reasoning_budget_forced.end(), end.begin(),
                                             end.end());
        }
        p.generation_prompt = llamactl::text_of(budget->generation_prompt);
        return std::vector<std::string>{};
    });
}

extern "C" llamactl_sampler * llamactl_sampler_new(const llama_model * model,
                                                   llamactl_sampling * sampling, char * said,
                                                   size_t size) {
    caught_stderr caught(said, size);
    try {
        std::unique_ptr<llamactl_sampler> made(new llamactl_sampler{nullptr, nullptr});
        made->now = common_sampler_init(model, sampling->params);
        made->begin = common_sampler_clone(made->now);
        return made.release();
    } catch (const std::exception & error) {
        if (strcmp(error.what(), "failed to parse grammar") != 0) { // printed better already
            fputs(error.what(), stderr);
        }
        return nullptr;
    }
}

extern "C" void llamactl_sampler_free(llamactl_sampler * sampler) {
    common_sampler_free(sampler->now);
    common_sampler_free(sampler->begin);
    delete sampler;
}

extern "C" void llamactl_sampler_reset(llamactl_sampler * sampler) {
    common_sampler_copy(sampler->begin, sampler->now);
}

extern "C" llama_sampler * llamactl_sampler_chain(const llamactl_sampler * sampler) {
    return common_sampler_get(sampler->now);
}

extern "C" bool llamactl_sampler_accept(llamactl_sampler * sampler, const llama_token * tokens,
                                        size_t count) {
    try {
        for (size_t i = 0; i < count; i++) {
            common_sampler_accept(sampler->now, tokens[i], false);
        }
        return true;
    } catch (...) {
        return false;
    }
}

extern "C" llama_token llamactl_sampler_sample(llamactl_sampler * sampler, llama_context * ctx,
                                               int index) {
    try {
        const llama_token token = common_sampler_sample(sampler->now, ctx, index);
        common_sampler_accept(sampler->now, token, true);
        return token;
    } catch (...) {
        return LLAMA_TOKEN_NULL;
    }
}

extern "C" void llamactl_choose(llamactl_sampler * sampler, llama_context * ctx,
                                const llama_vocab * vocab, llamactl_choice * out) {
    out->before_ns = now_ns();
    out->token = llamactl_sampler_sample(sampler, ctx, -1);
    out->sampled_ns = now_ns();
    if (out->token == LLAMA_TOKEN_NULL) {
        return;
    }
    out->is_end = llama_vocab_is_eog(vocab, out->token);
    out->length = llama_token_to_piece(vocab, out->token, out->piece, sizeof out->piece, 0, false);
}
