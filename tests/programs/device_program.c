// Works with a device as ggml's backends do, on each of N threads. Which runtime: -DRUNTIME=cuda or
// hip.
//
//   device_program MODE THREADS TOKENS
//
// MODE: "plain", "errors", "lookup" (the driver's functions by cuGetProcAddress), "loop"
// (nanoseconds a call).
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define NAME(name) JOIN(RUNTIME, name)

typedef struct {
    unsigned x, y, z;
} dim3;
typedef struct {
    dim3 grid, block;
    size_t shared;
    void * stream;
    void * attributes;
    unsigned count;
} launch_config;

int NAME(GetDeviceCount)(int *);
int NAME(SetDevice)(int);
int NAME(MemGetInfo)(size_t *, size_t *);
int NAME(Malloc)(void **, size_t);
int NAME(MallocManaged)(void **, size_t, unsigned);
int NAME(MallocHost)(void **, size_t, unsigned);
int NAME(HostRegister)(void *, size_t, unsigned);
int NAME(HostUnregister)(void *);
int NAME(Free)(void *);
int NAME(FreeHost)(void *);
int NAME(Memcpy)(void *, const void *, size_t, int);
int NAME(MemcpyAsync)(void *, const void *, size_t, int, void *);
int NAME(Memcpy2DAsync)(void *, size_t, const void *, size_t, size_t, size_t, int, void *);
int NAME(MemcpyPeerAsync)(void *, int, const void *, int, size_t, void *);
int NAME(MemsetAsync)(void *, int, size_t, void *);
int NAME(LaunchKernel)(const void *, dim3, dim3, void **, size_t, void *);
int JOIN(__, NAME(LaunchKernel))(void *, dim3, dim3, void **, size_t, void *);
int NAME(LaunchKernelExC)(const launch_config *, const void *, void **);
int NAME(StreamBeginCapture)(void *, int);
int NAME(StreamEndCapture)(void *, void **);
int NAME(GraphInstantiate)(void **, void *, unsigned long long);
int NAME(GraphLaunch)(void *, void *);
int NAME(StreamSynchronize)(void *);
int NAME(EventQuery)(void *);
int cuGetProcAddress_v2(const char *, void **, int, unsigned long long, void *);

enum { IN = 1, OUT = 2, ON = 3, WEIGHTS = 1 << 20, LOGITS = 4096, KERNELS = 5, CAPTURED = 3 };
static int tokens;

static void kernel(void) {}

static void launches(int count, void * stream) {
    const dim3 one = {1, 1, 1};
    const launch_config config = {one, one, 0, stream, NULL, 0};
    for (int i = 0; i < count; i++) {
        if (i % 3 == 2) {
            JOIN(__, NAME(LaunchKernel))((void *) kernel, one, one, NULL, 0, stream);
        } else if (i % 2) {
            NAME(LaunchKernelExC)(&config, (const void *) kernel, NULL);
        } else {
            NAME(LaunchKernel)((const void *) kernel, one, one, NULL, 0, stream);
        }
    }
}

