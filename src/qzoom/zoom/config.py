"""Every constant of zooming in one frozen object, read from and written to config.json."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from qzoom.errors import ConfigError
from qzoom.zoom.effort import EffortThresholds

Family = Literal["qwen3_vl", "qwen2_5_vl"]
SinkRule = Literal["none", "corner", "token0"]
Mode = Literal["reference", "native"]
ThresholdOf = Literal["map", "peak"]

_SINK_RULE_OF_FAMILY: Mapping[str, SinkRule] = {"qwen2_5_vl": "corner", "qwen3_vl": "token0"}
_ONLY_SUPPORTED = {"roi_source": "qk", "roi_loss": "bce", "roi_super_type": "v1"}
_COUNTS = (
    "split_layer",
    "branch_depth",
    "corner_sink_min_cells",
    "min_crop_side_px",
    "min_crop_cells",
    "max_crop_cells",
)
# Settings without a published field are kept together under this one key of config.json.
_OWN_FIELDS_KEY = "qzoom"
_OWN_FIELDS = (
    "sink_rule",
    "sink_cutoff",
    "corner_sink_min_cells",
    "blur_sigma",
    "min_crop_side_px",
    "min_crop_cells",
    "max_crop_cells",
    "mode",
    "roi_threshold_of",
    "effort_thresholds",
)


@dataclass(frozen=True)
class ZoomConfig:
    """Where the branches sit and how their outputs become a decision and a box.

    Args:
        enabled: Whether the checkpoint has a region branch at all; False is a plain backbone.
        split_layer: Trunk layers run before the branches tap the hidden states (paper: B;
            published field: `twig_K`).
        branch_depth: Decoder layers per branch (paper: R; published field: `twig_T`).
        gate_enabled: Whether there is a gate branch (`enable_high_res`); without one every
            question zooms.
        gate_threshold: Zoom when the refine probability is at least this (`high_res_thresh`).
        roi_threshold: A cell belongs to the region when its smoothed map value is strictly above
            this (`roi_conf_thresh`).
        roi_threshold_of: Whether that is a value of the "map", or a share of its "peak".
        align_roi_positions: Give crop cells the height and width positions of the source cells
            they cover, instead of those of a second image (`reuse_src_pos`).
        sink_rule: How attention sinks are struck from the map: "corner" (Qwen2.5-VL), "token0"
            (Qwen3-VL) or "none".
        sink_cutoff: "token0" strikes cells that the first token's query scores at or above this.
        corner_sink_min_cells: "corner" acts only on maps with more cells than this.
        blur_sigma: Standard deviation, in cells, of the 3x3 Gaussian that smooths the map.
        min_crop_side_px: Crop sides are grown to this many source pixels.
        min_crop_cells, max_crop_cells: A crop is given at least and at most so many cells, enlarged
            if need be; 0 takes the source's least and most, as the reference does.
        mode: "reference" reproduces the published behaviour; "native" marks settings of
            `qzoom.zoom.native`.
        effort_thresholds: Gate thresholds by level of effort, as 'qzoom calibrate' chose them for
            these very branches; none where it did not.

    Raises:
        ConfigError: If a value has the wrong type or lies out of range.
    """

    enabled: bool
    split_layer: int = 0
    branch_depth: int = 0
    gate_enabled: bool = False
    gate_threshold: float = 0.1
    roi_threshold: float = 0.1
    align_roi_positions: bool = False
    sink_rule: SinkRule = "none"
    sink_cutoff: float = 0.75
    corner_sink_min_cells: int = 256
    blur_sigma: float = 1.0
    min_crop_side_px: int = 28
    min_crop_cells: int = 0
    max_crop_cells: int = 0
    mode: Mode = "reference"
    roi_threshold_of: ThresholdOf = "map"
    effort_thresholds: Mapping[str, float] = field(default_factory=EffortThresholds)

    def __post_init__(self) -> None:
        for name in ("enabled", "gate_enabled", "align_roi_positions"):
            _require(isinstance(getattr(self, name), bool), name, getattr(self, name), "a boolean")
        for name in ("gate_threshold", "roi_threshold", "sink_cutoff", "blur_sigma"):
            object.__setattr__(self, name, _finite_number(name, getattr(self, name)))
        for name in _COUNTS:
            _check_count(name, getattr(self, name))
        _require(self.blur_sigma > 0, "blur_sigma", self.blur_sigma, "above 0")
        _require(
            self.sink_rule in get_args(SinkRule), "sink_rule", self.sink_rule, _one_of(SinkRule)
        )
        _require(self.mode in get_args(Mode), "mode", self.mode, _one_of(Mode))
        kind = self.roi_threshold_of
        _require(kind in get_args(ThresholdOf), "roi_threshold_of", kind, _one_of(ThresholdOf))
        object.__setattr__(self, "effort_thresholds", EffortThresholds(self.effort_thresholds))
        if self.effort_thresholds and not self.gate_enabled:
            raise ConfigError("effort_thresholds needs gate_enabled: its levels are the gate's")
        if self.max_crop_cells and self.min_crop_cells > self.max_crop_cells:
            raise ConfigError(
                f"min_crop_cells is {self.min_crop_cells}, above max_crop_cells, "
                f"{self.max_crop_cells}"
            )
        if self.enabled:
            _require(self.split_layer > 0, "split_layer", self.split_layer, "at least 1")
            _require(self.branch_depth > 0, "branch_depth", self.branch_depth, "at least 1")
        elif self.gate_enabled:
            raise ConfigError("gate_enabled needs enabled: a gate without a region has no use")

    @classmethod
    def from_hf_config(cls, config_dict: Mapping[str, Any], family: str) -> ZoomConfig:
        """Read the published fields of a config.json.

        A field at the top level wins over the same field in `text_config`; `mm_config` is ignored.

        Args:
            config_dict: The parsed config.json.
            family: `model_type`, "qwen2_5_vl" or "qwen3_vl"; picks the sink rule.

        Raises:
            ConfigError: If the family, a method variant or a value is not supported.
        """
        if family not in _SINK_RULE_OF_FAMILY:
            known = ", ".join(sorted(_SINK_RULE_OF_FAMILY))
            raise ConfigError(f"unknown family {family!r}; known: {known}")
        text = config_dict.get("text_config")
        fields = dict(text) if isinstance(text, Mapping) else {}
        fields |= {name: value for name, value in config_dict.items() if value is not None}
        values: dict[str, Any] = {"sink_rule": _SINK_RULE_OF_FAMILY[family]}
        values |= _own_values(fields)
        if not _flag(fields, "enable_twig"):
            return cls(enabled=False, **values)
        _refuse_unsupported(fields)
        values |= _published_values(fields)
        return cls(enabled=True, **values)

    def to_hf_fields(self) -> dict[str, Any]:
        """Top-level config.json fields that `from_hf_config` turns back into this object."""
        if not self.enabled:
            return {"enable_twig": False}
        own = {name: getattr(self, name) for name in _OWN_FIELDS}
        levels = dict(own.pop("effort_thresholds"))
        own |= {"effort_thresholds": levels} if levels else {}
        return {
            "enable_twig": True,
            "twig_K": self.split_layer,
            "twig_T": self.branch_depth,
            "enable_high_res": self.gate_enabled,
            "high_res_K": self.split_layer,
            "high_res_T": self.branch_depth,
            "high_res_thresh": self.gate_threshold,
            "roi_conf_thresh": self.roi_threshold,
            "reuse_src_pos": self.align_roi_positions,
            # Without this flag the reference skips the upper trunk layers whenever it zooms.
            "roi_enable2stage": True,
            "roi_multi_head": True,
            **_ONLY_SUPPORTED,
            _OWN_FIELDS_KEY: own,
        }

    def with_overrides(self, **overrides: Any) -> ZoomConfig:
        """A copy with some fields replaced; a value of None keeps the field.

        Raises:
            ConfigError: If a name is unknown or a value is out of range.
        """
        known = {field.name for field in dataclasses.fields(self)}
        unknown = sorted(set(overrides) - known)
        if unknown:
            raise ConfigError(
                f"unknown zoom setting {unknown[0]!r}; known: {', '.join(sorted(known))}"
            )
        given = {name: value for name, value in overrides.items() if value is not None}
        return dataclasses.replace(self, **given)


def _published_values(fields: Mapping[str, Any]) -> dict[str, Any]:
    missing = [name for name in ("twig_K", "twig_T") if fields.get(name) is None]
    if missing:
        raise ConfigError(f"config.json has enable_twig but no {' and no '.join(missing)}; add it")
    for name, twin in (("high_res_K", "twig_K"), ("high_res_T", "twig_T")):
        value = fields.get(name)
        if value is not None and value != fields[twin]:
            raise ConfigError(f"{name}={value} differs from {twin}={fields[twin]}; set them equal")
    values: dict[str, Any] = {
        "split_layer": fields["twig_K"],
        "branch_depth": fields["twig_T"],
        "gate_enabled": _flag(fields, "enable_high_res"),
        "align_roi_positions": _flag(fields, "reuse_src_pos"),
    }
    thresholds = {"high_res_thresh": "gate_threshold", "roi_conf_thresh": "roi_threshold"}
    for published, name in thresholds.items():
        if fields.get(published) is not None:
            values[name] = fields[published]
    return values


def _own_values(fields: Mapping[str, Any]) -> dict[str, Any]:
    own = fields.get(_OWN_FIELDS_KEY) or {}
    if not isinstance(own, Mapping):
        raise ConfigError(f"{_OWN_FIELDS_KEY!r} in config.json must be an object, got {own!r}")
    unknown = sorted(set(own) - set(_OWN_FIELDS))
    if unknown:
        known = ", ".join(_OWN_FIELDS)
        raise ConfigError(f"unknown field {unknown[0]!r} under {_OWN_FIELDS_KEY!r}; known: {known}")
    return dict(own)


def _refuse_unsupported(fields: Mapping[str, Any]) -> None:
    for name, supported in _ONLY_SUPPORTED.items():
        value = fields.get(name)
        if value is not None and value != supported:
            raise ConfigError(
                f"{name}={value!r} is unsupported; only {supported!r} checkpoints load"
            )


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name)
    _require(value is None or isinstance(value, bool), name, value, "a boolean")
    return bool(value)


def _finite_number(name: str, value: object) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value):  # type: ignore[arg-type]
        raise ConfigError(f"{name} must be a finite number, got {value!r}")
    return float(value)  # type: ignore[arg-type]


def _check_count(name: str, value: object) -> None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    _require(is_count, name, value, "a whole number of at least 0")


def _require(holds: bool, name: str, value: object, what: str) -> None:
    if not holds:
        raise ConfigError(f"{name} must be {what}, got {value!r}")


def _one_of(choices: Any) -> str:
    return "one of " + ", ".join(repr(choice) for choice in get_args(choices))
