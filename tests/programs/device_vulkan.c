// Vulkan as far as the tests need it (structures of vulkan_core.h): libvulkan's functions, which a
// program gets from vkGetInstanceProcAddr, and with -DPROGRAM a program that does.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    int type;
    const void * next;
    uint64_t bytes;
    uint32_t memory_type;
} memory_info;
typedef struct {
    uint64_t from, to, bytes;
} region;
typedef void (*function)(void);
typedef int (*allocate_function)(void *, const memory_info *, const void *, uint64_t *);
typedef void (*copy_function)(void *, uint64_t, uint64_t, uint32_t, const region *);
typedef int (*submit_function)(void *, uint32_t, const void *, uint64_t);
typedef int (*wait_function)(void *, uint32_t, const uint64_t *, uint32_t, uint64_t);
typedef void (*dispatch_function)(void *, uint32_t, uint32_t, uint32_t);
function vkGetInstanceProcAddr(void * instance, const char * name);

#ifndef PROGRAM
static int allocate(void * device, const memory_info * info, const void * how, uint64_t * memory) {
    (void) device, (void) how;
    *memory = 0xA000 + info->memory_type;
    return info->bytes > 1 << 30 ? -2 : 0;
}
static void copy(void * commands, uint64_t from, uint64_t to, uint32_t count,
                 const region * regions) {
    (void) commands, (void) from, (void) to, (void) count, (void) regions;
}
static int submit(void * queue, uint32_t count, const void * submits, uint64_t fence) {
    (void) queue, (void) count, (void) submits, (void) fence;
    return 0;
}
static int wait(void * device, uint32_t count, const uint64_t * fences, uint32_t all, uint64_t ns) {
    (void) device, (void) count, (void) fences, (void) all, (void) ns;
    return 2; // VK_TIMEOUT
}
static void dispatch(void * commands, uint32_t x, uint32_t y, uint32_t z) {
    (void) commands, (void) x, (void) y, (void) z;
}
function vkGetInstanceProcAddr(void * instance, const char * name) {
    (void) instance;
    return strcmp(name, "vkAllocateMemory") == 0  ? (function) allocate
           : strcmp(name, "vkCmdCopyBuffer") == 0 ? (function) copy
           : strcmp(name, "vkQueueSubmit") == 0   ? (function) submit
           : strcmp(name, "vkWaitForFences") == 0 ? (function) wait
           : strcmp(name, "vkCmdDispatch") == 0   ? (function) dispatch
                                                  : NULL;
}
#else
// Its address is taken, as Vulkan's C++ loader does: the linker asks nobody about it.
function (*volatile get)(void *, const char *) = vkGetInstanceProcAddr;

int main(int argc, char ** argv) {
    if (!getenv("PATH") || !argv) { // What libraries do first: call others.
        return 3;
    }
    function (*find)(void *, const char *) = argc > 1 ? get : vkGetInstanceProcAddr;
    const allocate_function allocate = (allocate_function) find(0, "vkAllocateMemory");
    const copy_function copy = (copy_function) find(0, "vkCmdCopyBuffer");
    const submit_function submit = (submit_function) find(0, "vkQueueSubmit");
    const wait_function wait = (wait_function) find(0, "vkWaitForFences");
    const dispatch_function dispatch = (dispatch_function) find(0, "vkCmdDispatch");
    const memory_info fits = {5, 0, 4096, 7}, too_large = {5, 0, (uint64_t) 1 << 40, 7};
    const region regions[] = {{0, 0, 100}, {0, 0, 20}, {0, 0, 3}};
    uint64_t memory = 0;
    if (find(0, "vkNoSuchThing") || !allocate || allocate(0, &fits, 0, &memory)) {
        return 1;
    }
    allocate(0, &too_large, 0, &memory);
    copy(0, 1, 2, 3, regions);
    dispatch(0, 1, 1, 1);
    dispatch(0, 1, 1, 1);
    submit(0, 1, 0, 0);
    return wait(0, 1, &memory, 1, 0) == 2 ? 0 : 1;
}
#endif
