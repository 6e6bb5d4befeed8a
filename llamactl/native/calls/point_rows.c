/* The table of arguments for whoever catches calls from outside. */
#include "calls/table.h"

#include <string.h>

static int is_listed(const void * library, const char * name) {
    for (const char * const * exports = library; *exports; exports++) {
        if (strcmp(*exports, name) == 0) {
            return 1;
        }
    }
    return 0;
}

int points_role(const char * name) {
    return table_role(name);
}

int points_row(const char * name, const char * const * exports, struct point_row * row) {
    const struct row * found = table_find(name, is_listed, exports);
    memset(row, 0, sizeof *row);
    if (!found) {
        return 0;
    }
    row->returns = found->returns;
    for (int i = 0;
         i < KEEP_MAX && found->keeps[i].source != NOTHING && found->keeps[i].source != TOLD; i++) {
        row->source[i] = found->keeps[i].source;
        row->index[i] = found->keeps[i].index;
        row->label[i] = found->keeps[i].label;
        row->count++;
    }
    return 1;
}
