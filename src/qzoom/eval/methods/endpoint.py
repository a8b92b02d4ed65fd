"""Any model behind an OpenAI-compatible endpoint: nothing is loaded here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from PIL import Image

from qzoom.errors import ConfigError, ImageError, LabelError
from qzoom.eval.methods.base import Told
from qzoom.eval.methods.endpoint_reply import read_reply
from qzoom.eval.methods.registry import MethodOptions
from qzoom.geometry.boxes import BoxLike
from qzoom.images.data_url import data_url
from qzoom.labels.http_endpoint import ChatEndpoint, EndpointSettings
from qzoom.settings import read_settings

_OF_ONE_REQUEST: Final = frozenset({400, 413, 415, 422})
_RESERVED: Final = ("model", "messages", "stream", "n")
_JPEG_QUALITY: Final = 95


@dataclass(frozen=True)
class EndpointOptions:
    """What `MethodOptions.extra` may hold.

    base_url, model: where, up to the version, and the name the endpoint knows the model by.
    api_key_env: environment variable of the key; key_over_http lets it travel unencrypted.
    timeout_s: limit of one exchange; max_retries: tries after the first.
    max_bytes: largest response read.
    image_format: "png" is lossless; "jpeg" (quality 95) is smaller and changes pixels.
    extra_body: fields of the request to add, or to leave out where null.
    """

    base_url: str = ""
    model: str = ""
    api_key_env: str | None = None
    key_over_http: bool = False
    timeout_s: float = 120.0
    max_retries: int = 4
    max_bytes: int = 1 << 20
    image_format: Literal["png", "jpeg"] = "png"
    extra_body: Mapping[str, Any] = field(default_factory=dict)

    def settings(self) -> EndpointSettings:
        """As the HTTP client takes them."""
        return EndpointSettings(
            self.base_url,
            self.model,
            self.api_key_env,
            self.key_over_http,
            self.timeout_s,
            self.max_retries,
            max_bytes=self.max_bytes,
        )


@dataclass(frozen=True)
class EndpointMethod:
    """Questions as chat completions, greedy, the pictures before the text.

    Tokens of the picture are those that the response's `qzoom` field tells, else 0; prompt tokens
    are those of its `usage`. Seconds are those of the exchange as seen from here.
    """

    options: EndpointOptions
    endpoint: ChatEndpoint
    name: str = "endpoint"

    def open(self, images: Sequence[Image.Image]) -> EndpointOpened:
        """Encode the pictures once."""
        return EndpointOpened(self, [self._encoded(each) for each in images])

    def _encoded(self, image: Image.Image) -> str:
        if self.options.image_format == "png":
            return data_url(image, "png", compress_level=1)
        return data_url(image, "jpeg", quality=_JPEG_QUALITY)

    def settings(self) -> dict[str, Any]:
        """Model, host and request; neither port nor key, which do not change replies."""
        return {
            "model": self.options.model,
            "host": urlsplit(self.options.base_url).hostname,
            "image_format": self.options.image_format,
            "extra_body": dict(self.options.extra_body),
        }


@dataclass(frozen=True)
class EndpointOpened:
    """Encoded pictures and where they go."""

    method: EndpointMethod
    data_urls: Sequence[str]

    def ask(self, prompt: str, max_new_tokens: int, boxes_px_xyxy: Sequence[BoxLike] = ()) -> Told:
        """Answer; where the answer is plays no part.

        Raises:
            ImageError: when the endpoint refuses this request alone, as it does a large picture.
            LabelError: when no answer comes of any try, or what comes is no chat completion.
        """
        options, endpoint = self.method.options, self.method.endpoint
        exchange = endpoint.ask(self._content(prompt, max_new_tokens))
        if exchange.body is None:
            kind = ImageError if exchange.status in _OF_ONE_REQUEST else LabelError
            raise kind(f"{options.model} at {options.base_url} gives {exchange.detail}")
        told = read_reply(exchange.body, exchange.seconds)
        if isinstance(told, str):
            shown = endpoint.excerpt(exchange.body)
            raise LabelError(f"{options.model} at {options.base_url} gives {told}: {shown!r}")
        return told

    def _content(self, prompt: str, max_new_tokens: int) -> dict[str, Any]:
        pictures = [{"type": "image_url", "image_url": {"url": url}} for url in self.data_urls]
        content: dict[str, Any] = {
            "model": self.method.options.model,
            "messages": [
                {"role": "user", "content": [*pictures, {"type": "text", "text": prompt}]}
            ],
            "temperature": 0,
            "max_tokens": max_new_tokens,
            **self.method.options.extra_body,
        }
        return {name: value for name, value in content.items() if value is not None}


def build(options: MethodOptions) -> EndpointMethod:
    """The method as `MethodOptions.extra` describes it.

    Raises:
        ConfigError: for a setting that is unknown, missing, of another type or out of range, and
            for thresholds, which the endpoint's own model has.
    """
    for name in ("gate_threshold", "roi_threshold"):
        if getattr(options, name) is not None:
            raise ConfigError(f"endpoint takes no {name}; send it as a field of extra_body")
    read = _read(options.extra or {})
    return EndpointMethod(read, ChatEndpoint(read.settings()))


def _read(extra: Mapping[str, Any]) -> EndpointOptions:
    read = read_settings(extra, EndpointOptions, "endpoint")
    for name in ("base_url", "model"):
        if not getattr(read, name):
            raise ConfigError(f"endpoint needs {name}; give --set {name}=...")
    for name in _RESERVED:
        if name in read.extra_body:
            raise ConfigError(f"extra_body holds {name!r}, which is not its to set; drop it")
    return read
