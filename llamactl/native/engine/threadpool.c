// Threads of the CPU backend with a place and a priority. The backend may be loaded at run time, so
// it is asked.
#include "engine/engine.h"
#include "ggml-cpu.h"

static void * function(const char * name) {
    ggml_backend_reg_t cpu = ggml_backend_reg_by_name("CPU");
    return cpu ? ggml_backend_reg_get_proc_address(cpu, name) : NULL;
}

ggml_threadpool_t llamactl_threadpool_new(struct ggml_threadpool_params * params) {
    struct ggml_threadpool * (*make)(struct ggml_threadpool_params *) = NULL;
    *(void **) &make = function("ggml_threadpool_new");
    return make ? make(params) : NULL;
}

void llamactl_threadpool_free(ggml_threadpool_t threadpool) {
    void (*release)(struct ggml_threadpool *) = NULL;
    *(void **) &release = function("ggml_threadpool_free");
    if (release && threadpool) {
        release(threadpool);
    }
}
