"""A folder of steps: each is run once, and its outcome kept as JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qzoom.data.files import alone
from qzoom.errors import ConfigError
from qzoom.labels.jsonl import write_json

Outcome = Mapping[str, Any]


@dataclass(frozen=True)
class Workspace:
    """Where a reproduction lives; a run that was stopped goes on with the step it was in."""

    root: Path

    def __truediv__(self, name: str) -> Path:
        return self.root / name

    def once(self, name: str, step: Callable[[], Outcome]) -> Outcome:
        """The step's outcome, from an earlier run if it came to its end then.

        Where another process is at it, this one waits for that.
        """
        path = self.root / "steps" / f"{name}.json"
        with alone(path.with_suffix(".lock")):
            if path.is_file():
                return _read(path)
            return self._run(name, step, path)

    def outcomes(self, names: Iterable[str]) -> dict[str, Outcome]:
        """Outcomes of steps that are done."""
        return {name: _read(self.root / "steps" / f"{name}.json") for name in names}

    def _run(self, name: str, step: Callable[[], Outcome], path: Path) -> Outcome:
        sys.stderr.write(f"-- {name}\n")
        began_s = time.monotonic()
        outcome = {**step(), "took_s": round(time.monotonic() - began_s, 1)}
        write_json(path, outcome)
        sys.stderr.write(f"   {name}: {outcome['took_s']:.0f} s\n")
        return outcome

    def settings(self, wanted: Outcome) -> None:
        """Keep the settings, or refuse a folder that was begun with others.

        Raises:
            ConfigError: When they differ.
        """
        path = self.root / "settings.json"
        content = json.loads(json.dumps(wanted))
        with alone(self.root / "steps" / "settings.lock"):
            if not path.is_file():
                write_json(path, content)
        if _read(path) != content:
            raise ConfigError(f"{self.root} was begun with other settings; name another folder")


def _read(path: Path) -> Outcome:
    kept: Outcome = json.loads(path.read_text(encoding="utf-8"))
    return kept
