/* The agent's table of arguments, for whoever catches calls from outside. */
#include "agent/agent.h"
#include "calls/api.h"

#include <string.h>

/* table.c asks whether the library has a symbol. Here the library isn't loaded, and in place
 * of its link map comes the list of its exported names. */
void * elf_symbol(const struct link_map * map, const char * name) {
    const char * const * exports = (const char * const *) (const void *) map;
    for (; *exports; exports++) {
        if (strcmp(*exports, name) == 0) {
            return (void *) (uintptr_t) *exports;
        }
    }
    return NULL;
}

int points_role(const char * name) {
    return table_role(name);
}

int points_row(const char * name, const char * const * exports, struct point_row * row) {
    const struct row * found = table_find(name, (const struct link_map *) (const void *) exports);
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

_Static_assert(KEEP_MAX == POINT_KEEPS, "as many arguments as the agent keeps");
_Static_assert(REGISTER == 1 && REGISTER_32 == 2 && STACK_64 == 3 && STACK_32 == 4 &&
                   FLOAT_REGISTER == 5 && STRING == 6 && STACK_EITHER == 7,
               "points.c has the same sources");
