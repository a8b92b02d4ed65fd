"""The readers by name: what each reads and which options it takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from qzoom.data.fields import suggestion
from qzoom.data.readers.options import ReadOptions
from qzoom.data.records import Record
from qzoom.errors import DataError

_ALWAYS: Final = frozenset({"images", "dataset", "mode", "licence", "split"})


@dataclass(frozen=True)
class Reader:
    """A reader: `text` says what it reads, `takes` which options beyond the common ones."""

    name: str
    text: str
    takes: frozenset[str]

    def read(self, inputs: Sequence[Path], options: ReadOptions) -> Iterator[Record | DataError]:
        """Records of the inputs; a bad row gives its error and the rest goes on.

        Raises:
            DataError: for an option this reader does not take, or a file it cannot go on with.
        """
        self._check(options)
        module: Any = import_module(f"qzoom.data.readers.{self.name}")
        found: Iterator[Record | DataError] = module.read(inputs, options)
        return found

    def _check(self, options: ReadOptions) -> None:
        plain = ReadOptions(options.images)
        for name in vars(plain):
            if name in _ALWAYS | self.takes or getattr(options, name) == getattr(plain, name):
                continue
            raise DataError(f"reader {self.name!r} takes no option {name!r}")


_PATHS: Final = ("prefix", "moves")
_ALL: Final = (
    Reader(
        "llava",
        "LLaVA-1.5's llava_v1_5_mix665k.json; its GQA and OCR-VQA rows unless --only is given",
        frozenset({*_PATHS, "only", "keep_suffix"}),
    ),
    Reader(
        "visual_cot", "Visual-CoT's <dataset>_cot_train.jsonl files", frozenset({*_PATHS, "only"})
    ),
    Reader("chartqa", "ChartQA's train_human.json and its sisters", frozenset(_PATHS)),
    Reader("textvqa", "TextVQA_0.5.1_train.json", frozenset(_PATHS)),
    Reader(
        "vstar_coco",
        "V*'s spatial_relation_data.json and its sisters",
        frozenset({*_PATHS, "only", "keep_suffix"}),
    ),
    Reader(
        "qzoom_hosted",
        "the JSONL files hosted for Q-Zoom",
        frozenset({*_PATHS, "only", "keep_suffix"}),
    ),
    Reader("sroie", "SROIE's receipts as receipts.jsonl", frozenset({*_PATHS, "only"})),
    Reader(
        "hf_dataset",
        "parquet and arrow files, or folders of them",
        frozenset({*_PATHS, "columns"}),
    ),
)

READERS: Final = MappingProxyType({reader.name: reader for reader in _ALL})


def reader(name: str) -> Reader:
    """The reader of a name.

    Raises:
        DataError: when there is none.
    """
    if name not in READERS:
        raise DataError(f"no reader {name!r}{suggestion(name, READERS)}")
    return READERS[name]
