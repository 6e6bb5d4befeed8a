"""What a benchmark found: facts for every face. Durations are nanoseconds, sizes bytes, unknown is ``None``."""

from __future__ import annotations

from dataclasses import dataclass, field

from llamactl.bench.plan import BenchTest, Setup
from llamactl.snapshot.gpu.account import DeviceAccount


@dataclass(frozen=True, slots=True)
class Sample:
    """One repetition of a test.

    Attributes:
        ns: Wall time.
        tokens: Tokens computed.
        counters: What the kernel counted meanwhile, by the names of :data:`llamactl.bench.measure.counters.NAMES`.
        python_ns: Of ``ns``, outside of the engine's calls; ``None`` where it isn't taken apart.
        steps_ns: Longest and median time of one step of parallel sequences, and so on, by name.
        cache_before_bytes: Of ``load``: how much of the model was in the page cache before.
        workers: By worker: ``sent_bytes`` to it, ``received_bytes`` from it, ``round_trips``, ``waited_ns``.
    """

    ns: int
    tokens: int
    counters: dict[str, int | None] = field(default_factory=dict)
    python_ns: int | None = None
    steps_ns: dict[str, int] = field(default_factory=dict)
    cache_before_bytes: int | None = None
    workers: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory with a test's context in place.

    Attributes:
        private_bytes: The process's own, anonymous pages.
        peak_resident_bytes: The most the process ever held, file pages included.
        kv_bytes: KV cache and outputs.
        compute_bytes: Work space of graphs.
        gpu_bytes: Of the engine's buffers, those on a GPU; ``None`` where the engine sees none.
        devices: Per GPU, by kind of buffer, against what its driver counts for this process.
        shared: Of several processes: their PSS and RSS together.
    """

    private_bytes: int | None
    peak_resident_bytes: int | None
    kv_bytes: int | None
    compute_bytes: int | None
    gpu_bytes: int | None
    devices: tuple[DeviceAccount, ...] = ()
    shared: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Result:
    """One test, measured.

    Attributes:
        setup: How it was loaded and computed.
        test: What was measured.
        test_time: When it began, UTC.
        samples: The repetitions.
        crossings: Calls of the engine from Python in one repetition (the warm-up), by function; ``None`` without
            a warm-up.
        crossings_tokens: Tokens of that repetition.
        memory: At its end.
        machine: What else went on meanwhile.
        warnings: Why not to trust it.
    """

    setup: Setup
    test: BenchTest
    test_time: str
    samples: tuple[Sample, ...]
    crossings: dict[str, int] | None
    crossings_tokens: int
    memory: Memory | None
    machine: dict[str, float | int | None]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The model file and what the engine says of it.

    Attributes:
        fingerprint: SHA-256 over the size, the first 4 MiB and the last 1 MiB.
    """

    filename: str
    type: str
    size_bytes: int
    n_params: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Environment:
    """Everything that has to be the same for two results to be comparable.

    Attributes:
        missing: Counters that aren't there, with the reason.
    """

    build_commit: str
    engine: str
    cpu_info: str
    gpu_info: str
    backends: str
    versions: dict[str, str]
    machine: dict[str, str | int | float | bool | None]
    missing: dict[str, str]
    options: dict[str, str | int | float | bool | None]


@dataclass(frozen=True, slots=True)
class BenchReport:
    """A benchmark: complete, or up to where it was interrupted."""

    environment: Environment
    models: tuple[ModelFacts, ...]
    results: tuple[Result, ...]
    complete: bool
    planned: tuple[str, ...]
    warnings: tuple[str, ...]
