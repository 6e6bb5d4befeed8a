"""A model in memory and a test in place: what repeats a test, in this process."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from llamactl.bench.bodies.bodies import body, gpu_bytes
from llamactl.bench.bodies.body import Body
from llamactl.bench.measure import page_cache
from llamactl.bench.measure.counters import Counters, WorkerCounts, workers_since
from llamactl.bench.measure.crossings import counted
from llamactl.bench.measure.run_delay import Stopwatch
from llamactl.bench.plan import Case, Setup
from llamactl.bench.report import Memory, ModelFacts, Sample
from llamactl.engine import Model, ModelParameters, devices
from llamactl.process import proc_pid
from llamactl.run.device_memory import device_memory
from llamactl.snapshot.gguf.splits import files_of

Done = TypeVar("Done")
LOADING = ("model_filename", "n_gpu_layers", "split_mode", "main_gpu", "load_mode")


class Session:
    """Keeps the model between tests where the setups agree, as llama-bench does.

    Args:
        counters: Read before and after each repetition.
    """

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._model: Model | None = None
        self._loaded: tuple[object, ...] = ()
        self._body: Body | None = None
        self._case: Case | None = None
        self._all_cpus = os.sched_getaffinity(0)

    def prepare(self, case: Case, *, warm_up: bool = True) -> tuple[dict[str, int] | None, int]:
        """Load what a test needs and warm up.

        Returns:
            The engine's calls of the warm-up by function, and its tokens; ``None`` without a warm-up.

        Raises:
            LlamactlError: The engine can't.
        """
        self._drop_body()
        self._case = case
        set_affinity(case.setup.cpu_mask, self._all_cpus)
        if case.test.kind == "load":
            self._drop_model()
            return None, 0
        made = self._body = body(self.model(case.setup), case.setup, case.test)
        if not warm_up:
            return None, 0
        made.reset()
        with counted() as calls:
            tokens = made.warm_up()
        return dict(sorted(calls.items())), tokens

    def sample(self) -> Sample:
        """Time one repetition of the test in place."""
        assert self._case is not None
        if self._body is None:
            return self._load(self._case)
        self._body.reset()
        work, ns, counters, workers = self._timed(self._body.run)
        return Sample(ns, work.tokens, counters, work.python_ns, work.steps_ns, workers=workers)

    def _load(self, case: Case) -> Sample:
        files = model_files(case.setup)
        if case.test.cache == "cold":
            page_cache.drop(files)
        else:
            page_cache.fill(files)
        resident = page_cache.resident_bytes(files)
        model, ns, counters, workers = self._timed(
            lambda: Model(case.setup.model_filename, model_parameters(case.setup))
        )
        model.close()
        return Sample(ns, 0, counters, cache_before_bytes=resident, workers=workers)

    def _timed(self, work: Callable[[], Done]) -> tuple[Done, int, dict[str, int | None], WorkerCounts]:
        workers, before = self._counters.workers(), self._counters.read()
        watch = Stopwatch(self._counters.run_delay)
        watch.start()
        done = work()
        ns, run_delay_ns = watch.stop()
        counters = self._counters.since(before, watch.reads)
        counters["run_delay_ns"] = run_delay_ns
        return done, ns, counters, workers_since(workers, self._counters.workers())

    def model(self, setup: Setup) -> Model:
        """Return the model of a setup, loaded."""
        wanted = tuple(getattr(setup, name) for name in LOADING)
        if self._model is None or self._loaded != wanted:
            self._drop_model()
            self._model = Model(setup.model_filename, model_parameters(setup))
            self._loaded = wanted
        return self._model

    def facts(self, setup: Setup) -> ModelFacts:
        """Return what the model is."""
        model = self.model(setup)
        return ModelFacts(
            filename=setup.model_filename,
            type=model.description,
            size_bytes=model.size_bytes,
            n_params=model.n_params,
            fingerprint=page_cache.fingerprint(Path(setup.model_filename)),
        )

    def memory(self) -> Memory | None:
        """Return the memory with the test in place; ``None`` when there is no context."""
        if self._body is None:
            return None
        rows = self._body.context.memory()
        # The engine calls a worker's device a GPU, whatever it is; its memory isn't this machine's.
        gpus = [one.name for one in devices() if one.type in {"gpu", "igpu"} and one.backend != "RPC"]
        status = process_status()
        return Memory(
            private_bytes=status.get("RssAnon"),
            peak_resident_bytes=status.get("VmHWM"),
            kv_bytes=sum(row.context_bytes for row in rows),
            compute_bytes=sum(row.compute_bytes for row in rows),
            gpu_bytes=gpu_bytes(self._body.context, gpus),
            devices=device_memory(self._body.context) if gpus else (),
        )

    def close(self) -> None:
        """Free everything; a second time does nothing."""
        self._drop_model()

    def _drop_body(self) -> None:
        if self._body is not None:
            self._body.context.close()
            self._body = None

    def _drop_model(self) -> None:
        self._drop_body()
        if self._model is not None:
            self._model.close()
            self._model = None


def model_parameters(setup: Setup) -> ModelParameters:
    """Return how to load."""
    return ModelParameters(
        load_mode=setup.load_mode,
        n_gpu_layers=setup.n_gpu_layers,
        split_mode=setup.split_mode,
        main_gpu=setup.main_gpu,
    )


def model_files(setup: Setup) -> list[Path]:
    """Return all parts of a model."""
    return [Path(part) for part in files_of(setup.model_filename)]


def set_affinity(mask: str, otherwise: set[int]) -> None:
    """Bind all threads of this process to the CPUs of a hexadecimal mask; ``0x0`` for all it had."""
    bits = int(mask, 16)
    cpus = {bit for bit in range(bits.bit_length()) if bits >> bit & 1} or otherwise
    for thread in proc_pid.threads_of("self"):
        os.sched_setaffinity(thread, cpus)


def process_status() -> dict[str, int]:
    """Return the sizes of /proc/self/status in bytes (proc_pid_status(5))."""
    fields = proc_pid.status_of("self")
    sizes = {key: value.split() for key, value in fields.items() if key.startswith(("Vm", "Rss"))}
    return {key: int(value[0]) * 1024 for key, value in sizes.items() if value[1:] == ["kB"]}


def absolute(setup: Setup) -> Setup:
    """Return the setup with the model's path absolute, for another process."""
    return replace(setup, model_filename=str(Path(setup.model_filename).resolve()))
