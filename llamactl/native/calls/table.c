// What is kept of each function's arguments: one row per function, checked by tests/trace/agent.
//
// Lengths, counts, addresses and paths of models; never text, tokens or anything else that a person
// wrote or a model answered (so llama_sampler_sample's result stays out). A function without a row
// is recorded with its times only. A label is "name:type": p address, i signed, u unsigned, f
// float's bits, s string. A result is i, u, l (64 bits), p, b, f, v (none), s (a structure), h
// (hidden).
#include "calls/table.h"

#include <stddef.h>

#include "calls/handed_out.h"
#include "common/words.h"

// On x86-64 structures larger than 16 bytes are passed by value on the stack, from its first
// argument on.
#define INT(label, n) {label ":i", REGISTER_32, n, 0}
#define LONG(label, n) {label ":u", REGISTER, n, 0}
#define ADDRESS(label, n) {label ":p", REGISTER, n, 0}
#define TEXT(label, n) {label ":s", STRING, n, 0}
#define FLOAT(label, n) {label ":f", FLOAT_REGISTER, n, 0}
#define TOLD_OF(label) {label ":s", TOLD, 0, 0}
#define IN_INT(label, offset, reg) {label ":i", STACK_32, offset, reg}
// Tokens or, in a batch without, the embeddings behind them.
#define IN_EITHER(label, offset, reg) {label ":p", STACK_EITHER, offset, reg}

// Two 32-bit members that lie beside each other, the first one in the lower half.
#define IN_PAIR(label, offset, reg) {label ":2", STACK_64, offset, reg}

// llama_model_params of the generation that has load_mode instead of use_mmap.
#define LOAD_MODE "llama_load_mode_name"
#define MODEL_PARAMS(reg)                                                                          \
    IN_INT("n_gpu_layers", 16, reg), IN_INT("split_mode", 20, reg), IN_INT("load_mode", 24, reg)
// llama_context_params of the generation that has llama_process; n_threads moved before. Beside it
// lies n_threads_batch.
#define PROCESS "llama_process"
#define BATCH {ADDRESS("context", 0), IN_INT("n_tokens", 0, 1), IN_EITHER("tokens", 8, 1)}

