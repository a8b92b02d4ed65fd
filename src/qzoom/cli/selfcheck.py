"""Ask the default model about a picture drawn on the spot."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

QUESTION = "what word is on the red sign?"
EXPECTED = "tiger"


@dataclass(frozen=True)
class Check:
    """What came of it; `problem` says why there is no answer."""

    model: dict[str, Any]
    answer: str = ""
    problem: str | None = None
    load_s: float | None = None
    ask_s: float | None = None

    @property
    def is_right(self) -> bool:
        """Whether the word was read."""
        return self.answer.strip().strip(".!\"'").casefold() == EXPECTED


def check_default_model() -> Check:
    """Load the default model and ask it what stands on a sign."""
    facts: dict[str, Any] = {}
    try:
        import qzoom
        from qzoom.loading import embedded_folder

        folder = embedded_folder()
        facts |= {"folder": str(folder), "size_bytes": _size(folder)}
        start = time.perf_counter()
        model = qzoom.load()
        loaded = time.perf_counter()
        facts |= {
            "name": model.name,
            "family": model.family,
            "device": str(model.device),
            "dtype": str(model.dtype).removeprefix("torch."),
            "zoom": model.config.enabled,
        }
        answer = model.open(example_picture()).ask(QUESTION, max_new_tokens=16)
        asked = time.perf_counter()
    # Whatever is broken in an installation shall end in the report, not in a traceback.
    except Exception as error:
        return Check(facts, problem=f"{type(error).__name__}: {error}")
    return Check(facts, answer.text, load_s=loaded - start, ask_s=asked - loaded)


def example_picture() -> Image.Image:
    """A red sign and a blue sign with a word each, in Pillow's own font."""
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.new("RGB", (512, 512), (222, 224, 220))
    draw = ImageDraw.Draw(picture)
    signs = (
        ((56, 72, 336, 212), (205, 40, 45), EXPECTED),
        ((220, 304, 464, 424), (40, 85, 205), "river"),
    )
    for box, paper, word in signs:
        draw.rectangle(box, fill=paper)
        centre = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        face = ImageFont.load_default(56)
        draw.text(centre, word.upper(), (245, 245, 245), face, anchor="mm")
    return picture


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
