// Symbols of a loaded object, read from its dynamic section: the agent can't use the program's
// dlsym.
#include "agent/agent.h"

struct symbols {
    const Elf64_Sym * table;
    const char * names;
    const uint32_t * gnu;  // DT_GNU_HASH
    const uint32_t * sysv; // DT_HASH
};

// glibc turns most addresses of the dynamic section into real ones, but not where it is read-only.
static const void * dynamic_address(const struct link_map * map, Elf64_Addr value) {
    return (const void *) (value < map->l_addr ? map->l_addr + value : value);
}

static int find_tables(const struct link_map * map, struct symbols * out) {
    *out = (struct symbols) {0};
    if (!map->l_ld) {
        return 0;
    }
    for (const Elf64_Dyn * entry = map->l_ld; entry->d_tag != DT_NULL; entry++) {
        const void * address = dynamic_address(map, entry->d_un.d_ptr);
        switch (entry->d_tag) {
        case DT_SYMTAB:
            out->table = address;
            break;
        case DT_STRTAB:
            out->names = address;
            break;
        case DT_GNU_HASH:
            out->gnu = address;
            break;
        case DT_HASH:
            out->sysv = address;
            break;
        default:
            break;
        }
    }
    return out->table && out->names && (out->gnu || out->sysv);
}

static int is_exported(const Elf64_Sym * symbol) {
    return symbol->st_shndx != SHN_UNDEF && symbol->st_value &&
           ELF64_ST_TYPE(symbol->st_info) != STT_TLS;
}

// A wrapper may have names of its own that begin with llama_; the engine is what has these.
static int is_engine_function(const Elf64_Sym * symbol, const char * name) {
    return ELF64_ST_TYPE(symbol->st_info) == STT_FUNC &&
           (begins_with(name, "ggml_") || begins_with(name, "gguf_") ||
            same_text(name, "llama_decode") || same_text(name, "whisper_full"));
}

static const Elf64_Sym * find_gnu(const struct symbols * in, const char * name) {
    uint32_t hash = 5381;
    for (const unsigned char * c = (const unsigned char *) name; *c; c++) {
        hash = hash * 33 + *c;
    }
    const uint32_t buckets = in->gnu[0], first = in->gnu[1], words = in->gnu[2];
    const uint32_t * bucket = in->gnu + 4 + 2 * (size_t) words;
    const uint32_t * chain = bucket + buckets;
    uint32_t i = buckets ? bucket[hash % buckets] : 0;
    for (; i >= first && i; i++) {
        const uint32_t entry = chain[i - first];
        const Elf64_Sym * symbol = in->table + i;
        if ((entry | 1) == (hash | 1) && same_text(in->names + symbol->st_name, name)) {
            return symbol;
        }
        if (entry & 1) {
            break;
        }
    }
    return NULL;
}

static const Elf64_Sym * find_sysv(const struct symbols * in, const char * name) {
    for (uint32_t i = 0; i < in->sysv[1]; i++) {
        if (same_text(in->names + in->table[i].st_name, name)) {
            return in->table + i;
        }
    }
    return NULL;
}

// The address of what `map` itself exports under this name, NULL when it doesn't.
void * elf_symbol(const struct link_map * map, const char * name) {
    struct symbols in;
    if (!find_tables(map, &in)) {
        return NULL;
    }
    const Elf64_Sym * symbol = in.gnu ? find_gnu(&in, name) : find_sysv(&in, name);
    return symbol && is_exported(symbol) ? (void *) (map->l_addr + symbol->st_value) : NULL;
}

static uint32_t symbol_count(const struct symbols * in) {
    if (in->sysv) {
        return in->sysv[1];
    }
    const uint32_t buckets = in->gnu[0], first = in->gnu[1], words = in->gnu[2];
    const uint32_t * bucket = in->gnu + 4 + 2 * (size_t) words;
    const uint32_t * chain = bucket + buckets;
    uint32_t last = 0;
    for (uint32_t i = 0; i < buckets; i++) {
        last = bucket[i] > last ? bucket[i] : last;
    }
    if (last < first) {
        return first;
    }
    while (!(chain[last - first] & 1)) {
        last++;
    }
    return last + 1;
}

// Whether the object exports the engine's functions, and whether it is an extension module of
// Python.
unsigned elf_exports(const struct link_map * map) {
    struct symbols in;
    if (!find_tables(map, &in)) {
        return 0;
    }
    unsigned found = 0;
    const uint32_t count = symbol_count(&in);
    for (uint32_t i = 0; i < count && found != (EXPORTS_ENGINE | EXPORTS_MODULE); i++) {
        const char * name = in.names + in.table[i].st_name;
        if (!is_exported(in.table + i)) {
            continue;
        }
        if (begins_with(name, "PyInit_")) {
            found |= EXPORTS_MODULE;
        } else if (is_engine_function(in.table + i, name)) {
            found |= EXPORTS_ENGINE;
        }
    }
    return found;
}
