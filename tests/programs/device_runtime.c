// CUDA's or HIP's runtime as far as the tests need it: the same symbols, on memory of this machine.
// With -DRUNTIME=cuda it is libcudart's, with -DRUNTIME=hip libamdhip64's. When the program ends it
// writes what was asked of it into the file that DEVICE_SCRIPT names: one line for each function,
// "name calls bytes".
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define TEXT_(a) #a
#define TEXT(a) TEXT_(a)
#define NAME(name) JOIN(RUNTIME, name)

enum { DONE = 0, INVALID = 1, NO_MEMORY = 2, NO_DEVICE = 100, NOT_READY = 600 };
static const size_t MEMORY = (size_t) 1 << 30;

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

static struct tally {
    const char * name;
    unsigned long calls, bytes;
} tallies[64];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void note(const char * name, size_t bytes) {
    pthread_mutex_lock(&lock);
    struct tally * tally = tallies;
    while (tally->name && strcmp(tally->name, name) != 0) {
        tally++;
    }
    tally->name = name;
    tally->calls++;
    tally->bytes += bytes;
    pthread_mutex_unlock(&lock);
}

__attribute__((destructor)) static void write_script(void) {
    const char * path = getenv("DEVICE_SCRIPT");
    FILE * file = path ? fopen(path, "w") : NULL;
    for (struct tally * tally = tallies; file && tally->name; tally++) {
        fprintf(file, "%s %lu %lu\n", tally->name, tally->calls, tally->bytes);
    }
    if (file) {
        fclose(file);
    }
}

#define NOTE(name, bytes) note(TEXT(RUNTIME) #name, bytes)

static int allocate(void ** out, size_t bytes) {
    if (bytes > MEMORY || !(*out = malloc(bytes ? bytes : 1))) {
        return NO_MEMORY;
    }
    return DONE;
}

int NAME(GetDeviceCount)(int * count) {
    NOTE(GetDeviceCount, 0);
    *count = getenv("DEVICE_NONE") ? 0 : 1;
    return *count ? DONE : NO_DEVICE;
}
int NAME(SetDevice)(int device) {
    NOTE(SetDevice, 0);
    return device ? INVALID : DONE;
}
int NAME(MemGetInfo)(size_t * free_bytes, size_t * total) {
    NOTE(MemGetInfo, 0);
    *free_bytes = MEMORY / 2;
    *total = MEMORY;
    return DONE;
}
int NAME(Malloc)(void ** out, size_t bytes) {
    const int ret = allocate(out, bytes);
    NOTE(Malloc, ret ? 0 : bytes);
    return ret;
}
int NAME(MallocManaged)(void ** out, size_t bytes, unsigned flags) {
    (void) flags;
    NOTE(MallocManaged, bytes);
    return allocate(out, bytes);
}
#define HOST(name)                                                                                 \
    int NAME(name)(void ** out, size_t bytes, unsigned flags) {                                    \
        (void) flags;                                                                              \
        NOTE(name, bytes);                                                                         \
        return allocate(out, bytes);                                                               \
    }
HOST(MallocHost)
HOST(HostMalloc)
int NAME(HostRegister)(void * memory, size_t bytes, unsigned flags) {
    (void) memory;
    (void) flags;
    NOTE(HostRegister, bytes);
    return DONE;
}
#define RELEASE(name, frees)                                                                       \
    int NAME(name)(void * memory) {                                                                \
        NOTE(name, 0);                                                                             \
        if (frees) {                                                                               \
            free(memory);                                                                          \
        }                                                                                          \
        return DONE;                                                                               \
    }
