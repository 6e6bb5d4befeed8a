// An extension module with "llama.cpp" inside, as Cython bindings are linked: the only boundary that can be
// seen is where it lets the GIL go, and its calls to the functions inside it.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>

int32_t llama_decode(void * context) { return (int32_t) (intptr_t) context; }
int32_t llama_get_one(int32_t value) { return value + 1; }

static PyObject * run(PyObject * self, PyObject * unused) {
    (void) self, (void) unused;
    int32_t sum = 0;
    Py_BEGIN_ALLOW_THREADS
    for (int32_t i = 0; i < 10; i++) {
        sum += llama_decode((void *) (intptr_t) i);
    }
    Py_END_ALLOW_THREADS
    sum += llama_get_one(1);
    return PyLong_FromLong(sum);
}

static PyMethodDef methods[] = {{"run", run, METH_NOARGS, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "agent_inner", NULL, -1, methods, NULL, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit_agent_inner(void) { return PyModule_Create(&module); }
