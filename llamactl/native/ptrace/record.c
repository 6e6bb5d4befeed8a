/* Turn what the loop saw into records. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "ptrace/tracer.h"
#include "common/texts.h"

void record_call(struct tracer * tracer, struct task * task, int64_t ret, uint64_t now) {
    task->in_call = false;
    if (!task->wanted || !tracer->program.recording) {
        return;
    }
    struct record record =
        record_of(RECORD_SYSCALL, task->tid, task->pid, task->start, RECORD_CPU_UNKNOWN);
    record.flags = task->flags;
    record.nr = task->nr;
    record.arch = task->arch;
    record.duration = now - task->start;
    record.ret = ret;
    memcpy(record.args, task->args, sizeof record.args);
    sink_add(&tracer->program.sink, &record, &task->text[0], &task->text[1]);
}

void record_task(struct tracer * tracer, struct task * task, int what, pid_t child, pid_t child_pid,
                 int64_t ret) {
    struct sink_text name = {0};
    if (!tracer->program.recording) {
        return;
    }
    struct record record =
        record_of(RECORD_TASK, task->tid, task->pid, now_ns(), RECORD_CPU_UNKNOWN);
    record.nr = (uint16_t) what;
    record.args[0] = (uint64_t) child;
    record.args[1] = (uint64_t) child_pid;
    record.ret = ret;
    if (what == TASK_NAME || what == TASK_EXEC) {
        task_name_of(task->tid, &name);
    }
    sink_add(&tracer->program.sink, &record, &name, NULL);
    free(name.bytes);
}

void record_signal(struct tracer * tracer, struct task * task, int signal,
                   const struct signal_origin * origin) {
    if (!tracer->program.recording) {
        return;
    }
    struct record record =
        record_of(RECORD_SIGNAL, task->tid, task->pid, now_ns(), RECORD_CPU_UNKNOWN);
    record.nr = (uint16_t) signal;
    record.args[0] = (uint64_t) origin->sender;
    record.args[1] = (uint64_t) (int64_t) origin->code;
    record.args[2] = origin->address;
    record.args[3] = origin->instruction;
    sink_add(&tracer->program.sink, &record, NULL, NULL);
}
