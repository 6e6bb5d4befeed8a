"""A file system with one file that stops answering: mounts itself on a folder, and keeps silent from SIGUSR1 on.

argv: folder, path of a file that is what `file` in the folder holds. Prints "mounted", and "silent" from then on.
Ends by SIGTERM or when its parent does, and the mount with it.
"""

import ctypes
import os
import signal
import stat
import struct
import sys

INIT, LOOKUP, FORGET, GETATTR, OPEN, READ, RELEASE, FLUSH, ACCESS, BATCH_FORGET = (
    26,
    1,
    2,
    3,
    14,
    15,
    18,
    25,
    34,
    42,
)
ROOT, FILE = 1, 2
silent: list[int] = []


def attributes(node: int, content: bytes) -> bytes:
    size = 0 if node == ROOT else len(content)
    mode = stat.S_IFDIR | 0o755 if node == ROOT else stat.S_IFREG | 0o644
    return struct.pack(
        "<QQQQQQIIIIIIIIII", node, size, size // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0
    )


def answered(request: bytes, content: bytes) -> tuple[int, bytes] | None:
    _, kind, _, node = struct.unpack_from("<IIQQ", request)
    if kind == INIT:
        return 0, struct.pack("<IIIIHHIIHHI28x", 7, 31, 65536, 0, 12, 10, 65536, 1, 0, 0, 0)
    if kind == LOOKUP:
        if request[40:].rstrip(b"\0") != b"file":
            return 2, b""
        return 0, struct.pack("<QQQQII", FILE, 0, 0, 0, 0, 0) + attributes(FILE, content)
    if kind == GETATTR:
        return 0, struct.pack("<QII", 0, 0, 0) + attributes(node, content)
    if kind == OPEN:
        return 0, struct.pack("<QII", 1, 0, 0)
    if kind == READ:
        offset, size = struct.unpack_from("<QI", request, 48)
        return 0, content[offset : offset + size]
    if kind in (FORGET, BATCH_FORGET):
        return None
    return (0 if kind in (RELEASE, FLUSH, ACCESS) else 38), b""


def fall_silent(number: int, _frame: object) -> None:
    silent.append(number)
    print("silent", flush=True)


def main() -> None:
    folder, source = sys.argv[1:]
    with open(source, "rb") as file:
        content = file.read()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    if libc.mount(b"silent", folder.encode(), b"fuse", 0, options):
        sys.exit(f"mount: {os.strerror(ctypes.get_errno())}")
    signal.signal(signal.SIGUSR1, fall_silent)
    signal.signal(signal.SIGTERM, lambda *_: (libc.umount2(folder.encode(), 2), os._exit(0)))
    print("mounted", flush=True)
    while True:
        request = os.read(device, 1 << 17)
        if silent:
            continue
        answer = answered(request, content)
        if answer is not None:
            error, data = answer
            os.write(
                device,
                struct.pack("<IiQ", 16 + len(data), -error, struct.unpack_from("<Q", request, 8)[0]) + data,
            )


if __name__ == "__main__":
    main()
