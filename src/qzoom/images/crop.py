"""Cutting a region out of a decoded image."""

from PIL import Image

from qzoom.errors import ImageError
from qzoom.geometry.boxes import Box


def crop_px(image: Image.Image, box_px_xyxy: Box | tuple[int, int, int, int]) -> Image.Image:
    """Return the region of an image as a new image.

    Args:
        image: The decoded source.
        box_px_xyxy: Whole source pixels, right and lower edge exclusive.

    Raises:
        ImageError: If the box is empty or leaves the image.
    """
    x1, y1, x2, y2 = box_px_xyxy
    width, height = image.size
    # Pillow would fill the outside with black instead of failing.
    if not (0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height):
        raise ImageError(
            f"box {tuple(box_px_xyxy)} px is empty or leaves the image of {width}x{height} px"
        )
    return image.crop((x1, y1, x2, y2))
