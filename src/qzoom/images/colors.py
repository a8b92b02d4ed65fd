"""Any Pillow mode to opaque 8-bit RGB, with transparency over white and no clipped greys."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from qzoom.errors import ImageError

_ALPHA_MODES: Final = frozenset({"RGBA", "LA", "PA", "RGBa", "La"})
_GREY_16_MODES: Final = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
# Formats whose 32-bit mode only ever carries 16-bit samples.
_GREY_16_FORMATS: Final = frozenset({"PNG", "PPM"})
_BAND_ROWS: Final = 256


def to_rgb(image: Image.Image) -> Image.Image:
    """Return a new RGB image of the same size, without metadata.

    16-bit greys keep their full range. 32-bit and float greys carry no range of their own: values
    within 0..1 (float), 0..255 or 0..65535 are read on that scale, any others are stretched from
    their least to their greatest.

    Raises:
        ImageError: If the mode has no RGB reading or a float image holds a value that is not
            finite.
    """
    if image.mode in _GREY_16_MODES or image.mode in ("I", "F"):
        result = _deep_grey_to_rgb(image)
    elif image.mode in _ALPHA_MODES or "transparency" in image.info:
        result = _over_white(_convert(image, "RGBA"))
    elif image.mode == "RGB":
        result = image.copy()
    else:
        result = _convert(image, "RGB")
    # A kept orientation tag would turn the image again at its next reading.
    result.info = {}
    return result


def _convert(image: Image.Image, mode: str) -> Image.Image:
    try:
        if image.mode == "La":
            image = image.convert("LA")
        return image.convert(mode)
    # Pillow signals an unknown pair of modes by several types.
    except Exception as error:
        raise ImageError(f"cannot convert an image of mode {image.mode} to RGB") from error


def _over_white(image: Image.Image) -> Image.Image:
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, image).convert("RGB")


def _deep_grey_to_rgb(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    offset, gain = _offset_and_gain(values, image)
    transparent = image.info.get("transparency")
    levels = np.empty(values.shape, dtype=np.uint8)
    # Bands keep the float copy small: a tiny file may unfold to a hundred megapixels.
    for top in range(0, len(values), _BAND_ROWS):
        band = values[top : top + _BAND_ROWS].astype(np.float64)
        scaled = np.rint((band - offset) * gain)
        if isinstance(transparent, int):
            scaled[band == transparent] = 255
        levels[top : top + _BAND_ROWS] = scaled
    return Image.fromarray(levels).convert("RGB")


def _offset_and_gain(values: NDArray[Any], image: Image.Image) -> tuple[float, float]:
    """Return what brings raw samples to grey levels 0 to 255: `(value - offset) * gain`."""
    if image.mode in _GREY_16_MODES or image.format in _GREY_16_FORMATS:
        return 0.0, 255 / 65535
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise ImageError("the float image holds values that are not finite; replace them first")
    scales = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
    for scale in scales:
        if low >= 0 and high <= scale:
            return 0.0, 255 / scale
    return low, 255 / (high - low) if high > low else 0.0
