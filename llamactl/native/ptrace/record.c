/* Turn what the loop saw into records. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "ptrace/tracer.h"
#include "common/texts.h"

static struct record blank(const struct task * task, int kind, uint64_t start) {
    struct record record;
    memset(&record, 0, sizeof record);
    record.kind = (uint8_t) kind;
    record.cpu = RECORD_CPU_UNKNOWN;
    record.arch = ARCH_NATIVE;
    record.tid = task->tid;
    record.pid = task->pid;
    record.start = start;
    return record;
}

static void put(struct tracer * tracer, const struct record * record, const struct sink_text * text,
                const struct sink_text * text2) {
    sink_begin(&tracer->sink);
    sink_put(&tracer->sink, record, text, text2);
    sink_end(&tracer->sink);
}

void record_call(struct tracer * tracer, struct task * task, int64_t ret, uint64_t now) {
    task->in_call = false;
    if (!task->wanted || !tracer->recording) {
        return;
    }
    struct record record = blank(task, RECORD_SYSCALL, task->start);
    record.flags = task->flags;
    record.nr = task->nr;
    record.arch = task->arch;
    record.duration = now - task->start;
    record.ret = ret;
    memcpy(record.args, task->args, sizeof record.args);
    put(tracer, &record, &task->text[0], &task->text[1]);
}

void record_task(struct tracer * tracer, struct task * task, int what, pid_t child, pid_t child_pid,
                 int64_t ret) {
    struct sink_text name = {0};
    if (!tracer->recording) {
        return;
    }
    struct record record = blank(task, RECORD_TASK, now_ns());
    record.nr = (uint16_t) what;
    record.args[0] = (uint64_t) child;
    record.args[1] = (uint64_t) child_pid;
    record.ret = ret;
    if (what == TASK_NAME || what == TASK_EXEC) {
        task_name_of(task->tid, &name);
    }
    put(tracer, &record, &name, NULL);
    free(name.bytes);
}

void record_signal(struct tracer * tracer, struct task * task, int signal,
                   const struct signal_origin * origin) {
    if (!tracer->recording) {
        return;
    }
    struct record record = blank(task, RECORD_SIGNAL, now_ns());
    record.nr = (uint16_t) signal;
    record.args[0] = (uint64_t) origin->sender;
    record.args[1] = (uint64_t) (int64_t) origin->code;
    record.args[2] = origin->address;
    record.args[3] = origin->instruction;
    put(tracer, &record, NULL, NULL);
}
