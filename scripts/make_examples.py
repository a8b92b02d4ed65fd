"""Draw the pictures of examples/ and their questions: fresh seeds, a face never trained on."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

from qzoom.synth.canvas import SizeMix
from qzoom.synth.world import make_scene

PICTURES = {
    "receipt": ("table", (768, 768), SizeMix(1.0, 0.0, 0.0)),
    "menu": ("table", (640, 512), SizeMix(0.0, 0.0, 1.0)),
    "street": ("signs", (1024, 768), SizeMix(0.7, 0.0, 0.3)),
    "shopfronts": ("signs", (768, 512), SizeMix(0.3, 0.0, 0.7)),
    "cards": ("cards", (768, 576), SizeMix(0.7, 0.0, 0.3)),
    "labels": ("cards", (512, 512), SizeMix(0.3, 0.0, 0.7)),
    "sales": ("chart", (1024, 576), SizeMix(1.0, 0.0, 0.0)),
    "survey": ("chart", (640, 640), SizeMix(0.0, 0.0, 1.0)),
}
"""File name: kind, canvas in pixels and print sizes in the coarse view."""
QUESTIONS_EACH = 3


def main() -> None:
    """Write the pictures and questions.json."""
    folder = Path(__file__).resolve().parent.parent / "examples"
    folder.mkdir(exist_ok=True)
    listed = []
    for name, (kind, size_px, sizes) in PICTURES.items():
        rng = Random(f"examples/{name}")
        scene = make_scene(rng, kind=kind, size_px=size_px, sizes=sizes, split="heldout")
        scene.image.save(folder / f"{name}.png", optimize=True)
        for question in rng.sample(scene.questions, QUESTIONS_EACH):
            listed.append(
                {"image": f"{name}.png", "question": question.text, "answer": question.answer}
            )
    (folder / "questions.json").write_text(json.dumps(listed, indent=2) + "\n")


if __name__ == "__main__":
    main()
