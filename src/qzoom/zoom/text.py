"""Tokens turned into text as they come, ending at stop strings."""

from __future__ import annotations

from typing import Any

from tokenizers.decoders import DecodeStream


class TextTracker:
    """Text of one answer. Pieces it gives out are final: what might begin a stop string waits.

    text: what has been given out so far; stopped: whether a stop string came.
    """

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
        return self._release()

    def finish(self) -> str:
        """Return what was held back, with bytes that never became a character as U+FFFD."""
        if self.stopped:
            return ""
        whole = self._tokenizer.decode(
            self._ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        if whole.startswith(self.text + self._pending):
            self._pending = whole[len(self.text) :]
        return self._release() + self._give(len(self._pending))

    def _release(self) -> str:
        """Give out what no stop string can begin in, or all before one that came."""
        cuts = [cut for stop in self._stop if (cut := self._pending.find(stop)) >= 0]
        if not cuts:
            return self._give(len(self._pending) - self._held())
        self.stopped = True
        piece = self._give(min(cuts))
        self._pending = ""
        return piece

    def _held(self) -> int:
        """Length of the longest end of the pending text that begins a stop string."""
        longest = min(len(self._pending), max(map(len, self._stop), default=0))
        for length in range(longest, 0, -1):
            if any(stop.startswith(self._pending[-length:]) for stop in self._stop):
                return length
        return 0

    def _give(self, length: int) -> str:
        piece, self._pending = self._pending[:length], self._pending[length:]
        self.text += piece
        return piece
