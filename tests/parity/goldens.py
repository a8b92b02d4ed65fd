"""Folders with stored outputs of the reference implementation, read case by case."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

CASES_FILE = "cases.json"
LABELS_FILE = "labels.json"
COMMITTED = Path(__file__).parent / "data"
FAMILIES = ("qwen2_5_vl", "qwen3_vl")
# Of ../shared/goldens; its folders with large maps are the committed ones.
KNOWN = [f"{family}-{kind}" for family in FAMILIES for kind in ("aligned", "plain")]


@dataclass(frozen=True)
class GoldenRun:
    """One stored generation: thresholds, the decision taken, tokens and tensors.

    record: the run's entry in cases.json; tensors: its stored tensors without the `runN.` prefix.
    """

    index: int
    record: dict[str, Any]
    tensors: dict[str, Tensor]

    @property
    def tokens(self) -> list[int]:
        """Greedy tokens, all of which have to be reproduced."""
        tokens: list[int] = self.record["tokens"]
        return tokens

    @property
    def zoomed(self) -> bool:
        """Whether the reference took a crop."""
        return bool(self.record["zoomed"])

    @property
    def options(self) -> dict[str, Any]:
        """Options of `ZoomModel.generate` under which the run has to come out the same."""
        return {
            "gate_threshold": self.record["gate_threshold"],
            "roi_threshold": self.record["roi_threshold"],
            "max_new_tokens": len(self.tokens),
            # No token has this id, so that exactly as many tokens come as were stored.
            "eos_token_id": -1,
        }


@dataclass(frozen=True)
class GoldenCase:
    """One image with one prompt and the runs over it."""

    name: str
    record: dict[str, Any]
    image_path: Path
    runs: tuple[GoldenRun, ...]
    tensors: dict[str, Tensor] = field(repr=False)

    @property
    def input_ids(self) -> Tensor:
        """Prompt of shape `(1, n)`, one image token per cell."""
        return torch.tensor([self.record["input_ids"]])

    def image(self) -> Image.Image:
        """The source picture."""
        with Image.open(self.image_path) as image:
            return image.convert("RGB")


def golden_folders(paths: Iterable[Path]) -> list[Path]:
    """The golden folders among `paths` and their immediate subfolders, sorted within each path."""
    return [file.parent for path in paths for file in _here_and_below(path, CASES_FILE)]


def label_files(paths: Iterable[Path]) -> list[Path]:
    """The labels.json files that are given, or lie in a given folder or right below it."""
    return [
        file
        for path in paths
        for file in ([path] if path.is_file() else _here_and_below(path, LABELS_FILE))
    ]


def _here_and_below(path: Path, name: str) -> list[Path]:
    here = [path / name] if (path / name).is_file() else []
    return here + sorted(path.glob(f"*/{name}"))


def golden_cases(folder: Path) -> Iterator[GoldenCase]:
    """Cases of a folder in stored order, each read when it is asked for."""
    stored = json.loads((folder / CASES_FILE).read_text(encoding="utf-8"))
    for record in stored["cases"]:
        name = record["id"]
        tensors = load_file(folder / f"{name}.safetensors")
        runs = tuple(
            GoldenRun(index, run, _without_prefix(tensors, f"run{index}."))
            for index, run in enumerate(record["runs"])
        )
        yield GoldenCase(name, record, folder / f"{name}.png", runs, tensors)


def _without_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
