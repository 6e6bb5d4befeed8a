"""Servers that generate while llamactl records them, and what llamactl uses meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.request
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aftermath import ENDS_S, Room, check_untouched

from llamactl.process.proc_text import stat_fields, status_fields

PROGRAMS = Path(__file__).resolve().parents[1] / "programs"
STARTS_S = 120.0
PROMPTS = ("The capital of France is", "One, two, three,", "Water boils at", "Once upon a time")
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Sample:
    """What llamactl used at a moment.

    Attributes:
        at_s: Since the first request.
        requests: Answered so far.
        memory_bytes: Resident, of its own.
        ring_bytes: Resident of what it shares with the program: as much of the ring as was in use so far.
        descriptors: Open ones of llamactl's.
        file_bytes: Of the capture.
        cpu_s: CPU time of llamactl so far.
    """

    at_s: float
    requests: int
    memory_bytes: int
    ring_bytes: int
    descriptors: int
    file_bytes: int
    cpu_s: float


@dataclass
class Server:
    """One server of tests/programs and the llamactl that records it, started (``attach`` False) or attached to."""

    name: str
    command: list[str]
    attach: bool
    folder: Path
    samples: list[Sample] = field(default_factory=list)
    requests: int = 0

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.room = Room(self.folder)
        self.capture = self.folder / "capture"
        words = ["trace", "-q", "-o", str(self.capture)]
        self.program: Any
        if self.attach:
            self.program = self._piped(self.command)
            self._read_port()
            self.expected = {prompt: self.ask(prompt) for prompt in PROMPTS}
            self.recorder = self.room.start(*words, "-p", str(self.program.pid))
        else:
            untraced = self._piped(self.command)
            self.program = untraced
            self._read_port()
            self.expected = {prompt: self.ask(prompt) for prompt in PROMPTS}
            untraced.communicate(timeout=ENDS_S)
            self.recorder = self.program = self.room.start(*words, "--", *self.command)
            self._read_port()
        end = time.monotonic() + STARTS_S
        while not self.capture.exists():  # It gets its name when recording has begun.
            assert self.recorder.poll() is None, self.recorder.communicate()
            assert time.monotonic() < end
            time.sleep(0.01)
        self._begin = time.monotonic()

    @staticmethod
    def _piped(command: list[str]) -> Any:
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def _read_port(self) -> None:
        line = self.program.stdout.readline()
        assert line, f"{self.name} has ended"
        self.port = int(line)

    def ask(self, prompt: str) -> str:
        """Return the answer to a prompt."""
        address = f"http://127.0.0.1:{self.port}/"
        asked: Any = address + quote(prompt)
        if "llama_cpp" in self.name:
            body = {"prompt": prompt, "max_tokens": 12, "temperature": 0}
            asked = urllib.request.Request(
                address + "v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
            )
        with urllib.request.urlopen(asked, timeout=STARTS_S) as answer:
            text: str = answer.read().decode()
        return str(json.loads(text)["choices"][0]["text"]) if "llama_cpp" in self.name else text

    def serve_one(self) -> float:
        """Ask the next prompt, compare the answer, and return how long it took in seconds."""
        begin = time.monotonic()
        prompt = PROMPTS[self.requests % len(PROMPTS)]
        assert self.ask(prompt) == self.expected[prompt], f"{self.name}: request {self.requests}"
        self.requests += 1
        return time.monotonic() - begin

    def sample(self, log: Path) -> None:
        """Note what llamactl uses now, also in the log."""
        process = Path(f"/proc/{self.recorder.pid}")
        status = status_fields((process / "status").read_bytes())
        ticks = sum(int(one) for one in stat_fields((process / "stat").read_bytes())[1][11:13])
        memory, ring = (int(status[name].split()[0]) * 1024 for name in ("RssAnon", "RssShmem"))
        self.samples.append(Sample(
            round(time.monotonic() - self._begin, 1), self.requests, memory, ring,
            len(os.listdir(process / "fd")), self.capture.stat().st_size, ticks * TICK_S,
        ))  # fmt: skip
        with log.open("a") as file:
            file.write(json.dumps({"server": self.name} | asdict(self.samples[-1])) + "\n")

    def end(self) -> None:
        """End the recording, and the server in order; check that nothing was hurt and nothing is left."""
        if self.attach:
            self.recorder.send_signal(signal.SIGINT)
            out, errors = self.recorder.communicate(timeout=STARTS_S)
            assert self.recorder.returncode in {0, 130}, errors
            check_untouched(self.program.pid, user_of_ours=True)
            self.serve_one()
        self.program.stdin.close()
        rest = self.program.stdout.read()
        assert self.program.wait(STARTS_S) == 0, self.recorder.stderr.read() if not self.attach else rest
        assert rest == b""
        self.room.check_nothing_left()

    def kill(self) -> None:
        """Whatever is left of it."""
        for process in (self.recorder, self.program):
            with suppress(OSError):
                process.kill()
            process.wait()
