"""Procedural receipts: print as shop tills make it, with a date and a total to find and read."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from PIL.ImageFont import FreeTypeFont

from qzoom.synth.canvas import Question
from qzoom.synth.drawing import Colour, PrintedText, print_text, text_size
from qzoom.synth.fonts import TRAIN_FACES, load_face
from qzoom.synth.lexicon import WORDS
from qzoom.synth.world import Scene

_TTF: Final = ("matplotlib", "mpl-data/fonts/ttf")
FACES: Final[tuple[tuple[str, str, str], ...]] = (
    *((*_TTF, f"{name}.ttf") for name in ("DejaVuSansMono", "DejaVuSansMono-Bold", "cmtt10") * 3),
    *((*_TTF, f"{name}.ttf") for name in ("cmss10", "STIXGeneral", "STIXGeneralBol")),
    *TRAIN_FACES,
)
"""Faces with their shares: tills print in fixed width more often than not."""

TOTALS: Final = (
    "TOTAL", "TOTAL", "Total", "TOTAL:", "Total :", "GRAND TOTAL", "TOTAL (RM)", "TOTAL RM",
    "Total Amount", "NET TOTAL", "Total Incl. GST", "TOTAL SALES", "TOTAL INCL TAX:", "AMOUNT DUE",
    "Total (MYR)", "NETT TOTAL", "TOTAL AMT", "ROUNDED TOTAL (RM):",
)  # fmt: skip
DATES: Final = (
    "{d:02}/{m:02}/{y}", "{d:02}/{m:02}/{y}", "{d:02}/{m:02}/{s:02}", "{d:02}-{m:02}-{y}",
    "{d:02}-{m:02}-{s:02}", "{y}-{m:02}-{d:02}", "{d:02}.{m:02}.{y}", "{d}/{m:02}/{y}",
    "{d:02}/{m:02}/{y}", "{y}{m:02}{d:02}", "{d:02} {name} {y}", "{d:02}-{name}-{y}",
    "{d:02}/{name}/{y}", "{d:02} {name} {s:02}",
)  # fmt: skip
MONTHS: Final = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC"
_LEGAL: Final = ("SDN BHD", "ENTERPRISE", "TRADING", "LTD", "STORES", "RESTAURANT", "& SONS")
_STREETS: Final = ("JALAN", "LOT", "NO.", "TAMAN", "STREET", "UNIT")


@dataclass
class _Roll:
    """Paper that print is added to, line after line."""

    rng: Random
    image: Image.Image
    font: FreeTypeFont
    ink: Colour
    margin_px: float
    y_px: float = 0.0
    questions: list[Question] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.draw = ImageDraw.Draw(self.image)
        self.pitch_px = self.font.size * self.rng.uniform(1.15, 1.7)
        self.right_px = self.image.width - self.margin_px

    def feed(self, lines: float = 1.0) -> None:
        """Go on to a line below."""
        self.y_px += lines * self.pitch_px

    def put(self, text: str, x_px: float, font: FreeTypeFont | None = None) -> PrintedText:
        """Print on the current line; glyphs stand on one base line."""
        font = font or self.font
        top = font.getbbox(text)[1] - font.getbbox("0")[1]
        return print_text(self.draw, font, text, (x_px, self.y_px + top), self.ink)

    def centred(self, text: str, font: FreeTypeFont | None = None) -> None:
        """A line in the middle of the paper."""
        width = text_size(font or self.font, text)[0]
        self.put(text, max(2.0, (self.image.width - width) / 2), font)
        self.feed()

    def pair(self, name: str, value: str, font: FreeTypeFont | None = None) -> PrintedText:
        """A name on the left and a value at the right edge."""
        self.put(name, self.margin_px, font)
        value_px = text_size(font or self.font, value)[0]
        printed = self.put(value, self.right_px - value_px, font)
        self.feed()
        return printed

    def named_pair(self, name: str, value: str) -> None:
        """A pair that a question is asked about."""
        label = name.rstrip(": ")
        self.ask(f'what is written next to "{label}"?', self.pair(name, value))

    def ask(self, text: str, printed: PrintedText) -> None:
        """A question about what was printed."""
        kind = text.split('"')[0]
        self.questions.append(Question(text, printed.text, kind, printed.box_px_xyxy))


def make_receipt(rng: Random) -> Scene:
    """Draw one receipt; it asks for its total and its date."""
    size = rng.randint(13, 26)
    width = round(size * rng.uniform(19, 34))
    paper = rng.randint(205, 255)
    image = Image.new("RGB", (width, size * 90), (paper, paper, paper))
    shade = rng.randint(0, 110)
    roll = _Roll(
        rng, image, load_face(rng.choice(FACES), size), (shade,) * 3, size * rng.uniform(0.5, 3)
    )
    roll.y_px = size * rng.uniform(0.5, 5)
    date_place = rng.choice(("head", "head", "head", "foot"))
    _head(roll)
    if date_place == "head":
        _date(roll)
    price = _items(roll)
    _sums(roll, price)
    if date_place == "foot":
        _date(roll)
    for _ in range(rng.randint(0, 3)):
        roll.centred(_words(rng, 3))
    bottom = min(image.height, round(roll.y_px + size * rng.uniform(1, 6)))
    return _scanned(rng, image.crop((0, 0, width, bottom)), roll.questions)


def _words(rng: Random, count: int) -> str:
    return " ".join(rng.choices(WORDS, k=count)).upper()


def _money(rng: Random, value: float) -> str:
    return f"{value:,.2f}" if rng.random() < 0.5 else f"{value:.2f}"


def _digits(rng: Random, count: int) -> str:
    return "".join(rng.choices("0123456789", k=count))


def _head(roll: _Roll) -> None:
    rng = roll.rng
    roll.centred(f"{_words(rng, rng.randint(1, 2))} {rng.choice(_LEGAL)}")
    for _ in range(rng.randint(1, 4)):
        roll.centred(
            f"{rng.choice(_STREETS)} {rng.randint(1, 99)}, {_words(rng, 1)} {_digits(rng, 5)}"
        )
    if rng.random() < 0.7:
        roll.centred(f"TEL: {_digits(rng, 2)}-{_digits(rng, 8)}")
    if rng.random() < 0.6:
        roll.centred(f"GST ID : {_digits(rng, 12)}")
    if rng.random() < 0.6:
        roll.centred(rng.choice(("TAX INVOICE", "INVOICE", "CASH BILL", "RECEIPT")))
    roll.feed(rng.uniform(0, 1.5))
    for name in rng.sample(
        ("INVOICE NO", "BILL", "CASHIER", "TABLE", "DOC NO.", "COUNTER"), rng.randint(0, 3)
    ):
        start = roll.put(f"{name}:", roll.margin_px).box_px_xyxy[2] + 0.5 * roll.font.size
        number = roll.put(_digits(rng, rng.randint(2, 8)), start)
        roll.ask(f'what is written next to "{name}"?', number)
        roll.feed()


def _date(roll: _Roll) -> None:
    rng = roll.rng
    year = rng.randint(2012, 2024)
    day, month, name = rng.randint(1, 28), rng.randint(1, 12), rng.choice(MONTHS.split())
    if rng.random() < 0.3:
        name = name.capitalize()
    form = rng.choice(DATES)
    text = form.format(d=day, m=month, y=year, s=year % 100, name=name)
    clock = f"{rng.randint(8, 22):02}:{rng.randint(0, 59):02}" + rng.choice(
        ("", ":17", " PM", ":45 AM")
    )
    label = rng.choice(
        ("DATE: ", "Date : ", "DATE ", "", "Invoice Date: ", "DATE/TIME: ", "Bill Date :")
    )
    x = roll.margin_px
    if label:
        x = roll.put(label.rstrip(), x).box_px_xyxy[2] + roll.font.size * rng.uniform(0.3, 3)
    room = roll.right_px - text_size(roll.font, text)[0]
    printed = roll.put(text, min(x, max(roll.margin_px, room)))
    after = printed.box_px_xyxy[2] + roll.font.size * rng.uniform(0.5, 2)
    if rng.random() < 0.5 and after + text_size(roll.font, clock)[0] < roll.image.width:
        roll.put(clock, after)
    roll.ask("what is the date?", printed)
    roll.feed(rng.uniform(1, 2))


def _items(roll: _Roll) -> float:
    rng, total = roll.rng, 0.0
    rule = rng.choice(("-", "=", "_", ""))
    dashes = rule * int(
        (roll.right_px - roll.margin_px) / max(1.0, roll.font.getlength(rule or "-"))
    )
    if rule:
        roll.put(dashes, roll.margin_px)
        roll.feed()
    for _ in range(rng.randint(1, 10)):
        price = round(10 ** rng.uniform(-0.3, 2.2), 2)
        total += price
        name = _words(rng, rng.randint(1, 2))
        if rng.random() < 0.5:
            roll.put(name, roll.margin_px)
            roll.feed()
            name = f"{rng.randint(1, 9)} x {_money(rng, price)}"
        roll.pair(name, _money(rng, price))
    if rule:
        roll.put(dashes, roll.margin_px)
        roll.feed()
    return total


def _sums(roll: _Roll, price: float) -> None:
    rng = roll.rng
    if rng.random() < 0.6:
        roll.named_pair(
            rng.choice(("SUBTOTAL", "Sub Total", "Sub-total:", "TOTAL EXCL. GST")),
            _money(rng, price * 0.94),
        )
    if rng.random() < 0.5:
        roll.named_pair(
            rng.choice(("GST 6%", "TAX", "DISCOUNT", "ROUNDING", "Service 10%")),
            _money(rng, price * 0.06),
        )
    font = roll.font
    if rng.random() < 0.35:
        font = load_face(rng.choice(FACES), round(font.size * rng.uniform(1.0, 1.7)))
    name, amount = rng.choice(TOTALS), _money(rng, price)
    room = roll.right_px - roll.margin_px
    if text_size(font, name)[0] + text_size(font, amount)[0] > 0.92 * room:
        font = roll.font
    roll.ask("what is the total?", roll.pair(name, amount, font))
    roll.feed(0.6 * (font.size / roll.font.size - 1) + rng.choice((0.0, 0.5)))
    if rng.random() < 0.7:
        paid = price + rng.choice((0.0, 5.0, 20.0)) * rng.random()
        roll.named_pair(
            rng.choice(("CASH", "Cash :", "PAID", "VISA CARD", "TENDERED")), _money(rng, paid)
        )
        roll.named_pair(rng.choice(("CHANGE", "Change :", "BALANCE")), _money(rng, paid - price))


def _scanned(rng: Random, image: Image.Image, questions: list[Question]) -> Scene:
    """Stretched, speckled and softened, as print that went through a scanner."""
    across, down = rng.uniform(0.8, 1.1), rng.uniform(0.9, 1.2)
    size = (round(image.width * across), round(image.height * down))
    image = image.resize(size, Image.Resampling.BICUBIC)
    if rng.random() < 0.5:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.9)))
    noise = np.random.default_rng(rng.getrandbits(32)).normal(
        0, rng.uniform(0, 12), (size[1], size[0], 1)
    )
    image = Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))
    placed = tuple(_stretched(question, across, down) for question in questions)
    return Scene(image, placed, "receipt", 1.0)


def _stretched(question: Question, across: float, down: float) -> Question:
    assert question.box_px_xyxy is not None
    x1, y1, x2, y2 = question.box_px_xyxy
    box = (x1 * across, y1 * down, x2 * across, y2 * down)
    return Question(question.text, question.answer, question.kind, box)
