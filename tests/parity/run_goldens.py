"""Compare qzoom with stored outputs of the reference: run_goldens.py PATH... [--attn KERNEL]

Give golden folders, folders that hold some, or labels.json files. Prints one line per stored run,
training step and label map with the largest differences, and ends with status 1 if any lies over
its limit.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

if not __package__:
    # Run as a script: find the checkout's own tests and sources.
    root = Path(__file__).resolve().parents[2]
    sys.path.insert(0, str(root))
    sys.path.insert(0, str(root / "src"))

from tests.parity.compare import Difference, case_differences, run_differences
from tests.parity.goldens import (
    CASES_FILE,
    LABELS_FILE,
    golden_cases,
    golden_folders,
    label_files,
)
from tests.parity.trainings import label_differences, training_differences

import qzoom


class Result(NamedTuple):
    """The differences of one stored record and where it stands."""

    label: str
    differences: list[Difference]

    @property
    def ok(self) -> bool:
        """Whether every difference is within its limit."""
        return all(difference.ok for difference in self.differences)


def check_cases(folder: Path, model: qzoom.ZoomModel) -> Iterator[Result]:
    """Every case and every run of cases.json."""
    for case in golden_cases(folder):
        label = f"{folder.name} {case.name}"
        yield Result(f"{label} pixels", case_differences(model, case))
        for run in case.runs:
            kind = "zoomed" if run.zoomed else "direct"
            yield Result(f"{label} run{run.index} {kind}", run_differences(model, case, run))


def check_trainings(folder: Path, model: qzoom.ZoomModel) -> Iterator[Result]:
    """Every training step of training.json."""
    for name, branch, differences in training_differences(folder, model):
        yield Result(f"{folder.name} {name} {branch} training", differences)


CHECKS = (check_cases, check_trainings)
"""One function per kind of stored file; each yields results for one folder."""


def check_folder(folder: Path, attn: str, dtype: str) -> Iterator[Result]:
    """All checks of one folder, its checkpoint loaded once."""
    model = qzoom.load(folder / "checkpoint", attn_implementation=attn, dtype=dtype)
    for check in CHECKS:
        yield from check(folder, model)


def check_labels(path: Path) -> Iterator[Result]:
    """Every map of a labels.json."""
    for name, differences in label_differences(path):
        yield Result(f"{path.parent.name} labels {name}", differences)


def check_paths(paths: Sequence[Path], attn: str, dtype: str) -> Iterator[Result]:
    """All checks of all that is given.

    Raises:
        FileNotFoundError: when a path holds nothing to check.
    """
    for path in paths:
        folders, labels = golden_folders([path]), label_files([path])
        if not folders and not labels:
            raise FileNotFoundError(f"no {CASES_FILE} or {LABELS_FILE} in {path} or right below it")
        for folder in folders:
            yield from check_folder(folder, attn, dtype)
        for file in labels:
            yield from check_labels(file)


def main(arguments: list[str] | None = None) -> int:
    """Run the comparison and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    parser.add_argument("--attn", choices=["eager", "sdpa"], default="eager")
    parser.add_argument("--dtype", default="float32", help="limits are meant for float32")
    options = parser.parse_args(arguments)
    missed = total = 0
    try:
        for result in check_paths(options.paths, options.attn, options.dtype):
            total += 1
            missed += not result.ok
            shown = "  ".join(map(str, result.differences))
            print(f"{'PASS' if result.ok else 'MISS'}  {result.label}:  {shown}", flush=True)
    except FileNotFoundError as error:
        parser.error(str(error))
    print(f"{total - missed} of {total} within the limits ({options.attn}, {options.dtype})")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
