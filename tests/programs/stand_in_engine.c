// Stands for a file that holds llama.cpp: its functions are exported or hidden as the compiler is told, and it
// says what llama.cpp and ggml say when they log or abort. MODULE names a Python module, too.
#ifdef MODULE
#define JOINED(name) PyInit_##name
#define INIT(name) JOINED(name)
__attribute__((visibility("default"))) void * INIT(MODULE)(void) {
    return 0;
}
const char * const made_by = TOOL;
#endif

const char * const says[] = {
    "GGML_ASSERT(%s) failed",
    "%s: not enough space in the context's memory pool (needed %zu, available %zu)",
#ifdef WHISPER
    "whisper_model_load",
#elif !defined(ONLY_GGML)
    "%s: loaded meta data with %d key-value pairs and %d tensors from %s (version %s)",
#endif
};
const char as_large_as_an_engine[1 << 20] = {1};

int llama_decode(void * context, int batch) {
    return context && batch && says[0][0];
}

int wrapper_generate(void) {
    return llama_decode((void *) says, as_large_as_an_engine[0]);
}
