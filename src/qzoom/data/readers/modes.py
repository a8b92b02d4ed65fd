"""Which grounding heads a dataset needs, from its name."""

from __future__ import annotations

from typing import Final

from qzoom.data.records import Mode

# Textual names first: "textvqa" and "visual_cot_docvqa" must not match a shorter natural one.
_MODES: Final[tuple[tuple[str, Mode], ...]] = (
    ("ocr_vqa", "textual"), ("ocrvqa", "textual"), ("docvqa", "textual"),
    ("infographicsvqa", "textual"), ("infovqa", "textual"), ("textvqa", "textual"),
    ("textcap", "textual"), ("chartqa", "textual"), ("dude", "textual"), ("sroie", "textual"),
    ("gqa", "natural"), ("vstar", "natural"), ("coco", "natural"), ("openimages", "natural"),
    ("flickr30k", "natural"), ("visual7w", "natural"),
)  # fmt: skip


def mode_of(*names: str) -> Mode | None:
    """The mode of the first name that holds a known dataset's; None when none does."""
    for name in names:
        for word, mode in _MODES:
            if word in name.lower():
                return mode
    return None
