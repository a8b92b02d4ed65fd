"""A picture as a URL that holds it."""

from __future__ import annotations

import base64
import io
from typing import Any, Literal

from PIL import Image


def data_url(image: Image.Image, image_format: Literal["png", "jpeg"], **options: Any) -> str:
    """Encode a picture.

    Args:
        options: of Pillow's `save` for that format.
    """
    encoded = io.BytesIO()
    image.save(encoded, image_format.upper(), **options)
    text = base64.b64encode(encoded.getvalue()).decode("ascii")
    return f"data:image/{image_format};base64,{text}"
