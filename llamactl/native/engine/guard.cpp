// What happens when the engine gives up, and how Ctrl-C reaches a running decode.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <initializer_list>
#include <unistd.h>

#include "engine/engine.h"

static char program_name[64] = "llamactl";
static char suffix[256];
static int guard_exit_code = 125;
static const int interrupted_exit_code = 130;
static bool installed = false;

[[noreturn]] static void give_up(const char * what) {
    char line[2600];
    // The engine's messages may hold text from the model file: no control characters reach a
    // terminal.
    int length = snprintf(line, sizeof line, "%s: the engine stopped: %s.%s%s", program_name, what,
                          suffix[0] ? " " : "", suffix);
    length = length < static_cast<int>(sizeof line) ? length : static_cast<int>(sizeof line) - 1;
    for (int i = 0; i < length; i++) {
        if (static_cast<unsigned char>(line[i]) < 0x20 || line[i] == 0x7f) {
            line[i] = ' ';
        }
    }
    line[length++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, length);
    (void) written;
    _exit(guard_exit_code);
}

static void on_abort(const char * message) {
    const char * file = strrchr(message, '/');
    give_up(file ? file + 1 : message);
}

static void on_terminate() {
    if (auto current = std::current_exception()) {
        try {
            std::rethrow_exception(current);
        } catch (const std::exception & error) {
            give_up(error.what());
        } catch (...) {
            give_up("unknown C++ exception");
        }
    }
    give_up("terminated");
}

static void on_fault(int number) {
    switch (number) {
    case SIGBUS:
        give_up("SIGBUS, a mapped page of the model can't be read");
    case SIGSEGV:
        give_up("SIGSEGV, an invalid memory access");
    case SIGFPE:
        give_up("SIGFPE, an arithmetic error");
    default:
        give_up("SIGILL, this CPU lacks an instruction the engine was built with");
    }
}

extern "C" void llamactl_guard_install(const char * program, int exit_code) {
    snprintf(program_name, sizeof program_name, "%s", program);
    guard_exit_code = exit_code;
    installed = true;
    ggml_set_abort_callback(on_abort);
    std::set_terminate(on_terminate);
    static char fault_stack[65536];
    stack_t alternate = {};
    alternate.ss_sp = fault_stack;
    alternate.ss_size = sizeof fault_stack;
    sigaltstack(&alternate, nullptr);
    struct sigaction action = {};
    action.sa_handler = on_fault;
    action.sa_flags = SA_ONSTACK | static_cast<int>(SA_RESETHAND);
    for (int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
        sigaction(number, &action, nullptr);
    }
}

extern "C" void llamactl_guard_end_interrupted(const char * worker) {
    if (!installed) {
        return;
    }
    char line[160];
    int length = snprintf(line, sizeof line, "%s: interrupted; the worker %s didn't answer\n",
                          program_name, worker);
    ssize_t written = write(STDERR_FILENO, line, length);
    (void) written;
    _exit(interrupted_exit_code);
}

extern "C" void llamactl_guard_set_suffix(const char * text) {
    snprintf(suffix, sizeof suffix, "%s", text);
}

static volatile uint8_t interrupted = 0;
static struct sigaction before_interrupt;

static void on_interrupt(int number, siginfo_t * info, void * context) {
    interrupted = 1;
    if (before_interrupt.sa_flags & SA_SIGINFO) {
        before_interrupt.sa_sigaction(number, info, context);
    } else if (before_interrupt.sa_handler != SIG_DFL && before_interrupt.sa_handler != SIG_IGN) {
        before_interrupt.sa_handler(number);
    }
}

extern "C" bool llamactl_interrupt_install(void) {
    interrupted = 0;
    struct sigaction action = {};
    action.sa_sigaction = on_interrupt;
    action.sa_flags = SA_SIGINFO;
    struct sigaction current;
    if (sigaction(SIGINT, nullptr, &current) != 0 || current.sa_handler == SIG_IGN) {
        return false;
    }
    return sigaction(SIGINT, &action, &before_interrupt) == 0;
}

extern "C" void llamactl_interrupt_remove(void) {
    sigaction(SIGINT, &before_interrupt, nullptr);
    interrupted = 0;
}

extern "C" bool llamactl_interrupted(void) {
    return interrupted != 0;
}

extern "C" const uint8_t * llamactl_interrupt_flag(void) {
    return const_cast<const uint8_t *>(&interrupted);
}

static bool abort_if_interrupted(void *) {
    return interrupted != 0;
}

extern "C" void llamactl_abort_on_interrupt(struct llama_context * ctx) {
    llama_set_abort_callback(ctx, abort_if_interrupted, nullptr);
}
