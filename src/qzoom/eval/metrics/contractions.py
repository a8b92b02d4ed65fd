"""English contractions as the VQA evaluation repairs them: by the word with an apostrophe lost."""

from __future__ import annotations

from typing import Final

_ENDINGS: Final = {
    "n't": "ai are ca could did does do had has have is might must need ought sha should was were "
    "wo would",
    "'ve": "could might must not should they we what where who would you",
    "n't've": "could had might should would",
    "'d": "he how it someone something there they where who you",
    "'d've": "he it she somebody someone something there they we who y'all you",
    "'ll": "how it somebody someone something they what who why y'all you",
    "'s": "he how somebody someone that there what when where who why",
    "'re": "there they what why you",
}
_OTHERS: Final = ("ma'am", "o'clock", "'ow's'at", "'twas", "y'all")


def _repairs() -> dict[str, str]:
    words = [stem + ending for ending, stems in _ENDINGS.items() for stem in stems.split()]
    found: dict[str, str] = {}
    for word in (*words, *_OTHERS):
        for place, char in enumerate(word):
            if char == "'":
                found[word[:place] + word[place + 1 :]] = word
    # The published list has this one the wrong way round.
    return found | {"somebody'd": "somebodyd"}


CONTRACTIONS: Final = _repairs()
"""Word with its apostrophe by the word without it; of two, either may be missing."""
