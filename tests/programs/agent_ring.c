// What a program may do to the ring, and what the ring must bear.
// agent_ring crowd CHEAP DECODES:       so many cheap calls, then decodes.
// agent_ring wreck PART DECODES:        decodes, damages the ring, decodes again. PART: a name below.
// agent_ring become UID PROGRAM ARG...: gives its user away, then executes.
// agent_ring descriptors:               prints its open descriptors.
#define _GNU_SOURCE
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct llama_batch {
    int32_t n_tokens;
    int32_t * token;
    float * embd;
    int32_t * pos;
    int32_t * n_seq_id;
    int32_t ** seq_id;
    int8_t * logits;
};
uint32_t llama_n_ctx(const void * context);
int32_t llama_decode(void * context, struct llama_batch batch);

static void decode(int times) {
    int32_t token = 1;
    for (int i = 0; i < times; i++) {
        llama_decode(NULL, (struct llama_batch) {.n_tokens = 1, .token = &token});
    }
}

static uint8_t * find_ring(size_t * size) {
    char line[512];
    unsigned long start, end;
    FILE * maps = fopen("/proc/self/maps", "r");
    while (maps && fgets(line, sizeof(line), maps)) {
        if (strstr(line, "memfd:llamactl-agent") && sscanf(line, "%lx-%lx", &start, &end) == 2) {
            *size = end - start;
            return (uint8_t *) start;
        }
    }
    abort();
}

// Offsets as in agent/ring.h; 24 + 8 * n is where the header says that part n begins.
enum { SIZE_AT = 16, HEAD_AT = 128, TAIL_AT = 192, USED_AT = 296, SITES_USED_AT = 300 };
static const char * const parts[] = {"records", "arena", "sites", "threads", "counts"};

static void fill(uint8_t * to, size_t count, unsigned seed) {
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1103515245 + 12345;
        to[i] = (uint8_t) (seed >> 16);
    }
}

static void wreck(const char * part) {
    size_t size;
    uint8_t * ring = find_ring(&size);
    uint64_t * head = (uint64_t *) (ring + HEAD_AT), * tail = (uint64_t *) (ring + TAIL_AT);
    uint64_t begin[5];
    memcpy(begin, ring + 24, sizeof(begin));
    if (!strcmp(part, "head")) {
        *head += 1ull << 62;
    } else if (!strcmp(part, "head-back")) {
        *head = 0;
    } else if (!strcmp(part, "tail")) {
        *tail += 1ull << 40;
    } else if (!strcmp(part, "used")) {
        fill(ring + USED_AT, 8, 9);
    } else if (!strcmp(part, "hole")) {
        ((uint64_t *) (ring + begin[0]))[1 * 12] = 0;
    } else if (!strcmp(part, "header")) {
        fill(ring, 320, 5);
    } else if (!strcmp(part, "all")) {
        fill(ring, size, 7);
    }
    for (unsigned i = 0; i < 5; i++) {
        if (!strcmp(part, parts[i])) {
            fill(ring + begin[i], i == 0 ? 96 * 3 : i == 1 ? 64 : i == 3 ? 1664 * 4 : 128, 3);
        }
    }
}

static void print_descriptors(void) {
    DIR * directory = opendir("/proc/self/fd");
    for (struct dirent * entry; (entry = readdir(directory));) {
        if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(directory)) {
            printf("%s ", entry->d_name);
        }
    }
}

int main(int argc, char ** argv) {
    const char * what = argc > 1 ? argv[1] : "";
    if (!strcmp(what, "crowd") && argc > 3) {
        for (int i = 0; i < atoi(argv[2]); i++) {
            llama_n_ctx(NULL);
        }
        decode(atoi(argv[3]));
    } else if (!strcmp(what, "wreck") && argc > 3) {
        decode(atoi(argv[3]));
        wreck(argv[2]);
        decode(atoi(argv[3]));
    } else if (!strcmp(what, "become") && argc > 3) {
        if (setresuid((uid_t) atoi(argv[2]), (uid_t) atoi(argv[2]), (uid_t) atoi(argv[2])) != 0) {
            return 3;
        }
        execv(argv[3], argv + 3);
        return 4;
    } else if (!strcmp(what, "descriptors")) {
        print_descriptors();
    }
    puts("done");
    return 0;
}
