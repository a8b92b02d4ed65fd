"""Every mode and every orientation ends as upright, opaque 8-bit RGB: pixels, not only sizes."""

import io

import numpy as np
import pytest
from PIL import Image

from qzoom.errors import ImageError
from qzoom.images.decode import decode_image

WHITE, BLACK, RED = (255, 255, 255), (0, 0, 0), (255, 0, 0)


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def first_pixels(source: object, count: int) -> list[tuple[int, ...]]:
    image = decode_image(source)
    assert image.mode == "RGB"
    return [image.getpixel((x, 0)) for x in range(count)]


def as_row(values: list[float], dtype: str) -> np.ndarray:
    return np.array([values], dtype=dtype)


PLAIN_MODES = ["1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"]
DEEP_MODES = ["I", "F", "I;16", "I;16L", "I;16B"]
ALPHA_MODES = ["LA", "PA", "RGBA", "RGBa", "La"]


@pytest.mark.parametrize("mode", PLAIN_MODES + DEEP_MODES + ALPHA_MODES)
def test_every_mode_is_read(mode):
    image = decode_image(Image.new(mode, (5, 4)))
    assert (image.mode, image.size, image.info) == ("RGB", (5, 4), {})


@pytest.mark.parametrize(
    ("mode", "value", "expected"),
    [
        ("1", 1, WHITE),
        ("L", 90, (90, 90, 90)),
        ("CMYK", (0, 255, 255, 0), RED),
        ("HSV", (0, 255, 255), RED),
        ("RGBA", (255, 0, 0, 0), WHITE),
        ("RGBA", (255, 0, 0, 255), RED),
        ("RGBA", (0, 0, 0, 51), (204, 204, 204)),
        ("LA", (0, 0), WHITE),
        ("LA", (0, 255), BLACK),
        ("La", (0, 51), (204, 204, 204)),
    ],
)
def test_colour_of_one_pixel(mode, value, expected):
    assert first_pixels(Image.new(mode, (2, 2), value), 1) == [expected]


def test_palette_transparency_lies_over_white():
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    assert first_pixels(encode(image, "PNG"), 2) == [RED, (0, 0, 255)]
    assert first_pixels(encode(image, "PNG", transparency=1), 2) == [RED, WHITE]
    partial = encode(image, "PNG", transparency=bytes([255, 51]))
    assert first_pixels(partial, 2) == [RED, (204, 204, 255)]
    assert first_pixels(encode(image, "GIF", transparency=0), 2) == [WHITE, (0, 0, 255)]


