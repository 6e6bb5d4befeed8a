/* The profiler's own counts: what ran on the device, by CUPTI's activity records. Loaded by CUDA itself where
 * CUDA_INJECTION64_PATH names it; writes JSON into the file that CUPTI_COUNTS names. */
#include <cupti.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUFFER = 8 << 20, KINDS = 16, NAMES = 1024 };
static unsigned long long kernels, graph_kernels, copies[KINDS], bytes[KINDS], sets, dropped, calls[NAMES];

static void CUPTIAPI ask(uint8_t ** buffer, size_t * size, size_t * most) {
    *buffer = aligned_alloc(8, BUFFER);
    *size = *buffer ? BUFFER : 0;
    *most = 0;
}

static void take(const CUpti_Activity * record) {
    switch (record->kind) {
    case CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL:
    case CUPTI_ACTIVITY_KIND_KERNEL:
        kernels++;
        graph_kernels += ((const CUpti_ActivityKernel10 *) record)->graphNodeId != 0;
        break;
    case CUPTI_ACTIVITY_KIND_MEMCPY: {
        const CUpti_ActivityMemcpy6 * copy = (const CUpti_ActivityMemcpy6 *) record;
        if (copy->copyKind < KINDS) {
            copies[copy->copyKind]++;
            bytes[copy->copyKind] += copy->bytes;
        }
        break;
    }
    case CUPTI_ACTIVITY_KIND_MEMSET:
        sets++;
        break;
    case CUPTI_ACTIVITY_KIND_RUNTIME: {
        const CUpti_ActivityAPI * call = (const CUpti_ActivityAPI *) record;
        if (call->cbid < NAMES) {
            calls[call->cbid]++;
        }
        break;
    }
    default:
        break;
    }
}

static void CUPTIAPI done(CUcontext context, uint32_t stream, uint8_t * buffer, size_t size, size_t valid) {
    CUpti_Activity * record = NULL;
    size_t lost = 0;
    (void) size;
    while (cuptiActivityGetNextRecord(buffer, valid, &record) == CUPTI_SUCCESS) {
        take(record);
    }
    cuptiActivityGetNumDroppedRecords(context, stream, &lost);
    dropped += lost;
    free(buffer);
}

static void write_counts(void) {
    static const char * const names[] = {"unknown", "in", "out", "", "", "", "", "", "on", "host", "between"};
    cuptiActivityFlushAll(1);
    const char * path = getenv("CUPTI_COUNTS");
    FILE * file = path ? fopen(path, "w") : NULL;
    if (!file) {
        return;
    }
    fprintf(file, "{\"kernels\": %llu, \"graph_kernels\": %llu, \"sets\": %llu, \"dropped\": %llu, \"copies\": {", kernels,
            graph_kernels, sets, dropped);
    for (int i = 0, first = 1; i < 11; i++) {
        if (copies[i]) {
            fprintf(file, "%s\"%s\": [%llu, %llu]", first ? "" : ", ", names[i], copies[i], bytes[i]);
            first = 0;
        }
    }
    fprintf(file, "}, \"calls\": {");
    for (uint32_t i = 0, first = 1; i < NAMES; i++) {
        const char * name = NULL;
        if (calls[i] && cuptiGetCallbackName(CUPTI_CB_DOMAIN_RUNTIME_API, i, &name) == CUPTI_SUCCESS && name) {
            fprintf(file, "%s\"%s\": %llu", first ? "" : ", ", name, calls[i]);
            first = 0;
        }
    }
    fprintf(file, "}}\n");
    fclose(file);
}

int InitializeInjection(void);
int InitializeInjection(void) {
    cuptiActivityRegisterCallbacks(ask, done);
    cuptiActivityEnable(CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL);
    cuptiActivityEnable(CUPTI_ACTIVITY_KIND_MEMCPY);
    cuptiActivityEnable(CUPTI_ACTIVITY_KIND_MEMSET);
    cuptiActivityEnable(CUPTI_ACTIVITY_KIND_RUNTIME);
    atexit(write_counts);
    return 1;
}
