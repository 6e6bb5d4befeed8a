"""Views of logits: read-only, without a copy, and refusing use once their memory is written again."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from llamactl.engine import Context, FloatView, StaleViewError
from llamactl.engine.native import ffi, lib


@pytest.fixture
def view(context: Context) -> FloatView:
    context.decode_token(17)
    return context.logits()


def address(context: Context) -> int:
    """Return where the engine itself says the logits are."""
    return int(ffi.cast("uintptr_t", lib.llama_get_logits_ith(context.pointer, -1)))


def test_nothing_is_copied(context: Context, view: FloatView) -> None:
    array, buffer = view.numpy(), view.memoryview()
    assert array.__array_interface__["data"][0] == address(context)
    assert np.asarray(buffer).__array_interface__["data"][0] == address(context)
    assert np.asarray(view).__array_interface__["data"][0] == address(context)
    assert int(ffi.cast("uintptr_t", ffi.from_buffer(buffer))) == address(context)


def test_shape_and_type(view: FloatView) -> None:
    n = 49152
    buffer, array = view.memoryview(), view.numpy()
    assert (len(view), buffer.nbytes, buffer.format, buffer.shape) == (n, 4 * n, "f", (n,))
    assert (array.shape, array.dtype.name, array.nbytes) == ((n,), "float32", 4 * n)
    assert list(view)[:3] == [view[0], view[1], view[2]] == list(view[:3]) == list(buffer[:3])
    assert view[-1] == view[n - 1] == array[-1]
    for index in (n, -n - 1):
        with pytest.raises(IndexError):
            view[index]


def test_read_only(view: FloatView) -> None:
    buffer, array = view.memoryview(), view.numpy()
    assert buffer.readonly
    assert not array.flags.writeable
    with pytest.raises(TypeError):
        buffer[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        np.asarray(view)[0] = 1.0
    with pytest.raises(ValueError, match="WRITEABLE"):
        array.flags.writeable = True
    with pytest.raises((ValueError, TypeError)):
        array += 1


def test_results_are_plain_arrays_of_their_own(context: Context, view: FloatView) -> None:
    array = view.numpy()
    kept = [array.copy(), array + 0, np.sort(array), array.astype(np.float64), np.concatenate([array, array])]
    assert {type(one) for one in kept} == {np.ndarray}
    before = [one.copy() for one in kept]
    context.decode_token(18)
    assert all(np.array_equal(one, other) for one, other in zip(kept, before, strict=True))


USES: dict[str, Callable[[Any], object]] = {
    "index": lambda a: a[0],
    "slice": lambda a: a[:3],
    "iterate": lambda a: list(a),
    "argmax": lambda a: a.argmax(),
    "numpy.argmax": lambda a: np.argmax(a),
    "sum": lambda a: a.sum(),
    "numpy.sum": lambda a: np.sum(a),
    "add": lambda a: a + 1,
    "radd": lambda a: 1 + a,
    "compare": lambda a: a > 0,
    "exp": lambda a: np.exp(a),
    "dot": lambda a: a.dot(a),
    "matmul": lambda a: a @ a,
    "tolist": lambda a: a.tolist(),
    "tobytes": lambda a: a.tobytes(),
    "item": lambda a: a.item(0),
    "copy": lambda a: a.copy(),
    "astype": lambda a: a.astype(np.float64),
    "concatenate": lambda a: np.concatenate([np.zeros(2, np.float32), a]),
    "argsort": lambda a: np.argsort(a),
    "where": lambda a: np.where(a > 0, a, 0),
    "copy.copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "max": max,
    "out": lambda a: np.add(np.zeros(49152, np.float32), a),
    "reduce": lambda a: np.add.reduce(a),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_an_array_refuses_after_the_next_decode(
    context: Context, view: FloatView, use: Callable[[Any], object]
) -> None:
    array = view.numpy()
    use(array)
    context.decode_token(18)
    with pytest.raises(StaleViewError, match="ended with a later decode"):
        use(array)


def test_what_an_array_gave_refuses_too(context: Context, view: FloatView) -> None:
    parts = [view.numpy()[10:20], view.numpy().reshape(2, -1), view.numpy()[::2], np.asanyarray(view.numpy())]
    context.decode_token(18)
    for part in parts:
        with pytest.raises(StaleViewError):
            part + 0
    assert "ended" in repr(parts[0])


@pytest.mark.parametrize(
    "use",
    [
        lambda v: v[0],
        lambda v: v[1:3],
        lambda v: list(v),
        lambda v: 1.0 in v,
        lambda v: v.numpy(),
        lambda v: v.memoryview(),
        lambda v: np.asarray(v),
        lambda v: np.array(v),
        lambda v: np.asarray(v, dtype=np.float64),
        lambda v: v.check(),
        lambda v: next(reversed(v)),
    ],
)
def test_a_view_refuses_after_the_next_decode(
    context: Context, view: FloatView, use: Callable[[FloatView], object]
) -> None:
    use(view)
    context.decode_token(18)
    assert view.stale
    with pytest.raises(StaleViewError):
        use(view)
    assert len(view) == 49152
    assert "stale" in repr(view)


def test_a_memoryview_is_released_by_the_next_decode(context: Context, view: FloatView) -> None:
    buffer = view.memoryview()
    context.decode_token(18)
    with pytest.raises(ValueError, match="released"):
        buffer[0]


@pytest.mark.parametrize(
    "hold",
    [
        lambda v: np.frombuffer(v.memoryview(), dtype=np.float32),
        lambda v: np.asarray(v.memoryview()),
        lambda v: v.memoryview()[:10],
        lambda v: memoryview(v.memoryview()),
        lambda v: v.memoryview().cast("B"),
        lambda v: ffi.from_buffer(v.memoryview()),
    ],
)
def test_what_cannot_be_ended_stops_the_decode(
    context: Context, view: FloatView, hold: Callable[[FloatView], Any]
) -> None:
    """Memory never changes under something that can't notice; once it is dropped, decoding goes on."""
    held = hold(view)
    before = bytes(held if not isinstance(held, ffi.CData) else ffi.buffer(held))
    with pytest.raises(StaleViewError, match="still in use") as caught:
        context.decode_token(18)
    assert isinstance(caught.value, BufferError)
    assert bytes(held if not isinstance(held, ffi.CData) else ffi.buffer(held)) == before
    assert context.kv.last() == 0, "nothing was computed"
    del held
    context.decode_token(18)
    assert context.kv.last() == 1


def test_a_view_of_a_closed_context_refuses(context: Context, view: FloatView) -> None:
    array = view.numpy()
    context.close()
    for use in (lambda: view[0], lambda: array[0], lambda: array + 1):
        with pytest.raises(StaleViewError):
            use()


def test_pickling_an_array_copies_it(view: FloatView) -> None:
    array = view.numpy()
    assert np.array_equal(np.asarray(pickle.loads(pickle.dumps(array.copy()))), array)
