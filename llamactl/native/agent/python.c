// CPython seen from the agent: whether this thread has the GIL, and the Python line it is at.
#include "agent/agent.h"

enum {
    PLACES = 1024,
    CODE_WORDS = 22,
    // Looking for the caller outside of the binding: so many frames outwards, once in so many calls
    // of a place that calls nothing long.
    FRAMES = 24,
    LOOK_OUT_EVERY = 64,
    PAIRS = 512,
    // Those that installers write have eight to eleven.
    LAUNCHER_NAMES = 16
};

// What the agent needs of CPython, by its own public names (3.10 and later).
static struct {
    void * (*get_frame)(void);
    void * (*get_back)(void *);
    void * (*get_code)(void *);
    int (*get_line)(void *);
    int (*get_instruction)(void *); // since 3.11
    void * (*get_attribute)(void *, const char *);
    const char * (*get_utf8)(void *, intptr_t *);
    void * (*get_item)(void *, intptr_t); // of a tuple, borrowed
    intptr_t (*get_size)(void *);
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
    FIND(get_back, "PyFrame_GetBack");
    FIND(get_code, "PyFrame_GetCode");
    FIND(get_line, "PyFrame_GetLineNumber");
    FIND(get_instruction, "PyFrame_GetLasti");
    FIND(get_attribute, "PyObject_GetAttrString");
    FIND(get_utf8, "PyUnicode_AsUTF8AndSize");
    FIND(get_item, "PyTuple_GetItem");
    FIND(get_size, "PyTuple_Size");
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
    python.ready = python.get_frame && python.get_back && python.get_code && python.get_line &&
                   python.get_attribute && python.get_utf8 && python.forget &&
                   python.error_occurred && python.error_clear && python.current_thread &&
                   python.own_thread;
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
    uint32_t calls;
    uint8_t package; // its file belongs to an installed package, or to Python itself
    uint8_t heavy;   // calls something that does real work: who asked for it is always looked up
};
static struct place places[PLACES];
static unsigned file_word, function_word;

// Two places in one text: the innermost one, and the first outside of all packages.
struct pair {
    uint32_t inner, outer;
    uint32_t text;
};
static struct pair pairs[PAIRS];

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

// Code that isn't the user's: of an installed package, of Python itself, or compiled into it
// ("<frozen importlib._bootstrap>").
static int is_package(const char * text, size_t length) {
    if (length > sizeof("<frozen ") - 1 && begins_with(text, "<frozen ")) {
        return 1;
    }
    for (; length > sizeof("/dist-packages/") - 1; text++, length--) {
        if (*text == '/' &&
            (begins_with(text, "/site-packages/") || begins_with(text, "/dist-packages/") ||
             begins_with(text, "/lib/python3") || begins_with(text, "/lib64/python3"))) {
            return 1;
        }
    }
    return 0;
}

// The script that an installer makes for a command, in a folder "bin" and without a suffix: all it
// does is sys.exit(main()), with sys.argv[0] put right before.
static int is_launcher(void * code, const char * text, size_t length) {
    size_t colon = length, slash = 0;
    for (unsigned colons = 0; colon > 0 && colons < 2;) {
        colons += text[--colon] == ':';
    }
    for (size_t i = 0; i < colon; i++) {
        slash = text[i] == '/' ? i : slash;
    }
    for (size_t i = slash; i < colon; i++) {
        if (text[i] == '.') {
            return 0;
        }
    }
    if (slash < 4 || !begins_with(text + slash - 4, "/bin/") || !python.get_item) {
        return 0;
    }
    void * names = python.get_attribute(code, "co_names");
    unsigned exits = 0;
    const intptr_t count = names ? python.get_size(names) : 0;
    for (intptr_t i = 0; i < count && count <= LAUNCHER_NAMES; i++) {
        intptr_t size = 0;
        const char * name = python.get_utf8(python.get_item(names, i), &size);
        exits += name && ((size == 4 && begins_with(name, "exit")) ||
                          (size == 4 && begins_with(name, "argv")));
    }
    if (names) {
        python.forget(names);
    }
    return exits == 2;
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
        place->calls = 0;
        place->heavy = 0;
        size_t length;
        const char * kept = ring_string(text, &length);
        place->package = (uint8_t) (is_package(kept, length) || is_launcher(code, kept, length));
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

// Learned places are returned; others have a text only.
static struct place * place_of(void * frame, uint32_t * text) {
    void * code = python.get_code(frame); // A new reference.
    const int instruction =
        python.get_instruction ? python.get_instruction(frame) : python.get_line(frame);
    const uintptr_t hash = ((uintptr_t) code >> 5) * 31 + (uintptr_t) instruction;
    struct place * place = places + hash % PLACES;
    const void * const * words = code;
    if (place->code == code && place->instruction == instruction &&
        words[file_word] == place->file && words[function_word] == place->function) {
        *text = place->text;
    } else {
        *text = learn_place(code, frame, instruction, place);
        place = place->code == code ? place : NULL;
    }
    python.forget(code);
    return place;
}

static uint32_t pair_text(uint32_t inner, uint32_t outer) {
    struct pair * pair = pairs + (inner * 31 + outer) % PAIRS;
    if (pair->inner != inner || pair->outer != outer || !pair->text) {
        char text[2048];
        size_t at = 0, length;
        for (unsigned i = 0; i < 2; i++) {
            const char * part = ring_string(i ? outer : inner, &length);
            for (size_t c = 0; c < length && at < sizeof(text) - 2; c++) {
                text[at++] = part[c];
            }
            if (!i) {
                text[at++] = '\n';
            }
        }
        pair->text = 0;
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
        const uint32_t made = ring_text(text, at);
        pair->inner = inner;
        pair->outer = outer;
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
        pair->text = made;
    }
    return pair->text ? pair->text : inner;
}

// The first frame outside of packages, added to the innermost one's text.
static uint32_t look_out(void * frame, uint32_t inner) {
    void * outer = python.get_back(frame); // A new reference.
    uint32_t result = inner;
    for (unsigned i = 0; outer && i < FRAMES; i++) {
        uint32_t text;
        const struct place * place = place_of(outer, &text);
        if (place && !place->package) {
            result = pair_text(inner, text);
            break;
        }
        void * next = python.get_back(outer);
        python.forget(outer);
        outer = next;
    }
    if (outer) {
        python.forget(outer);
    }
    return result;
}

// Of whoever had the GIL last.
static struct {
    struct place * place;
    uint32_t text;
} last;

// The call that just begins does real work: from the next one on, where it came from is looked up
// each time.
void python_place_is_heavy(uint32_t text) {
    struct place * place =
        last.place; // Another thread may change it now; then the wrong one is looked up.
    if (place && last.text == text) {
        place->heavy = 1;
    }
}

// Where the Python code of this thread is just now. Only to be called with the GIL held.
uint32_t python_place(void) {
    if (!is_attached() || python.error_occurred()) {
        return 0;
    }
    int * error = python.errno_location ? python.errno_location() : NULL;
    const int saved = error ? *error : 0;
    void * frame = python.get_frame(); // Borrowed.
    uint32_t text = 0;
    struct place * place = frame ? place_of(frame, &text) : NULL;
    if (place && place->package && (place->heavy || place->calls++ % LOOK_OUT_EVERY == 0)) {
        text = look_out(frame, text);
    }
    if (python.error_occurred()) {
        python.error_clear(); // There was none before.
    }
    last.place = place;
    last.text = text;
    if (error) {
        *error = saved;
    }
    return text;
}
