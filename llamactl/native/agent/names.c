// What the name of a function or of an object says.
#include "agent/agent.h"

// What turns llama.cpp's memory into Python objects: foreign interfaces and arrays.
static int makes_arrays(const struct link_map * map) {
    const char * name = map->l_name ? map->l_name : "";
    for (; *name; name++) {
        if (begins_with(name, "/_multiarray_umath.") || begins_with(name, "/_ctypes.") ||
            begins_with(name, "/_cffi_backend.") || begins_with(name, "/libtorch_python.")) {
            return 1;
        }
    }
    return 0;
}

static const char * const gil_names[] = {
    [GIL_SAVE] = "PyEval_SaveThread",
    [GIL_RESTORE] = "PyEval_RestoreThread",
    [GIL_ENSURE] = "PyGILState_Ensure",
    [GIL_RELEASE] = "PyGILState_Release",
    [GIL_ACQUIRE_THREAD] = "PyEval_AcquireThread",
    [GIL_RELEASE_THREAD] = "PyEval_ReleaseThread",
};

// After these the program may no longer be allowed to open the ring (credentials(7), chroot(2)).
static const char * const giving_away[] = {
    "setuid", "setreuid", "setresuid", "setgid",     "setregid", "setresgid",
    "chroot", "unshare",  "setns",     "pivot_root", "capset",   "cap_set_proc",
};

// exec(3); fexecve's descriptor stands where others have a path. execle's environment isn't looked
// at.
static enum gil_kind executes(const char * name) {
    static const char * const given[] = {"execve", "execvpe", "fexecve"};
    static const char * const own[] = {"execv", "execvp", "execl", "execlp"};
    for (unsigned i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
        if (same_text(name, given[i])) {
            return EXECUTES_WITH;
        }
    }
    for (unsigned i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        if (same_text(name, own[i])) {
            return EXECUTES;
        }
    }
    return GIL_NONE;
}

enum gil_kind gil_kind(const char * name, const struct object * caller) {
    if (name[0] != 'P' || name[1] != 'y') {
        for (unsigned i = 0; i < sizeof(giving_away) / sizeof(giving_away[0]); i++) {
            if (same_text(name, giving_away[i])) {
                return GIVES_RIGHTS_AWAY;
            }
        }
        return begins_with(name, "exec") ? executes(name) : GIL_NONE;
    }
    if (same_text(name, "PyList_New")) {
        return caller && makes_arrays(caller->map) ? MAKES_LIST : GIL_NONE;
    }
    for (unsigned kind = GIL_SAVE; kind <= GIL_RELEASE_THREAD; kind++) {
        if (same_text(name, gil_names[kind])) {
            return (enum gil_kind) kind;
        }
    }
    return GIL_NONE;
}

// What is made and freed is kept as long as what has arguments: the report says what is left.
int makes_or_frees(const char * name) {
    for (; *name; name++) {
        if (begins_with(name, "_init") || begins_with(name, "_free")) {
            return 1;
        }
    }
    return 0;
}

uint8_t weight_of(const struct row * row, int role, const char * name) {
    if (row && row->heavy) {
        return WORK;
    }
    return (row && row->keeps[0].source != NOTHING) || role || makes_or_frees(name) ? LIGHT : CHEAP;
}

// What programs call; the rest is called by the engine itself for the most part.
int is_face(const char * name) {
    return begins_with(name, "llama_") || begins_with(name, "whisper_");
}

int is_engine_name(const char * name) {
    return is_face(name) || begins_with(name, "ggml_") || begins_with(name, "gguf_") ||
           begins_with(name, "mtmd_");
}

// One of the engine's own libraries, by its name (wheels put a hash behind it); anything else that
// exports the engine's functions has it inside.
int is_engine_library(const struct link_map * map) {
    static const char * const stems[] = {"libllama", "libggml", "libmtmd", "libwhisper"};
    const char * base = map->l_name ? map->l_name : "";
    for (const char * c = base; *c; c++) {
        base = *c == '/' ? c + 1 : base;
    }
    for (unsigned i = 0; i < sizeof(stems) / sizeof(stems[0]); i++) {
        if (begins_with(base, stems[i])) {
            const char next = base[text_length(stems[i], 16)];
            return next == '.' || next == '-';
        }
    }
    return 0;
}
