"""Handle secrets in every way a program can: arguments, environment, files, pipes, sockets, a child's arguments."""

import os
import socket
import subprocess
import sys
from pathlib import Path

folder, secret = Path(sys.argv[1]), os.environ["PLANTED"]
data = f"in-file-{secret}".encode()
(folder / "data").write_bytes(data)
assert (folder / "data").read_bytes() == data

read, write = os.pipe()
os.write(write, f"in-pipe-{secret}".encode())
os.read(read, 100)

one, other = socket.socketpair()
one.sendall(f"in-socket-{secret}".encode())
other.recv(100)
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 0))
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(
    f"in-datagram-{secret}".encode(), server.getsockname()
)
server.recvfrom(100)

subprocess.run(["/bin/true", f"in-child-{secret}"], check=True)
subprocess.run(["/bin/sh", "-c", f": in-shell-{secret}"], check=True)
print(f"in-output-{secret}")
if len(sys.argv) > 3:
    print("ready", flush=True)
    sys.stdin.readline()