static void * work(void * number) {
    void *stream = (char *) number + 1, *weights, *logits, *managed, *graph, *executable;
    char * pageable = calloc(1, WEIGHTS);
    NAME(SetDevice)(0);
    NAME(Malloc)(&weights, WEIGHTS);
    NAME(MallocHost)(&logits, LOGITS, 0);
    NAME(MallocManaged)(&managed, 100, 0);
    NAME(MemcpyAsync)(weights, pageable, WEIGHTS, IN, stream);
    NAME(MemsetAsync)(weights, 0, 1000, stream);
    NAME(StreamBeginCapture)(stream, 0);
    launches(CAPTURED, stream);
    NAME(MemcpyAsync)((char *) weights + 512, weights, 512, ON, stream);
    NAME(StreamEndCapture)(stream, &graph);
    NAME(GraphInstantiate)(&executable, graph, 0);
    for (int token = 0; token < tokens; token++) {
        NAME(MemcpyAsync)(weights, pageable, 16, IN, stream);
        launches(KERNELS, stream);
        NAME(GraphLaunch)(executable, stream);
        NAME(MemcpyAsync)(logits, weights, LOGITS, OUT, stream);
        NAME(StreamSynchronize)(NULL);
    }
    NAME(HostRegister)(pageable, WEIGHTS, 0);
    NAME(Memcpy2DAsync)(weights, 64, pageable, 64, 32, 10, IN, stream);
    NAME(MemcpyPeerAsync)(weights, 0, (char *) weights + 4096, 1, 300, stream);
    NAME(HostUnregister)(pageable);
    NAME(Memcpy)(pageable, weights, 77, OUT);
    NAME(EventQuery)(NULL);
    NAME(StreamSynchronize)(stream);
    NAME(Free)(weights);
    NAME(FreeHost)(logits);
    free(pageable);
    return NULL; // `managed` is left
}

static int errors(void) {
    void * memory = NULL;
    int ret = NAME(SetDevice)(7);
    for (int i = 0; i < 3; i++) {
        ret |= NAME(Malloc)(&memory, (size_t) 1 << 40);
    }
    return ret && !memory ? 0 : 1;
}

static int lookup(void) {
    int (*copy)(unsigned long long, const void *, size_t) = NULL;
    int (*launch)(void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                  void *, void **, void **) = NULL;
    void * none = (void *) 1;
    char to[64] = {0}, from[64] = "what was copied";
    cuGetProcAddress_v2("cuMemcpyHtoD", (void **) &copy, 13000, 0, NULL);
    cuGetProcAddress_v2("cuLaunchKernel", (void **) &launch, 13000, 0, NULL);
    if (cuGetProcAddress_v2("cuNoSuchThing", &none, 13000, 0, NULL) == 0 || none || !copy ||
        !launch) {
        return 1;
    }
    copy((unsigned long long) to, from, sizeof(from));
    launch((void *) kernel, 1, 2, 3, 4, 5, 6, 7, (void *) 88, NULL, NULL);
    return strcmp(to, from);
}

static double now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e9 + time.tv_nsec;
}

static int by_size(const void * a, const void * b) {
    return *(const double *) a > *(const double *) b ? 1 : -1;
}

static int loop(long n) {
    enum { BATCHES = 20 };
    const dim3 one = {1, 1, 1};
    double times[BATCHES];
    for (int batch = 0; batch < BATCHES; batch++) {
        const double begin = now_ns();
        for (long i = 0; i < n / BATCHES; i++) {
            NAME(LaunchKernel)((const void *) kernel, one, one, NULL, 0, NULL);
        }
        times[batch] = (now_ns() - begin) / (double) (n / BATCHES);
    }
    qsort(times, BATCHES, sizeof(times[0]), by_size);
    printf("%.2f\n", times[BATCHES / 2]);
    return 0;
}

int main(int argc, char ** argv) {
    const char * mode = argc > 1 ? argv[1] : "plain";
    const int count = argc > 2 ? atoi(argv[2]) : 1;
    pthread_t threads[64];
    int devices = 0;
    size_t free_bytes, total;
    tokens = argc > 3 ? atoi(argv[3]) : 1;
    if (strcmp(mode, "loop") == 0) {
        return loop(tokens);
    }
    if (NAME(GetDeviceCount)(&devices) || !devices) {
        return 3;
    }
    NAME(MemGetInfo)(&free_bytes, &total);
    if (strcmp(mode, "errors") == 0) {
        return errors();
    }
    if (strcmp(mode, "lookup") == 0) {
        return lookup();
    }
    for (int i = 0; i < count; i++) {
        pthread_create(threads + i, NULL, work, (char *) NULL + 16 * (i + 1));
    }
    for (int i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
    return 0;
}
