// What is kept of the functions by which a program works with a device: one row per function of
// CUDA's runtime ("cuda…"), its driver ("cu…"), HIP ("hip…", the same names as CUDA's) and Vulkan
// ("vk…"). Sources: cuda_runtime_api.h, driver_types.h, cuda.h, hip_runtime_api.h, vulkan_core.h.
//
// Sizes, counts and addresses; never what is copied. The role tells llamactl what a function does
// (llamactl/trace/agent/functions.py). A label is "name:type" as in calls/table.c.
#include "agent/device.h"

#define AN_ADDRESS(label, n) {label ":p", ARGUMENT, n, 0}
#define A_SIZE(label, n) {label ":u", ARGUMENT, n, 0}
#define A_NUMBER(label, n) {label ":i", ARGUMENT_32, n, 0}
// A member of the structure that an argument points to.
#define IN_SIZE(label, n, offset) {label ":u", BEHIND, n, offset}
#define IN_ADDRESS(label, n, offset) {label ":p", BEHIND, n, offset}
// What the function wrote where an argument points to.
#define OUT_ADDRESS(label, n) {label ":p", WRITTEN, n, 0}
#define OUT_SIZE(label, n) {label ":u", WRITTEN, n, 0}
// The sizes of `n - 1` regions of VkBufferCopy together.
#define IN_REGIONS(label, n) {label ":u", REGIONS, n, 0}

// Arguments that return where something was made come first, so most rows are like each other.
#define MADE OUT_ADDRESS("address", 0)
#define BYTES(n) A_SIZE("bytes", n)
#define COPIED AN_ADDRESS("to", 0), AN_ADDRESS("from", 1), BYTES(2)
#define STREAM(n) AN_ADDRESS("stream", n)
// CUDA's dim3 fills two registers.
#define AFTER_TWO_DIM3 7
#define LAUNCH_CONFIG_STREAM 32
#define NONE {{0}}

enum { RUNTIME = 1, DRIVER = 2, VULKAN = 4, BOTH = RUNTIME | DRIVER };

