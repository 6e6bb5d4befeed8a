// What the engine's libraries tell each other of memory: which buffer lies on which device, how
// large it is, and which of the model's layers are in it.
//
// libllama asks libggml-base for its buffers. When such a call returns, ggml's own getters, which
// only read, are asked about the result; what they say becomes the record's text, a line for each
// buffer: name, device, the device's type, bytes, whether the CPU can address it, what its tensors
// are, which layers they belong to, and whether the output layer is among them, with tabs between.
#include "agent/agent.h"

enum { MOST_LAYERS = 1024, MOST_TENSORS = 1 << 16, MOST_BACKENDS = 32, MOST_SCHEDULERS = 64 };

struct told {
    char text[2048];
    size_t at;
};

static void put(struct told * to, const char * text) {
    for (size_t i = 0; text && text[i] && i < 256 && to->at < sizeof(to->text); i++) {
        const char c = text[i];
        to->text[to->at++] = c == '\t' || c == '\n' ? ' ' : c;
    }
}

static void mark(struct told * to, char c) {
    if (to->at < sizeof(to->text)) {
        to->text[to->at++] = c;
    }
}

static void put_number(struct told * to, uint64_t value) {
    char digits[24];
    unsigned count = 0;
    do {
        digits[count++] = (char) ('0' + value % 10);
        value /= 10;
    } while (value);
    while (count) {
        mark(to, digits[--count]);
    }
}

static void * ask(const struct link_map * library, const char * name, void * of) {
    void * (*get)(void *) = (void * (*) (void *) ) elf_symbol(library, name);
    return get && of ? get(of) : NULL;
}

// --- tensors
// ---------------------------------------------------------------------------------------

struct tensors {
    uint64_t layers[MOST_LAYERS / 64];
    int weights, cache, output;
};

// The number of the layer in "blk.7.attn_q.weight" or "cache_k_l7"; -1 for none.
static int layer_of(const char * name) {
    const char * digits = NULL;
    if (begins_with(name, "blk.")) {
        digits = name + 4;
    } else if (begins_with(name, "cache_")) {
        for (const char * c = name; *c; c++) {
            digits = begins_with(c, "_l") ? c + 2 : digits;
        }
    }
    int layer = -1;
    for (; digits && *digits >= '0' && *digits <= '9' && layer < MOST_LAYERS; digits++) {
        layer = (layer < 0 ? 0 : layer * 10) + (*digits - '0');
    }
    return layer < MOST_LAYERS ? layer : -1;
}

static void look(struct tensors * out, const struct link_map * library, void * context) {
    void * (*next)(void *, void *) =
        (void * (*) (void *, void *) ) elf_symbol(library, "ggml_get_next_tensor");
    void * tensor = ask(library, "ggml_get_first_tensor", context);
    for (unsigned i = 0; next && tensor && i < MOST_TENSORS; i++) {
        const char * name = ask(library, "ggml_get_name", tensor);
        const int layer = name ? layer_of(name) : -1;
        if (layer >= 0) {
            out->layers[layer / 64] |= 1ull << (layer % 64);
        }
        if (name && begins_with(name, "cache_")) {
            out->cache = 1;
        } else {
            out->weights = 1;
        }
        // Its norm lies where the output layer is; the output itself may be the token embeddings.
        out->output |= name && (begins_with(name, "output.") || begins_with(name, "output_norm."));
        tensor = next(context, tensor);
    }
}

static int has_layer(const struct tensors * in, int layer) {
    return layer < MOST_LAYERS && in->layers[layer / 64] >> (layer % 64) & 1;
}

static void put_layers(struct told * to, const struct tensors * in) {
    for (int first = 0, some = 0; first < MOST_LAYERS; first++) {
        if (!has_layer(in, first)) {
            continue;
        }
        int last = first;
        while (has_layer(in, last + 1)) {
            last++;
        }
        if (some++) {
            mark(to, ',');
        }
        put_number(to, (uint64_t) first);
        mark(to, '-');
        put_number(to, (uint64_t) last);
        first = last;
    }
}

// --- buffers
// ---------------------------------------------------------------------------------------

