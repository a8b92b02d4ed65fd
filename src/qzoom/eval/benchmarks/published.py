"""Which files of a folder hold a benchmark: by configuration, split and kind."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from qzoom.data.tables import SUFFIXES
from qzoom.errors import DataError

# The first kind that is there is taken: one data set may be published in several.
_KINDS: Final = (SUFFIXES, (".tsv",), (".jsonl",), (".json",))


def files_of(
    path: Path, config: str | None = None, split: str | None = None, stem: str | None = None
) -> list[Path]:
    """A file as it is; of a folder those of a benchmark, in sorted order.

    Tables lie in the folder itself or in one named as the configuration. Names of a split's files
    begin with it ("validation-00000-of-00006.parquet", "test_human.json"), or that of their folder
    is it. Other kinds lie in the folder itself.

    Args:
        stem: name, without its ending, of a file that is taken although it is of no such split;
            its case does not matter.

    Raises:
        DataError: when there is none.
    """
    if not path.is_dir():
        return [path]
    for kind in _KINDS:
        there = [p for p in sorted(path.rglob("*")) if p.suffix in kind and p.name[0] != "."]
        found = [p for p in there if _fits(p.relative_to(path), config, split, stem)]
        if any(_is_named(p, stem) for p in found):
            found = [p for p in found if _is_named(p, stem)]
        if found:
            return found
    said = [f"{name} {value!r}" for name, value in (("config", config), ("split", split)) if value]
    raise DataError(
        f"{path} holds no parquet, arrow, TSV, JSONL or JSON file"
        + (f" of {' and '.join(said)}" if said else "")
        + "; name the folder or the file that does"
    )


def _fits(relative: Path, config: str | None, split: str | None, stem: str | None) -> bool:
    folders = list(relative.parts[:-1])
    in_split = split is not None and bool(folders) and folders[-1] == split
    if in_split:
        folders.pop()
    if relative.suffix not in SUFFIXES and folders:
        return False
    in_config = config is None or not folders or folders[-1] == config
    named = (
        split is None
        or relative.stem == split
        or relative.stem.startswith((f"{split}-", f"{split}_"))
    )
    return _is_named(relative, stem) or (in_config and (in_split or named))


def _is_named(path: Path, stem: str | None) -> bool:
    return stem is not None and path.stem.lower() == stem.lower()
