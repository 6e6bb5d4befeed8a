"""Findings on the engine that was loaded, and on its device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from llamactl.process.files.device_nodes import GPU_NODES_BYTES
from llamactl.trace.capture.engine_calls import LOADS
from llamactl.trace.mechanisms.findings.arguments import last_argument
from llamactl.trace.mechanisms.findings.finding import Finding, FindingKind, Look
from llamactl.trace.mechanisms.gpu.gpu_calls import gpu_reasons
from llamactl.trace.mechanisms.interface.wrong_library import wrong_libraries

if TYPE_CHECKING:
    from llamactl.trace.mechanisms.report import TraceReport


def _gpu(report: TraceReport) -> Iterator[Finding]:
    devices = report.metadata.get("gpu_nodes") or []
    opened = any(row.opens and row.name.startswith(GPU_NODES_BYTES) for row in report.files)
    used = report.devices is not None and report.devices.used
    if devices and not opened and not used and report.exchange is not None:
        why = gpu_reasons(report.files, last_argument(report.exchange, LOADS, "n_gpu_layers"))
        yield Finding(
            FindingKind.GPU_UNUSED, None, {"device_nodes": list(devices), "why": [one.value for one in why]}
        )


def _copies(report: TraceReport) -> Iterator[Finding]:
    if report.exchange is not None and len(report.exchange.engine_copies) > 1:
        yield Finding(FindingKind.ENGINE_COPIES, None, {"libraries": report.exchange.engine_copies})


def _wrong_library(report: TraceReport) -> Iterator[Finding]:
    for loaded, own, place in wrong_libraries(report.exchange.exchange) if report.exchange else ():
        yield Finding(FindingKind.WRONG_LIBRARY, None, {"loaded": loaded, "own": own}, place)


def _left(report: TraceReport) -> Iterator[Finding]:
    for row in report.devices.left if report.devices is not None else ():
        figures = {"pid": row.pid, "device": row.device, "bytes": row.bytes, "kinds": list(row.kinds)}
        yield Finding(
            FindingKind.DEVICE_MEMORY_LEFT, None, {**figures, "why": row.why.value}, row.place, row.caller
        )


LOOKS: tuple[Look, ...] = (
    _gpu,
    _left,
    _copies,
    _wrong_library,
)
