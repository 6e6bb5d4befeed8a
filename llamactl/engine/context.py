"""A context: the KV cache of a model, decoding, and what comes out."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any

from llamactl.engine.batch import Batch
from llamactl.engine.callbacks import ABORT, Guarded
from llamactl.engine.handle import Handle
from llamactl.engine.kv_cache import KVCache
from llamactl.engine.log import captured, last_error
from llamactl.engine.model import Model
from llamactl.engine.native import ffi, lib, text
from llamactl.engine.parameters import POOLING, ContextParameters
from llamactl.engine.views import Epoch, FloatView
from llamactl.errors import LlamactlError, UsageError

KV_CACHE_LINE = re.compile(r"K \((\w+)\):.*V \((\w+)\):")
FLASH_LINE = re.compile(r"Flash Attention (enabled|not supported)|flash_attn\s*= (enabled|disabled)")
NO_KV_SLOT, ABORTED, INVALID_BATCH = 1, 2, -1


class DecodeError(LlamactlError):
    """``llama_decode`` refused a batch; ``status`` is what it returned."""

    def __init__(self, status: int, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.status = status


class DecodeAbortedError(DecodeError):
    """An abort callback or Ctrl-C stopped the computation; what was computed so far stays in the cache."""


@dataclass(frozen=True, slots=True)
class BufferMemory:
    """Bytes that a context and its model hold in one kind of buffer.

    Attributes:
        buffer_type: ggml's name, such as ``CPU`` or ``CUDA0``.
        device: The device it belongs to; empty where ggml names none.
        is_host: Whether it is the machine's own memory.
        model_bytes: Weights.
        context_bytes: KV cache and outputs.
        compute_bytes: Work space of graphs.
    """

    buffer_type: str
    device: str
    is_host: bool
    model_bytes: int
    context_bytes: int
    compute_bytes: int


@dataclass(frozen=True, slots=True)
class InForce:
    """What the engine logged when it made the context; ``None`` for what it didn't say.

    Attributes:
        type_k: Type of the K cache.
        type_v: Type of the V cache.
        flash_attention: Whether flash attention is used.
    """

    type_k: str | None
    type_v: str | None
    flash_attention: bool | None


class Context:
    """A ``llama_context``. Use it as a context manager, close it, or let it go.

    Args:
        model: Stays loaded as long as the context lives.
        parameters: Sizes, threads, types.

    Attributes:
        in_force: What the engine made of the parameters.

    Raises:
        LlamactlError: The engine can't make it: no memory, or parameters that don't fit the model.
    """

    def __init__(self, model: Model, parameters: ContextParameters | None = None) -> None:
        self.model = model
        self.parameters = parameters or ContextParameters()
        if model.parameters.vocab_only:
            raise UsageError("a model loaded for its vocabulary only can't compute", "Load all of it.")
        with captured() as lines:
            pointer = lib.llama_init_from_model(model.pointer, self.parameters.native())
        if pointer == ffi.NULL:
            reason = last_error(lines) or "the engine gives no reason"
            raise LlamactlError(
                f"can't make a context of {self.parameters.n_ctx or model.n_ctx_train} tokens: {reason}",
                "Ask for a smaller context (-c) or a smaller KV type (-ctk, -ctv).",
            )
        self.in_force = _in_force([line for _, line in lines])
        self._epoch = Epoch()
        self._pools: list[Any] = []
        self._handle = Handle(self, "context", pointer, partial(_free, pools=self._pools), (model,))
        self._abort: Guarded | None = None
        self._single: Any = ffi.new("llama_token[1]")
        self._single_batch: Any = lib.llama_batch_get_one(self._single, 1)
        self.kv = KVCache(self._handle, self.parameters.kv_unified)
        model.add_dependent(self)

    @property
    def pointer(self) -> Any:
        """``struct llama_context *``, for calls of the engine."""
        return self._handle.pointer

    @property
    def closed(self) -> bool:
        """Whether it was freed."""
        return self._handle.closed

    def close(self) -> None:
        """End all views and free it; a second time does nothing.

        Raises:
            StaleViewError: A buffer of this context is still in use.
        """
        if not self.closed:
            self._epoch.advance()
            self._handle.close()

    def __enter__(self) -> Context:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def n_ctx(self) -> int:
        """Context size in force, in tokens."""
        return int(lib.llama_n_ctx(self.pointer))

    @property
    def n_batch(self) -> int:
        """Most tokens one call of :meth:`decode` takes."""
        return int(lib.llama_n_batch(self.pointer))

    @property
    def n_ubatch(self) -> int:
        """Most tokens computed at once."""
        return int(lib.llama_n_ubatch(self.pointer))

    @property
    def threads(self) -> tuple[int, int]:
        """Threads in force for single tokens and for prompts."""
        return int(lib.llama_n_threads(self.pointer)), int(lib.llama_n_threads_batch(self.pointer))

    def attach_threads(self, single: Any, batch: Any) -> None:
        """Compute with thread pools of ours from now on; this context frees them after itself.

        Args:
            single: ``ggml_threadpool_t``, of as many threads as for single tokens.
            batch: The same for prompts; ``None`` where it is the same pool.
        """
        self._pools.extend(pool for pool in (single, batch) if pool is not None)
        lib.llama_attach_threadpool(self.pointer, single, ffi.NULL if batch is None else batch)

    def set_threads(self, single: int, batch: int) -> None:
        """Change the threads for single tokens and for prompts."""
        lib.llama_set_n_threads(self.pointer, single, batch)

    @property
    def is_causal(self) -> bool:
        """Whether a token sees those before it only, as it must be to generate."""
        return bool(lib.llama_get_causal_attn(self.pointer))

    @property
    def pooling(self) -> str:
        """How embeddings are pooled, a key of :data:`llamactl.engine.parameters.POOLING`."""
        found = lib.llama_pooling_type(self.pointer)
        return next((name for name, value in POOLING.items() if value == found), "unspecified")

    def set_abort(self, callback: Callable[[], object] | None) -> None:
        """Ask ``callback`` while computing (CPU only) whether to stop.

        It is called often, each time with the GIL taken: keep it for what needs it. What it raises stops
        the computation and is raised from :meth:`decode`.
        """
        self._abort = Guarded(callback) if callback else None
        handle = self._abort.handle if self._abort else ffi.NULL
        lib.llama_set_abort_callback(self.pointer, ABORT if self._abort else ffi.NULL, handle)

    def abort_on_interrupt(self) -> None:
        """Have Ctrl-C stop the computation at once; see :mod:`llamactl.engine.guard`."""
        lib.llamactl_abort_on_interrupt(self.pointer)

    def decode(self, batch: Batch) -> None:
        """Compute a batch (``llama_decode``). Ends the views of the last one.

        Raises:
            DecodeError: The cache is full or the batch isn't valid.
            DecodeAbortedError: It was stopped.
            StaleViewError: A buffer of the last decode is still in use.
        """
        self._check_size(len(batch))
        self._decode(batch.native)

    def decode_tokens(self, tokens: Sequence[int]) -> None:
        """Compute tokens that continue sequence 0; only the last one gives output. Raises as :meth:`decode`."""
        self._check_size(len(tokens))
        array = ffi.new("llama_token[]", tokens)
        self._decode(lib.llama_batch_get_one(array, len(array)))

    def decode_token(self, token: int) -> None:
        """Compute one token that continues sequence 0: the quick way. Raises as :meth:`decode`."""
        self._single[0] = token
        self._decode(self._single_batch)

    def stepper(self) -> Callable[[int], None]:
        """Return a function that does :meth:`decode_token` and waits for the result, for hot loops.

        After a decode the caches hold weights, not Python: each lookup saved here is a memory access saved.
        """
        single, batch, pointer, advance = self._single, self._single_batch, self.pointer, self._epoch.advance
        decode, synchronize, check = lib.llama_decode, lib.llama_synchronize, self._check

        def step(token: int) -> None:
            advance()
            single[0] = token
            status = decode(pointer, batch)
            if status:
                check(status, 1)
            synchronize(pointer)

        return step

    def encode(self, batch: Batch) -> None:
        """Compute a batch without a KV cache (``llama_encode``). Raises as :meth:`decode`.

        Raises:
            UsageError: The model has a decoder only.
        """
        if self.model.has_decoder and not self.model.has_encoder:
            raise UsageError("this model has no encoder", "Use decode.")
        self._check_size(len(batch))
        self._epoch.advance()
        self._check(lib.llama_encode(self.pointer, batch.native), batch.native.n_tokens)

    def _check_size(self, n_tokens: int) -> None:
        # The engine aborts the process on what it takes for a fault of the program.
        if n_tokens > self.n_batch:
            raise UsageError(
                f"{n_tokens} tokens at once, the context takes {self.n_batch}",
                "Decode them in parts (n_batch).",
            )
        if self.model.parameters.no_alloc:
            raise UsageError("a model loaded without its weights can't compute", "Load all of it.")

    def end_views(self) -> None:
        """End the views of the last decode, before something else writes their memory.

        Raises:
            StaleViewError: A buffer of this context is still in use.
        """
        self._epoch.advance()

    def _decode(self, native: Any) -> None:
        self._epoch.advance()
        status = lib.llama_decode(self._handle.pointer, native)
        if status or self._abort is not None:
            self._check(status, native.n_tokens)

    def _check(self, status: int, n_tokens: int) -> None:
        if self._abort is not None:
            self._abort.raise_failure()
        if status == 0:
            return
        if status == NO_KV_SLOT:
            raise DecodeError(
                status,
                f"no room for {n_tokens} more tokens in a context of {self.n_ctx}",
                "Make the context larger (-c) or the prompt shorter.",
            )
        if status == ABORTED:
            raise DecodeAbortedError(status, "the computation was stopped")
        if status == INVALID_BATCH:
            raise DecodeError(
                status, "the engine doesn't accept this batch", "Check tokens, positions, sequences."
            )
        raise DecodeError(status, f"the engine failed with status {status}", "Its log says why (-v).")

    def synchronize(self) -> None:
        """Wait until the computation is done; taking output does so by itself."""
        lib.llama_synchronize(self.pointer)

    def logits(self, index: int = -1) -> FloatView:
        """Return the logits of one output of the last decode, without copying.

        Args:
            index: Index in the batch, or from the end: -1 is the last output.

        Raises:
            LlamactlError: That token gave no output.
        """
        row = lib.llama_get_logits_ith(self.pointer, index)
        return self._view(row, self.model.vocabulary.size, f"no logits for output {index}")

    def embedding(self, index: int = -1) -> FloatView:
        """Return the embedding of one output of the last decode, without copying. Raises as :meth:`logits`."""
        row = lib.llama_get_embeddings_ith(self.pointer, index)
        return self._view(row, self.model.n_embd_out, f"no embedding for output {index}")

    def sequence_embedding(self, sequence: int = 0) -> FloatView:
        """Return the pooled embedding of a sequence, without copying. Raises as :meth:`logits`."""
        row = lib.llama_get_embeddings_seq(self.pointer, sequence)
        return self._view(row, self.model.n_embd_out, f"no pooled embedding for sequence {sequence}")

    def _view(self, row: Any, length: int, otherwise: str) -> FloatView:
        if row == ffi.NULL:
            raise LlamactlError(otherwise, "Ask for output when adding the token to the batch.")
        return FloatView(row, length, self._epoch, self)

    def memory(self) -> tuple[BufferMemory, ...]:
        """Return what the model and this context hold, per kind of buffer."""
        room = 64
        rows = ffi.new("struct llamactl_buffer_memory[]", room)
        n = min(lib.llamactl_memory_breakdown(self.pointer, rows, room), room)
        return tuple(
            BufferMemory(
                text(row.buffer_type),
                text(row.device),
                bool(row.is_host),
                row.model,
                row.context,
                row.compute,
            )
            for row in (rows[i] for i in range(n))
        )


def _free(pointer: Any, pools: list[Any]) -> None:
    """Free a context, then the threads that it computed with."""
    lib.llama_free(pointer)
    while pools:
        lib.llamactl_threadpool_free(pools.pop())


def _in_force(lines: list[str]) -> InForce:
    types = next((match for line in lines if (match := KV_CACHE_LINE.search(line))), None)
    flash = None
    for line in lines:
        if match := FLASH_LINE.search(line):
            flash = "enabled" in match.groups()
    return InForce(types[1] if types else None, types[2] if types else None, flash)
