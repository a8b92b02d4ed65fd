"""Peak memory and time of `qzoom label region` by number of questions: labelling.py [--out FILE]

Procedural scenes are labelled by the embedded model, each number of questions in a process of its
own, through the command line itself. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

if not __package__:
    # Run as a script: find the checkout's own packages.
    root = Path(__file__).resolve().parents[1]
    sys.path.insert(0, str(root))
    sys.path.insert(0, str(root / "src"))

from qzoom.cli import main as qzoom
from qzoom.data.jsonl import read_records, write_records
from qzoom.data.records import Record
from qzoom.eval.machine import machine

HEADS = {"textual": {"2": [0, 1], "3": [0, 1]}, "natural": {"2": [0, 1], "3": [0, 1]}}
"""Of the embedded model: those that are told where the answer is in its pre-training."""
SETTINGS = "{layout: native, cells: 64, max_new_tokens: 16, rule: {min_peak: 0.0}}"
CHILD = """
import json, resource, sys, time
from qzoom.cli import main
began, used = time.perf_counter(), time.process_time()
code = main(sys.argv[1:])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
seconds = {"wall_s": time.perf_counter() - began, "cpu_s": time.process_time() - used}
print(json.dumps({"code": code, "peak_rss_mb": round(peak / 1024, 1), **seconds}))
"""


def main(arguments: list[str] | None = None) -> int:
    """Label each number of questions in turn, as often as asked."""
    options = _parse(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _prepare(folder, max(options.questions), options.seed)
        runs = [
            _label(folder, count, f"{count}-{turn}", options)
            for turn in range(options.repeats)
            for count in options.questions
        ]
    settings = {
        "model": "qzoom-tiny",
        "label_settings": SETTINGS,
        "shard_size": options.shard_size,
        "batch": options.batch_size,
        "repeats": options.repeats,
        "seed": options.seed,
        **machine(),
        "threads": options.threads,
    }
    report = {"settings": settings, "by_questions": _summary(runs, options.questions), "runs": runs}
    print(json.dumps(report["by_questions"], indent=2))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


def _prepare(folder: Path, questions: int, seed: int) -> None:
    """Scenes with one record for each question, heads and settings."""
    world = folder / "world"
    # A scene has three questions, few have less.
    seeds = ["--seeds", f"labelling-{seed}"]
    if qzoom(["data", "synth", "--scenes", str(questions // 2), "--out", str(world), *seeds]):
        sys.exit("the questions cannot be drawn; see above")
    single = _single(read_records(world / "records.jsonl"))
    written = write_records(folder / "records.jsonl", islice(single, questions))
    assert written == questions, f"{written} questions were drawn, {questions} are needed"
    (folder / "heads.json").write_text(json.dumps(HEADS))
    (folder / "settings.yaml").write_text(SETTINGS)


def _single(records: Iterable[Record]) -> Iterator[Record]:
    """Records of one question each, so that questions can be counted off."""
    for record in records:
        for place, turn in enumerate(record.turns):
            yield dataclasses.replace(record, id=f"{record.id}-{place}", turns=(turn,))


def _label(folder: Path, count: int, name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Label the first questions in a process of its own."""
    records = folder / f"{name}.jsonl"
    with (folder / "records.jsonl").open(encoding="utf-8") as lines:
        records.write_text("".join(islice(lines, count)), encoding="utf-8")
    command = [
        *("label", "region", str(records), "--images", str(folder / "world")),
        *("--heads", str(folder / "heads.json"), "--settings", str(folder / "settings.yaml")),
        *("--shard-size", str(options.shard_size), "--batch-size", str(options.batch_size)),
        *("--out", str(folder / f"labels-{name}")),
    ]
    paths = os.pathsep.join(str(Path(__file__).resolve().parents[1] / p) for p in ("src", "."))
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": str(options.threads)}
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *command], env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    counts, measured = (json.loads(line) for line in done.stdout.splitlines()[-2:])
    if measured["code"]:
        raise RuntimeError(done.stderr)
    print(f"{name}: {measured}, {time.monotonic() - began:.0f} s in all", flush=True)
    return {"questions": count, "teaching": counts["teaching"], **measured}


def _summary(runs: list[dict[str, Any]], questions: list[int]) -> list[dict[str, Any]]:
    found = []
    for count in questions:
        mine = [run for run in runs if run["questions"] == count]
        row: dict[str, Any] = {"questions": count}
        for name in ("peak_rss_mb", "wall_s", "cpu_s"):
            row[name] = round(statistics.median(run[name] for run in mine), 1)
        found.append(row)
    # The start costs the same for all, so that a question's time is a difference; of the process
    # alone, as other programs may run beside.
    first, last = found[0], found[-1]
    for row in found[1:]:
        more = row["questions"] - first["questions"]
        row["cpu_s_per_question"] = round((row["cpu_s"] - first["cpu_s"]) / more, 4)
    last["peak_rss_growth"] = round(last["peak_rss_mb"] / first["peak_rss_mb"] - 1, 4)
    return found


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--questions", nargs="+", type=int, default=[200, 400, 800, 1600])
    parser.add_argument("--shard-size", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write the report here, as JSON")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
