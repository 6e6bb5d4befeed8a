/* Where a member of one of the kernel's structs lies: the kernel's own types (Documentation/bpf/
 * btf.rst), since the offset changes from build to build. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/btf.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bpf/calls.h"

#define KERNEL_TYPES "/sys/kernel/btf/vmlinux"
/* Newer than some distributions' headers. */
#define KIND_DECL_TAG 17
#define KIND_ENUM64 19

/* How many bytes follow the type itself. */
static size_t extra_of(const struct btf_type * type) {
    size_t count = BTF_INFO_VLEN(type->info);
    switch (BTF_INFO_KIND(type->info)) {
    case BTF_KIND_INT:
        return sizeof(uint32_t);
    case BTF_KIND_ARRAY:
        return sizeof(struct btf_array);
    case BTF_KIND_STRUCT:
    case BTF_KIND_UNION:
        return count * sizeof(struct btf_member);
    case BTF_KIND_ENUM:
        return count * sizeof(struct btf_enum);
    case BTF_KIND_FUNC_PROTO:
        return count * sizeof(struct btf_param);
    case BTF_KIND_VAR:
        return sizeof(struct btf_var);
    case BTF_KIND_DATASEC:
        return count * sizeof(struct btf_var_secinfo);
    case KIND_DECL_TAG:
        return sizeof(uint32_t);
    case KIND_ENUM64:
        return count * 3 * sizeof(uint32_t);
    default:
        return 0;
    }
}

static int member_offset(const struct btf_type * type, const char * strings, const char * member) {
    const struct btf_member * members = (const void *) (type + 1);
    for (uint32_t i = 0; i < BTF_INFO_VLEN(type->info); i++) {
        if (!strcmp(strings + members[i].name_off, member)) {
            uint32_t bits = members[i].offset;
            return (int) ((BTF_INFO_KFLAG(type->info) ? BTF_MEMBER_BIT_OFFSET(bits) : bits) / 8);
        }
    }
    return -ENOENT;
}

static int find_offset(const uint8_t * data, size_t size, const char * structure,
                       const char * member) {
    const struct btf_header * header = (const void *) data;
    if (size < sizeof *header || header->magic != BTF_MAGIC ||
        (uint64_t) header->hdr_len + header->str_off + header->str_len > size) {
        return -EINVAL;
    }
    const uint8_t * at = data + header->hdr_len + header->type_off;
    const uint8_t * end = at + header->type_len;
    const char * strings = (const char *) data + header->hdr_len + header->str_off;
    while (at + sizeof(struct btf_type) <= end) {
        const struct btf_type * type = (const void *) at;
        if (BTF_INFO_KIND(type->info) == BTF_KIND_STRUCT && BTF_INFO_VLEN(type->info) &&
            !strcmp(strings + type->name_off, structure)) {
            return member_offset(type, strings, member);
        }
        at += sizeof *type + extra_of(type);
    }
    return -ENOENT;
}

/* The file, mapped where the kernel can do so (6.16) since only a part of it is looked at. */
static const uint8_t * map_types(int fd, size_t size) {
    void * data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data != MAP_FAILED) {
        return data;
    }
    data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) {
        return NULL;
    }
    ssize_t part = 1;
    for (size_t got = 0; got < size && part > 0; got += (size_t) part) {
        part = read(fd, (uint8_t *) data + got, size - got);
        part = part < 0 ? 0 : part;
    }
    return data;
}

int btf_offset(const char * structure, const char * member) {
    struct stat status;
    int fd = open(KERNEL_TYPES, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    size_t size = fstat(fd, &status) == 0 ? (size_t) status.st_size : 0;
    const uint8_t * data = map_types(fd, size);
    int offset = data ? find_offset(data, size, structure, member) : -ENOMEM;
    if (data) {
        munmap((void *) (uintptr_t) data, size);
    }
    close(fd);
    return offset;
}