static const struct row rows[] = {
    {"llama_model_load_from_file", LOAD_MODE, 'p', 1, {TEXT("path", 0), MODEL_PARAMS(1)}},
    {"llama_model_load_from_file", NULL, 'p', 1, {TEXT("path", 0)}},
    {"llama_load_model_from_file", LOAD_MODE, 'p', 1, {TEXT("path", 0), MODEL_PARAMS(1)}},
    {"llama_load_model_from_file", NULL, 'p', 1, {TEXT("path", 0)}},
    {"llama_model_load_from_splits", NULL, 'p', 1, {LONG("n_paths", 1)}},
    {"llama_model_free", NULL, 'v', 1, {ADDRESS("model", 0)}},
    {"llama_free_model", NULL, 'v', 1, {ADDRESS("model", 0)}},
    {"llama_model_save_to_file", NULL, 'v', 1, {TEXT("path", 1)}},
    {"llama_model_quantize", NULL, 'u', 1, {TEXT("path", 0)}},
    {"llama_init_from_model",
     PROCESS,
     'p',
     1,
     {IN_INT("n_ctx", 0, 1), IN_INT("n_batch", 4, 1), IN_PAIR("n_threads", 28, 1)}},
    {"llama_init_from_model", NULL, 'p', 1, {ADDRESS("model", 0)}},
    {"llama_new_context_with_model",
     PROCESS,
     'p',
     1,
     {IN_INT("n_ctx", 0, 1), IN_INT("n_batch", 4, 1), IN_PAIR("n_threads", 28, 1)}},
    {"llama_new_context_with_model", NULL, 'p', 1, {ADDRESS("model", 0)}},
    {"llama_free", NULL, 'v', 1, {ADDRESS("context", 0)}},
    {"llama_backend_init", NULL, 'v', 1, {{0}}},
    {"llama_backend_free", NULL, 'v', 1, {{0}}},
    {"llama_numa_init", NULL, 'v', 0, {INT("strategy", 0)}},
    {"llama_set_n_threads", NULL, 'v', 0, {INT("n_threads", 1), INT("n_threads_batch", 2)}},
    {"llama_n_threads", NULL, 'i', 0, {{0}}},
    {"llama_n_threads_batch", NULL, 'i', 0, {{0}}},

    {"llama_decode", NULL, 'i', 1, BATCH},
    {"llama_encode", NULL, 'i', 1, BATCH},
    {"llama_process", NULL, 'i', 1, {ADDRESS("context", 0), INT("type", 1), ADDRESS("batch", 2)}},
    {"llama_batch_ext_add", NULL, 'i', 0, {ADDRESS("batch", 0), INT("sequence", 1)}},
    {"llama_batch_ext_add_token", NULL, 'i', 0, {ADDRESS("batch", 0), INT("sequence", 1)}},
    {"llama_batch_ext_add_embd", NULL, 'i', 0, {ADDRESS("batch", 0), INT("sequence", 1)}},
    {"llama_batch_ext_clear", NULL, 'v', 0, {ADDRESS("batch", 0)}},
    {"llama_synchronize", NULL, 'v', 1, {ADDRESS("context", 0)}},
    {"llama_batch_init", NULL, 's', 0, {INT("n_tokens", 0), INT("embd", 1), INT("n_seq_max", 2)}},
    {"llama_batch_get_one", NULL, 's', 0, {ADDRESS("tokens", 0), INT("n_tokens", 1)}},

    {"llama_tokenize",
     NULL,
     'i',
     0,
     {INT("text_bytes", 2), ADDRESS("tokens", 3), INT("room", 4), ADDRESS("text", 1)}},
    {"llama_token_to_piece", NULL, 'i', 0, {ADDRESS("buffer", 2), INT("room", 3)}},
    {"llama_detokenize",
     NULL,
     'i',
     0,
     {ADDRESS("tokens", 1), INT("n_tokens", 2), INT("room", 4), ADDRESS("text", 3)}},
    {"llama_chat_apply_template", NULL, 'i', 0, {LONG("n_messages", 2), INT("room", 5)}},

    {"llama_get_logits", NULL, 'p', 0, {ADDRESS("context", 0)}},
    {"llama_get_logits_ith", NULL, 'p', 0, {ADDRESS("context", 0), INT("index", 1)}},
    {"llama_get_embeddings", NULL, 'p', 0, {ADDRESS("context", 0)}},
    {"llama_get_embeddings_ith", NULL, 'p', 0, {ADDRESS("context", 0), INT("index", 1)}},
    {"llama_get_embeddings_seq", NULL, 'p', 0, {ADDRESS("context", 0), INT("sequence", 1)}},
    {"llama_get_sampled_probs_ith", NULL, 'p', 0, {ADDRESS("context", 0), INT("index", 1)}},
    {"llama_get_sampled_logits_ith", NULL, 'p', 0, {ADDRESS("context", 0), INT("index", 1)}},
    {"llama_get_sampled_token_ith", NULL, 'h', 0, {ADDRESS("context", 0), INT("index", 1)}},

    {"llama_sampler_sample",
     NULL,
     'h',
     0,
     {ADDRESS("sampler", 0), ADDRESS("context", 1), INT("index", 2)}},
    {"llama_sampler_apply", NULL, 'v', 0, {ADDRESS("sampler", 0), ADDRESS("candidates", 1)}},
    {"llama_sampler_accept", NULL, 'v', 0, {ADDRESS("sampler", 0)}},
    {"llama_sampler_free", NULL, 'v', 0, {ADDRESS("sampler", 0)}},
    {"llama_sampler_chain_init", NULL, 'p', 0, {{0}}},
    {"llama_sampler_chain_add", NULL, 'v', 0, {ADDRESS("chain", 0), ADDRESS("sampler", 1)}},
    {"llama_sampler_init_greedy", NULL, 'p', 0, {{0}}},
    {"llama_sampler_init_dist", NULL, 'p', 0, {INT("seed", 0)}},
    {"llama_sampler_init_top_k", NULL, 'p', 0, {INT("k", 0)}},
    {"llama_sampler_init_top_p", NULL, 'p', 0, {FLOAT("p", 0), LONG("min_keep", 0)}},
    {"llama_sampler_init_min_p", NULL, 'p', 0, {FLOAT("p", 0), LONG("min_keep", 0)}},
    {"llama_sampler_init_temp", NULL, 'p', 0, {FLOAT("temperature", 0)}},

    {"llama_sampler_init_grammar", NULL, 'p', 0, {{0}}},
    {"llama_sampler_init_grammar_lazy", NULL, 'p', 0, {{0}}},
    {"llama_sampler_init_grammar_lazy_patterns", NULL, 'p', 0, {{0}}},

    {"llama_memory_clear", NULL, 'v', 0, {ADDRESS("memory", 0)}},
    {"llama_get_memory", NULL, 'p', 0, {ADDRESS("context", 0)}},
    {"llama_memory_seq_rm",
     NULL,
     'b',
     0,
     {ADDRESS("memory", 0), INT("sequence", 1), INT("from", 2), INT("to", 3)}},
    {"llama_memory_seq_keep", NULL, 'v', 0, {ADDRESS("memory", 0), INT("sequence", 1)}},
    {"llama_memory_seq_cp",
     NULL,
     'v',
     0,
     {ADDRESS("memory", 0), INT("sequence", 1), INT("target", 2), INT("from", 3)}},
    {"llama_memory_seq_add",
     NULL,
     'v',
     0,
     {ADDRESS("memory", 0), INT("sequence", 1), INT("from", 2), INT("to", 3)}},
    {"llama_state_get_size", NULL, 'l', 0, {ADDRESS("context", 0)}},
    {"llama_state_get_data",
     NULL,
     'l',
     1,
     {ADDRESS("context", 0), ADDRESS("buffer", 1), LONG("room", 2)}},
    {"llama_state_set_data",
     NULL,
     'l',
     1,
     {ADDRESS("context", 0), ADDRESS("buffer", 1), LONG("size", 2)}},
    {"llama_state_seq_get_data",
     NULL,
     'l',
     1,
     {ADDRESS("context", 0), ADDRESS("buffer", 1), LONG("room", 2)}},
    {"llama_state_seq_set_data",
     NULL,
     'l',
     1,
     {ADDRESS("context", 0), ADDRESS("buffer", 1), LONG("size", 2)}},
    {"llama_state_load_file", NULL, 'b', 1, {TEXT("path", 1)}},
    {"llama_state_save_file", NULL, 'b', 1, {TEXT("path", 1)}},
    {"llama_state_seq_load_file", NULL, 'l', 1, {TEXT("path", 1)}},
    {"llama_state_seq_save_file", NULL, 'l', 1, {TEXT("path", 1)}},
    {"llama_adapter_lora_init", NULL, 'p', 1, {TEXT("path", 1), ADDRESS("model", 0)}},

    {"llama_n_ctx", NULL, 'u', 0, {{0}}},
    {"llama_n_batch", NULL, 'u', 0, {{0}}},
    {"llama_n_ubatch", NULL, 'u', 0, {{0}}},
    {"llama_n_seq_max", NULL, 'u', 0, {{0}}},
    {"llama_n_vocab", NULL, 'i', 0, {{0}}},
    {"llama_vocab_n_tokens", NULL, 'i', 0, {{0}}},
    {"llama_model_n_embd", NULL, 'i', 0, {{0}}},
    {"llama_n_embd", NULL, 'i', 0, {{0}}},
    {"llama_model_n_ctx_train", NULL, 'i', 0, {{0}}},
    {"llama_model_n_layer", NULL, 'i', 0, {{0}}},
    {"llama_model_size", NULL, 'l', 0, {{0}}},
    {"llama_model_n_params", NULL, 'l', 0, {{0}}},
    {"llama_supports_mmap", NULL, 'b', 0, {{0}}},
    {"llama_supports_mlock", NULL, 'b', 0, {{0}}},
    {"llama_supports_gpu_offload", NULL, 'b', 0, {{0}}},
    {"llama_model_default_params", NULL, 's', 0, {{0}}},
    {"llama_context_default_params", NULL, 's', 0, {{0}}},
    {"llama_sampler_chain_default_params", NULL, 's', 0, {{0}}},

    {"gguf_init_from_file", NULL, 'p', 1, {TEXT("path", 0)}},
    {"gguf_free", NULL, 'v', 0, {{0}}},
    {"ggml_backend_load", NULL, 'p', 1, {TEXT("path", 0)}},
    {"ggml_backend_load_all_from_path", NULL, 'v', 1, {TEXT("path", 0)}},
    {"ggml_backend_load_all", NULL, 'v', 1, {{0}}},
    {"ggml_backend_graph_compute", NULL, 'i', 1, {ADDRESS("backend", 0), ADDRESS("graph", 1)}},
    {"ggml_backend_sched_synchronize", NULL, 'v', 0, {ADDRESS("scheduler", 0)}},
    {"ggml_backend_alloc_ctx_tensors_from_buft",
     NULL,
     'p',
     0,
     {ADDRESS("tensors", 0), ADDRESS("type", 1), TOLD_OF("buffers")}},
    {"ggml_backend_buft_alloc_buffer",
     NULL,
     'p',
     0,
     {ADDRESS("type", 0), LONG("size", 1), TOLD_OF("buffers")}},
    {"ggml_backend_dev_buffer_from_host_ptr",
     NULL,
     'p',
     0,
     {ADDRESS("device", 0), ADDRESS("address", 1), LONG("size", 2), TOLD_OF("buffers")}},
    {"ggml_backend_sched_reserve", NULL, 'b', 0, {ADDRESS("scheduler", 0), TOLD_OF("buffers")}},
    {"ggml_backend_sched_alloc_graph", NULL, 'b', 0, {ADDRESS("scheduler", 0), TOLD_OF("buffers")}},
    {"ggml_backend_buffer_free", NULL, 'v', 0, {ADDRESS("buffer", 0)}},
    {"ggml_backend_sched_free", NULL, 'v', 0, {ADDRESS("scheduler", 0)}},
    {"ggml_init", NULL, 'p', 0, {{"memory_size:u", STACK_64, 0, 0}}},
};

