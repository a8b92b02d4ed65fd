"""Where on a receipt its total, its date and other fields are printed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from qzoom.data.text_layout import Printed, on_one_row

_NUMBER: Final = re.compile(r"(?<![\d.,])(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\d,]|\.\d)")
_TOTAL_LABEL: Final = re.compile(r"\b(?:TOTAL|AMOUNT|AMT|PAYABLE|DUE)\b", re.IGNORECASE)
# On the rows of these the amount is there by chance: nothing was taken off, nothing is owed.
_OTHER_LABEL: Final = re.compile(
    r"SUB|QTY|QUANTITY|ITEM|EXCL|DISC|SAV|CHANGE|TENDER|PAID|RECEIVED|CASH", re.IGNORECASE
)
_SUMMARY: Final = re.compile(r"SUMMARY", re.IGNORECASE)
_DATE_LABEL: Final = re.compile(r"\bDATE", re.IGNORECASE)


def amount_of(text: str) -> str | None:
    """The one number in a text, as printed; None when there is none or another."""
    found = _NUMBER.findall(text)
    return found[0] if len(found) == 1 else None


def total_line(lines: Sequence[Printed], amount: str) -> Printed | None:
    """The line that shows the total, among all that hold its amount as a number.

    The lowest one on the row of a label such as TOTAL, AMOUNT or DUE, above the tax summary if
    there is one there. Without any label: the line that alone holds the amount, or None.
    """
    holding = [line for line in lines if _holds(line.text, amount)]
    labelled = [line for line in holding if _is_total_row(line, lines)]
    if not labelled:
        return holding[0] if len(holding) == 1 else None
    tops = [line.box_px_xyxy[1] for line in lines if _SUMMARY.search(line.text)]
    summary_top = min(tops, default=float("inf"))
    return max(labelled, key=lambda line: (line.box_px_xyxy[1] < summary_top, line.box_px_xyxy[1]))


def date_line(lines: Sequence[Printed], date: str) -> Printed | None:
    """The line that holds the date: the topmost on the row of a label DATE, or else the topmost."""
    spaced = r"\s*".join(re.escape(char) for char in date if not char.isspace())
    pattern = re.compile(rf"(?<!\d){spaced}(?!\d)", re.IGNORECASE)
    holding = [line for line in lines if pattern.search(line.text)]
    labelled = [line for line in holding if _DATE_LABEL.search(_row_text(line, lines))]
    return min(labelled or holding, key=lambda line: line.box_px_xyxy[1], default=None)


def lines_of_text(lines: Sequence[Printed], text: str) -> tuple[Printed, ...]:
    """The topmost line that holds a text, or the run of lines that is the text; () when none.

    Only letters and digits are compared.
    """
    wanted = _bare(text)
    downwards = sorted(lines, key=lambda line: line.box_px_xyxy[1])
    if not wanted:
        return ()
    for start, line in enumerate(downwards):
        joined = _bare(line.text)
        if wanted in joined:
            return (line,)
        end = start + 1
        while joined and wanted.startswith(joined) and end < len(downwards):
            joined += _bare(downwards[end].text)
            end += 1
            if joined == wanted:
                return tuple(downwards[start:end])
    return ()


def _holds(text: str, amount: str) -> bool:
    """Whether the amount stands in a text; an amount in cents is not the 6 of "6%"."""
    numbers = (number for number in _NUMBER.findall(text) if ("." in number) == ("." in amount))
    return any(_value(number) == _value(amount) for number in numbers)


def _value(number: str) -> Decimal:
    return Decimal(number.replace(",", ""))


def _is_total_row(line: Printed, lines: Sequence[Printed]) -> bool:
    row = _row_text(line, lines)
    return bool(_TOTAL_LABEL.search(row)) and not _OTHER_LABEL.search(row)


def _row_text(line: Printed, lines: Sequence[Printed]) -> str:
    return " ".join(other.text for other in lines if on_one_row(line, other))


def _bare(text: str) -> str:
    return "".join(char for char in text.casefold() if char.isalnum())
