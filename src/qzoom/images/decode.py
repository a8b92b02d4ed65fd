"""The one gate for images: bytes of unknown origin in, an upright opaque RGB image out.

Every reader of the package goes through `decode_image`, so that training, evaluation and serving
see the same pixels. Limits are checked on the header, before any pixel is decoded, and Pillow's
global switches are never touched.
"""

import io
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

from PIL import Image, ImageFile

from qzoom.errors import ImageError
from qzoom.images.colors import to_rgb

ImageSource: TypeAlias = str | Path | bytes | BinaryIO | Image.Image

ALLOWED_FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")

_URL: Final = re.compile(r"^(?:[a-z][a-z0-9+.-]+://|data:)", re.IGNORECASE)

_SHOWN_PATH_CHARS: Final = 200

# Index is the EXIF orientation; 0 and 1 need no turn.
_TURNS: Final = (
    None,
    None,
    Image.Transpose.FLIP_LEFT_RIGHT,
    Image.Transpose.ROTATE_180,
    Image.Transpose.FLIP_TOP_BOTTOM,
    Image.Transpose.TRANSPOSE,
    Image.Transpose.ROTATE_270,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_90,
)


@dataclass(frozen=True)
class ImageLimits:
    """Largest image that is read: encoded size in bytes, area and longer side in pixels.

    formats: of `ALLOWED_FORMATS`, those that are read.
    """

    max_bytes: int = 64 * 1024 * 1024
    max_pixels: int = 100_000_000
    max_side_px: int = 65_535
    formats: tuple[str, ...] = ALLOWED_FORMATS


DEFAULT_LIMITS: Final = ImageLimits()


def decode_image(source: ImageSource, limits: ImageLimits = DEFAULT_LIMITS) -> Image.Image:
    """Return an image as upright, opaque 8-bit RGB that shares nothing with its source.

    EXIF orientation is applied, transparency lies over white, deep greys are scaled to 8 bits and
    of an animation the first frame is taken. A Pillow image that is passed in gets the same
    treatment on the frame it stands at.

    Args:
        source: Path, encoded bytes, binary file or Pillow image; never a URL.
        limits: Largest image to accept.

    Raises:
        ImageError: If the source is missing, not an image of an allowed format, over a limit,
            damaged or incomplete.
    """
    if isinstance(source, Image.Image):
        return _normalise(source, limits)
    data = _read(source, limits)
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise ImageError(
            "PIL.ImageFile.LOAD_TRUNCATED_IMAGES is on, so damaged images would pass as whole; "
            "set it to False"
        )
    with _open(data, limits.formats) as image:
        return _normalise(image, limits)


def _read(source: str | Path | bytes | BinaryIO, limits: ImageLimits) -> bytes:
    if isinstance(source, str | Path):
        data = _read_path(source, limits)
    elif isinstance(source, bytes | bytearray | memoryview):
        _check_bytes(len(source), limits)
        data = bytes(source)
    elif hasattr(source, "read"):
        data = _read_file(source, limits)
    else:
        raise ImageError(
            f"cannot read an image from {type(source).__name__}; "
            "give a path, bytes, a binary file or a Pillow image"
        )
    if not data:
        raise ImageError("the image is empty: 0 bytes")
    return data


def _read_path(source: str | Path, limits: ImageLimits) -> bytes:
    if isinstance(source, str) and _URL.match(source):
        raise ImageError("images are not fetched from URLs; download it and give the file")
    path = Path(source)
    shown = str(path)[-_SHOWN_PATH_CHARS:]
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ImageError(f"{shown} is a folder; give one image file")
        # Opening a pipe or a device could wait for ever.
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(f"{shown} is not a regular file; give one image file")
        _check_bytes(status.st_size, limits)
        with path.open("rb") as file:
            return _read_file(file, limits)
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError(f"no image file at {shown}") from error
    # ValueError: a zero byte in the path.
    except (OSError, ValueError) as error:
        raise ImageError(f"cannot read an image file at {shown!r}") from error


def _read_file(file: BinaryIO, limits: ImageLimits) -> bytes:
    try:
        # One byte past the limit is enough to know, whatever size the source claims.
        data = file.read(limits.max_bytes + 1)
    except (OSError, ValueError) as error:
        raise ImageError("the image file cannot be read; open it for reading first") from error
    if not isinstance(data, bytes):
        raise ImageError("the image file is open as text; open it in binary mode")
    _check_bytes(len(data), limits)
    return data


def _open(data: bytes, formats: tuple[str, ...]) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=formats)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError("the image has more pixels than Pillow accepts; scale it down") from error
    # Readers raise many unrelated types on hostile bytes; their text never reaches the message.
    except Exception as error:
        raise ImageError(
            "the data is not a readable image; allowed are " + ", ".join(formats)
        ) from error


def _normalise(image: Image.Image, limits: ImageLimits) -> Image.Image:
    _check_size(image.size, limits)
    try:
        image.load()
    except Exception as error:
        raise ImageError("the image is damaged or incomplete") from error
    # Some readers learn the true size only while they decode.
    _check_size(image.size, limits)
    turn = _turn_of(image)
    upright = image if turn is None else image.transpose(turn)
    return to_rgb(upright)


def _turn_of(image: Image.Image) -> Image.Transpose | None:
    try:
        orientation = image.getexif().get(0x0112, 1)
    # Viewers show an image with a broken EXIF block as it is stored; so do we.
    except Exception:
        return None
    if isinstance(orientation, int) and 0 <= orientation < len(_TURNS):
        return _TURNS[orientation]
    return None


def _check_bytes(size: int, limits: ImageLimits) -> None:
    if size > limits.max_bytes:
        raise ImageError(f"the image has {size} bytes or more, the limit is {limits.max_bytes}")


def _check_size(size_px: tuple[int, int], limits: ImageLimits) -> None:
    width, height = size_px
    if min(width, height) < 1:
        raise ImageError(f"the image is {width}x{height} px; it needs at least 1x1")
    if max(width, height) > limits.max_side_px:
        raise ImageError(
            f"the image is {width}x{height} px, the limit is {limits.max_side_px} px a side"
        )
    if width * height > limits.max_pixels:
        raise ImageError(
            f"the image is {width}x{height} = {width * height} px, the limit is "
            f"{limits.max_pixels}; scale it down"
        )
