// What the program executes next is to load the agent, too. Where its file can't be opened from
// there (another root or mount namespace, another user), the dynamic linker would complain on the
// program's stderr and go on without: so the agent takes itself out of that environment before.
#include <fcntl.h>

#include "agent/agent.h"

static const char variable[] = "LD_AUDIT=";
static const char file[] = "/libllamactl-agent.so";

enum { PATH_ROOM = 4096, WORDS_AT_MOST = 1 << 16 };

static int can_be_opened(const char * path) {
    const long fd = sys3(__NR_openat, AT_FDCWD, (long) path, O_RDONLY | O_CLOEXEC);
    // Also where there is none: without a call of ours behind it, llamactl would take it for the
    // dynamic linker's (own_calls.py).
    sys3(__NR_close, fd, 0, 0);
    return !sys_failed(fd);
}

// We come last in the variable (agent_environment in llamactl/trace/record/agent/library.py).
static void take_out(char * word) {
    if (!begins_with(word, variable)) {
        return;
    }
    char * path = word + sizeof(variable) - 1;
    size_t length = text_length(path, PATH_ROOM);
    for (size_t i = 0; i < length; i++) {
        if (path[i] == ':') {
            path += i + 1;
            length -= i + 1;
            i = (size_t) -1;
        }
    }
    if (length < PATH_ROOM && length >= sizeof(file) &&
        same_text(path + length - (sizeof(file) - 1), file) && !can_be_opened(path)) {
        *(path[-1] == ':' ? path - 1 : path) = 0;
    }
}

// The strings that the program was started with: environ points there as long as nobody sets the
// variable anew.
static void take_out_of_start(void) {
    char text[1024];
    const long fd = sys3(__NR_openat, AT_FDCWD, (long) "/proc/self/stat", O_RDONLY | O_CLOEXEC);
    const long count = sys_failed(fd) ? 0 : sys3(__NR_read, fd, (long) text, sizeof(text) - 1);
    if (!sys_failed(fd)) {
        sys3(__NR_close, fd, 0, 0);
    }
    if (sys_failed(count)) {
        return;
    }
    // The name in the second field may hold anything: count from the last parenthesis
    // (proc_pid_stat(5)).
    long at = count;
    while (at > 0 && text[at - 1] != ')') {
        at--;
    }
    uint64_t fields[2] = {0, 0}; // env_start and env_end, the fields 50 and 51
    for (unsigned field = 2; at < count && field <= 51; at++) {
        if (text[at] == ' ') {
            field++;
        } else if (field >= 50 && text[at] >= '0' && text[at] <= '9') {
            fields[field - 50] = fields[field - 50] * 10 + (uint64_t) (text[at] - '0');
        }
    }
    char * word = (char *) fields[0];
    while (word && word < (char *) fields[1]) {
        char * next = word + text_length(word, (size_t) ((char *) fields[1] - word)) + 1;
        take_out(word);
        word = next;
    }
}

// Before one of the functions of exec(3); `words` is the environment that it is given, NULL for
// environ.
void exec_begins(char ** words) {
    if (!words) {
        take_out_of_start();
        return;
    }
    for (unsigned i = 0; words[i] && i < WORDS_AT_MOST; i++) {
        take_out(words[i]);
    }
}
