"""Stands still in one way, given by name; prints "ready" and its number, or its child's, just before.

What it is and isn't: `HANGS` wait for what doesn't come, `IDLE` are well.
"""

import ctypes
import fcntl
import os
import queue
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

GOES_ON = 60


def ready(pid: int = 0) -> None:
    print("ready", pid or os.getpid(), flush=True)


def full_pipe() -> None:
    reading, writing = os.pipe()
    if pid := os.fork():
        os.close(writing)
        ready(pid)
        time.sleep(GOES_ON)
    os.close(reading)
    os.write(writing, b"x" * (1 << 20))


def full_socket() -> None:
    near, far = socket.socketpair()
    if pid := os.fork():
        near.close()
        ready(pid)
        time.sleep(GOES_ON)
    far.close()
    near.sendall(b"x" * (1 << 22))


def full_terminal() -> None:
    reading, writing = os.openpty()
    if pid := os.fork():
        os.close(writing)
        ready(pid)
        time.sleep(GOES_ON)
    os.close(reading)
    os.write(writing, b"x\n" * (1 << 20))


def own_pipe() -> None:
    reading, _writing = os.pipe()
    ready()
    os.read(reading, 1)


def _lock(command: int) -> None:
    path = sys.argv[2]
    with open(path, "wb") as file:
        lock = struct.pack("hhqqi", fcntl.F_WRLCK, 0, 0, 0, 0)
        fcntl.fcntl(file, command, lock)
        if pid := os.fork():
            ready(pid)
            time.sleep(GOES_ON)
        with open(path, "wb") as again:
            fcntl.fcntl(again, command, lock)


def lock_of_process() -> None:
    _lock(fcntl.F_SETLKW)


def lock_of_description() -> None:
    _lock(38)  # F_OFD_SETLKW


def lock_of_file() -> None:
    with open(sys.argv[2], "wb") as file, open(sys.argv[2], "wb") as again:
        fcntl.flock(file, fcntl.LOCK_EX)
        ready()
        fcntl.flock(again, fcntl.LOCK_EX)


def no_answer_tcp() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        if pid := os.fork():
            connection, _ = server.accept()
            ready(pid)
            time.sleep(GOES_ON)
            connection.close()
        client = socket.create_connection(server.getsockname())
        server.close()
        client.settimeout(GOES_ON)  # so that it waits in poll
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        client.recv(1)


def _answered(goes_on_reading: bool) -> None:
    """The server answers with a head; the client waits for the rest of it, or is content and does something else."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        if pid := os.fork():
            connection, _ = server.accept()
            connection.recv(100)
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            ready(pid)
            time.sleep(GOES_ON)
        client = socket.create_connection(server.getsockname())
        server.close()
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        client.recv(100)
        if goes_on_reading:
            client.recv(100)
        time.sleep(GOES_ON)


def half_an_answer() -> None:
    _answered(True)


def whole_answer() -> None:
    _answered(False)


def no_answer_unix() -> None:
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(sys.argv[2])
        server.listen()
        if pid := os.fork():
            connection, _ = server.accept()
            client.close()
            ready(pid)
            time.sleep(GOES_ON)
            connection.close()
        client.connect(sys.argv[2])
        server.close()
        client.sendall(b"x")
        client.recv(1)


def no_accept_unix() -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(sys.argv[2])
        server.listen(0)
        kept = []
        ready()
        for _ in range(3):
            kept.append(socket.socket(socket.AF_UNIX))
            kept[-1].connect(sys.argv[2])


def opened_fifo() -> None:
    os.mkfifo(sys.argv[2])
    ready()
    open(sys.argv[2], "rb").close()


def lock_held_twice() -> None:
    libc = ctypes.CDLL(None)
    mutex = ctypes.create_string_buffer(40)
    libc.pthread_mutex_lock(mutex)
    threading.Thread(target=time.sleep, args=(GOES_ON,), daemon=True).start()
    ready()
    libc.pthread_mutex_lock(mutex)


def lock_of_thread() -> None:
    libc = ctypes.CDLL(None)
    mutex = ctypes.create_string_buffer(40)
    taken = threading.Event()

    def hold() -> None:
        libc.pthread_mutex_lock(mutex)
        taken.set()
        time.sleep(GOES_ON)

    threading.Thread(target=hold, daemon=True).start()
    taken.wait()
    ready()
    libc.pthread_mutex_lock(mutex)


def lock_of_parent_thread() -> None:
    libc = ctypes.CDLL(None)
    mutex = ctypes.create_string_buffer(40)
    taken = threading.Event()

    def hold() -> None:
        libc.pthread_mutex_lock(mutex)
        taken.set()
        time.sleep(GOES_ON)

    threading.Thread(target=hold, daemon=True).start()
    taken.wait()
    if pid := os.fork():
        ready(pid)
        time.sleep(GOES_ON)
    libc.pthread_mutex_lock(mutex)


def for_each_other() -> None:
    lock = threading.Lock()
    lock.acquire()
    threading.Thread(target=lock.acquire, daemon=True).start()
    ready()
    lock.acquire()


def gil() -> None:
    holding = ctypes.PyDLL(None)  # doesn't let the GIL go
    threading.Thread(target=lambda: [None for _ in iter(int, 1)], daemon=True).start()
    time.sleep(0.1)
    ready()
    holding.sleep(GOES_ON)


def stopped() -> None:
    ready()
    os.kill(os.getpid(), signal.SIGSTOP)


def event_loop() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    waiting = select.epoll()
    waiting.register(server, select.EPOLLIN)
    ready()
    waiting.poll(GOES_ON)


def idle_workers() -> None:
    jobs: queue.Queue[None] = queue.Queue()
    for _ in range(3):
        threading.Thread(target=jobs.get, daemon=True).start()
    ready()
    time.sleep(GOES_ON)


def accepting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ready()
        server.accept()


def kept_alive() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        connection, _ = server.accept()
        ready()
        connection.recv(1)
        client.close()


def shell() -> None:
    child = subprocess.Popen(["sleep", str(GOES_ON)], stdout=subprocess.DEVNULL)
    ready()
    child.wait()


def child_of_a_pipe() -> None:
    commands, orders = os.pipe()
    if pid := os.fork():
        ready(pid)
        time.sleep(GOES_ON)
        os.close(orders)
    os.close(orders)
    os.read(commands, 1)


def half_of_a_pair() -> None:
    near, far = socket.socketpair()
    if pid := os.fork():
        ready(pid)
        time.sleep(GOES_ON)
        near.close()
    far.recv(1)


def waits_for_signal() -> None:
    signal.signal(signal.SIGTERM, lambda *_: None)
    ready()
    threading.Event().wait()


def sleeping() -> None:
    ready()
    time.sleep(GOES_ON)


if __name__ == "__main__":
    globals()[sys.argv[1]]()
