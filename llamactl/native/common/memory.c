/* Read strings and structures from a stopped thread's memory, by the rules of texts.c. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/request.h"
#include "common/texts.h"

#define PAGE 4096u
#define VECTOR_LIMIT 64
#define TEXT_FIRST 256

static int way;

int memory_way(void) {
    return way;
}

/* A seccomp profile may refuse process_vm_readv but not ptrace: then word by word, slower. */
static size_t read_words(pid_t tid, uint64_t address, uint8_t * buffer, size_t length) {
    size_t done = 0;
    while (done < length) {
        uint64_t at = address + done;
        uint64_t start = at & ~(sizeof(long) - 1);
        long word;
        if (request(PTRACE_PEEKDATA, tid, start, &word) != 0) {
            break;
        }
        size_t skip = at - start;
        size_t part = sizeof word - skip;
        if (part > length - done) {
            part = length - done;
        }
        memcpy(buffer + done, (const char *) &word + skip, part);
        done += part;
    }
    return done;
}

size_t memory_read(pid_t tid, uint64_t address, void * buffer, size_t length) {
    struct iovec local = {buffer, length};
    struct iovec remote = {(void *) (uintptr_t) address, length};
    if (way == 0) {
        ssize_t got = process_vm_readv(tid, &local, 1, &remote, 1, 0);
        if (got >= 0) {
            return (size_t) got;
        }
        if (errno != EPERM && errno != ENOSYS) {
            return 0;
        }
        way = 1;
    }
    return read_words(tid, address, buffer, length);
}

/* Reads up to a NUL, page by page, because the page after the string may not be there. */
static bool read_string(pid_t tid, uint64_t address, struct sink_text * text) {
    uint32_t begin = text->length;
    uint32_t step = TEXT_FIRST;
    while (text->length - begin < TEXT_LIMIT) {
        uint64_t at = address + (text->length - begin);
        uint32_t part = PAGE - (uint32_t) (at & (PAGE - 1));
        part = part < step ? part : step;
        if (!text_reserve(text, text->length + part)) {
            return false;
        }
        size_t got = memory_read(tid, at, text->bytes + text->length, part);
        const uint8_t * end = got ? memchr(text->bytes + text->length, 0, got) : NULL;
        if (end) {
            text->length = (uint32_t) (end - text->bytes);
            return true;
        }
        text->length += (uint32_t) got;
        if (got < part) {
            return false;
        }
        step = PAGE;
    }
    return false;
}

static bool read_bytes(pid_t tid, uint64_t address, uint64_t size, struct sink_text * text) {
    uint32_t length = size < TEXT_LIMIT ? (uint32_t) size : TEXT_LIMIT;
    if (!text_reserve(text, length)) {
        return false;
    }
    text->length = (uint32_t) memory_read(tid, address, text->bytes, length);
    return text->length == size;
}

/* argv: the strings with a NUL after each. */
static bool read_vector(pid_t tid, uint64_t address, struct sink_text * text) {
    for (int i = 0; i < VECTOR_LIMIT && text->length < TEXT_LIMIT; i++) {
        uint64_t pointer = 0;
        if (memory_read(tid, address + 8 * (uint64_t) i, &pointer, 8) != 8) {
            return false;
        }
        if (!pointer) {
            return true;
        }
        if (!read_string(tid, pointer, text) || !text_reserve(text, text->length + 1)) {
            return false;
        }
        text->bytes[text->length++] = 0;
    }
    return false;
}

static bool read_part(const struct task * task, const struct text_part * part,
                      struct sink_text * text) {
    uint64_t address = task->args[part->argument];
    int32_t size = 0;
    switch (part->kind) {
    case TEXT_STRING:
        return read_string(task->tid, address, text);
    case TEXT_VECTOR:
        return read_vector(task->tid, address, text);
    case TEXT_SIZED:
        return read_bytes(task->tid, address, task->args[part->size], text);
    case TEXT_BYTES:
    case TEXT_OUT_BYTES:
        return read_bytes(task->tid, address, part->size, text);
    case TEXT_OUT_SIZED:
        if (memory_read(task->tid, task->args[part->size], &size, 4) != 4 || size < 0) {
            return true;
        }
        return read_bytes(task->tid, address, (uint64_t) size, text);
    default:
        return true;
    }
}

void text_read(struct task * task, bool exit) {
    for (int i = 0; i < 2; i++) {
        const struct text_part * part = &task->rule->part[i];
        if (part->kind == TEXT_NONE || (part->kind >= TEXT_OUT_BYTES) != exit) {
            continue;
        }
        task->text[i].length = 0;
        if (task->args[part->argument] && !read_part(task, part, &task->text[i])) {
            task->flags |= FLAG_TEXT_CUT;
        }
    }
}
