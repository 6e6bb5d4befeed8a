"""boundary_reads.py with the same arguments, in a sandbox that kills for system calls that don't exist.

With "--exec PROGRAM …" it executes that program instead.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import struct
import sys
from pathlib import Path

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, FILTER = 38, 22, 2
LOAD, JUMP_AT_LEAST, RETURN = 0x20, 0x35, 0x06
ALLOW, KILL_PROCESS = 0x7FFF0000, 0x80000000
NONE_ABOVE = 600

instructions = [
    (LOAD, 0, 0, 0),
    (JUMP_AT_LEAST, 0, 1, NONE_ABOVE),
    (RETURN, 0, 0, KILL_PROCESS),
    (RETURN, 0, 0, ALLOW),
]
code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *one) for one in instructions))
program = struct.pack("@HP", len(instructions), ctypes.addressof(code))
libc = ctypes.CDLL(None, use_errno=True)
for arguments in ((PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, FILTER, program, 0, 0)):
    assert libc.prctl(*arguments) == 0, ctypes.get_errno()
if sys.argv[1] == "--exec":
    os.execv(sys.argv[2], sys.argv[2:])
runpy.run_path(str(Path(__file__).with_name("boundary_reads.py")), run_name="__main__")
