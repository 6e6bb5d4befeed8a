/* Start the program to be recorded: fork, wait at a gate until the recorder is ready, exec. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "ptrace/tracer.h"

struct report {
    int32_t stage;
    int32_t error;
    uint64_t loop_ns;
};

static void say(int fd, int stage, int error, uint64_t loop_ns) {
    struct report report = {stage, error, loop_ns};
    while (write(fd, &report, sizeof report) < 0 && errno == EINTR) {
    }
}

/* What llamactl was started with, and has changed for itself since. */
static struct {
    bool known;
    uint64_t ignored;
    struct rlimit files;
} world;

void launch_world(uint64_t ignored, uint64_t files, uint64_t most_files) {
    world.ignored = ignored;
    world.files = (struct rlimit) {files, most_files};
    world.known = true;
}

/* Python ignores some signals and handles others: its handlers must not run in the child. */
static void restore_world(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    for (int number = 1; number <= SIGRTMAX; number++) {
        bool ignored = world.known && world.ignored >> (number - 1) & 1;
        action.sa_handler = ignored ? SIG_IGN : SIG_DFL;
        sigaction(number, &action, NULL);
    }
    if (world.known) {
        setrlimit(RLIMIT_NOFILE, &world.files);
    }
}

enum { ROUNDS = 20 }; /* each shorter than a turn on a busy CPU, so that some are left alone */

/* Tell what the loop takes where nothing interrupts it: as long as the shortest round, all rounds.
 */
static void run_loop(const struct launch * launch, int report) {
    uint32_t rounds = launch->loops < ROUNDS ? 1 : ROUNDS;
    uint32_t each = launch->loops / rounds;
    double least = 0;
    for (uint32_t left = launch->loops; left > 0;) {
        uint32_t count = left < 2 * each ? left : each; /* The last round takes the remainder. */
        uint64_t begin = now_ns();
        for (uint32_t i = 0; i < count; i++) {
            syscall(SYS_getppid);
        }
        double one = (double) (now_ns() - begin) / count;
        least = left == launch->loops || one < least ? one : least;
        left -= count;
    }
    say(report, STAGE_NONE, 0, (uint64_t) (least * launch->loops));
    _exit(0);
}

/* Only async-signal-safe calls here: the parent has threads. */
static void run_child(const struct launch * launch, const sigset_t * mask, int gate, int report) {
    char go;
    if (read(gate, &go, 1) != 1) {
        _exit(127);
    }
    restore_world();
    if (launch->cwd && chdir(launch->cwd) != 0) {
        say(report, STAGE_CHDIR, errno, 0);
        _exit(127);
    }
    if (launch->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        say(report, STAGE_NO_NEW_PRIVS, errno, 0);
        _exit(127);
    }
    sigprocmask(SIG_SETMASK, mask, NULL);
    if (launch->filter_length) {
        struct sock_fprog program = {launch->filter_length, (struct sock_filter *) launch->filter};
        if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) {
            say(report, STAGE_SECCOMP, errno, 0);
            _exit(127);
        }
    }
    if (!launch->path) {
        run_loop(launch, report);
    }
    execve(launch->path, launch->argv, launch->envp);
    say(report, STAGE_EXEC, errno, 0);
    _exit(127);
}

bool launch_fork(const struct launch * launch, const sigset_t * mask, struct launched * child) {
    int gate[2] = {-1, -1};
    int report[2] = {-1, -1};
    child->pid = -1;
    child->gate = -1;
    child->report = -1;
    if (pipe2(gate, O_CLOEXEC) != 0 || pipe2(report, O_CLOEXEC) != 0) {
        int error = errno;
        if (gate[0] >= 0) {
            close(gate[0]);
            close(gate[1]);
        }
        errno = error;
        return false;
    }
    child->pid = fork();
    if (child->pid == 0) {
        close(gate[1]);
        close(report[0]);
        run_child(launch, mask, gate[0], report[1]);
    }
    close(gate[0]);
    close(report[1]);
    child->gate = gate[1];
    child->report = report[0];
    return child->pid > 0;
}

bool launch_report(struct launched * child, int * stage, int * error, uint64_t * loop_ns) {
    struct report report;
    if (child->report < 0 || read(child->report, &report, sizeof report) != sizeof report) {
        return false;
    }
    *stage = report.stage;
    *error = report.error;
    *loop_ns = report.loop_ns;
    return true;
}

void launch_close(struct launched * child) {
    if (child->gate >= 0) {
        close(child->gate);
    }
    if (child->report >= 0) {
        close(child->report);
    }
    child->gate = -1;
    child->report = -1;
}

int launch_start(struct launched * child, const char * path, char * const * argv,
                 char * const * envp, const char * cwd, const void * filter, uint32_t filter_length,
                 int no_new_privs, uint32_t loops) {
    struct launch launch = {
        path, argv, envp, cwd, filter, (uint16_t) filter_length, no_new_privs != 0, loops};
    sigset_t all, mask;
    sigfillset(&all);
    /* The child unblocks them when it has the program's own answers to them. */
    pthread_sigmask(SIG_SETMASK, &all, &mask);
    int error = launch_fork(&launch, &mask, child) ? 0 : -errno;
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    return error;
}

int launch_open_gate(struct launched * child) {
    return write(child->gate, "", 1) == 1 ? 0 : -errno;
}

int launch_answer(struct launched * child, int * stage, int * error, uint64_t * loop_ns) {
    return launch_report(child, stage, error, loop_ns);
}

void launch_end(struct launched * child) {
    launch_close(child);
}
