"""The gate for images: what it accepts, what it refuses, and that it never gives half an image."""

import io
import os
import random
import struct
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageFile

from qzoom.errors import ImageError
from qzoom.images.decode import ALLOWED_FORMATS, ImageLimits, decode_image


def make_noise(width: int = 50, height: int = 40) -> Image.Image:
    values = np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_header_only(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = b"IDAT" + zlib.compress(b"\0" * 64)
    chunks = [
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in (header, body)
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


ENCODINGS = [
    ("PNG", {}),
    ("JPEG", {}),
    ("JPEG", {"progressive": True}),
    ("WEBP", {}),
    ("WEBP", {"lossless": True}),
    ("GIF", {}),
    ("BMP", {}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_deflate"}),
    ("PPM", {}),
]


@pytest.mark.parametrize(("kind", "options"), ENCODINGS)
def test_every_allowed_format_is_read(kind, options):
    data = encode(make_noise(), kind, **options)
    image = decode_image(data)
    assert image.mode == "RGB"
    assert image.size == (50, 40)
    assert np.array_equal(image, Image.open(io.BytesIO(data)).convert("RGB"))


def test_path_string_bytes_file_and_image_give_the_same(tmp_path):
    source = make_noise()
    data = encode(source, "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(data)
    sources = [path, str(path), data, bytearray(data), io.BytesIO(data), Image.open(path), source]
    for found in map(decode_image, sources):
        assert found.mode == "RGB"
        assert np.array_equal(found, source)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("kind", "options"), ENCODINGS)
def test_a_truncated_image_is_refused_or_whole(kind, options):
    data = encode(make_noise(), kind, **options)
    whole = decode_image(data).tobytes()
    for length in range(1, len(data), 97):
        try:
            image = decode_image(data[:length])
        except ImageError:
            continue
        assert image.tobytes() == whole


def test_a_truncated_image_says_so():
    data = encode(make_noise(), "JPEG")
    with pytest.raises(ImageError, match="damaged or incomplete"):
        decode_image(data[: len(data) // 2])


def test_the_switch_that_lets_half_images_through_is_refused(monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = encode(make_noise(), "JPEG")
    with pytest.raises(ImageError, match="set it to False"):
        decode_image(data[: len(data) // 2])


def message_of(data: bytes) -> str:
    """Return the refusal, or an empty line where the data gives an image."""
    try:
        assert decode_image(data, ImageLimits(max_pixels=10_000)).mode == "RGB"
    except ImageError as error:
        return str(error)
    return ""


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_mutated_bytes_give_an_image_or_one_clear_line():
    chance = random.Random(5)
    for kind, options in ENCODINGS:
        data = encode(make_noise(16, 12), kind, **options)
        for _ in range(40):
            broken = bytearray(data)
            for _ in range(chance.randint(1, 8)):
                broken[chance.randrange(len(broken))] = chance.randrange(256)
            message = message_of(bytes(broken))
            assert "\n" not in message
            assert "0x" not in message


@pytest.mark.parametrize("kind", ["EPS", "ICO", "TGA", "PCX", "JPEG2000"])
def test_formats_off_the_list_are_refused(kind):
    assert kind not in ALLOWED_FORMATS
    with pytest.raises(ImageError, match="allowed are PNG, JPEG"):
        decode_image(encode(make_noise(), kind))


def test_empty_and_foreign_data_are_refused(tmp_path):
    empty = tmp_path / "empty.png"
    empty.touch()
    for source in (b"", io.BytesIO(), empty):
        with pytest.raises(ImageError, match="0 bytes"):
            decode_image(source)
    with pytest.raises(ImageError, match="not a readable image"):
        decode_image(b"%PDF-1.7 and no image at all")
    with pytest.raises(ImageError, match="from int"):
        decode_image(7)
    with pytest.raises(ImageError, match="binary mode"):
        decode_image(io.StringIO("text"))
    closed = io.BytesIO(b"x")
    closed.close()
    with pytest.raises(ImageError, match="open it for reading"):
        decode_image(closed)


def test_paths_that_are_no_image_file_are_refused(tmp_path):
    with pytest.raises(ImageError, match=r"no image file at .*nowhere\.png"):
        decode_image(tmp_path / "nowhere.png")
    with pytest.raises(ImageError, match="is a folder"):
        decode_image(tmp_path)
    with pytest.raises(ImageError, match="cannot read an image file"):
        decode_image("a\0b.png")
    with pytest.raises(ImageError, match="cannot read an image file") as caught:
        decode_image("x" * 100_000)
    assert len(str(caught.value)) < 400


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_pipe_is_refused_without_waiting(tmp_path):
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    with pytest.raises(ImageError, match="not a regular file"):
        decode_image(pipe)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/a.png",
        "HTTPS://example.org/a.png",
        "file:///etc/hosts",
        "s3://b/a.png",
        "data:image/png;base64,AAAA",
    ],
)
def test_urls_are_refused(url):
    with pytest.raises(ImageError, match="not fetched from URLs"):
        decode_image(url)


def test_bytes_limit_counts_what_is_read(tmp_path):
    data = encode(make_noise(), "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(data)
    exact, under = ImageLimits(max_bytes=len(data)), ImageLimits(max_bytes=len(data) - 1)
    for source in (data, path, io.BytesIO(data)):
        decode_image(source, exact)
    for source in (data, path, io.BytesIO(data)):
        with pytest.raises(ImageError, match=f"the limit is {len(data) - 1}"):
            decode_image(source, under)


def test_an_endless_file_stops_at_the_limit():
    class Endless(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            assert 0 <= size <= 1001
            return b"\0" * size

    with pytest.raises(ImageError, match="the limit is 1000"):
        decode_image(Endless(), ImageLimits(max_bytes=1000))


@pytest.mark.parametrize(
    ("width", "height", "message"),
    [
        (12_000, 12_000, "= 144000000 px, the limit is 100000000"),
        (50_000, 50_000, "more pixels than Pillow accepts"),
        (70_000, 1, "the limit is 65535 px a side"),
    ],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_pixel_limits_hold_before_decoding(monkeypatch, width, height, message):
    def never(_self: object) -> None:
        raise AssertionError("decoded an image that is over the limit")

    monkeypatch.setattr(ImageFile.ImageFile, "load", never)
    with pytest.raises(ImageError, match=message):
        decode_image(png_header_only(width, height))


def test_pixel_limit_is_inclusive_and_holds_for_pillow_images():
    image = make_noise(10, 10)
    decode_image(image, ImageLimits(max_pixels=100))
    for source in (image, encode(image, "PNG")):
        with pytest.raises(ImageError, match="10x10 = 100 px, the limit is 99"):
            decode_image(source, ImageLimits(max_pixels=99))
    with pytest.raises(ImageError, match="0x0 px"):
        decode_image(Image.new("RGB", (0, 0)))


def test_one_pixel_is_an_image():
    assert decode_image(encode(make_noise(1, 1), "PNG")).size == (1, 1)


def test_animations_give_their_first_frame():
    frames = [Image.new("RGB", (8, 6), color) for color in ("red", "lime", "blue")]
    for kind, options in (("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})):
        data = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        assert decode_image(data).getpixel((3, 3)) == (255, 0, 0)


def test_a_pillow_image_is_taken_at_its_frame_and_left_alone():
    frames = [Image.new("RGB", (8, 6), color) for color in ("red", "lime")]
    opened = Image.open(io.BytesIO(encode(frames[0], "TIFF", save_all=True, append_images=frames)))
    opened.seek(2)
    assert decode_image(opened).getpixel((0, 0)) == (0, 255, 0)
    assert opened.tell() == 2


def test_the_result_shares_nothing_with_its_source():
    source = Image.new("RGB", (4, 4), "red")
    decode_image(source).putpixel((0, 0), (0, 0, 255))
    assert source.getpixel((0, 0)) == (255, 0, 0)


def test_threads_see_their_own_image():
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    sources = [encode(make_noise(30 + i, 20), "JPEG") for i in range(8)]
    expected = [decode_image(data).tobytes() for data in sources]
    start = threading.Barrier(4)

    def work(_: int) -> list[bytes]:
        start.wait()
        return [decode_image(data).tobytes() for data in sources]

    with ThreadPoolExecutor(4) as pool:
        assert all(found == expected for found in pool.map(work, range(4)))
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)


def test_no_message_names_an_object(tmp_path):
    broken = tmp_path / "a.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    with pytest.raises(ImageError) as caught:
        decode_image(broken)
    assert "<" not in str(caught.value)
