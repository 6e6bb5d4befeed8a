"""Make one call of each kind whose arguments a tracer must name, on the directory given."""

# ruff: noqa: PTH - the calls themselves are what this is about.

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import socket
import sys

os.chdir(sys.argv[1])
fd = os.open("made", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o640)
os.truncate(fd, 8192)
os.lseek(fd, -10, os.SEEK_END)
fcntl.fcntl(fd, fcntl.F_SETFL, os.O_NONBLOCK | os.O_APPEND)
fcntl.fcntl(fd, fcntl.F_GETFD)
area = mmap.mmap(fd, 8192, mmap.MAP_PRIVATE, mmap.PROT_READ)
area.madvise(mmap.MADV_SEQUENTIAL)
area.madvise(mmap.MADV_DONTNEED)
area.close()
mmap.mmap(-1, 1 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000, mmap.PROT_READ | mmap.PROT_WRITE)
for path in ("missing", "made"):
    with contextlib.suppress(FileNotFoundError):
        os.open(path, os.O_RDONLY | os.O_DIRECTORY * 0 | os.O_CLOEXEC)
os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
os.dup2(fd, 77, inheritable=False)
os.mkdir("sub", 0o750)
os.rename("made", "sub/moved")
os.unlink("sub/moved")
os.rmdir("sub")
os.access("/etc/passwd", os.R_OK | os.W_OK)
socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
os.memfd_create("mem", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
os.eventfd(3, os.EFD_NONBLOCK)
os.kill(os.getpid(), 0)
