// Calls by which a program works with a device: whose are recorded, what is kept of them, and
// functions that a program looks up in another way than by the dynamic linker.
#include "agent/device.h"

// What a device's own libraries call is their own business: recorded is what somebody asks of them.
// Whether this is the name of one, with or without directories.
int device_library_name(const char * base) {
    static const char * const stems[] = {
        "libcuda.so",  "libcudart",   "libcublas",   "libcudnn",     "libcufft",
        "libcusolver", "libcusparse", "libcurand",   "libcupti",     "libcuinj",
        "libnv",       "libnccl",     "libamdhip64", "libamd_comgr", "libhsa-runtime",
        "libhip",      "libroc",      "libMIOpen",   "libvulkan",    "libVk",
    };
    for (const char * c = base; *c; c++) {
        base = *c == '/' ? c + 1 : base;
    }
    for (unsigned i = 0; i < sizeof(stems) / sizeof(stems[0]); i++) {
        if (begins_with(base, stems[i])) {
            return 1;
        }
    }
    return 0;
}

static int is_device_library(const struct link_map * map) {
    return device_library_name(map->l_name ? map->l_name : "");
}

int device_keeps_own_calls(struct object * object) {
    enum { UNKNOWN, NO, YES };
    if (object->of_device == UNKNOWN) {
        object->of_device = is_device_library(object->map) ? YES : NO;
    }
    return object->of_device == YES;
}

// The function of a device's library by this name; NULL when the call isn't to be recorded.
const struct device_row * device_asked(const char * name, struct object * caller,
                                       const struct object * library) {
    // Nearly all names end here: the first letters tell.
    if (name[0] != 'c' && name[0] != 'h' && name[0] != 'v' && name[0] != 'r' && name[0] != '_') {
        return NULL;
    }
    const struct device_row * row = device_row(name);
    return row && caller != library && !device_keeps_own_calls(caller) ? row : NULL;
}

int device_is_lookup(const struct device_row * row) {
    return row->role[0] == 'l' && row->role[1] == 'o';
}

// Launches and polls come by the thousand, and all that is known of one is its time.
enum weight device_weight(const struct device_row * row) {
    return begins_with(row->role, "launch") || begins_with(row->role, "poll") ? CHEAP : LIGHT;
}

uint32_t device_keeps_text(const struct device_row * row) {
    char text[256];
    size_t at = 0;
    for (unsigned i = 0; i < DEVICE_KEEPS && row->keeps[i].source != LEFT_OUT; i++) {
        for (const char * c = row->keeps[i].label; *c && at < sizeof(text) - 24; c++) {
            text[at++] = *c;
        }
        text[at++] = ' ';
    }
    text[at++] = '@';
    for (const char * c = row->role; *c && at < sizeof(text); c++) {
        text[at++] = *c == ' ' ? '-' : *c;
    }
    return ring_text(text, at);
}

static uint64_t argument(const struct saved_registers * in, unsigned n) {
    const unsigned registers = sizeof(in->integers) / sizeof(in->integers[0]);
    return n < registers ? in->integers[n] : ((const uint64_t *) in->stack)[n - registers];
}

static uint64_t regions(const struct saved_registers * in, unsigned n) {
    enum { WORDS_OF_REGION = 3, SIZE_IN_REGION = 2, MOST_REGIONS = 4096 };
    const uint64_t * region = (const uint64_t *) argument(in, n);
    const uint32_t count = (uint32_t) argument(in, n - 1);
    uint64_t sum = 0;
    for (uint32_t i = 0; region && i < count && i < MOST_REGIONS; i++) {
        sum += region[(size_t) i * WORDS_OF_REGION + SIZE_IN_REGION];
    }
    return sum;
}

static uint64_t keep_one(const struct device_keep * keep, const struct saved_registers * in) {
    const unsigned n = keep->argument;
    const char * structure = (const char *) argument(in, n);
    switch (keep->source) {
    case ARGUMENT_32:
        return (uint64_t) (int64_t) (int32_t) argument(in, n);
    case BEHIND:
        return structure ? *(const uint64_t *) (structure + keep->offset) : 0;
    case BEHIND_32:
        return structure ? (uint64_t) *(const uint32_t *) (structure + keep->offset) : 0;
    case REGIONS:
        return regions(in, n);
    default: // WRITTEN: where it will be
        return argument(in, n);
    }
}

void device_begin(const struct thread * t, const struct hook * hook,
                  const struct saved_registers * in, struct record * frame) {
    frame->text = 0;
    frame->text2 = 0;
    frame->tid = (int32_t) t->tid;
    frame->pid = (int32_t) t->pid;
    frame->ret = 0;
    frame->duration = 0;
    for (unsigned i = 0; i < DEVICE_KEEPS; i++) {
        const struct device_keep * keep = hook->device->keeps + i;
        frame->args[i] = keep->source == LEFT_OUT ? 0 : keep_one(keep, in);
    }
    frame->start = now_ns();
    frame->head = record_head(RECORD_DEVICE, 0, hook->site, RECORD_CPU_UNKNOWN);
}

// A function that somebody has asked for by its name becomes an entry of ours, like a bound one.
static void look_up(const struct hook * hook, const struct record * frame,
                    struct saved_results * out) {
    const char * name = (const char *) frame->args[0];
    const int by_result = hook->device->returns == 'p';
    uint64_t * found = by_result ? out->integers + RESULT : (uint64_t *) frame->args[1];
    if (!name || !found || !*found || (!by_result && (int32_t) out->integers[RESULT] != 0)) {
        return;
    }
    void * entry = device_entry(name, (void *) *found, hook);
    if (entry) {
        *found = (uint64_t) entry;
    }
}

// Returns whether the call is to be recorded.
int device_end(const struct hook * hook, struct saved_results * out, struct record * frame) {
    const struct device_row * row = hook->device;
    if (device_is_lookup(row)) {
        look_up(hook, frame, out);
        return 0;
    }
    frame->ret = row->returns == 'i' ? (int64_t) (int32_t) out->integers[RESULT] : 0;
    for (unsigned i = 0; i < DEVICE_KEEPS && row->keeps[i].source != LEFT_OUT; i++) {
        if (row->keeps[i].source == WRITTEN) {
            const uint64_t * written = (const uint64_t *) frame->args[i];
            frame->args[i] = written && frame->ret == 0 ? *written : 0;
        }
    }
    return 1;
}
