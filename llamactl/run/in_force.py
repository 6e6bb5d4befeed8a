"""What was asked against what is in force, each by its own evidence."""

from __future__ import annotations

from llamactl.engine import Context, Model, devices
from llamactl.engine.backends import why_no_gpu
from llamactl.engine.library import has_gpu
from llamactl.run.report import Setting
from llamactl.snapshot.memory import ProcessMemory


def settings(model: Model, context: Context, memory: ProcessMemory | None) -> dict[str, Setting]:
    """Return each setting as asked and in force, under the name of its option."""
    asked, threads, found = context.parameters, context.threads, context.in_force
    flash = None if found.flash_attention is None else "on" if found.flash_attention else "off"
    return {
        "threads": Setting(asked.n_threads, threads[0]),
        "threads-batch": Setting(asked.n_threads_batch, threads[1]),
        "ctx-size": _context_size(model, context),
        "batch-size": Setting(asked.n_batch, context.n_batch),
        "ubatch-size": Setting(asked.n_ubatch, context.n_ubatch),
        "load-mode": load_mode(model, memory),
        "gpu-layers": gpu_layers(model),
        "cache-type-k": Setting(asked.type_k, found.type_k),
        "cache-type-v": Setting(asked.type_v, found.type_v),
        "flash-attn": Setting(asked.flash_attention, flash),
    }


def _context_size(model: Model, context: Context) -> Setting:
    asked, in_force = context.parameters.n_ctx, context.n_ctx
    reason = None
    if asked and asked != in_force:
        reason = "the engine rounds the context up to a multiple of 256"
    return Setting(asked or model.n_ctx_train, in_force, reason)


def load_mode(model: Model, memory: ProcessMemory | None) -> Setting:
    """Return the load mode. In force is what the kernel shows: is the file mapped, is memory locked?"""
    asked = model.parameters.load_mode
    if memory is None:
        return Setting(asked, None, "the process's mappings can't be read")
    mapped, locked = memory.files.mapped_bytes > 0, memory.locked_bytes > 0
    fell_back = any("Falling back to buffered" in line for line in model.warnings)
    if mapped:
        in_force = "mmap+mlock" if locked else "mmap"
    elif locked:
        in_force = "mlock"
    else:
        in_force = "dio" if asked == "dio" and not fell_back else "none"
    return Setting(asked, in_force, _load_mode_reason(asked, in_force, model))


def _load_mode_reason(asked: str, in_force: str, model: Model) -> str | None:
    if asked in {"auto", in_force}:
        return None
    if "mlock" in asked and "mlock" not in in_force:
        return "the kernel refused to lock the memory; raise the limit (ulimit -l)"
    if asked == "dio":
        return "the file system doesn't take direct I/O"
    if "mmap" in asked and all(device.type != "cpu" for device in devices()):
        return "a device in use can't take a mapping"
    return next(iter(model.warnings), None)


def gpu_layers(model: Model) -> Setting:
    """Return the layers on a GPU. The engine counts them as offloaded even where no GPU is: devices decide."""
    wanted = model.parameters.n_gpu_layers
    asked: int | str = "all" if wanted < 0 else wanted
    if not has_gpu():
        return Setting(asked, 0, f"the engine sees no GPU: {why_no_gpu()}" if wanted else None)
    if model.layers_offloaded is None:
        return Setting(asked, None, "the engine didn't say")
    offloaded, every = model.layers_offloaded
    return Setting(asked, "all" if offloaded == every else offloaded)