static void put_buffer(struct told * to, const struct link_map * library, void * type,
                       uint64_t size, const struct tensors * tensors) {
    void * device = ask(library, "ggml_backend_buft_get_device", type);
    put(to, ask(library, "ggml_backend_buft_name", type));
    mark(to, '\t');
    put(to, ask(library, "ggml_backend_dev_name", device));
    mark(to, '\t');
    if (device) {
        put_number(to, (uint32_t) (uintptr_t) ask(library, "ggml_backend_dev_type", device));
    }
    mark(to, '\t');
    put_number(to, size);
    mark(to, '\t');
    put_number(to, (uint8_t) (uintptr_t) ask(library, "ggml_backend_buft_is_host", type));
    mark(to, '\t');
    put(to, tensors->cache ? "cache" : tensors->weights ? "weights" : "");
    mark(to, '\t');
    put_layers(to, tensors);
    mark(to, '\t');
    put_number(to, tensors->output != 0);
    mark(to, '\n');
}

static uint64_t one_buffer(struct told * to, const struct hook * hook,
                           const struct record * frame) {
    void * buffer = (void *) frame->ret;
    const struct link_map * library = hook->library->map;
    const uint64_t size = (uint64_t) ask(library, "ggml_backend_buffer_get_size", buffer);
    struct tensors tensors = {0};
    if (hook->tells == TELLS_TENSORS) {
        look(&tensors, library, (void *) frame->args[0]);
    }
    put_buffer(to, library, ask(library, "ggml_backend_buffer_get_type", buffer), size, &tensors);
    return size;
}

// --- the scheduler's compute buffers
// ---------------------------------------------------------------

static struct {
    uint64_t scheduler, total;
} known[MOST_SCHEDULERS];

// Whether what a scheduler holds has changed. Two threads at it at a time may tell it once too
// often.
static int is_news(uint64_t scheduler, uint64_t total) {
    unsigned at = (unsigned) (scheduler >> 4) % MOST_SCHEDULERS;
    if (load(&known[at].scheduler) == scheduler && load(&known[at].total) == total) {
        return 0;
    }
    store(&known[at].scheduler, scheduler);
    store(&known[at].total, total);
    return 1;
}

static int compute_buffers(struct told * to, const struct hook * hook,
                           const struct record * frame) {
    const struct link_map * library = hook->library->map;
    void * scheduler = (void *) frame->args[0];
    void * (*backend_of)(void *, int) =
        (void * (*) (void *, int) ) elf_symbol(library, "ggml_backend_sched_get_backend");
    size_t (*size_of)(void *, void *) =
        (size_t (*)(void *, void *)) elf_symbol(library, "ggml_backend_sched_get_buffer_size");
    void * (*type_of)(void *, void *) =
        (void * (*) (void *, void *) ) elf_symbol(library, "ggml_backend_sched_get_buffer_type");
    const int count =
        (int) (uintptr_t) ask(library, "ggml_backend_sched_get_n_backends", scheduler);
    if (!backend_of || !size_of || count <= 0 || count > MOST_BACKENDS) {
        return 0;
    }
    uint64_t total = 0;
    const struct tensors none = {0};
    for (int i = 0; i < count; i++) {
        void * backend = backend_of(scheduler, i);
        const uint64_t size = size_of(scheduler, backend);
        void * type = type_of ? type_of(scheduler, backend)
                              : ask(library, "ggml_backend_get_default_buffer_type", backend);
        total = total * 31 + size;
        if (size) {
            put_buffer(to, library, type, size, &none);
        }
    }
    return is_news((uint64_t) scheduler, total);
}

// The loader asks with empty buffers which device can take a tensor: those are no memory.
static uint64_t empty;

// Completes the record of a call that tells of memory. Returns 0 when there is nothing new in it.
int buffers_told(const struct hook * hook, struct record * frame) {
    struct told told = {.at = 0};
    switch (hook->tells) {
    case TELLS_FREED:
        return !frame->args[0] || frame->args[0] != load(&empty);
    case TELLS_TENSORS:
    case TELLS_BUFFER:
        if (!frame->ret) {
            return 1; // That it failed is news.
        }
        if (!one_buffer(&told, hook, frame)) {
            store(&empty, (uint64_t) frame->ret);
            return 0;
        }
        break;
    case TELLS_COMPUTE:
        if (!compute_buffers(&told, hook, frame)) {
            return 0;
        }
        break;
    default:
        return 1;
    }
    frame->text = told.at < sizeof(told.text) ? ring_text(told.text, told.at) : 0;
    return 1;
}