def test_the_transparent_colour_of_a_png_lies_over_white():
    grey = Image.fromarray(as_row([7, 9], "uint8"))
    assert first_pixels(encode(grey, "PNG", transparency=7), 2) == [WHITE, (9, 9, 9)]
    colour = Image.fromarray(np.array([[[1, 2, 3], [3, 2, 1]]], dtype=np.uint8))
    assert first_pixels(encode(colour, "PNG", transparency=(1, 2, 3)), 2) == [WHITE, (3, 2, 1)]
    deep = Image.fromarray(as_row([500, 65535 // 5], "uint16"))
    assert first_pixels(encode(deep, "PNG", transparency=500), 2) == [WHITE, (51, 51, 51)]
    assert first_pixels(encode(Image.new("1", (2, 1)), "PNG", transparency=0), 1) == [WHITE]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bit_greys_are_scaled_not_clipped(kind):
    deep = Image.fromarray(as_row([0, 257, 128 * 257, 65535], "uint16"))
    data = encode(deep, kind)
    assert [p[0] for p in first_pixels(data, 4)] == [0, 1, 128, 255]


def test_a_dark_16_bit_image_stays_dark():
    for kind in ("PNG", "PPM"):
        dark = Image.fromarray(as_row([0, 255], "uint16"))
        assert [p[0] for p in first_pixels(encode(dark, kind), 2)] == [0, 1]


def test_byte_orders_of_16_bit_greys():
    little = Image.fromarray(as_row([257 * 10, 257 * 200], "<u2"))
    big = Image.frombytes("I;16B", (2, 1), as_row([257 * 10, 257 * 200], ">u2").tobytes())
    for image in (little, big):
        assert [p[0] for p in first_pixels(image, 2)] == [10, 200]


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        ("int32", [0, 7, 255], [0, 7, 255]),
        ("int32", [0, 257, 65535], [0, 1, 255]),
        ("int32", [0, 50_000, 100_000], [0, 128, 255]),
        ("int32", [-100, 0, 150], [0, 102, 255]),
        ("int32", [-5, -5, -5], [0, 0, 0]),
        ("float32", [0, 0.2, 1], [0, 51, 255]),
        ("float32", [0, 51, 255], [0, 51, 255]),
        ("float32", [0, 257, 65535], [0, 1, 255]),
        ("float32", [-1, 0, 1.5], [0, 102, 255]),
    ],
)
def test_greys_without_a_range_of_their_own(dtype, values, expected):
    found = [p[0] for p in first_pixels(Image.fromarray(as_row(values, dtype)), 3)]
    assert found == expected


def test_deep_greys_are_scaled_the_same_in_every_band():
    values = np.arange(600, dtype=np.uint16)[:, None].repeat(2, axis=1) * 100
    found = np.asarray(decode_image(Image.fromarray(values)))[:, 0, 0]
    assert np.array_equal(found, np.rint(values[:, 0] / 257))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_float_images_need_finite_values(value):
    with pytest.raises(ImageError, match="not finite"):
        decode_image(Image.fromarray(as_row([0.5, value], "float32")))


def test_a_mode_without_reading_is_refused(monkeypatch):
    def refuse(*_args: object, **_options: object) -> None:
        raise ValueError("conversion not supported")

    image = Image.new("CMYK", (2, 2))
    monkeypatch.setattr(image, "convert", refuse)
    with pytest.raises(ImageError, match="mode CMYK"):
        decode_image(image)


def corner_image() -> Image.Image:
    """Black 48x32 px with white in the upper left and red in the upper right corner."""
    image = Image.new("RGB", (48, 32))
    image.paste(WHITE, (0, 0, 16, 16))
    image.paste(RED, (32, 0, 48, 16))
    return image


# Where the stored upper left (white) and upper right (red) corner must end up, as (right, lower).
CORNERS = {
    1: ((0, 0), (1, 0)),
    2: ((1, 0), (0, 0)),
    3: ((1, 1), (0, 1)),
    4: ((0, 1), (1, 1)),
    5: ((0, 0), (0, 1)),
    6: ((1, 0), (1, 1)),
    7: ((1, 1), (1, 0)),
    8: ((0, 1), (0, 0)),
}


@pytest.mark.parametrize("orientation", CORNERS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_is_applied_once(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}
    data = encode(corner_image(), kind, exif=exif, **options.get(kind, {}))
    image = decode_image(data)
    assert image.size == ((48, 32) if orientation < 5 else (32, 48))
    white, red = (
        image.getpixel((right * (image.width - 1), lower * (image.height - 1)))
        for right, lower in CORNERS[orientation]
    )
    assert min(white) > 250
    assert red[0] > 250
    assert max(red[1:]) < 5
    for again in (decode_image(image), decode_image(Image.open(io.BytesIO(data)))):
        assert again.tobytes() == image.tobytes()


@pytest.mark.parametrize("orientation", [0, 9, 300])
def test_unknown_orientations_leave_the_image(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(corner_image(), "PNG", exif=exif)
    assert np.array_equal(decode_image(data), corner_image())


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_broken_exif_leaves_the_image():
    data = encode(corner_image(), "PNG", exif=b"Exif\0\0rubbish that is no TIFF header")
    assert np.array_equal(decode_image(data), corner_image())
