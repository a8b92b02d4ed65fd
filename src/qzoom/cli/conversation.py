"""What a chat holds between two lines: images, how to ask about them, and the last answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qzoom.cli.answers import print_answer, print_summary
from qzoom.cli.arguments import UsageError
from qzoom.cli.pngs import check_png_target, write_png
from qzoom.cli.terminal import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from PIL import Image

    from qzoom.zoom.answer import ZoomAnswer
    from qzoom.zoom.model import ZoomModel
    from qzoom.zoom.options import AskOptions


@dataclass(frozen=True)
class Asked:
    """A question with its answer."""

    question: str
    answer: ZoomAnswer


@dataclass
class Conversation:
    """Questions about one image or several; each is answered without the earlier ones.

    how: options of the questions to come; last: None until one was answered.
    """

    model: ZoomModel
    paths: Sequence[str]
    images: Sequence[Image.Image]
    how: AskOptions
    last: Asked | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._session = self.model.open(self.images)

    def ask(self, question: str) -> None:
        """Answer on stdout, with a note under it.

        Raises:
            QZoomError: for a question that cannot be answered.
        """
        answer = print_answer(self._session, question, self.how)
        self.last = Asked(question, answer)
        print_summary(answer)

    def choose(self, changed: AskOptions) -> None:
        """Ask the next ones so.

        Raises:
            QZoomError: when the model cannot, which leaves everything as it was.
        """
        how: AskOptions = {"max_new_tokens": self.how["max_new_tokens"], **changed}
        self.model.options(**how)
        self.how = how

    def open(self, path: str) -> None:
        """Go on with another image.

        Raises:
            QZoomError: when it cannot be used, which leaves the images as they were.
        """
        images = read_images([path])
        self._session = self.model.open(images)
        self.paths, self.images, self.last = [path], images, None

    def about(self) -> str:
        """The images with their sizes, and the model, in one line."""
        shown = [
            f"{path} ({image.width}x{image.height} px)"
            for path, image in zip(self.paths, self.images, strict=True)
        ]
        return one_line(f"{', '.join(shown)}, asked of {self.model.name}")

    def save_view(self, target: Path) -> None:
        """Write a picture of where the last answer looked.

        Raises:
            QZoomError: without an answer, and for a path that cannot become a PNG.
        """
        if self.last is None:
            raise UsageError("nothing is answered yet; ask something first")
        for path in self.paths:
            check_png_target(target, path)
        from qzoom.cli.view import render_view

        source = self.images[self.last.answer.image_index]
        write_png(render_view(source, self.last.question, self.last.answer), target)


def read_images(paths: Sequence[str]) -> list[Image.Image]:
    """Decode image files.

    Raises:
        ImageError: for one that cannot be used.
    """
    from qzoom.images.decode import decode_image

    return [decode_image(path) for path in paths]
