// The GIL: let go, waited for, taken back; and the Python line at which a thread left for C.
#include "agent.h"

enum { LONG_HOLD_NS = 1000000, PLACES = 1024, CODE_WORDS = 22 };

// What the agent needs of CPython, by its own public names (3.10 and later).
static struct {
    void * (*get_frame)(void);
    void * (*get_code)(void *);
    int (*get_line)(void *);
    int (*get_instruction)(void *); // since 3.11
    void * (*get_attribute)(void *, const char *);
    const char * (*get_utf8)(void *, intptr_t *);
    void (*forget)(void *);
    void * (*error_occurred)(void);
    void (*error_clear)(void);
    int (*holds_gil)(void);
    void * (*own_thread)(void);
    void * (*current_thread)(void);
    int current_is_local; // since 3.12: NULL exactly when this thread has no GIL; before, who has
                          // it
    int * (*errno_location)(void);
    int ready;
    int free_threaded;
} python;

#define FIND(member, name) (*(void **) & python.member = elf_symbol(map, name))

// Called for every object that is loaded; the first one that exports CPython's API is the
// interpreter.
void python_found(const struct link_map * map) {
    if (!python.errno_location) {
        FIND(errno_location, "__errno_location");
    }
    if (python.ready || !FIND(holds_gil, "PyGILState_Check")) {
        return;
    }
    const unsigned long * version = elf_symbol(map, "Py_Version");
    FIND(get_frame, "PyEval_GetFrame");
    FIND(get_code, "PyFrame_GetCode");
    FIND(get_line, "PyFrame_GetLineNumber");
    FIND(get_instruction, "PyFrame_GetLasti");
    FIND(get_attribute, "PyObject_GetAttrString");
    FIND(get_utf8, "PyUnicode_AsUTF8AndSize");
    FIND(forget, "Py_DecRef");
    FIND(error_occurred, "PyErr_Occurred");
    FIND(error_clear, "PyErr_Clear");
    if (!FIND(current_thread, "PyThreadState_GetUnchecked")) {
        FIND(current_thread, "_PyThreadState_UncheckedGet");
    }
    store(&ring->python, version ? (uint32_t) *version : 1);
    python.current_is_local = version && *version >= 0x030C0000;
    FIND(own_thread, "PyGILState_GetThisThreadState");
    python.free_threaded = elf_symbol(map, "_Py_DecRefShared") != NULL;
    if (python.free_threaded) {
        add(&ring->free_threaded, 1);
    }
    python.ready = python.get_frame && python.get_code && python.get_line && python.get_attribute &&
                   python.get_utf8 && python.forget && python.error_occurred &&
                   python.error_clear && python.current_thread && python.own_thread;
}

// Whether this thread surely has the GIL, and CPython's API may be called.
static int is_attached(void) {
    const void * current = python.ready && !python.free_threaded ? python.current_thread() : NULL;
    return current && (python.current_is_local || current == python.own_thread());
}

// FLAG_HELD, FLAG_RELEASED, or 0 when there is no Python, no GIL to hold, or (until 3.11, with
// subinterpreters) no telling.
unsigned gil_state(void) {
    if (!python.ready || python.free_threaded) {
        return 0;
    }
    if (is_attached()) {
        return FLAG_HELD;
    }
    return python.current_is_local || !python.holds_gil() ? FLAG_RELEASED : 0;
}

// A place is remembered by its code object and instruction. Code objects die and their addresses
// come again, so what the code object points to (file, function) is compared too; where these
// pointers lie in it is found out once, by looking for them.
struct place {
    const void * code;
    const void * file;
    const void * function;
    int instruction;
    uint32_t text;
};
static struct place places[PLACES];
static unsigned file_word, function_word;

static unsigned word_with(const void * code, const void * value) {
    for (unsigned i = 2; i < CODE_WORDS; i++) {
        if (((const void * const *) code)[i] == value) {
            return i;
        }
    }
    return 0;
}

static size_t put_number(char * to, unsigned value) {
    char digits[10];
    size_t count = 0, at = 0;
    do {
        digits[count++] = (char) ('0' + value % 10);
        value /= 10;
    } while (value);
    while (count) {
        to[at++] = digits[--count];
    }
    return at;
}

// "file:line:function" in the arena.
static uint32_t place_text(void * file, void * function, int line) {
    char text[1024];
    intptr_t length = 0;
    size_t at = 0;
    const char * part = file ? python.get_utf8(file, &length) : NULL;
    const intptr_t skipped =
        part && length > 700 ? length - 700 : 0; // The end of a path says more.
    for (intptr_t i = skipped; part && i < length; i++) {
        text[at++] = part[i];
    }
    text[at++] = ':';
    at += put_number(text + at, line > 0 ? (unsigned) line : 0);
    text[at++] = ':';
    part = function ? python.get_utf8(function, &length) : NULL;
    for (intptr_t i = 0; part && i < length && i < 280; i++) {
        text[at++] = part[i];
    }
    return ring_text(text, at);
}

