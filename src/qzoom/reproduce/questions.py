"""What models are asked in a reproduction: questions about scenes nobody trained on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from PIL import Image

from qzoom.eval.world import asked_scenes
from qzoom.synth.canvas import Question
from qzoom.synth.fonts import FontSplit
from qzoom.synth.world import scene_of
from qzoom.train.branches import needs_zoom


@dataclass(frozen=True)
class AskedScene:
    """A picture, the name of its cluster, and questions."""

    name: str
    image: Image.Image
    questions: tuple[Question, ...]


@dataclass(frozen=True)
class QuestionSet:
    """Questions of unseen scenes: `per_scene` of each of `scenes` seeds."""

    scenes: int
    seeds: str
    split: FontSplit
    per_scene: int = 3

    def __iter__(self) -> Iterator[AskedScene]:
        found = asked_scenes(self.scenes, self.split, self.per_scene, self.seeds)
        for place, (scene, questions) in enumerate(found):
            yield AskedScene(f"{self.seeds}-{self.split}-{place}", scene.image, tuple(questions))


@dataclass(frozen=True)
class SmallPrint:
    """All questions of unseen scenes whose answer is print too small for the coarse view."""

    scenes: int
    seeds: str
    split: FontSplit
    per_scene: int = 4

    def __iter__(self) -> Iterator[AskedScene]:
        for seed in range(self.scenes):
            scene = scene_of(seed, self.split, self.seeds)
            small = [question for question in scene.questions if needs_zoom(question)]
            rng = Random(f"{self.seeds}/small/{seed}")
            chosen = tuple(rng.sample(small, min(self.per_scene, len(small))))
            if chosen:
                yield AskedScene(f"{self.seeds}-{self.split}-{seed}", scene.image, chosen)
