"""A library calls Python back in the middle of a call: agent_callback.py LIBRARY CDLL|PyDLL TIMES [quiet].

Prints how long the callback ran by its own clock, ns, in all. Each time it makes a list of 5000 numbers, calls the
library once itself, and computes for some milliseconds; with "quiet" it only computes.
"""

import ctypes
import sys
import time

library = getattr(ctypes, sys.argv[2])(sys.argv[1])
times, quiet = int(sys.argv[3]), "quiet" in sys.argv
numbers = (ctypes.c_float * 5000)()
library.llama_n_ctx.restype, library.llama_n_ctx.argtypes = ctypes.c_uint32, [ctypes.c_void_p]
Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)
spent: list[int] = []


def compute(milliseconds: int) -> None:
    end = time.perf_counter_ns() + milliseconds * 1_000_000
    while time.perf_counter_ns() < end:
        pass


def processor(value: int) -> int:
    begin = time.perf_counter_ns()
    if not quiet:
        library.llama_n_ctx(None)
        values = numbers[:]
        assert len(values) == 5000
    compute(3)
    spent.append(time.perf_counter_ns() - begin)
    return value


kept = Callback(processor)
for number in range(times):
    assert library.llama_call_back(kept, number) == number + 1
print(sum(spent))
