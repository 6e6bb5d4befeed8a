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
