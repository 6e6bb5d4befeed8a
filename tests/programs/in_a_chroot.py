"""Go into a chroot, map a library and a model there by the paths inside, and wait.

Arguments: the chroot, the library, the model; ``own`` for a mount namespace of its own, in which the chroot
lies on a file system that nobody else sees.
"""

import ctypes
import mmap
import os
import shutil
import sys

jail, library, model, where = sys.argv[1:]
own = where == "own"
libc = ctypes.CDLL(None, use_errno=True)
# What the library needs of the system is loaded under its name already, so it needn't be in the chroot.
needed = [ctypes.CDLL(name) for name in ("libm.so.6", "libstdc++.so.6", "libgcc_s.so.1", "libgomp.so.1")]
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 1 << 18


def check(result: int) -> None:
    """Raise what the C library says."""
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if own:
    check(libc.unshare(CLONE_NEWNS))
    check(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None))
    shutil.copytree(jail, jail + ".copy")
    check(libc.mount(b"jail", jail.encode(), b"tmpfs", 0, None))
    shutil.copytree(jail + ".copy", jail, dirs_exist_ok=True)
os.chroot(jail)
os.chdir("/")
opened = ctypes.CDLL(library)
with open(model, "rb") as file:
    weights = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
print("ready", flush=True)
sys.stdin.read()
