"""Arguments and results of single calls."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from llamactl.render.trace.text import call_text
from llamactl.trace.capture.record import Flag
from llamactl.trace.decode.decode import CallDecoder, RawCall, plain
from llamactl.trace.decode.table import numbers

TEXTS = {
    1: b"/etc/passwd",
    2: struct.pack("<H", 2) + struct.pack(">H", 80) + bytes([127, 0, 0, 1]) + bytes(8),
    3: struct.pack("<QQQ", 0o2000000, 0, 8),
    4: b"sh\0-c\0echo \x1b[31m\xff\0",
    5: struct.pack("<ii", 3, 4),
    6: struct.pack("<8Q", 0x11F, 0, 0, 0, 17, 0, 0, 0),
    7: struct.pack("<QQ", 1024, (1 << 64) - 1),
    8: struct.pack("<i", 9),
    9: struct.pack("<H", 1) + b"\0abstract",
    10: struct.pack("<H", 10) + struct.pack(">H", 443) + bytes(4) + bytes(15) + b"\1" + bytes(4),
    11: b"new",
}
GARBAGE = 0xDEADBEEF << 32


def shown(name: str, *args: int, arch: int = 0, ret: int = 0, **fields: Any) -> str:
    """Return a call as a line of the log."""
    padded = tuple(value & (1 << 64) - 1 for value in (*args, *([0] * (6 - len(args)))))
    raw = RawCall(arch, numbers(arch)[name], fields.pop("flags", 0), ret, padded, **fields)
    return call_text(CallDecoder(lambda reference: TEXTS.get(reference, b"")).decode(raw))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (shown("openat", -100, 1, 0o2000000, 0, ret=3, text=1, target=b"/etc/passwd"),
         'openat(AT_FDCWD, "/etc/passwd", O_RDONLY|O_CLOEXEC) = 3</etc/passwd>'),
        (shown("openat", 5, 1, 0o101, 0o644, ret=-13, text=1),
         'openat(5, "/etc/passwd", O_WRONLY|O_CREAT, 0o644) = -1 EACCES'),
        (shown("openat", -100, 1, 0o20200002, 0o600, ret=3, text=1),
         'openat(AT_FDCWD, "/etc/passwd", O_RDWR|O_TMPFILE, 0o600) = 3'),
        (shown("openat", -100, 1, 0o40000, arch=1, ret=3, text=1),
         'openat(AT_FDCWD, "/etc/passwd", O_RDONLY|O_DIRECTORY) = 3'),
        (shown("openat", -100, 1, 0o40000, ret=3, text=1),
         'openat(AT_FDCWD, "/etc/passwd", O_RDONLY|O_DIRECT) = 3'),
        (shown("openat2", -100, 1, 2, 24, ret=3, text=1, text2=3),
         'openat2(AT_FDCWD, "/etc/passwd", {flags=O_RDONLY|O_CLOEXEC, resolve=RESOLVE_BENEATH}, 24) = 3'),
        (shown("mmap", 0, 4096, 3, 0x22, -1, 0, ret=0x7F0000000000),
         "mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f0000000000"),
        (shown("mmap", 0, 4096, 0, 0x8001, 3, 0x1000, ret=-12, target=b"/m.gguf"),
         "mmap(NULL, 4096, PROT_NONE, MAP_SHARED|MAP_POPULATE, 3</m.gguf>, 0x1000) = -1 ENOMEM"),
        (shown("madvise", 0x1000, 8192, 4), "madvise(0x1000, 8192, MADV_DONTNEED) = 0"),
        (shown("madvise", 0x1000, 8192, 77, ret=-22), "madvise(0x1000, 8192, 77) = -1 EINVAL"),
        (shown("futex", 0x1000, 129, 1), "futex(0x1000, FUTEX_WAKE|FUTEX_PRIVATE_FLAG, 1) = 0"),
        (shown("futex", 0x1000, 137, 1, 0, 0, 0xFFFFFFFF, ret=-110),
         "futex(0x1000, FUTEX_WAIT_BITSET|FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0xffffffff) = -1 ETIMEDOUT"),
        (shown("socket", 2, 0o2000001, 0, ret=3), "socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_IP) = 3"),
        (shown("connect", 3, 0x10, 16, ret=-115, text=2), 'connect(3, "127.0.0.1:80", 16) = -1 EINPROGRESS'),
        (shown("connect", 3, 0x10, 11, text=9), 'connect(3, "unix:@abstract", 11) = 0'),
        (shown("connect", 3, 0x10, 28, text=10), 'connect(3, "[::1]:443", 28) = 0'),
        (shown("clone3", 0x10, 64, ret=77, text=6),
         "clone3({flags=CLONE_VM|0x1f, exit_signal=SIGCHLD}, 64) = 77"),
        (shown("pipe2", 0x10, 0o2000000, text=5), "pipe2({0=3, 1=4}, O_CLOEXEC) = 0"),
        (shown("execve", 1, 2, 3, text=1, text2=4),
         'execve("/etc/passwd", ["sh", "-c", "echo \\x1b[31m\\xff"], 0x3) = 0'),
        (shown("prlimit64", 0, 7, 0, 0x10, text=0, text2=0), "prlimit64(0, RLIMIT_NOFILE, NULL, 0x10) = 0"),
        (shown("wait4", -1, 0x10, 1, 0, ret=5, text=8), "wait4(-1, {signal=SIGKILL}, WNOHANG, NULL) = 5"),
        (shown("kill", 0, 15), "kill(0, SIGTERM) = 0"),
        (shown("rseq", 0x10, 32, 0, 0x53053053), "rseq(0x10, 32, 0, 0x53053053) = 0"),
        (shown("statx", -100, 1, 0x100, 0xFFF, 0x20, text=1),
         'statx(AT_FDCWD, "/etc/passwd", AT_SYMLINK_NOFOLLOW, STATX_ALL, 0x20) = 0'),
        (shown("faccessat2", -100, 1, 4, 0x200, text=1),
         'faccessat2(AT_FDCWD, "/etc/passwd", R_OK, AT_EACCESS) = 0'),
        (shown("io_uring_enter", 4, 1, 1, 1), "io_uring_enter(4, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) = 0"),
        (shown("rename", 1, 2, text=1, text2=11), 'rename("/etc/passwd", "new") = 0'),
        (shown("exit_group", 3, flags=int(Flag.NO_EXIT)), "exit_group(3) = ?"),
        (shown("nanosleep", 0, 0, ret=-516), "nanosleep(NULL, NULL) = -1 ERESTART_RESTARTBLOCK"),
    ],
)  # fmt: skip
def test_calls_read_as_they_should(line: str, expected: str) -> None:
    assert line == expected


@pytest.mark.parametrize(
    ("clean", "dirty"),
    [
        (
            shown("openat", -100, 1, 0o2000000),
            shown("openat", -100 & 0xFFFFFFFF | GARBAGE, 1, 0o2000000 | GARBAGE),
        ),
        (shown("lseek", 3, 0, 2), shown("lseek", 3 | GARBAGE, 0, 2 | GARBAGE)),
        (shown("madvise", 0, 4096, 4), shown("madvise", 0, 4096, 4 | GARBAGE)),
        (shown("socket", 2, 1, 6), shown("socket", 2 | GARBAGE, 1 | GARBAGE, 6 | GARBAGE)),
        (shown("kill", -5, 9), shown("kill", (-5 & 0xFFFFFFFF) | GARBAGE, 9 | GARBAGE)),
        (shown("futex", 8, 128, 1), shown("futex", 8, 128 | GARBAGE, 1 | GARBAGE)),
        (shown("poll", 8, 1, -1), shown("poll", 8, 1 | GARBAGE, (-1 & 0xFFFFFFFF) | GARBAGE)),
    ],
)
def test_garbage_above_an_int_is_ignored(clean: str, dirty: str) -> None:
    assert dirty == clean


@pytest.mark.parametrize(
    ("device", "request_number", "name"),
    [
        (b"/dev/nvidiactl", 0xC020462B, "NV_ESC_RM_ALLOC"),
        (b"/dev/nvidia0", 0xC00846D6, "NV_ESC_SYS_PARAMS"),
        (b"/dev/nvidia-uvm", 0x30000001, "UVM_INITIALIZE"),
        (b"/dev/kfd", 0x80084B01, "AMDKFD_IOC_GET_VERSION"),
        (b"/dev/dri/renderD128", 0xC0406400, "DRM_IOCTL_VERSION"),
        (b"/dev/dri/renderD128", 0xC0186444, "DRM_DRIVER_0x04"),
        (b"/dev/tty", 0x5413, "TIOCGWINSZ"),
    ],
)
def test_requests_to_devices_have_names(device: bytes, request_number: int, name: str) -> None:
    assert f", {name}, " in shown("ioctl", 3, request_number, 0x10, target=device)


def test_values_become_json() -> None:
    decoder = CallDecoder(lambda reference: TEXTS.get(reference, b""))
    raw = RawCall(0, numbers(0)["openat"], 0, 3, ((1 << 64) - 100, 1, 0o2000001, 0, 0, 0), 4, 0, b"/x\xff")
    call = decoder.decode(raw)
    assert {name: plain(value) for name, value in call.arguments} == {
        "dirfd": "AT_FDCWD",
        "pathname": "sh\0-c\0echo \x1b[31m\\xff\0",
        "flags": ["O_WRONLY", "O_CLOEXEC"],
    }
    assert plain(call.result) == {"fd": 3, "path": "/x\\xff"}
