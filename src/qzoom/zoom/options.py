"""Options of a request, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict, get_args

from qzoom.errors import ConfigError
from qzoom.geometry.boxes import BoxLike
from qzoom.zoom.config import ZoomConfig
from qzoom.zoom.effort import EffortLevel, EffortThresholds
from qzoom.zoom.sampling import Sampling

Zoom = Literal["auto", "never", "always"]


class AskOptions(TypedDict, total=False):
    """Options of `ImageSession.ask`, `ZoomModel.ask_many` and `ZoomModel.generate`.

    max_new_tokens to seed: see `Sampling`.
    stop: text that ends the answer and is no part of it; one string or several.
    zoom: "auto" lets the gate decide (without a gate every question zooms); "never" and "always"
        do not ask it. Where the region network finds nothing the answer is direct all the same.
    effort: "low", "medium" or "high": a gate threshold that 'qzoom calibrate' stored in the
        checkpoint; None keeps the model's own.
    gate_threshold, roi_threshold: in place of the model's own; None keeps those.
    box_xyxy_px: look closer at this part of the first image, in its pixels, x2 and y2 exclusive;
        neither the gate nor the region network is asked.
    eos_token_id: end tokens in place of the model's own; none at all where empty.
    """

    max_new_tokens: int
    temperature: float
    top_p: float
    top_k: int
    repetition_penalty: float
    seed: int | None
    stop: str | Sequence[str] | None
    zoom: Zoom
    effort: EffortLevel | None
    gate_threshold: float | None
    roi_threshold: float | None
    box_xyxy_px: BoxLike | None
    eos_token_id: int | Sequence[int] | None


@dataclass(frozen=True)
class Options:
    """Everything about a request besides prompt and pictures; `config` holds its thresholds."""

    config: ZoomConfig
    sampling: Sampling
    eos_token_ids: frozenset[int]
    zoom: Zoom = "auto"
    stop: tuple[str, ...] = ()
    box_xyxy_px: BoxLike | None = None


def read_options(
    given: AskOptions, config: ZoomConfig, own_eos: int | Sequence[int] | None
) -> Options:
    """Check what a caller gave and fill in the rest.

    Args:
        own_eos: the model's end tokens.

    Raises:
        ConfigError: for an unknown option or a value out of range, for zoom="always" where the
            checkpoint is a plain backbone, and for an effort beside a gate threshold or where the
            checkpoint has no levels.
    """
    unknown = sorted(set(given) - set(AskOptions.__annotations__))
    if unknown:
        known = ", ".join(AskOptions.__annotations__)
        raise ConfigError(f"unknown option {unknown[0]!r}; known: {known}")
    eos = given.get("eos_token_id")
    return Options(
        config.with_overrides(
            gate_threshold=_gate_threshold(given, config), roi_threshold=given.get("roi_threshold")
        ),
        _sampling(given),
        _as_ids(own_eos if eos is None else eos),
        _zoom(given.get("zoom", "auto"), config),
        _stops(given.get("stop")),
        _box(given, config),
    )


def _sampling(given: AskOptions) -> Sampling:
    names = Sampling.__dataclass_fields__
    return Sampling(**{name: value for name, value in given.items() if name in names})  # type: ignore[arg-type]


def _gate_threshold(given: AskOptions, config: ZoomConfig) -> float | None:
    effort, threshold = given.get("effort"), given.get("gate_threshold")
    if effort is None:
        return threshold
    if threshold is not None:
        raise ConfigError(
            f"effort={effort!r} and gate_threshold={threshold!r} both say when to zoom; give one"
        )
    return EffortThresholds(config.effort_thresholds).of(effort)


def _zoom(zoom: Zoom, config: ZoomConfig) -> Zoom:
    if zoom not in get_args(Zoom):
        raise ConfigError(f"zoom is {zoom!r}; use 'auto', 'never' or 'always'")
    if zoom == "always" and not config.enabled:
        raise ConfigError(
            "zoom='always' needs zoom branches and this checkpoint is a plain backbone; "
            "use 'auto' or 'never', or load a zooming checkpoint"
        )
    return zoom


def _box(given: AskOptions, config: ZoomConfig) -> BoxLike | None:
    box = given.get("box_xyxy_px")
    if box is None:
        return None
    if not config.enabled or given.get("zoom") == "never":
        raise ConfigError("box_xyxy_px asks for a closer look; that needs zoom branches and zoom")
    if len(box) != 4 or not all(isinstance(edge, (int, float)) for edge in box):
        raise ConfigError(f"box_xyxy_px is {box!r}; give x1, y1, x2, y2 in pixels")
    x1, y1, x2, y2 = box
    return x1, y1, x2, y2


def _stops(stop: str | Sequence[str] | None) -> tuple[str, ...]:
    stops = (stop,) if isinstance(stop, str) else tuple(stop or ())
    if not all(isinstance(text, str) and text for text in stops):
        raise ConfigError("stop needs a string or several, each of at least one character")
    return stops


def _as_ids(eos: int | Sequence[int] | None) -> frozenset[int]:
    ids: Sequence[int] = () if eos is None else [eos] if isinstance(eos, int) else eos
    if not all(isinstance(token, int) for token in ids):
        raise ConfigError(f"eos_token_id is {eos!r}; give a token id or several")
    return frozenset(ids)
