"""Run llamactl on a real GPU and compare what it tells with nvidia-smi, NVML and CUPTI; see check.sh.

usage: python check.py PLACE OUT
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from gpu_page import write_page

HERE = Path(__file__).resolve().parent
TOKENS, LAYERS = 48, 16
MIB = 1 << 20


@dataclass
class Comparison:
    """One figure of llamactl's and another's.

    Attributes:
        what: What was compared, and where.
        ours: llamactl's figure.
        theirs: The other's.
        source: Who that is.
        holds: Whether they are equal, or differ by what ``why`` says.
        why: What makes the difference, where there is one.
    """

    what: str
    ours: Any
    theirs: Any
    source: str
    holds: bool
    why: str = ""


@dataclass
class Check:
    """All that was found.

    Attributes:
        place: What "build" made.
        work: Where files go meanwhile.
        comparisons: Figures against figures.
        facts: What llamactl told, by step.
        failures: Steps that didn't work.
    """

    place: Path
    work: Path
    comparisons: list[Comparison] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def equal(self, what: str, ours: Any, theirs: Any, source: str) -> None:
        """Two figures that must be the same."""
        self.comparisons.append(Comparison(what, ours, theirs, source, ours == theirs))

    def near(self, what: str, ours: float, theirs: float, source: str, within: float, why: str) -> None:
        """Two figures of which the other one is larger, by at most ``within``, for a known reason."""
        self.comparisons.append(Comparison(what, ours, theirs, source, 0 <= theirs - ours <= within, why))

    def command(
        self, *words: str | Path, seconds: int = 60, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; a failure is noted."""
        done = subprocess.run(
            [str(word) for word in words],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if done.returncode:
            self.failures.append(f"{' '.join(map(str, words[:6]))}: {done.returncode}: {done.stderr[-300:]}")
        return done

    def llamactl(self, *words: str | Path, **more: Any) -> subprocess.CompletedProcess[str]:
        """Run llamactl."""
        return self.command(sys.executable, "-m", "llamactl", *words, **more)

    def report(self, capture: Path) -> dict[str, Any]:
        """Return what a capture says, as JSON; empty where there is none."""
        path = capture.with_suffix(".json")
        self.llamactl("trace", "--from", capture, "--format", "json", "--report", path)
        found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
        return found

    def traced(self, name: str, *words: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
        """Trace a command with the profiler in the same process; return the report and the profiler's counts."""
        capture, counts = self.work / f"{name}.capture", self.work / f"{name}.cupti.json"
        inject = self.place / "libcupti_counts.so"
        environment = {"CUPTI_COUNTS": str(counts)}
        if inject.is_file():
            environment["CUDA_INJECTION64_PATH"] = str(inject)
        self.llamactl("trace", "-q", "-o", capture, "--", *words, **environment)
        text = self.llamactl("trace", "--from", capture).stderr
        report = self.report(capture)
        row = next((row for row in report.get("mechanisms", ()) if row["name"] == "GPU"), None)
        keys = ("device_calls", "device_phases", "device_memory", "devices")
        self.facts[name] = {
            "row": row, "findings": [one["text"] for one in report.get("findings", ())], "screen": text,
            **{key: report.get(key) for key in keys},
        }  # fmt: skip
        return report, json.loads(counts.read_text()) if counts.is_file() else {}


def total(report: dict[str, Any], key: str) -> int:
    """Return a column of the phases' table, all phases together."""
    return sum(row[key] for row in report.get("device_phases", ()))


def calls_of(report: dict[str, Any]) -> dict[str, int]:
    """Return calls by function, as the profiler names them."""
    found: dict[str, int] = {}
    for row in report.get("device_functions", ()):
        name = row["name"].removeprefix("__")
        found[name] = found.get(name, 0) + row["count"]
    return found


def against_profiler(
    check: Check, name: str, report: dict[str, Any], counts: dict[str, Any], library: bool
) -> None:
    """Compare bytes, kernels and calls; ``library`` when cuBLAS adds kernels and calls of its own."""
    if not counts:
        return
    copies = counts["copies"]
    for key, which in (("in_bytes", "in"), ("out_bytes", "out"), ("on_bytes", "on")):
        check.equal(f"{name}: {key}", total(report, key), copies.get(which, [0, 0])[1], "CUPTI")
    ours = total(report, "kernels")
    if library:
        calls = total(report, "library_calls")
        check.near(
            f"{name}: kernels", ours, counts["kernels"], "CUPTI", 4 * calls,
            f"cuBLAS' own kernels, for {calls} calls of it",
        )  # fmt: skip
    else:
        check.equal(f"{name}: kernels", ours, counts["kernels"], "CUPTI")
    check.equal(f"{name}: lost records of the profiler", 0, counts["dropped"], "CUPTI")
    theirs: dict[str, int] = {}
    for full, count in counts["calls"].items():
        theirs[full.rpartition("_v")[0]] = theirs.get(full.rpartition("_v")[0], 0) + count
    own = {"cudaMalloc", "cudaFree", "cudaLaunchKernelExC", "cudaFuncGetAttributes", "cudaFuncSetAttribute"}
    for function, count in sorted(calls_of(report).items()):
        if function not in theirs or "RegisterFatBinary" in function:
            continue
        if library and function in own:
            check.near(f"{name}: {function}", count, theirs[function], "CUPTI", 10**6, "cuBLAS' own calls")
        else:
            check.equal(f"{name}: {function}", count, theirs[function], "CUPTI")


def machine(check: Check) -> None:
    """What inspect says of the GPU, against nvidia-smi."""
    query = "name,driver_version,memory.total,pci.bus_id"
    smi = check.command("nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader,nounits").stdout.strip()
    name, driver, memory, bus = (part.strip() for part in smi.splitlines()[0].split(","))
    document = json.loads(check.llamactl("inspect", "--json").stdout or "{}")
    gpu = (document.get("machine") or {}).get("gpu") or {}
    check.facts["machine"] = {"gpu": gpu, "kernel": os.uname().release, "nvidia-smi": smi}
    device: dict[str, Any] = next(iter(gpu.get("devices", ())), {})
    check.equal("inspect: name", device.get("name"), name, "nvidia-smi")
    check.equal("inspect: driver", str(device.get("driver")).rpartition(" ")[2], driver, "nvidia-smi")
    total_bytes = device.get("total_bytes") or 0
    check.equal("inspect: memory, MiB", round(total_bytes / MIB), int(memory), "nvidia-smi")
    check.equal("inspect: PCI address", str(device.get("pci")).lower()[-12:], bus.lower()[-12:], "nvidia-smi")


class MemoryWatch:
    """Looks at the device's used memory by NVML every few milliseconds."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self._nvml: Any = None
        try:
            import pynvml

            pynvml.nvmlInit()
            self._device = pynvml.nvmlDeviceGetHandleByIndex(0)
            self._nvml = pynvml
        except Exception as error:  # Then the other comparisons still tell something.
            check.failures.append(f"NVML: {error}")
        self._stop = threading.Event()
        self.before = self.used()
        self.most = self.before
        self._thread = threading.Thread(target=self._look)

    def used(self) -> int:
        """Return the bytes in use."""
        return int(self._nvml.nvmlDeviceGetMemoryInfo(self._device).used) if self._nvml is not None else 0

    def _look(self) -> None:
        while not self._stop.wait(0.005):
            self.most = max(self.most, self.used())

    def compare(self, what: str, ours: int) -> None:
        """Compare the most of what was asked for with what the whole device had in use meanwhile."""
        if self._nvml is not None:
            why = "the context, modules and cuBLAS' own memory"
            self._check.near(what, ours, self.most - self.before, "NVML", 1024 * MIB, why)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()


def known(check: Check) -> None:
    """A program whose calls are known: with the runtime as a library, and with the runtime inside of it."""
    report, counts = check.traced("known", check.place / "known")
    against_profiler(check, "known", report, counts, library=False)
    wanted = {
        "in_bytes": 25 * MIB,
        "out_bytes": 4000,
        "on_bytes": 6 * MIB + 20 * 512,
        "kernels": 123 + 20 * 7,
    }
    wanted |= {"pageable_bytes": 15 * MIB, "graph_launches": 20, "launches": 123, "waits": 5}
    for name, row in (("known", report), ("static", check.traced("static", check.place / "known_static")[0])):
        for key, value in wanted.items():
            check.equal(f"{name}: {key}", total(row, key), value, "its source")
        facts = row.get("device_calls") or {}
        check.equal(f"{name}: memory at most", facts.get("peak_bytes"), 64 * MIB, "its source")
        errors = [(one["code"], one["asked_bytes"]) for one in facts.get("errors", ())]
        check.equal(f"{name}: errors", errors, [(2, 1 << 50)], "its source")


def own_run(check: Check, model: Path) -> None:
    """`run`, alone and traced."""
    done = check.llamactl(
        "run", "-m", model, "-ngl", "all", "-n", "32", "--raw", "Once upon a time", "--json"
    )
    document = json.loads(done.stdout or "{}")
    layers = document.get("settings", {}).get("gpu-layers", {})
    check.equal("run: layers in force", layers.get("in_force"), "all", "what was asked")
    with MemoryWatch(check) as memory:
        report, counts = check.traced(
            "run",
            sys.executable,
            "-m",
            "llamactl",
            "run",
            "-m",
            model,
            "-ngl",
            "all",
            "-n",
            "32",
            "--raw",
            "Once",
        )
    against_profiler(check, "run", report, counts, library=True)
    rows = [one for one in document.get("memory", {}).get("buffers", ()) if not one["is_host"]]
    engine = sum(one[key] for one in rows for key in ("model_bytes", "context_bytes"))
    loaded = [one for one in report.get("device_memory", ()) if one["name"] == "device"]
    asked = sum(one["bytes"] for one in loaded if "load" in (one["within"] or ""))
    check.equal(
        "run: weights on the device",
        asked,
        sum(one["model_bytes"] for one in rows),
        "the engine's buffers (run --json)",
    )
    peak = (report.get("device_calls") or {}).get("peak_bytes") or 0
    memory.compare("run: device memory at most", peak)
    check.facts["run"]["document"] = {"settings": layers, "buffers": rows, "engine_bytes": engine}
    check.facts["run"]["timings"] = document.get("timings")


def python_program(check: Check, model: Path) -> None:
    """llama-cpp-python, with all layers, some and none."""
    generate = HERE / "generate.py"
    with MemoryWatch(check) as memory:
        report, counts = check.traced("python", sys.executable, generate, model, str(TOKENS))
    against_profiler(check, "python", report, counts, library=True)
    peak = (report.get("device_calls") or {}).get("peak_bytes") or 0
    memory.compare("python: device memory at most", peak)
    token = (report.get("device_calls") or {}).get("token") or {}
    check.equal("python: bytes back for a token", token.get("out_bytes"), 32000 * 4.0, "logits: 32000 × 4 B")
    for layers in (8, 0):
        some, counts = check.traced(f"layers {layers}", sys.executable, generate, model, "16", str(layers))
        against_profiler(check, f"layers {layers}", some, counts, library=True)


def process(check: Check, model: Path) -> None:
    """`inspect PID` of a program that holds the model, against NVML."""
    import pynvml

    words = [sys.executable, str(HERE / "generate.py"), str(model), "4"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None and program.stdin is not None
        program.stdout.readline()
        document = json.loads(check.llamactl("inspect", str(program.pid), "--json").stdout or "{}")
        screen = check.llamactl("inspect", str(program.pid)).stdout
        pynvml.nvmlInit()
        device = pynvml.nvmlDeviceGetHandleByIndex(0)
        rows = pynvml.nvmlDeviceGetComputeRunningProcesses(device)
        used = {row.pid: row.usedGpuMemory for row in rows}
        program.stdin.close()
    processes: list[dict[str, Any]] = document.get("processes") or [{}]
    gpu = processes[0].get("gpu") or {}
    ours = [one.get("process_bytes") for one in gpu.get("devices", ())]
    check.facts["process"] = {"gpu": gpu, "screen": screen, "nvml": used, "pid": program.pid}
    check.equal("inspect PID: memory on the device", ours, list(used.values()), "NVML")


def too_large(check: Check, model: Path) -> None:
    """A context that the device has no room for."""
    capture = check.work / "large.capture"
    words = (sys.executable, HERE / "generate.py", model, "1", "-1", str(1 << 25))
    before = len(check.failures)
    check.llamactl("trace", "-q", "-o", capture, "--", *words, seconds=90)
    del check.failures[before:]  # It is meant to fail.
    report = check.report(capture)
    errors = (report.get("device_calls") or {}).get("errors", ())
    check.facts["too large"] = {
        "errors": errors,
        "findings": [one["text"] for one in report.get("findings", ())],
    }
    codes = sorted({one["code"] for one in errors})
    check.equal("too large a context: the driver's error", codes, [2], "cudaErrorMemoryAllocation")


def bench(check: Check, model: Path) -> None:
    """`bench`, and what tracing costs a program on a GPU."""
    done = check.llamactl("bench", "-m", model, "-p", "128", "-n", "64", "-r", "3", "-o", "json", seconds=120)
    check.facts["bench"] = (
        json.loads(done.stdout) if done.stdout.startswith(("{", "[")) else done.stdout[-2000:]
    )
    generate = (sys.executable, HERE / "generate.py", model, "256")
    times: dict[str, list[float]] = {"alone": [], "traced": []}
    for _ in range(3):
        for how, found in times.items():
            begin = time.monotonic()
            if how == "alone":
                check.command(*generate)
            else:
                check.llamactl("trace", "-q", "-o", check.work / "cost.capture", "--", *generate)
            found.append(time.monotonic() - begin)
    check.facts["cost"] = times


def main() -> None:
    """Do all of it and write the JSON and the page."""
    place, out = Path(sys.argv[1]), Path(sys.argv[2])
    work = Path(os.environ.get("TMPDIR", "/tmp")) / f"llamactl-gpu-{os.getpid()}"
    work.mkdir()
    model = work / "random.gguf"
    check = Check(place, work)
    subprocess.run([sys.executable, HERE / "make_model.py", model, str(LAYERS)], check=True)
    begin = time.monotonic()
    with_model = (own_run, python_program, process, too_large, bench)
    steps: list[Callable[[Check], None]] = [
        machine,
        known,
        *(partial(step, model=model) for step in with_model),
    ]
    for step in steps:
        try:
            step(check)
        except Exception as error:  # The other steps still tell something.
            check.failures.append(f"{type(error).__name__}: {error}")
        write(check, out, time.monotonic() - begin)


def write(check: Check, out: Path, seconds: float) -> None:
    """Write what is known so far."""
    document = {
        "comparisons": [asdict(one) for one in check.comparisons],
        "failures": check.failures,
        "facts": check.facts,
        "seconds": seconds,
    }
    (out / "gpu.json").write_text(json.dumps(document, indent=1) + "\n")
    (out / "gpu.md").write_text(write_page(document))


if __name__ == "__main__":
    main()
