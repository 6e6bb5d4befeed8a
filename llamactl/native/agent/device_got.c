// Functions of a device whose address a program takes in place of calling them, as Vulkan's C++
// loader does with vkGetInstanceProcAddr: the dynamic linker writes such an address into the
// object's table (R_*_GLOB_DAT) and asks no audit library. So the table's entries are replaced once
// it is filled in.
#include <sys/mman.h>

#include "agent/agent.h"

#if defined(__x86_64__)
enum { GLOBAL_ADDRESS = R_X86_64_GLOB_DAT, ADDRESS_IN_DATA = R_X86_64_64 };
#else
enum { GLOBAL_ADDRESS = R_AARCH64_GLOB_DAT, ADDRESS_IN_DATA = R_AARCH64_ABS64 };
#endif
enum { PAGE = 4096, ROOM = 2048 };

struct table {
    const Elf64_Rela * first;
    uint64_t size;
    const Elf64_Sym * symbols;
    const char * names;
    int needs_device;
};

static const void * real_address(const struct link_map * map, Elf64_Addr value) {
    return (const void *) (value < map->l_addr ? map->l_addr + value : value);
}

static struct table table_of(const struct link_map * map) {
    struct table found = {0};
    for (const Elf64_Dyn * entry = map->l_ld; entry && entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag == DT_RELA) {
            found.first = real_address(map, entry->d_un.d_ptr);
        } else if (entry->d_tag == DT_RELASZ) {
            found.size = entry->d_un.d_val;
        } else if (entry->d_tag == DT_SYMTAB) {
            found.symbols = real_address(map, entry->d_un.d_ptr);
        } else if (entry->d_tag == DT_STRTAB) {
            found.names = real_address(map, entry->d_un.d_ptr);
        }
    }
    for (const Elf64_Dyn * entry = map->l_ld; found.names && entry->d_tag != DT_NULL; entry++) {
        found.needs_device |=
            entry->d_tag == DT_NEEDED && device_library_name(found.names + entry->d_un.d_val);
    }
    return found;
}

static uint64_t hexadecimal(const char ** at) {
    uint64_t value = 0;
    for (;; (*at)++) {
        const char c = **at;
        if (c >= '0' && c <= '9') {
            value = value << 4 | (uint64_t) (c - '0');
        } else if (c >= 'a' && c <= 'f') {
            value = value << 4 | (uint64_t) (c - 'a' + 10);
        } else {
            return value;
        }
    }
}

// Whether the page may be written: 1, 0 when it may be read alone, -1 where that isn't known.
static int may_write(uintptr_t address) {
    char text[ROOM];
    const long file = sys4(__NR_openat, -100, (long) "/proc/self/maps", 0, 0);
    size_t kept = 0;
    int found = -1;
    while (!sys_failed(file) && found < 0) {
        const long got = sys3(__NR_read, file, (long) (text + kept), (long) (ROOM - 1 - kept));
        if (sys_failed(got) || got == 0) {
            break;
        }
        const size_t length = kept + (size_t) got;
        text[length] = 0;
        const char * line = text;
        for (const char * end = text; end < text + length; end++) {
            if (*end != '\n') {
                continue;
            }
            const char * at = line;
            const uint64_t low = hexadecimal(&at);
            at += *at == '-';
            const uint64_t high = hexadecimal(&at);
            if (address >= low && address < high && at[0] == ' ' && at[1] == 'r') {
                found = at[2] == 'w';
            }
            line = end + 1;
        }
        kept = (size_t) (text + length - line) < ROOM / 2 ? (size_t) (text + length - line) : 0;
        for (size_t i = 0; i < kept; i++) {
            text[i] = line[i];
        }
    }
    if (!sys_failed(file)) {
        sys3(__NR_close, file, 0, 0);
    }
    return found;
}

static void replace(uint64_t * slot, uint64_t value) {
    const int writable = may_write((uintptr_t) slot);
    const long page = (long) ((uintptr_t) slot & ~(uintptr_t) (PAGE - 1));
    if (writable < 0 ||
        (!writable && sys_failed(sys3(__NR_mprotect, page, PAGE, PROT_READ | PROT_WRITE)))) {
        return;
    }
    store_release(slot, value);
    if (!writable) {
        sys3(__NR_mprotect, page, PAGE, PROT_READ);
    }
}

// Once for each object, at the first function that it binds: then its table is filled in.
void device_got(struct object * object) {
    const struct link_map * map = object->map;
    const struct table table = table_of(map);
    if (!table.needs_device || !table.first || !table.symbols || !map->l_addr) {
        return;
    }
    for (uint64_t i = 0; i < table.size / sizeof(Elf64_Rela); i++) {
        const Elf64_Rela * entry = table.first + i;
        const unsigned type = ELF64_R_TYPE(entry->r_info);
        if ((type != GLOBAL_ADDRESS && type != ADDRESS_IN_DATA) || entry->r_addend) {
            continue;
        }
        const Elf64_Sym * symbol = table.symbols + ELF64_R_SYM(entry->r_info);
        uint64_t * slot = (uint64_t *) (map->l_addr + entry->r_offset);
        void * made =
            *slot ? device_taken(table.names + symbol->st_name, (void *) *slot, object) : NULL;
        if (made) {
            replace(slot, (uint64_t) made);
        }
    }
}
