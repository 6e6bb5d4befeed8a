"""A model as something to inspect: its options, and how to look."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from llamactl.cli.inspect.subjects import Subject, check_sections

if TYPE_CHECKING:
    from llamactl.errors import LlamactlError
    from llamactl.run.memory_needed import MemoryNeeded
    from llamactl.snapshot.gguf.model import ModelSnapshot


@dataclass(frozen=True, slots=True)
class ModelFileOptions:
    """What concerns a model only. One of the context's options asks for the memory that it will need."""

    tensors: Annotated[bool, Option("--tensors", help="List a model's tensors.")] = False
    tensor_filter: Annotated[
        str | None,
        Option(
            "--filter", metavar="PATTERN", help="Only tensors with such a name: blk.0.*, or a part of it."
        ),
    ] = None
    ctx_size: Annotated[
        int | None,
        Option("-c", "--ctx-size", metavar="N", envvar="LLAMA_ARG_CTX_SIZE",
               help="Tell the memory that a context of N tokens needs; 0 takes the model's."),
    ] = None  # fmt: skip
    batch_size: Annotated[
        int | None, Option("-b", "--batch-size", metavar="N", envvar="LLAMA_ARG_BATCH", help="With -c.")
    ] = None
    ubatch_size: Annotated[
        int | None, Option("-ub", "--ubatch-size", metavar="N", envvar="LLAMA_ARG_UBATCH", help="With -c.")
    ] = None
    cache_type_k: Annotated[
        str | None,
        Option("-ctk", "--cache-type-k", metavar="TYPE", envvar="LLAMA_ARG_CACHE_TYPE_K", help="With -c."),
    ] = None
    cache_type_v: Annotated[
        str | None,
        Option("-ctv", "--cache-type-v", metavar="TYPE", envvar="LLAMA_ARG_CACHE_TYPE_V", help="With -c."),
    ] = None
    flash_attn: Annotated[
        str | None,
        Option("-fa", "--flash-attn", metavar="MODE", envvar="LLAMA_ARG_FLASH_ATTN", help="With -c."),
    ] = None
    gpu_layers: Annotated[
        str | None,
        Option("-ngl", "--gpu-layers", "--n-gpu-layers", metavar="N", envvar="LLAMA_ARG_N_GPU_LAYERS",
               help="With -c: layers on the GPU: a number, auto or all."),
    ] = None  # fmt: skip


@dataclass(slots=True)
class ModelSubject(Subject):
    """A model file, and what memory it would need."""

    path: str
    only: tuple[str, ...] = ()
    options: ModelFileOptions = ModelFileOptions()
    _seen: ModelSnapshot | None = field(default=None, init=False)

    def text(self) -> str:
        """Look, and return the model as text."""
        from llamactl.render.inspect.model import SECTIONS, model_text

        check_sections(self.only, SECTIONS, "a model")
        shown = model_text(*self._look(), self.only)
        pattern = self.options.tensor_filter
        if pattern is not None and self._seen and not self._seen.tensors:
            from llamactl.render.safe import safe_text

            shown = f"{shown.rstrip()}\n\nno tensor has a name like {safe_text(pattern)}\n".lstrip()
        return shown

    def document(self) -> dict[str, Any]:
        """Look, and return the model as a document."""
        from llamactl.render.inspect.model import SECTIONS
        from llamactl.render.inspect.model_json import model_document

        check_sections(self.only, SECTIONS, "a model")
        return model_document(*self._look(), self.only)

    @property
    def problem(self) -> LlamactlError | None:
        """What was wrong with the file when it was looked at."""
        from llamactl.snapshot.gguf.check import refusal

        if self._seen is None or self._seen.fault is None:
            return None
        fault = self._seen.fault
        part = next(part for part in self._seen.parts if part.path == fault.path)
        return refusal(fault, part.version, part.size_bytes)

    def _look(self) -> tuple[ModelSnapshot, MemoryNeeded | None]:
        from llamactl.snapshot.gguf.model import snapshot

        listed = self.options.tensors or "tensors" in self.only
        self._seen = snapshot(self.path, self.options.tensor_filter or ("*" if listed else None))
        # The engine would refuse a damaged file, and what can be shown of it would be lost.
        return self._seen, self._needed() if self._seen.fault is None else None

    def _needed(self) -> MemoryNeeded | None:
        """Ask the engine, but only if an option of the context was given: it takes ten times as long."""
        options = self.options
        sizes = (options.ctx_size, options.batch_size, options.ubatch_size)
        kinds = (options.cache_type_k, options.cache_type_v, options.flash_attn, options.gpu_layers)
        if all(value is None for value in (*sizes, *kinds)) and "memory" not in self.only:
            return None
        from llamactl.engine import ContextParameters, ModelParameters
        from llamactl.engine.parameters import switch
        from llamactl.run.memory_needed import memory_needed

        parameters = ContextParameters(
            n_ctx=_or(options.ctx_size, 0),
            n_batch=_or(options.batch_size, 2048),
            n_ubatch=_or(options.ubatch_size, 512),
            type_k=options.cache_type_k or "f16",
            type_v=options.cache_type_v or "f16",
            flash_attention=switch(options.flash_attn or "auto"),
        )
        return memory_needed(self.path, parameters, ModelParameters(n_gpu_layers=_layers(options.gpu_layers)))


def _or(value: int | None, default: int) -> int:
    from llamactl.errors import UsageError

    if value is not None and not 0 <= value < 1 << 31:
        raise UsageError(f"{value} isn't a number of tokens", f"Give 0 to {(1 << 31) - 1}.")
    return default if value is None else value


def _layers(text: str | None) -> int:
    from llamactl.errors import UsageError

    if text in (None, "auto", "all"):
        return -1
    assert text is not None
    if not text.isdecimal():
        raise UsageError(f"-ngl {text}: not a number of layers", "Give a number, auto or all.")
    return int(text)
