"""Text to tokens and back. A model's vocabulary lives as long as the model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llamactl.engine.handle import Handle
from llamactl.engine.native import ffi, lib
from llamactl.errors import LlamactlError, UsageError

INT32_MIN = -(2**31)


class Vocabulary:
    """The tokenizer of one model; refuses use once the model is freed.

    Args:
        model: The handle of the model.
    """

    def __init__(self, model: Handle) -> None:
        self._model = model
        self._pointer = lib.llama_model_get_vocab(model.pointer)
        self._size = int(lib.llama_vocab_n_tokens(self._pointer))
        self._buffer = ffi.new("char[]", 256)

    def check(self, *tokens: int) -> None:
        """Raise :class:`LlamactlError` if the model is closed, or a token isn't in the vocabulary."""
        self._model.check()
        for token in tokens:
            if not 0 <= token < self._size:
                raise LlamactlError(f"token {token} isn't in the vocabulary of {self._size} tokens")

    @property
    def pointer(self) -> Any:
        """``const struct llama_vocab *``, for calls of the engine.

        Raises:
            LlamactlError: The model is closed.
        """
        self._model.check()
        return self._pointer

    @property
    def size(self) -> int:
        """Number of tokens."""
        self._model.check()
        return self._size

    @property
    def bos(self) -> int | None:
        """The token that begins a sequence."""
        return self._special(lib.llama_vocab_bos)

    @property
    def eos(self) -> int | None:
        """The token that ends a sequence."""
        return self._special(lib.llama_vocab_eos)

    @property
    def sep(self) -> int | None:
        """The token between two texts."""
        return self._special(lib.llama_vocab_sep)

    @property
    def adds_sep(self) -> bool:
        """Whether texts that belong together get :attr:`sep` between them."""
        return bool(lib.llama_vocab_get_add_sep(self.pointer))

    @property
    def adds_bos(self) -> bool:
        """Whether ``tokenize`` puts :attr:`bos` first when asked for special tokens."""
        return bool(lib.llama_vocab_get_add_bos(self.pointer))

    @property
    def adds_eos(self) -> bool:
        """Whether ``tokenize`` puts :attr:`eos` last when asked for special tokens."""
        return bool(lib.llama_vocab_get_add_eos(self.pointer))

    def _special(self, function: Any) -> int | None:
        token = int(function(self.pointer))
        return None if token == lib.LLAMA_TOKEN_NULL else token

    def is_end(self, token: int) -> bool:
        """Tell whether the token ends generation (``llama_vocab_is_eog``)."""
        return bool(lib.llama_vocab_is_eog(self.pointer, token))

    def tokenize(
        self, text: str | bytes, *, add_special: bool = True, parse_special: bool = True
    ) -> list[int]:
        """Return the tokens of a text (``llama_tokenize``).

        Args:
            text: Any text; ``str`` is encoded as UTF-8.
            add_special: Add BOS and EOS as the model is configured to.
            parse_special: Read ``<|…|>`` in the text as the token of that name, not as letters.

        Raises:
            UsageError: The text has more than 2**31 tokens, or the model has no tokenizer.
        """
        if lib.llama_vocab_type(self.pointer) == lib.LLAMA_VOCAB_TYPE_NONE:
            raise UsageError(
                "the model has no tokenizer: it can't read text", "Convert it with its tokenizer."
            )
        data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
        # BPE never makes more tokens than bytes; two more for BOS and EOS.
        room = len(data) + 2
        tokens = ffi.new("llama_token[]", room)
        n = lib.llama_tokenize(self.pointer, data, len(data), tokens, room, add_special, parse_special)
        if n == INT32_MIN:
            raise UsageError("the text is too long to tokenize", "Split it.")
        if n < 0:
            tokens = ffi.new("llama_token[]", -n)
            n = lib.llama_tokenize(self.pointer, data, len(data), tokens, -n, add_special, parse_special)
        return list(ffi.unpack(tokens, n))

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """Return the bytes of one token; a character may be spread over several tokens.

        Args:
            token: A token of this vocabulary.
            special: Show control tokens by name instead of as nothing.

        Raises:
            LlamactlError: The token isn't in the vocabulary.
        """
        if not 0 <= token < self._size:
            self.check(token)
        buffer = self._buffer
        n = lib.llama_token_to_piece(self.pointer, token, buffer, len(buffer), 0, special)
        if n < 0:
            self._buffer = buffer = ffi.new("char[]", -n)
            n = lib.llama_token_to_piece(self.pointer, token, buffer, len(buffer), 0, special)
        return bytes(ffi.unpack(buffer, n)) if n > 0 else b""

    def detokenize(
        self, tokens: Iterable[int], *, remove_special: bool = False, special: bool = False
    ) -> str:
        """Return the text of tokens (``llama_detokenize``); bytes that aren't UTF-8 become U+FFFD.

        Raises:
            LlamactlError: A token isn't in the vocabulary.
        """
        array = ffi.new("llama_token[]", list(tokens))
        self.check(*array)
        room = 8 * len(array) + 64
        buffer = ffi.new("char[]", room)
        n = lib.llama_detokenize(self.pointer, array, len(array), buffer, room, remove_special, special)
        if n < 0:
            room = -n
            buffer = ffi.new("char[]", room)
            n = lib.llama_detokenize(self.pointer, array, len(array), buffer, room, remove_special, special)
        return bytes(ffi.buffer(buffer, max(n, 0))).decode("utf-8", "replace")