static const struct device_row rows[] = {
    {"Malloc", RUNTIME, "alloc device", 'i', {MADE, BYTES(1)}},
    {"MallocAsync", RUNTIME, "alloc device", 'i', {MADE, BYTES(1), STREAM(2)}},
    {"MallocFromPoolAsync", RUNTIME, "alloc device", 'i', {MADE, BYTES(1), STREAM(3)}},
    {"MallocPitch",
     RUNTIME,
     "alloc device",
     'i',
     {MADE, OUT_SIZE("width", 1), A_SIZE("height", 3)}},
    {"ExtMallocWithFlags", RUNTIME, "alloc device", 'i', {MADE, BYTES(1)}},
    {"MallocManaged", RUNTIME, "alloc managed", 'i', {MADE, BYTES(1)}},
    {"MallocHost", RUNTIME, "alloc pinned", 'i', {MADE, BYTES(1)}},
    {"HostAlloc", RUNTIME, "alloc pinned", 'i', {MADE, BYTES(1)}},
    {"HostMalloc", RUNTIME, "alloc pinned", 'i', {MADE, BYTES(1)}},
    {"HostRegister", RUNTIME, "alloc registered", 'i', {AN_ADDRESS("address", 0), BYTES(1)}},
    {"HostUnregister", RUNTIME, "free", 'i', {AN_ADDRESS("address", 0)}},
    {"Free", RUNTIME, "free", 'i', {AN_ADDRESS("address", 0)}},
    {"FreeAsync", RUNTIME, "free", 'i', {AN_ADDRESS("address", 0), STREAM(1)}},
    {"FreeHost", RUNTIME, "free", 'i', {AN_ADDRESS("address", 0)}},
    {"HostFree", RUNTIME, "free", 'i', {AN_ADDRESS("address", 0)}},
    {"MemAlloc", DRIVER, "alloc device", 'i', {MADE, BYTES(1)}},
    {"MemAllocAsync", DRIVER, "alloc device", 'i', {MADE, BYTES(1), STREAM(2)}},
    {"MemAllocPitch",
     DRIVER,
     "alloc device",
     'i',
     {MADE, OUT_SIZE("width", 1), A_SIZE("height", 3)}},
    {"MemCreate", DRIVER, "alloc device", 'i', {MADE, BYTES(1)}},
    {"MemAllocManaged", DRIVER, "alloc managed", 'i', {MADE, BYTES(1)}},
    {"MemHostAlloc", DRIVER, "alloc pinned", 'i', {MADE, BYTES(1)}},
    {"MemAllocHost", DRIVER, "alloc pinned", 'i', {MADE, BYTES(1)}},
    {"MemHostRegister", DRIVER, "alloc registered", 'i', {AN_ADDRESS("address", 0), BYTES(1)}},
    {"MemHostUnregister", DRIVER, "free", 'i', {AN_ADDRESS("address", 0)}},
    {"MemFree", DRIVER, "free", 'i', {AN_ADDRESS("address", 0)}},
    {"MemFreeAsync", DRIVER, "free", 'i', {AN_ADDRESS("address", 0), STREAM(1)}},
    {"MemFreeHost", DRIVER, "free", 'i', {AN_ADDRESS("address", 0)}},
    {"MemRelease", DRIVER, "free", 'i', {AN_ADDRESS("address", 0)}},

    {"Memcpy", RUNTIME, "copy", 'i', {COPIED, A_NUMBER("kind", 3)}},
    {"MemcpyAsync", RUNTIME, "copy", 'i', {COPIED, A_NUMBER("kind", 3), STREAM(4)}},
    {"Memcpy", DRIVER, "copy", 'i', {COPIED}},
    {"MemcpyAsync", DRIVER, "copy", 'i', {COPIED, STREAM(3)}},
    {"MemcpyHtoD", DRIVER, "copy in", 'i', {COPIED}},
    {"MemcpyHtoDAsync", DRIVER, "copy in", 'i', {COPIED, STREAM(3)}},
    {"MemcpyDtoH", DRIVER, "copy out", 'i', {COPIED}},
    {"MemcpyDtoHAsync", DRIVER, "copy out", 'i', {COPIED, STREAM(3)}},
    {"MemcpyDtoD", DRIVER, "copy on", 'i', {COPIED}},
    {"MemcpyDtoDAsync", DRIVER, "copy on", 'i', {COPIED, STREAM(3)}},
    {"Memcpy2D",
     RUNTIME,
     "copy",
     'i',
     {AN_ADDRESS("to", 0), AN_ADDRESS("from", 2), A_SIZE("width", 4), A_SIZE("height", 5),
      A_NUMBER("kind", 6)}},
    {"Memcpy2DAsync",
     RUNTIME,
     "copy",
     'i',
     {AN_ADDRESS("to", 0), AN_ADDRESS("from", 2), A_SIZE("width", 4), A_SIZE("height", 5),
      A_NUMBER("kind", 6), STREAM(7)}},
    // CUDA_MEMCPY2D
    {"Memcpy2D", DRIVER, "copy", 'i', {IN_SIZE("width", 0, 112), IN_SIZE("height", 0, 120)}},
    {"Memcpy2DAsync",
     DRIVER,
     "copy",
     'i',
     {IN_SIZE("width", 0, 112), IN_SIZE("height", 0, 120), STREAM(1)}},
    {"MemcpyPeer",
     BOTH,
     "copy between",
     'i',
     {AN_ADDRESS("to", 0), AN_ADDRESS("from", 2), BYTES(4)}},
    {"MemcpyPeerAsync",
     BOTH,
     "copy between",
     'i',
     {AN_ADDRESS("to", 0), AN_ADDRESS("from", 2), BYTES(4), STREAM(5)}},
    // cudaMemcpy3DPeerParms
    {"Memcpy3DPeerAsync",
     RUNTIME,
     "copy between",
     'i',
     {IN_ADDRESS("to", 0, 104), IN_ADDRESS("from", 0, 32), IN_SIZE("width", 0, 144),
      IN_SIZE("height", 0, 152), IN_SIZE("depth", 0, 160), STREAM(1)}},
    {"MemcpyToSymbol", RUNTIME, "copy", 'i', {COPIED, A_NUMBER("kind", 4)}},
    {"MemcpyToSymbolAsync", RUNTIME, "copy", 'i', {COPIED, A_NUMBER("kind", 4), STREAM(5)}},
    {"Memset", RUNTIME, "set", 'i', {AN_ADDRESS("to", 0), BYTES(2)}},
    {"MemsetAsync", RUNTIME, "set", 'i', {AN_ADDRESS("to", 0), BYTES(2), STREAM(3)}},
    {"MemsetD8", DRIVER, "set", 'i', {AN_ADDRESS("to", 0), BYTES(2)}},
    {"MemsetD8Async", DRIVER, "set", 'i', {AN_ADDRESS("to", 0), BYTES(2), STREAM(3)}},

    {"LaunchKernel", RUNTIME, "launch", 'i', {AN_ADDRESS("function", 0), STREAM(AFTER_TWO_DIM3)}},
    {"LaunchCooperativeKernel",
     RUNTIME,
     "launch",
     'i',
     {AN_ADDRESS("function", 0), STREAM(AFTER_TWO_DIM3)}},
    {"LaunchKernelExC",
     RUNTIME,
     "launch",
     'i',
     {AN_ADDRESS("function", 1), IN_ADDRESS("stream", 0, LAUNCH_CONFIG_STREAM)}},
    {"LaunchKernel", DRIVER, "launch", 'i', {AN_ADDRESS("function", 0), STREAM(8)}},
    {"LaunchCooperativeKernel", DRIVER, "launch", 'i', {AN_ADDRESS("function", 0), STREAM(8)}},
    {"ModuleLaunchKernel", RUNTIME, "launch", 'i', {AN_ADDRESS("function", 0), STREAM(8)}},
    {"ExtModuleLaunchKernel", RUNTIME, "launch", 'i', {AN_ADDRESS("function", 0), STREAM(8)}},
    {"LaunchKernelEx",
     DRIVER,
     "launch",
     'i',
     {AN_ADDRESS("function", 1), IN_ADDRESS("stream", 0, LAUNCH_CONFIG_STREAM)}},

    {"StreamBeginCapture", BOTH, "capture", 'i', {STREAM(0)}},
    {"StreamEndCapture", BOTH, "captured", 'i', {STREAM(0), OUT_ADDRESS("graph", 1)}},
    {"GraphInstantiate",
     BOTH,
     "graph",
     'i',
     {OUT_ADDRESS("executable", 0), AN_ADDRESS("graph", 1)}},
    {"GraphInstantiateWithFlags",
     BOTH,
     "graph",
     'i',
     {OUT_ADDRESS("executable", 0), AN_ADDRESS("graph", 1)}},
    {"GraphInstantiateWithParams",
     BOTH,
     "graph",
     'i',
     {OUT_ADDRESS("executable", 0), AN_ADDRESS("graph", 1)}},
    {"GraphExecUpdate", BOTH, "graph", 'i', {AN_ADDRESS("executable", 0), AN_ADDRESS("graph", 1)}},
    {"GraphLaunch", BOTH, "launch graph", 'i', {AN_ADDRESS("executable", 0), STREAM(1)}},

    {"StreamSynchronize", BOTH, "wait", 'i', {STREAM(0)}},
    {"EventSynchronize", BOTH, "wait", 'i', NONE},
    {"DeviceSynchronize", RUNTIME, "wait", 'i', NONE},
    {"CtxSynchronize", DRIVER, "wait", 'i', NONE},
    {"StreamQuery", BOTH, "poll", 'i', NONE},
    {"EventQuery", BOTH, "poll", 'i', NONE},

    {"SetDevice", RUNTIME, "device", 'i', {A_NUMBER("device", 0)}},
    {"MemGetInfo", BOTH, "memory", 'i', {OUT_SIZE("free", 0), OUT_SIZE("total", 1)}},

    {"Init", BOTH, "start", 'i', NONE},
    {"GetDeviceCount", RUNTIME, "start", 'i', NONE},
    {"GetDeviceProperties", RUNTIME, "start", 'i', NONE},
    {"GetDeviceFlags", RUNTIME, "start", 'i', NONE},
    {"SetDeviceFlags", RUNTIME, "start", 'i', NONE},
    {"DeviceReset", RUNTIME, "start", 'i', NONE},
    {"DriverGetVersion", BOTH, "start", 'i', NONE},
    {"StreamCreate", BOTH, "start", 'i', NONE},
    {"StreamCreateWithFlags", RUNTIME, "start", 'i', NONE},
    {"StreamCreateWithPriority", BOTH, "start", 'i', NONE},
    {"EventCreate", BOTH, "start", 'i', NONE},
    {"EventCreateWithFlags", RUNTIME, "start", 'i', NONE},
    {"DeviceEnablePeerAccess", RUNTIME, "start", 'i', NONE},
    {"FuncSetAttribute", BOTH, "start", 'i', NONE},
    {"FuncGetAttributes", RUNTIME, "start", 'i', NONE},
    {"OccupancyMaxActiveBlocksPerMultiprocessor", BOTH, "start", 'i', NONE},
    {"CtxCreate", DRIVER, "start", 'i', NONE},
    {"DevicePrimaryCtxRetain", DRIVER, "start", 'i', NONE},
    {"RegisterFatBinary", RUNTIME, "module", 'p', NONE},
    {"ModuleLoad", BOTH, "module", 'i', NONE},
    {"ModuleLoadData", BOTH, "module", 'i', NONE},
    {"ModuleLoadDataEx", BOTH, "module", 'i', NONE},
    {"ModuleLoadFatBinary", DRIVER, "module", 'i', NONE},
    {"LibraryLoadData", BOTH, "module", 'i', NONE},

    {"GetProcAddress", BOTH, "lookup", 'i', {AN_ADDRESS("name", 0), AN_ADDRESS("found", 1)}},
    {"GetDriverEntryPoint",
     RUNTIME,
     "lookup",
     'i',
     {AN_ADDRESS("name", 0), AN_ADDRESS("found", 1)}},
    {"GetDriverEntryPointByVersion",
     RUNTIME,
     "lookup",
     'i',
     {AN_ADDRESS("name", 0), AN_ADDRESS("found", 1)}},

    {"GetInstanceProcAddr", VULKAN, "lookup", 'p', {AN_ADDRESS("name", 1)}},
    {"GetDeviceProcAddr", VULKAN, "lookup", 'p', {AN_ADDRESS("name", 1)}},
    {"CreateInstance", VULKAN, "start", 'i', NONE},
    {"EnumeratePhysicalDevices", VULKAN, "start", 'i', NONE},
    {"CreateDevice", VULKAN, "start", 'i', NONE},
    {"CreateComputePipelines", VULKAN, "module", 'i', NONE},
    // VkMemoryAllocateInfo
    {"AllocateMemory",
     VULKAN,
     "alloc device",
     'i',
     {OUT_ADDRESS("address", 3), IN_SIZE("bytes", 1, 16), {"type:i", BEHIND_32, 1, 24}}},
    {"FreeMemory", VULKAN, "free", 'v', {AN_ADDRESS("address", 1)}},
    {"MapMemory", VULKAN, "map", 'i', {AN_ADDRESS("address", 1), A_SIZE("bytes", 3)}},
    {"CmdCopyBuffer",
     VULKAN,
     "copy",
     'v',
     {AN_ADDRESS("to", 2), AN_ADDRESS("from", 1), IN_REGIONS("bytes", 4)}},
    {"CmdDispatch", VULKAN, "launch", 'v', NONE},
    {"CmdDispatchBase", VULKAN, "launch", 'v', NONE},
    {"CmdDispatchIndirect", VULKAN, "launch", 'v', NONE},
    {"QueueSubmit", VULKAN, "submit", 'i', {A_NUMBER("count", 1)}},
    {"QueueSubmit2", VULKAN, "submit", 'i', {A_NUMBER("count", 1)}},
    {"QueueSubmit2KHR", VULKAN, "submit", 'i', {A_NUMBER("count", 1)}},
    {"WaitForFences", VULKAN, "wait", 'i', NONE},
    {"WaitSemaphores", VULKAN, "wait", 'i', NONE},
    {"WaitSemaphoresKHR", VULKAN, "wait", 'i', NONE},
    {"QueueWaitIdle", VULKAN, "wait", 'i', NONE},
    {"DeviceWaitIdle", VULKAN, "wait", 'i', NONE},
    {"GetFenceStatus", VULKAN, "poll", 'i', NONE},
};

