"""The procedural world as a benchmark: no files, exact answers, boxes of all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qzoom.eval.benchmarks.base import Benchmark, Scored, by_category, mean_score
from qzoom.eval.samples import Sample, Scoring
from qzoom.eval.world import asked_scenes
from qzoom.synth.fonts import FontSplit
from qzoom.train.branches import needs_zoom


def synth_benchmark(
    scenes: int = 200,
    seeds: str = "eval",
    split: FontSplit = "heldout",
    per_scene: int = 3,
) -> Benchmark:
    """Questions about scenes that nobody trained on; the path that `read` gets is not looked at.

    Args:
        seeds: names the seeds of the scenes.
        split: faces of the print: the one kept out of training, or the trained ones.
    """

    def read(_: object) -> Iterator[Sample]:
        for place, (scene, questions) in enumerate(asked_scenes(scenes, split, per_scene, seeds)):
            key = f"{seeds}-{split}-{place}"
            for number, question in enumerate(questions):
                box = question.box_px_xyxy
                yield Sample(
                    f"{key}-{number}",
                    key,
                    (scene.image,),
                    question.text,
                    (question.answer,),
                    question.kind,
                    extra={"small": needs_zoom(question)},
                    boxes_px_xyxy=() if box is None else (box,),
                )

    settings = {"scenes": scenes, "seeds": seeds, "split": split, "per_scene": per_scene}
    return Benchmark(
        "synth", "procedural world", 8, read, _prompt, _score, _summarize, settings=settings
    )


def _prompt(sample: Sample, scoring: Scoring) -> str:
    return sample.question


def _score(sample: Sample, prediction: str, scoring: Scoring) -> float:
    return float(prediction.strip() in sample.answers)


def _summarize(scored: Sequence[Scored], scoring: Scoring) -> dict[str, float]:
    small = [each for each in scored if each.sample.extra.get("small")]
    large = [each for each in scored if not each.sample.extra.get("small")]
    found = {"exact_match": mean_score(scored), "small_print": mean_score(small)}
    found["easy"] = mean_score(large)
    return found | {kind: mean_score(group) for kind, group in sorted(by_category(scored).items())}
