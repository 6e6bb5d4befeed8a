// A library that looks like libllama to a program that reads logits: each decode writes a row of known floats.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { VOCABULARY = 32000 };

struct llama_batch {
    int32_t n_tokens;
    int32_t * token;
    float * embd;
    int32_t * pos;
    int32_t * n_seq_id;
    int32_t ** seq_id;
    int8_t * logits;
};

static float row[VOCABULARY], fresh[VOCABULARY];

const char * llama_load_mode_name(int mode) { return mode ? "other" : "auto"; }
int32_t llama_vocab_n_tokens(const void * vocab) { (void) vocab; return VOCABULARY; }

int32_t llama_decode(void * context, struct llama_batch batch) {
    (void) context;
    for (int i = 0; i < VOCABULARY; i++) {
        fresh[i] = (float) ((i * 7 + batch.n_tokens) % VOCABULARY);
    }
    memcpy(row, fresh, sizeof row);
    return 0;
}

float * llama_get_logits_ith(void * context, int32_t index) { (void) context, (void) index; return row; }

// As the sampler does: it reads every logit inside the library.
int32_t llama_sampler_sample(void * sampler, void * context, int32_t index) {
    (void) sampler, (void) context, (void) index;
    volatile const float * logits = row;
    int32_t best = 0;
    for (int32_t i = 1; i < VOCABULARY; i++) {
        best = logits[i] > logits[best] ? i : best;
    }
    return best;
}

enum { WIDTH = 576, STATE = 70000 };
static float embedding[WIDTH];
static uint8_t state[STATE];

int32_t llama_model_n_embd(const void * model) { (void) model; return WIDTH; }

// Writes a new embedding; a batch of embeddings is read in full, as a batch of tokens is.
int32_t llama_encode(void * context, struct llama_batch batch) {
    (void) context;
    float sum = 0;
    for (int i = 0; i < batch.n_tokens; i++) {
        sum += batch.token ? (float) batch.token[i] : batch.embd[i * WIDTH];
    }
    for (int i = 0; i < WIDTH; i++) {
        embedding[i] = sum + (float) i;
    }
    return 0;
}

float * llama_get_embeddings_seq(void * context, int32_t sequence) {
    (void) context, (void) sequence;
    return embedding;
}

size_t llama_state_get_size(void * context) { (void) context; return STATE; }

size_t llama_state_get_data(void * context, uint8_t * to, size_t size) {
    (void) context;
    memset(state, 7, sizeof state);
    memcpy(to, state, size < STATE ? size : STATE);
    return STATE;
}

size_t llama_state_set_data(void * context, const uint8_t * from, size_t size) {
    (void) context;
    memcpy(state, from, size < STATE ? size : STATE);
    return STATE;
}

// One token for each byte.
int32_t llama_tokenize(const void * vocab, const char * text, int32_t bytes, int32_t * tokens, int32_t room,
                       _Bool special, _Bool parse) {
    (void) vocab, (void) special, (void) parse;
    for (int32_t i = 0; i < bytes && i < room; i++) {
        tokens[i] = text[i];
    }
    return bytes;
}
