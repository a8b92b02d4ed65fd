"""Ways of looking at a picture that an evaluation compares, by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from qzoom.zoom.model import ZoomModel
from qzoom.zoom.options import Zoom

FULL_CELLS: Final = 1024
LOOKS: Final = ("direct_coarse", "direct_double", "direct_full", "zoom_coarse", "always_coarse")
"""Directly at the model's own budget, at twice that and at 1024 cells; zooming where the gate says
so, and always."""


class Look(NamedTuple):
    """A model under a budget, and whether it may zoom."""

    model: ZoomModel
    zoom: Zoom


def looks_of(model: ZoomModel, names: Sequence[str]) -> dict[str, Look]:
    """The looks of these names, in their order."""
    budgets = {"direct_double": 2 * model.pipeline.budget_cells[1], "direct_full": FULL_CELLS}
    zooms: dict[str, Zoom] = {"zoom_coarse": "auto", "always_coarse": "always"}
    return {
        name: Look(
            model.with_budget(max_cells=budgets[name]) if name in budgets else model,
            zooms.get(name, "never"),
        )
        for name in names
    }
