"""Open one descriptor of each kind, in the directory given, and wait. The name of one file is nasty."""

import os
import select
import socket
import sys
import threading
from pathlib import Path

place = Path(sys.argv[1])
kept: list[object] = []

(place / "plain.txt").write_text("x" * 100)
plain = (place / "plain.txt").open()
plain.seek(42)
kept.append(plain)
kept.append((place / "appended.log").open("a"))
kept.append((place / "new\nline\x1b[31m").open("w"))
gone = (place / "gone.bin").open("w+b")
gone.write(b"g" * 2_000_000)
gone.flush()
(place / "gone.bin").unlink()
kept.append(gone)
kept.append((place / "model.gguf").open("rb"))
kept.append(os.open(place, os.O_RDONLY | os.O_DIRECTORY))
kept.append(os.open("/dev/zero", os.O_RDONLY))
kept.append(os.pipe())
kept.append(os.memfd_create("memory"))
if hasattr(os, "eventfd"):
    kept.append(os.eventfd(3))
watcher = select.epoll()
watcher.register(0)
kept.append(watcher)
kept.append(socket.socketpair())
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen()
client = socket.create_connection(server.getsockname())
kept += [server, client, server.accept()]
kept.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))

# A thread that Python started, and one whose name would move the cursor.
threading.Thread(target=threading.Event().wait, daemon=True).start()
Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_bytes(b"\x1b[2Jname")

print("ready", flush=True)
sys.stdin.read()
