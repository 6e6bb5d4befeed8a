/* A hash table of the traced threads, and what /proc says about them. */
#define _GNU_SOURCE
#include "common/frames.h"
#include "common/tasks.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_ROOM 64

struct task * task_find(const struct task_table * table, pid_t tid) {
    struct task * task = table->buckets[(uint32_t) tid % TASK_BUCKETS];
    while (task && task->tid != tid) {
        task = task->next;
    }
    return task;
}

struct task * task_get(struct task_table * table, pid_t tid) {
    struct task * task = task_find(table, tid);
    if (task) {
        return task;
    }
    task = calloc(1, sizeof *task);
    if (task) {
        struct task ** bucket = &table->buckets[(uint32_t) tid % TASK_BUCKETS];
        task->tid = tid;
        task->next = *bucket;
        *bucket = task;
        table->count++;
    }
    return task;
}

static void task_free(struct task * task) {
    frames_free(task->frames);
    free(task->text[0].bytes);
    free(task->text[1].bytes);
    free(task);
}

void task_remove(struct task_table * table, pid_t tid) {
    struct task ** link = &table->buckets[(uint32_t) tid % TASK_BUCKETS];
    while (*link && (*link)->tid != tid) {
        link = &(*link)->next;
    }
    if (*link) {
        struct task * task = *link;
        *link = task->next;
        task_free(task);
        table->count--;
    }
}

static void remove_visited(struct task * task, void * data) {
    task_remove(data, task->tid);
}

void task_clear(struct task_table * table) {
    task_each(table, remove_visited, table);
}

void task_each(struct task_table * table, void (*visit)(struct task * task, void * data),
               void * data) {
    for (int i = 0; i < TASK_BUCKETS; i++) {
        struct task * next;
        for (struct task * task = table->buckets[i]; task; task = next) {
            next = task->next;
            visit(task, data);
        }
    }
}

/* Reads a small file of /proc/TID into buffer as a string; returns its length, or -1. */
static ssize_t read_proc(pid_t tid, const char * name, char * buffer, size_t room) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int) tid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    ssize_t length = read(fd, buffer, room - 1);
    close(fd);
    if (length >= 0) {
        buffer[length] = 0;
    }
    return length;
}

pid_t task_process_of(pid_t tid) {
    char buffer[512];
    if (read_proc(tid, "status", buffer, sizeof buffer) <= 0) {
        return tid;
    }
    const char * line = strstr(buffer, "\nTgid:");
    return line ? (pid_t) strtol(line + 6, NULL, 10) : tid;
}

bool text_reserve(struct sink_text * text, uint32_t room) {
    if (room > text->room) {
        uint8_t * bytes = realloc(text->bytes, room);
        if (!bytes) {
            return false;
        }
        text->bytes = bytes;
        text->room = room;
    }
    return true;
}

bool task_name_of(pid_t tid, struct sink_text * text) {
    text->length = 0;
    if (!text_reserve(text, NAME_ROOM)) {
        return false;
    }
    ssize_t length = read_proc(tid, "comm", (char *) text->bytes, NAME_ROOM);
    if (length <= 0) {
        return false;
    }
    text->length = (uint32_t) length - (text->bytes[length - 1] == '\n');
    return true;
}

bool task_process_lives(pid_t pid) {
    char buffer[1024];
    if (read_proc(pid, "stat", buffer, sizeof buffer) <= 0) {
        return false;
    }
    const char * rest = strrchr(buffer, ')'); /* the name before it may hold anything */
    char state;
    int threads;
    if (!rest ||
        sscanf(rest + 1, " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %d",
               &state, &threads) != 2) {
        return false;
    }
    return state != 'Z' || threads > 1;
}
