"""Typefaces for drawing, found inside installed font packages; one family is never trained on."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

from PIL import ImageFont

from qzoom.errors import ConfigError

FontSplit = Literal["train", "heldout"]

_DEJAVU = ("matplotlib", "mpl-data/fonts/ttf")
TRAIN_FACES: Final[tuple[tuple[str, str, str], ...]] = (
    (*_DEJAVU, "DejaVuSans.ttf"),
    (*_DEJAVU, "DejaVuSans-Bold.ttf"),
    (*_DEJAVU, "DejaVuSerif.ttf"),
    (*_DEJAVU, "DejaVuSansMono.ttf"),
    ("font_source_sans_pro", "files", "SourceSansPro-Regular.ttf"),
    ("font_source_sans_pro", "files", "SourceSansPro-Semibold.ttf"),
    ("font_source_sans_pro", "files", "SourceSansPro-Bold.ttf"),
    ("font_source_serif_pro", "files", "SourceSerifPro-Semibold.ttf"),
    ("font_hanken_grotesk", "files", "HankenGrotesk-Medium.otf"),
    ("font_hanken_grotesk", "files", "HankenGrotesk-Bold.otf"),
    ("font_manrope", "files", "Manrope-Medium.ttf"),
    ("font_manrope", "files", "Manrope-Bold.ttf"),
    ("font_caladea", "files", "Caladea-Regular.ttf"),
    ("font_caladea", "files", "Caladea-Bold.ttf"),
)
"""(package, folder inside it, file) of each face used in training."""

HELDOUT_FACES: Final[tuple[tuple[str, str, str], ...]] = (
    ("font_roboto", "files", "Roboto-Regular.ttf"),
    ("font_roboto", "files", "Roboto-Medium.ttf"),
    ("font_roboto", "files", "Roboto-Bold.ttf"),
)
"""Roboto: shown only in evaluation, never in training."""


@lru_cache(maxsize=64)
def face_path(package: str, folder: str, file_name: str) -> Path:
    """Path of one face.

    Raises:
        ConfigError: when the package that carries the face is not installed.
    """
    spec = find_spec(package)
    roots = list(spec.submodule_search_locations or ()) if spec else []
    for root in roots:
        path = Path(root) / folder / file_name
        if path.is_file():
            return path
    raise ConfigError(
        f"font file {file_name} of package {package.replace('_', '-')} not found: "
        "install the training extra, pip install 'qzoom[train]'"
    )


def faces(split: FontSplit) -> tuple[tuple[str, str, str], ...]:
    """All faces of one split."""
    return TRAIN_FACES if split == "train" else HELDOUT_FACES


@lru_cache(maxsize=2048)
def load_face(face: tuple[str, str, str], size_px: int) -> ImageFont.FreeTypeFont:
    """A face at an em size in pixels."""
    return ImageFont.truetype(str(face_path(*face)), size_px)
