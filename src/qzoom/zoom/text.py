"""Tokens turned into text as they come, ending at stop strings."""

from __future__ import annotations

from typing import Any

from tokenizers.decoders import DecodeStream


class TextTracker:
    """Text of one answer. Pieces it gives out are final: what might begin a stop string waits."""

    def __init__(self, tokenizer: Any, stop: tuple[str, ...]) -> None:
        self._tokenizer = tokenizer
        self._stop = stop
        self._stream = DecodeStream(skip_special_tokens=True)
        self._ids: list[int] = []
        self._pending = ""
        self.text = ""
        self.stopped = False

    def push(self, token: int) -> str:
        """Take one token; return the text that is now certain."""
        if self.stopped:
            return ""
        self._ids.append(token)
        self._pending += self._stream.step(self._tokenizer.backend_tokenizer, token) or ""
        cut = min((i for s in self._stop if (i := self._pending.find(s)) >= 0), default=-1)
        if cut >= 0:
            self.stopped = True
            return self._give(cut, drop=True)
        return self._give(len(self._pending) - self._held())

    def finish(self) -> str:
        """Return what was held back."""
        if self.stopped:
            return ""
        whole = self._tokenizer.decode(self._ids, skip_special_tokens=True)
        if whole.startswith(self.text + self._pending):
            self._pending = whole[len(self.text) :]
        return self._give(len(self._pending))

    def _held(self) -> int:
        """Length of the longest end of the pending text that begins a stop string."""
        lengths = range(min(len(self._pending), max(map(len, self._stop), default=0)), 0, -1)
        return next(
            (n for n in lengths if any(s.startswith(self._pending[-n:]) for s in self._stop)), 0
        )

    def _give(self, length: int, *, drop: bool = False) -> str:
        piece, rest = self._pending[:length], self._pending[length:]
        self._pending = "" if drop else rest
        self.text += piece
        return piece
