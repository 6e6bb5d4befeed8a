// A program that looks like a free-threaded CPython to the agent, and calls llama.cpp. It ends badly when it is
// asked for anything that needs a GIL.
#include <stdint.h>
#include <stdlib.h>

const unsigned long Py_Version = 0x030E00F0;
void _Py_DecRefShared(void * object) { (void) object; } // Only builds without a GIL have it.

#define NEVER(name)                                                                                                   \
    void * name(void) { abort(); }
NEVER(PyEval_GetFrame)
NEVER(PyFrame_GetBack)
NEVER(PyFrame_GetCode)
NEVER(PyFrame_GetLineNumber)
NEVER(PyFrame_GetLasti)
NEVER(PyObject_GetAttrString)
NEVER(PyUnicode_AsUTF8AndSize)
NEVER(Py_DecRef)
NEVER(PyErr_Occurred)
NEVER(PyErr_Clear)
NEVER(PyThreadState_GetUnchecked)
NEVER(PyGILState_GetThisThreadState)
NEVER(PyGILState_Check)

struct batch {
    int32_t n_tokens;
    int32_t * token;
    void * rest[5];
};
int32_t llama_decode(void * context, struct batch batch);

int main(void) {
    int32_t token = 1;
    for (int i = 0; i < 3; i++) {
        llama_decode(0, (struct batch) {.n_tokens = 1, .token = &token});
    }
    return 0;
}
