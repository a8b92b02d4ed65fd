"""Every limit of the server, in one place; docs/security.md has the same table."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

from qzoom.errors import ConfigError
from qzoom.images.decode import ImageLimits

MEGABYTE: Final = 1_000_000
FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF")
"""Formats that are decoded; of an animation the first frame."""

MAX_MESSAGES: Final = 64
MAX_PARTS: Final = 64
MAX_STOPS: Final = 4
MAX_STOP_CHARS: Final = 64
MAX_TOP_LOGPROBS: Final = 20
MAX_NAME_CHARS: Final = 256
MAX_HEADER_BYTES: Final = 16 * 1024


@dataclass(frozen=True)
class Limits:
    """What one request, and all of them together, may take.

    head_s: seconds until a connection has sent the head of a request.
    max_body_bytes, body_s: size of a request's body, and seconds until it is there.
    max_images, max_image_bytes, max_image_pixels: of a request; size as sent, area as decoded.
    min_image_side_px: shorter side of an image.
    max_decoded_bytes: all images of a request as decoded, 3 bytes per pixel.
    fetch_s: seconds for one image URL, from looking up its host to the last byte in.
    max_text_chars: all text of a request.
    max_new_tokens, default_new_tokens: longest answer, and where the request does not say.
    max_prompt_tokens: text and image cells of a request, before a crop.
    max_queue: requests that wait; more are told to come back.
    max_pending_bytes: decoded images of all requests that wait or are answered, 3 bytes per pixel.
    max_batch: answers that are written at once.
    max_slots: slots of keys and values of the answers being written: their number, by the longest
        of them with its prompt and crop; one alone is always written.
    turn_s: seconds of prefill between two tokens of the answers being written; a step of a prefill
        that has begun is ended.
    deadline_s: seconds from the arrival of a request to the end of its answer.
    keep_alive_s: silence in a stream after which a comment is sent.
    grace_s: seconds that a stopping server gives to what it has begun.
    cache_bytes: keys and values kept of images asked about before.
    picture_cache_bytes: decoded images kept, 3 bytes per pixel.
    """

    head_s: float = 10.0
    max_body_bytes: int = 20 * MEGABYTE
    body_s: float = 30.0
    max_images: int = 8
    max_image_bytes: int = 20 * MEGABYTE
    max_image_pixels: int = 64_000_000
    min_image_side_px: int = 28
    max_decoded_bytes: int = 256 * MEGABYTE
    fetch_s: float = 5.0
    max_text_chars: int = 65_536
    max_new_tokens: int = 4096
    default_new_tokens: int = 256
    max_prompt_tokens: int = 16_384
    max_queue: int = 64
    max_pending_bytes: int = 1024 * MEGABYTE
    max_batch: int = 8
    max_slots: int = 65_536
    turn_s: float = 0.1
    deadline_s: float = 120.0
    keep_alive_s: float = 15.0
    grace_s: float = 30.0
    cache_bytes: int = 512 * MEGABYTE
    picture_cache_bytes: int = 128 * MEGABYTE

    def __post_init__(self) -> None:
        from_nothing = {"cache_bytes", "picture_cache_bytes", "grace_s", "turn_s"}
        for field in fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name in from_nothing else 1
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value < least:
                raise ConfigError(f"limit {field.name} is {value!r}; give at least {least}")
        if self.default_new_tokens > self.max_new_tokens:
            raise ConfigError(
                f"default_new_tokens is {self.default_new_tokens}, above max_new_tokens "
                f"{self.max_new_tokens}"
            )

    @property
    def image(self) -> ImageLimits:
        """Those of the decoder."""
        return ImageLimits(self.max_image_bytes, self.max_image_pixels, formats=FORMATS)
