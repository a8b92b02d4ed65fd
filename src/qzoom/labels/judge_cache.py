"""Replies of judges on disk, so that no prompt is asked twice."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from qzoom.data.files import Closing
from qzoom.errors import LabelError
from qzoom.labels.jsonl import JsonlLog, read_rows
from qzoom.labels.judge import JudgePrompt


class JudgeCache(Closing):
    """An append-only file of replies, each under the hash of its prompt and the judge's name."""

    def __init__(self, path: Path, *, sync_every: int = 64) -> None:
        """Open or make the file; a line cut off by a kill is dropped.

        Raises:
            LabelError: If another run has it open, or a line is damaged.
        """
        self._log = JsonlLog(path, sync_every=sync_every)
        try:
            self._texts = {
                _field(row, "key", path): _field(row, "text", path) for _, row in read_rows(path)
            }
        except LabelError:
            self._log.close()
            raise

    def get(self, prompt: JudgePrompt, judge: str) -> str | None:
        """The reply to a prompt, if it is known."""
        return self._texts.get(prompt_key(prompt, judge))

    def put(self, prompt: JudgePrompt, judge: str, text: str) -> None:
        """Keep a reply; the first one to a prompt stays."""
        key = prompt_key(prompt, judge)
        if key not in self._texts:
            self._log.append({"key": key, "judge": judge, "text": text})
            self._texts[key] = text

    def __len__(self) -> int:
        return len(self._texts)

    def close(self) -> None:
        """Wait until all is on disk and close the file."""
        self._log.close()


def prompt_key(prompt: JudgePrompt, judge: str) -> str:
    """SHA-256 of a prompt and the name of who is asked."""
    return hashlib.sha256(json.dumps([judge, prompt.system, prompt.user]).encode()).hexdigest()


def _field(row: dict[str, object], name: str, path: Path) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise LabelError(f"{path} holds a row without {name!r}; is it a cache of judge replies?")
    return value
