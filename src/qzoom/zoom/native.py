"""Settings that depart from the published behaviour, each a field of `ZoomConfig`.

The reference thresholds the map at one value for all questions and enlarges every crop to the
source picture's least budget. Here the threshold follows the map's peak, and a crop has as many
cells as its own pixels fill, up to a cap that grows more slowly than the picture's budget.
"""

from __future__ import annotations

from typing import Any, Final

from qzoom.errors import ConfigError
from qzoom.zoom.config import ZoomConfig

PEAK_SHARE: Final = 0.3
LEAST_CROP_CELLS: Final = 4
_CAPS: Final = ((576, 160), (1024, 256))
_LARGEST_CAP: Final = 384


def crop_cap(max_cells: int) -> int:
    """Most cells of a crop, for a picture of at most `max_cells`."""
    for cells, cap in _CAPS:
        if max_cells <= cells:
            return cap
    return _LARGEST_CAP


def mode_settings(mode: str, config: ZoomConfig, max_cells: int) -> dict[str, Any]:
    """Fields of a mode, for pictures of at most `max_cells`.

    Returns:
        for "reference" those of the published code, the checkpoint's own region threshold kept
        where it is one of the map; for "native" those of this module.

    Raises:
        ConfigError: for another mode.
    """
    if mode == "native":
        return {
            "mode": mode,
            "roi_threshold_of": "peak",
            "roi_threshold": PEAK_SHARE,
            "min_crop_cells": LEAST_CROP_CELLS,
            "max_crop_cells": crop_cap(max_cells),
        }
    if mode == "reference":
        known = config.roi_threshold if config.roi_threshold_of == "map" else 0.1
        return {
            "mode": mode,
            "roi_threshold_of": "map",
            "roi_threshold": known,
            "min_crop_cells": 0,
            "max_crop_cells": 0,
        }
    raise ConfigError(f"mode is {mode!r}; use 'reference' or 'native'")
