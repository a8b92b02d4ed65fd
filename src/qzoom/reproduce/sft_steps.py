"""Stage 2 of a reproduction: answers with and without a crop, hard samples, a better trunk."""

from __future__ import annotations

import sys

from qzoom.checkpoints.save import save_checkpoint
from qzoom.labels.answer_files import answer_each, answers_file
from qzoom.labels.answerers import direct_answerer, zoom_answerer
from qzoom.labels.answers import AnswerRun
from qzoom.labels.judge_match import MatchJudge
from qzoom.labels.judging import CountedJudge
from qzoom.labels.mining import mine
from qzoom.loading import load
from qzoom.reproduce.region_steps import pool_of, write_recipe
from qzoom.reproduce.settings import ReproduceSettings
from qzoom.reproduce.workspace import Outcome, Workspace
from qzoom.train.sft_training import SftJob, train_sft


def answers(space: Workspace, adapter: str) -> Outcome:
    """The pool answered by the coarse view alone, and by a crop on top of it."""
    model = load(space / "trunk", adapter=space / adapter)
    answerers = {
        "direct": direct_answerer(model, max_new_tokens=8),
        "zoomed": zoom_answerer(model, max_new_tokens=8),
    }
    run = AnswerRun(batch_size=16)
    reports = answer_each(pool_of(space / "train"), answerers, space / "answers", run, _say)
    return {name: vars(report) for name, report in reports.items()}


def mined(space: Workspace, settings: ReproduceSettings) -> Outcome:
    """Questions that the crop spoils, and some that it mends or fails, with the right answer."""
    base, roi = (answers_file(space / "answers", name) for name in ("direct", "zoomed"))
    judge, out = CountedJudge(MatchJudge()), space / "mined.jsonl"
    return mine(pool_of(space / "train"), base, roi, judge, out, settings.mining)


def sft(space: Workspace, settings: ReproduceSettings, adapter: str) -> Outcome:
    """What 'qzoom train sft' does with them; the trunk as it was where none was mined."""
    if not (space / "mined.jsonl").stat().st_size:
        kept = load(space / "trunk", adapter=space / adapter)
        save_checkpoint(space / "sft" / "model", kept.checkpoint)
        return {"model": "sft/model", "trained": False}
    job = SftJob(
        samples=(space / "mined.jsonl",),
        images=space / "train",
        out=space / "sft",
        model=str(space / "trunk"),
        adapter=space / adapter,
        recipe=write_recipe(space / "sft.yaml", settings.sft),
        workers=settings.workers,
    )
    train_sft(job)
    return {"model": "sft/model", "trained": True}


def _say(line: str) -> None:
    sys.stderr.write(f"   {line}\n")
