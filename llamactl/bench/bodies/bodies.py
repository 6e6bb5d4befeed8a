"""Which class does the work of which test."""

from __future__ import annotations

from collections.abc import Sequence

from llamactl.bench.bodies.body import Body
from llamactl.bench.bodies.body_parallel import Parallel
from llamactl.bench.bodies.body_plain import Plain
from llamactl.bench.bodies.body_request import Embed, FirstToken
from llamactl.bench.plan import BenchTest, Setup
from llamactl.engine import Context, Model

BODIES: dict[str, type] = {
    "pp": Plain,
    "tg": Plain,
    "pg": Plain,
    "ttft": FirstToken,
    "embed": Embed,
    "parallel": Parallel,
}


def body(model: Model, setup: Setup, test: BenchTest) -> Body:
    """Make the context of a test. Raises what :class:`llamactl.engine.Context` raises."""
    made: Body = BODIES[test.kind](model, setup, test)
    return made


def gpu_bytes(context: Context, devices: Sequence[str]) -> int | None:
    """Return what the engine holds on GPUs; ``None`` without one."""
    if not devices:
        return None
    rows = [row for row in context.memory() if row.device in devices]
    return sum(row.model_bytes + row.context_bytes + row.compute_bytes for row in rows)