RELEASE(Free, 1)
RELEASE(FreeHost, 1)
RELEASE(HostFree, 1)
RELEASE(HostUnregister, 0)
int NAME(Memcpy)(void * to, const void * from, size_t bytes, int kind) {
    (void) kind;
    NOTE(Memcpy, bytes);
    memcpy(to, from, bytes);
    return DONE;
}
int NAME(MemcpyAsync)(void * to, const void * from, size_t bytes, int kind, void * stream) {
    (void) kind;
    (void) stream;
    NOTE(MemcpyAsync, bytes);
    memcpy(to, from, bytes);
    return DONE;
}
int NAME(Memcpy2DAsync)(void * to, size_t to_pitch, const void * from, size_t from_pitch,
                        size_t width, size_t height, int kind, void * stream) {
    (void) kind;
    (void) stream;
    for (size_t row = 0; row < height; row++) {
        memcpy((char *) to + row * to_pitch, (const char *) from + row * from_pitch, width);
    }
    NOTE(Memcpy2DAsync, width * height);
    return DONE;
}
int NAME(MemcpyPeerAsync)(void * to, int to_device, const void * from, int from_device,
                          size_t bytes, void * stream) {
    (void) to_device;
    (void) from_device;
    (void) stream;
    memcpy(to, from, bytes);
    NOTE(MemcpyPeerAsync, bytes);
    return DONE;
}
int NAME(MemsetAsync)(void * to, int value, size_t bytes, void * stream) {
    (void) stream;
    memset(to, value, bytes);
    NOTE(MemsetAsync, bytes);
    return DONE;
}
int NAME(LaunchKernel)(const void * function, dim3 grid, dim3 block, void ** args, size_t shared,
                       void * stream) {
    (void) function, (void) grid, (void) block, (void) args, (void) shared, (void) stream;
    NOTE(LaunchKernel, 0);
    return DONE;
}
int JOIN(__, NAME(LaunchKernel))(void * kernel, dim3 grid, dim3 block, void ** args, size_t shared,
                                 void * stream) {
    (void) kernel, (void) grid, (void) block, (void) args, (void) shared, (void) stream;
    note("__" TEXT(RUNTIME) "LaunchKernel", 0);
    return DONE;
}
int NAME(LaunchKernelExC)(const launch_config * config, const void * function, void ** args) {
    (void) config, (void) function, (void) args;
    NOTE(LaunchKernelExC, 0);
    return DONE;
}
int NAME(StreamBeginCapture)(void * stream, int mode) {
    (void) stream, (void) mode;
    NOTE(StreamBeginCapture, 0);
    return DONE;
}
int NAME(StreamEndCapture)(void * stream, void ** graph) {
    (void) stream;
    NOTE(StreamEndCapture, 0);
    return allocate(graph, 1);
}
int NAME(GraphInstantiate)(void ** executable, void * graph, unsigned long long flags) {
    (void) graph, (void) flags;
    NOTE(GraphInstantiate, 0);
    return allocate(executable, 1);
}
int NAME(GraphLaunch)(void * executable, void * stream) {
    (void) executable, (void) stream;
    NOTE(GraphLaunch, 0);
    return DONE;
}
int NAME(StreamSynchronize)(void * stream) {
    NOTE(StreamSynchronize, 0);
    if (stream) {
        const struct timespec while_it_computes = {0, 2000000};
        nanosleep(&while_it_computes, NULL);
    }
    return DONE;
}
int NAME(EventQuery)(void * event) {
    (void) event;
    NOTE(EventQuery, 0);
    return NOT_READY;
}
// The driver's part, for programs that look functions up: "cuMemcpyHtoD" and the like.
static int to_device(unsigned long long to, const void * from, size_t bytes) {
    note("cuMemcpyHtoD", bytes);
    memcpy((void *) to, from, bytes);
    return DONE;
}
static int launch(void * function, unsigned a, unsigned b, unsigned c, unsigned d, unsigned e,
                  unsigned f, unsigned shared, void * stream, void ** args, void ** extra) {
    (void) function, (void) a, (void) b, (void) c, (void) d, (void) e, (void) f, (void) shared,
        (void) stream;
    (void) args, (void) extra;
    note("cuLaunchKernel", 0);
    return DONE;
}
int cuGetProcAddress_v2(const char * name, void ** found, int version, unsigned long long flags,
                        void * status) {
    (void) version, (void) flags, (void) status;
    *found = strcmp(name, "cuMemcpyHtoD") == 0     ? (void *) to_device
             : strcmp(name, "cuLaunchKernel") == 0 ? (void *) launch
                                                   : NULL;
    return *found ? DONE : 500;
}
