// libFuzzer: /proc/PID/smaps, whose paths hold any byte but a newline.
#include "snapshot/proc.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t * data, size_t size) {
    enum { CAPACITY = 8, PATH_AT = 6, PATH_END = 7 };
    int64_t columns[LLAMACTL_MAPPING_COLUMNS * CAPACITY];
    // A copy of its own, so that a byte read beyond the end is found.
    char * copy = malloc(size ? size : 1);
    memcpy(copy, data, size);
    size_t count = llamactl_parse_smaps(copy, size, columns, CAPACITY);
    if (count > CAPACITY) {
        __builtin_trap();
    }
    for (size_t i = 0; i < count; i++) {
        int64_t at = columns[PATH_AT * CAPACITY + i], end = columns[PATH_END * CAPACITY + i];
        if (at < 0 || at > end || (uint64_t) end > size) {
            __builtin_trap();
        }
    }
    free(copy);
    return 0;
}
