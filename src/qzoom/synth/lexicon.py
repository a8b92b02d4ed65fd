"""The words, colours and shapes of the procedural world."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

_WORD_LIST: Final = """
    apple arrow autumn bacon badge bakery banana basil beach bell berry bird blanket boat bolt book
    bread brick bridge broom bucket butter cabin cake camera candle candy canoe castle cedar cheese
    cherry city clock cloud clover coast cobra coffee comet copper coral cotton cream crown daisy
    desert dragon drum eagle engine fabric falcon farm feather fern ferry flute forest fossil fox
    garden garlic ginger glacier globe grape guitar hammer harbor hazel helmet honey hotel island
    ivory jacket jelly jungle kettle kiwi ladder lagoon lemon library lily lobster maple market
    marble meadow melon mint mirror museum needle nickel oasis olive onion opera orchid otter owl
    paper pasta peach pearl pencil pepper piano pilot pizza planet plum pocket pony quartz quill
    rabbit radio raven river robin rocket saddle salad salmon school sierra silver spoon station
    sugar summer sunset tea temple tiger timber tomato tower train tulip tunnel turtle velvet
    violin walnut water willow window winter wolf zebra zinc
    """
WORDS: Final[tuple[str, ...]] = tuple(_WORD_LIST.split())
"""Every word the world prints, in lower case (printed in capitals)."""

COLOURS: Final = MappingProxyType(
    {
        "red": (205, 40, 45),
        "green": (35, 145, 60),
        "blue": (40, 85, 205),
        "yellow": (240, 205, 50),
        "orange": (240, 135, 35),
        "purple": (135, 60, 165),
        "brown": (125, 80, 45),
        "pink": (240, 140, 180),
        "teal": (30, 150, 150),
    }
)
"""Colour names and their typical 8-bit RGB value."""

SHAPES: Final[tuple[str, ...]] = ("circle", "square", "triangle", "star", "diamond", "cross")

TABLE_TITLES: Final[tuple[str, ...]] = ("menu", "prices", "rooms", "stock", "scores", "times")