// Libraries of linear algebra launch kernels of their own, one or several a call. What they are
// called for is in the names, of which there are hundreds.
static const struct device_row algebra = {"blas", BOTH, "launch library", 'i', NONE};

static int contains(const char * text, const char * part) {
    for (; *text; text++) {
        if (begins_with(text, part)) {
            return 1;
        }
    }
    return 0;
}

static const struct device_row * find_algebra(const char * name) {
    const int computes = contains(name, "emm") || contains(name, "emv") || contains(name, "trsm");
    return computes || same_text(name, "blasLtMatmul") ? &algebra : NULL;
}

// Whether `name` is `wanted`, perhaps with a version of CUDA or HIP behind it: cuMemAlloc_v2,
// cudaLaunchKernel_ptsz, hipGetDevicePropertiesR0600. Vulkan's versions are functions of their own.
static int is_function(const char * name, const char * wanted, int versions) {
    for (; *wanted; name++, wanted++) {
        if (*name != *wanted) {
            return 0;
        }
    }
    return !*name || (versions && (begins_with(name, "_v") || begins_with(name, "_pt") ||
                                   begins_with(name, "R0")));
}

const struct device_row * device_row(const char * name) {
    unsigned family = 0;
    // What nvcc makes of `kernel<<<…>>>` since CUDA 13: __cudaLaunchKernel.
    if (begins_with(name, "__")) {
        name += 2;
    }
    if (begins_with(name, "cuda")) {
        family = RUNTIME;
        name += 4;
    } else if (begins_with(name, "cu")) {
        family = DRIVER;
        name += 2;
    } else if (begins_with(name, "hip")) {
        family = RUNTIME | DRIVER;
        name += 3;
    } else if (begins_with(name, "vk")) {
        family = VULKAN;
        name += 2;
    } else if (begins_with(name, "rocblas_")) {
        family = BOTH;
        name += 3;
    } else {
        return NULL;
    }
    if (begins_with(name, "blas")) {
        return find_algebra(name);
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].families & family && is_function(name, rows[i].name, family != VULKAN)) {
            return rows + i;
        }
    }
    return NULL;
}