static uint32_t learn_place(void * code, void * frame, int instruction, struct place * place) {
    void * file = python.get_attribute(code, "co_filename");
    void * function =
        python.get_attribute(code, python.get_instruction ? "co_qualname" : "co_name");
    const uint32_t text = place_text(file, function, python.get_line(frame));
    if (file && function) {
        file_word = word_with(code, file);
        function_word = word_with(code, function);
        place->code = NULL; // A signal handler may come by between these stores.
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
        place->file = file;
        place->function = function;
        place->instruction = instruction;
        place->text = text;
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
        place->code = file_word && function_word ? code : NULL;
    }
    if (python.error_occurred()) {
        python.error_clear();
    }
    if (file) {
        python.forget(file);
    }
    if (function) {
        python.forget(function);
    }
    return text;
}

static uint32_t place_of(void * frame) {
    void * code = python.get_code(frame); // A new reference.
    const int instruction =
        python.get_instruction ? python.get_instruction(frame) : python.get_line(frame);
    const uintptr_t hash = ((uintptr_t) code >> 5) * 31 + (uintptr_t) instruction;
    struct place * place = places + hash % PLACES;
    const void * const * words = code;
    uint32_t text;
    if (place->code == code && place->instruction == instruction &&
        words[file_word] == place->file && words[function_word] == place->function) {
        text = place->text;
    } else {
        text = learn_place(code, frame, instruction, place);
    }
    python.forget(code);
    return text;
}

// Where the Python code of this thread is just now. Only to be called with the GIL held.
uint32_t python_place(void) {
    if (!is_attached() || python.error_occurred()) {
        return 0;
    }
    int * error = python.errno_location ? python.errno_location() : NULL;
    const int saved = error ? *error : 0;
    void * frame = python.get_frame(); // Borrowed.
    const uint32_t text = frame ? place_of(frame) : 0;
    if (error) {
        *error = saved;
    }
    return text;
}

static void put(const struct thread * t, unsigned what, uint64_t start, uint64_t end,
                const uint64_t args[3]) {
    struct record record = {0};
    record.tid = (int32_t) t->tid;
    record.pid = (int32_t) t->pid;
    record.start = start;
    record.duration = end - start;
    record.text2 = t->place;
    for (unsigned i = 0; i < 3; i++) {
        record.args[i] = args[i];
    }
    ring_put(&record, record_head(KIND_GIL, 0, what, cpu_now()));
}

// Just before the GIL is let go. Where is asked for a binding's calls, and for whoever had the GIL
// long.
static void letting_go(struct thread * t, const struct hook * hook) {
    const int is_binding = hook->caller->binding;
    t->place = is_binding ? python_place() : 0;
    uint64_t now = now_ns();
    if (!is_binding && t->acquired_at && now - t->acquired_at > LONG_HOLD_NS) {
        t->place = python_place();
        now = now_ns();
    }
    t->held_ns = t->acquired_at ? now - t->acquired_at : UINT64_MAX;
    t->released_at = now;
    t->gil_site = hook->site;
    t->released = 1;
    t->slot->released_at = now;
    t->slot->place = t->place;
    t->slot->released = 1u + hook->site;
}

static void report_released(struct thread * t, uint64_t until) {
    if (t->released) {
        const uint64_t args[3] = {t->depth, t->gil_site, t->held_ns};
        put(t, GIL_RELEASED, t->released_at, until, args);
    }
    t->slot->released = 0;
}

// Just before the GIL is asked for; the released interval ends here. Returns the time.
static uint64_t asking(struct thread * t) {
    const uint64_t now = now_ns();
    report_released(t, now);
    return now;
}

static void taken(struct thread * t, const struct hook * hook, uint64_t asked_at) {
    t->acquired_at = now_ns();
    const uint64_t args[3] = {t->depth, hook->site, 0};
    put(t, GIL_WAITED, asked_at, t->acquired_at, args);
    t->released = 0;
    t->place = 0;
}

typedef void * (*gil_function)(void *);

static void * taking(gil_function target, void * argument, const struct hook * hook) {
    const uint64_t asked_at = asking(thread_self());
    void * result = target(argument);
    taken(thread_self(), hook, asked_at);
    return result;
}

// PyGILState_Ensure tells only afterwards (1: it was not held) whether there was anything to wait
// for.
static void * ensuring(gil_function target, const struct hook * hook) {
    struct thread * t = thread_self();
    const uint64_t asked_at = now_ns();
    void * result = target(NULL);
    if ((int) (uintptr_t) result == 1) {
        report_released(t, asked_at);
        taken(t, hook, asked_at);
    }
    return result;
}

static void * releasing(gil_function target, void * argument, const struct hook * hook) {
    letting_go(thread_self(), hook);
    return target(argument);
}

static void * hooked(gil_function target, void * argument, const struct hook * hook) {
    switch (hook->kind) {
    case GIL_RESTORE:
    case GIL_ACQUIRE_THREAD:
        return taking(target, argument, hook);
    case GIL_ENSURE:
        return ensuring(target, hook);
    case GIL_RELEASE:
        return (int) (uintptr_t) argument == 1 ? releasing(target, argument, hook)
                                               : target(argument);
    default:
        return releasing(target, argument, hook);
    }
}

// What stands in for CPython's functions; the entry in assembly adds the number. Some builds of
// CPython call these functions through their own PLT: only the outermost call counts.
hidden void * agent_gil(void * argument, unsigned number) {
    const struct hook * hook = hooks + number;
    gil_function target = (gil_function) hook->target;
    struct thread * t = thread_self();
    if (!t || t->in_gil) {
        return target(argument);
    }
    t->in_gil = 1;
    void * result = hooked(target, argument, hook);
    t->in_gil = 0;
    return result;
}
