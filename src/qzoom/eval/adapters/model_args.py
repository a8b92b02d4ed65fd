"""Arguments that a harness hands on: which model, its budget, and when it zooms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from qzoom.errors import ConfigError
from qzoom.loading import load
from qzoom.settings import read_settings
from qzoom.zoom.model import ZoomModel
from qzoom.zoom.options import AskOptions


@dataclass(frozen=True)
class HarnessArgs:
    """Names are those of the harnesses where they have one.

    pretrained: folder or hub id; None is the embedded model. adapter: zoom branches in place of
        its own.
    dtype, device, attn_implementation: as for `qzoom.load`.
    min_cells, max_cells: visual tokens of a picture.
    zoom, gate_threshold, roi_threshold, effort: as for `ImageSession.ask`.
    max_new_tokens: of a reply, where the harness names no limit.
    batch_size: questions at a time.
    log_zoom: file that gets a JSON line per request, in addition to what it holds.
    """

    pretrained: str | None = None
    adapter: str | None = None
    dtype: str | None = None
    device: str | None = None
    attn_implementation: str | None = None
    min_cells: int | None = None
    max_cells: int | None = None
    zoom: Literal["auto", "never", "always"] = "auto"
    gate_threshold: float | None = None
    roi_threshold: float | None = None
    effort: Literal["low", "medium", "high"] | None = None
    max_new_tokens: int = 128
    batch_size: int = 1
    log_zoom: str | None = None

    def load(self) -> ZoomModel:
        """The model under its budget.

        Raises:
            QZoomError: when it cannot be loaded, or cannot be asked in this way.
        """
        model = load(
            self.pretrained,
            adapter=self.adapter,
            dtype=self.dtype,
            device=self.device,
            attn_implementation=self.attn_implementation,
        )
        if self.min_cells or self.max_cells:
            model = model.with_budget(min_cells=self.min_cells, max_cells=self.max_cells)
        model.options(**self.ask_options())
        return model

    def ask_options(self) -> AskOptions:
        """What every question is asked with."""
        return AskOptions(
            zoom=self.zoom,
            gate_threshold=self.gate_threshold,
            roi_threshold=self.roi_threshold,
            effort=self.effort,
            max_new_tokens=self.max_new_tokens,
        )


def read_args(given: Mapping[str, Any]) -> HarnessArgs:
    """Arguments by name; None stands for one that was not given.

    Raises:
        ConfigError: for one that is unknown (with those that are known), mistyped or out of range.
    """
    found = {name: value for name, value in given.items() if value is not None}
    known = [field.name for field in fields(HarnessArgs)]
    for name in found:
        if name not in known:
            raise ConfigError(f"unknown model argument {name!r}; known: {', '.join(known)}")
    size = found.get("batch_size")
    if isinstance(size, str):  # lmms-eval leaves its own option a text
        if not size.isascii() or not size.isdecimal():
            raise ConfigError(f"batch_size is {size!r}; give a whole number")
        found["batch_size"] = int(size)
    args = read_settings(found, HarnessArgs, "model arguments")
    for name in ("batch_size", "max_new_tokens", "min_cells", "max_cells"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise ConfigError(f"{name} is {value}; it must be at least 1")
    return args
