/* What is kept of the memory that a system call's arguments point to. */
#ifndef LLAMACTL_TRACER_TEXTS_H
#define LLAMACTL_TRACER_TEXTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/tasks.h"

enum text_kind {
    TEXT_NONE = 0,
    TEXT_STRING,    /* up to a NUL */
    TEXT_BYTES,     /* `size` bytes, read on entry */
    TEXT_SIZED,     /* as many bytes as the argument number `size` says, read on entry */
    TEXT_VECTOR,    /* an array of strings up to a NULL, joined with NULs */
    TEXT_OUT_BYTES, /* `size` bytes, read when the call has succeeded */
    TEXT_OUT_SIZED, /* as many bytes as the int that argument number `size` points to, on success */
};

struct text_part {
    uint8_t kind;
    uint8_t argument;
    uint16_t size;
};

struct text_rule {
    uint16_t nr;
    struct text_part part[2];
};

/* The rule of a native system call; NULL when nothing is kept. */
const struct text_rule * text_rule_of(uint32_t nr);
/* Whether all that is kept can be read on entry, and the call returns to the same program. */
bool text_on_entry(const struct text_rule * rule);
/* Reads what is to be read on entry, or (exit true) when the call has returned. */
void text_read(struct task * task, bool exit);
/* Reads memory of a stopped thread; returns how many bytes could be read. */
size_t memory_read(pid_t tid, uint64_t address, void * buffer, size_t length);
/* Which way of reading memory the kernel let us use: 0 process_vm_readv, 1 word by word. */
int memory_way(void);

#endif
