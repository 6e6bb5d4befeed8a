/* What Python asks for while the loop runs. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "breakpoint/breakpoint.h"
#include "breakpoint/buffers.h"
#include "ptrace/tracer.h"

static void kill_one(struct task * task, void * data) {
    (void) data;
    kill(task->tid, SIGKILL);
}

/* What is under way when recording ends is known to have lasted until then. */
static void give_up_call(struct task * task, void * data) {
    if (task->in_call) {
        uint8_t flags = task->flags;
        task->flags |= FLAG_NO_EXIT;
        record_call(data, task, 0, task->start);
        task->flags = flags;
        task->in_call = true;
    }
}

/* Whether the kernel holds a thread where nothing reaches it, such as a file system that doesn't
 * answer: state D in /proc/TID/stat. It can't stop to be let go; the kernel does that when its
 * tracer's thread ends. */
static void look_if_held(struct task * task, void * data) {
    char path[32], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", (int) task->tid);
    FILE * file = fopen(path, "re");
    size_t length = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file) {
        fclose(file);
    }
    text[length] = 0;
    const char * name_end = strrchr(text, ')');
    *(bool *) data &= name_end && name_end[1] == ' ' && name_end[2] == 'D';
}

static bool all_held(struct tracer * tracer) {
    bool held = true;
    task_each(&tracer->program.tasks, look_if_held, &held);
    if (held) {
        task_each(&tracer->program.tasks, give_up_call, tracer);
    }
    return held;
}

void tracer_obey(struct tracer * tracer) {
    switch (atomic_exchange(&tracer->program.request, REQUEST_NONE)) {
    case REQUEST_PASS:
        task_each(&tracer->program.tasks, give_up_call, tracer);
        tracer->program.recording = false;
        tracer->program.passing = true;
        watch_end(&tracer->program);
        breakpoints_disarm(&tracer->program);
        break;
    case REQUEST_DETACH:
        if (!tracer->program.detaching) {
            tracer->program.detaching = true;
            breakpoints_disarm(&tracer->program);
            tracer_interrupt_all(tracer);
        }
        break;
    case REQUEST_ABANDON:
        tracer->abandoned = tracer->program.detaching && all_held(tracer);
        break;
    case REQUEST_KILL:
        tracer->program.recording = false;
        tracer->program.killing = true;
        task_each(&tracer->program.tasks, kill_one, NULL);
        break;
    default:
        break;
    }
}
