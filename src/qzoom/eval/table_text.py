"""A table of scores as text: for a terminal, as Markdown, as LaTeX."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from qzoom.eval.table import Cell, Line, Table

Format = Literal["terminal", "markdown", "latex"]
WIDTH: Final = 100
LABEL_WIDTH: Final = 36
COST_HEADERS: Final = ("Tokens", "Zoomed", "Tp")

_LATEX: Final = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "<": "\\textless{}",
    ">": "\\textgreater{}",
}


@dataclass(frozen=True)
class Grid:
    """Plain texts; the first column is the method.

    bold: line and column of the best scores.
    """

    header: tuple[str, ...]
    body: tuple[tuple[str, ...], ...]
    bold: frozenset[tuple[int, int]]
    notes: tuple[str, ...]


def render(table: Table, form: Format, *, intervals: bool = False) -> str:
    """The table as text.

    Args:
        intervals: also show 95 % intervals, of scores that are means.
    """
    writers: dict[str, Callable[[Grid], str]] = {
        "terminal": _terminal,
        "markdown": _markdown,
        "latex": _latex,
    }
    return writers[form](_grid(table, intervals))


def _grid(table: Table, intervals: bool) -> Grid:
    keys = list(table.columns)
    columns: list[list[tuple[str, float | None]]] = [
        [_score(line.cells.get(key), key in table.points, intervals) for line in table.lines]
        for key in keys
    ]
    many = len(set(keys) - table.points) > 1
    if many:
        columns.append([_share(line.average) for line in table.lines])
    bold = frozenset(
        (place, number)
        for number, column in enumerate(columns, start=1)
        for place in _best([value for _, value in column])
    )
    body = tuple(
        (_plain(line.label), *(column[place][0] for column in columns), *_costs(line))
        for place, line in enumerate(table.lines)
    )
    titles = tuple(_plain(table.columns[key]) for key in keys)
    notes = tuple(_plain(note) for note in table.notes)
    header = ("Method", *titles, *(("Average",) if many else ()), *COST_HEADERS)
    return Grid(header, body, bold, notes)


def _score(cell: Cell | None, points: bool, intervals: bool) -> tuple[str, float | None]:
    if cell is None:
        return "-", None
    scale = 1 if points else 100
    text = f"{cell.score * scale:.1f}"
    if intervals and cell.interval is not None:
        low, high = (value * scale for value in cell.interval)
        text += f" ({low:.1f} to {high:.1f})"
    return text, cell.score


def _share(value: float | None) -> tuple[str, float | None]:
    return ("-", None) if value is None else (f"{100 * value:.1f}", value)


def _costs(line: Line) -> tuple[str, ...]:
    throughput = "-" if line.throughput is None else f"{line.throughput:.2f}x"
    return f"{line.visual_tokens:.0f}", f"{line.zoomed:.2f}", throughput


def _best(values: Sequence[float | None]) -> list[int]:
    """Places of the greatest value, where there is something to be better than."""
    there = [value for value in values if value is not None]
    if len(there) < 2:
        return []
    return [place for place, value in enumerate(values) if value == max(there)]


def _terminal(grid: Grid) -> str:
    """Blocks of columns, each at most `WIDTH` wide, with the methods repeated before each."""
    label = min(LABEL_WIDTH, max(len(line[0]) for line in (grid.header, *grid.body)))
    widths = [max(map(len, column)) for column in zip(grid.header, *grid.body, strict=True)]
    blocks: list[list[int]] = [[]]
    room = WIDTH - label
    for number, width in enumerate(widths[1:], start=1):
        if blocks[-1] and sum(widths[n] + 2 for n in blocks[-1]) + width + 2 > room:
            blocks.append([])
        blocks[-1].append(number)
    texts = []
    for block in blocks:
        lines = [
            _shortened(line[0], label).ljust(label)
            + "".join(_shortened(line[n], room - 2).rjust(widths[n] + 2) for n in block)
            for line in (grid.header, *grid.body)
        ]
        texts.append("\n".join(line.rstrip() for line in lines))
    return "\n".join(["\n\n".join(texts), *(f"note: {note}" for note in grid.notes)])


def _shortened(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."


def _markdown(grid: Grid) -> str:
    def cell(text: str, bold: bool) -> str:
        safe = re.sub(r"([\\`*_\[\]|<>])", r"\\\1", text)
        return f"**{safe}**" if bold else safe

    lines = [f"| {' | '.join(line)} |" for line in _cells(grid, cell)]
    rule = f"| --- |{' ---: |' * (len(grid.header) - 1)}"
    notes = ["", *(f"- {cell(note, False)}" for note in grid.notes)] if grid.notes else []
    return "\n".join([lines[0], rule, *lines[1:], *notes])


def _latex(grid: Grid) -> str:
    """A tabular that needs no package."""

    def cell(text: str, bold: bool) -> str:
        safe = "".join(_LATEX.get(sign, sign) for sign in text)
        return f"\\textbf{{{safe}}}" if bold else safe

    lines = [f"{' & '.join(line)} \\\\" for line in _cells(grid, cell)]
    notes = [f"% {' '.join(note.split())}" for note in grid.notes]
    head = f"\\begin{{tabular}}{{l{'r' * (len(grid.header) - 1)}}}"
    rules = ["\\hline", lines[0], "\\hline", *lines[1:], "\\hline"]
    return "\n".join([*notes, head, *rules, "\\end{tabular}"])


def _cells(grid: Grid, cell: Callable[[str, bool], str]) -> list[list[str]]:
    header = [cell(text, False) for text in grid.header]
    body = [
        [cell(text, (place, number) in grid.bold) for number, text in enumerate(line)]
        for place, line in enumerate(grid.body)
    ]
    return [header, *body]


def _plain(text: str) -> str:
    """On one line and without control characters; names come from files."""
    return "".join(sign for sign in " ".join(text.split()) if sign.isprintable())