const struct row * table_find(const char * name, exports_function * exports, const void * library) {
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row * row = rows + i;
        if (same_text(row->name, name) && (!row->needs || exports(library, row->needs))) {
            return row;
        }
    }
    return NULL;
}

static const struct {
    const char * name;
    int role;
} roles[] = {
    {"llama_vocab_n_tokens", ROLE_VOCABULARY},
    {"llama_n_vocab", ROLE_VOCABULARY},
    {"llama_model_n_embd", ROLE_EMBEDDING_SIZE},
    {"llama_n_embd", ROLE_EMBEDDING_SIZE},
    {"llama_get_logits", ROLE_LOGITS},
    {"llama_get_logits_ith", ROLE_LOGITS},
    {"llama_get_embeddings", ROLE_EMBEDDINGS},
    {"llama_get_embeddings_ith", ROLE_EMBEDDINGS},
    {"llama_get_embeddings_seq", ROLE_EMBEDDINGS},
    {"llama_state_get_data", ROLE_STATE},
};

int table_role(const char * name) {
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
        if (same_text(roles[i].name, name)) {
            return roles[i].role;
        }
    }
    return ROLE_NONE;
}

static const struct {
    const char * name;
    enum tells tells;
} telling[] = {
    {"ggml_backend_sched_synchronize", TELLS_WAIT},
    {"ggml_backend_alloc_ctx_tensors_from_buft", TELLS_TENSORS},
    {"ggml_backend_buft_alloc_buffer", TELLS_BUFFER},
    {"ggml_backend_dev_buffer_from_host_ptr", TELLS_BUFFER},
    {"ggml_backend_sched_reserve", TELLS_COMPUTE},
    {"ggml_backend_sched_alloc_graph", TELLS_COMPUTE},
    {"ggml_backend_buffer_free", TELLS_FREED},
    {"ggml_backend_sched_free", TELLS_FREED},
};

enum tells table_tells(const char * name) {
    for (size_t i = 0; i < sizeof(telling) / sizeof(telling[0]); i++) {
        if (same_text(telling[i].name, name)) {
            return telling[i].tells;
        }
    }
    return TELLS_NOTHING;
}
