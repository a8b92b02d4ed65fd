"""Requests to an OpenAI-compatible endpoint, with bounded waits and retries."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Event
from time import perf_counter
from typing import Any, Final, Literal

from qzoom.errors import ConfigError
from qzoom.labels.http_post import PostFailure, Response, check_url, post_json

_HOPELESS: Final = frozenset({401, 403, 404, 405})
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_SHOWN_CHARS: Final = 200


@dataclass(frozen=True)
class EndpointSettings:
    """Where an endpoint is and how patiently it is asked.

    Args:
        base_url: Up to the version, such as "http://localhost:8000/v1".
        model: Name the endpoint knows it by.
        api_key_env: Environment variable that holds the key; None sends no key.
        key_over_http: Allow a key to travel unencrypted to another machine.
        timeout_s: Limit of one whole exchange.
        retries: Tries after the first, on 429, on 5xx, on timeouts and when the network fails.
        backoff_s, max_backoff_s: Wait before the first retry, doubled each time, and its limit.
        max_bytes: Largest response read.

    Raises:
        ConfigError: If a setting is out of range or the URL is not one of http or https.
    """

    base_url: str
    model: str
    api_key_env: str | None = None
    key_over_http: bool = False
    timeout_s: float = 60.0
    retries: int = 4
    backoff_s: float = 1.0
    max_backoff_s: float = 30.0
    max_bytes: int = 1 << 20

    def __post_init__(self) -> None:
        parts = check_url(self.base_url)
        self._check_least(max_bytes=1, retries=0)
        for name in ("timeout_s", "backoff_s", "max_backoff_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and (value > 0 or (value == 0 and name != "timeout_s"))):
                raise ConfigError(f"{name} is {value}; it must be a number of seconds above 0")
        exposed = parts.scheme == "http" and parts.hostname not in _LOCAL
        if self.api_key_env and exposed and not self.key_over_http:
            raise ConfigError(
                f"the key would travel unencrypted to {parts.hostname}; use https, or set "
                "key_over_http"
            )

    def wait_s(self, retry: int, asked_s: float | None) -> float:
        """Seconds before a retry: what the endpoint asks for, else doubled each time."""
        wanted = self.backoff_s * 2.0**retry if asked_s is None else asked_s
        return min(wanted, self.max_backoff_s)

    def _check_least(self, **least_of: int) -> None:
        for name, least in least_of.items():
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least {least}")


@dataclass(frozen=True)
class Exchange:
    """What became of a request.

    body: of a response with status 200; None where there was none.
    failure, detail: why not, where there is no body; the detail is one line.
    status: of the last response; None where none came.
    hopeless: every other request would be refused alike: a bad key, model or path.
    seconds: that the last try took.
    """

    body: bytes | None
    seconds: float
    status: int | None = None
    failure: Literal["timeout", "error"] = "error"
    detail: str = ""
    hopeless: bool = False


class ChatEndpoint:
    """Asks for chat completions and never shows the key; threads may share it."""

    def __init__(self, settings: EndpointSettings) -> None:
        """Read the key, if any.

        Raises:
            ConfigError: If the key's variable is not set or holds what no header can.
        """
        self.settings = settings
        self._url = settings.base_url.rstrip("/") + "/chat/completions"
        self._key = _read_key(settings.api_key_env)

    def ask(self, content: Mapping[str, Any], stop: Event | None = None) -> Exchange:
        """Ask until there is a response, the retries are spent or `stop` is set."""
        stop = stop or Event()
        retry = 0
        while True:
            exchange, again, asked_s = self._try(content)
            if not again or retry == self.settings.retries:
                return exchange
            if stop.wait(self.settings.wait_s(retry, asked_s)):
                return exchange
            retry += 1

    def excerpt(self, body: bytes) -> str:
        """The beginning of a body in one line, without the key, should the endpoint repeat it."""
        return self._shown(body.decode(errors="replace")) or "no text"

    def _try(self, content: Mapping[str, Any]) -> tuple[Exchange, bool, float | None]:
        """What came of one try, whether another may help, and the wait that was asked for."""
        settings = self.settings
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        begun = perf_counter()
        try:
            response = post_json(
                self._url,
                content,
                headers,
                timeout_s=settings.timeout_s,
                max_bytes=settings.max_bytes,
            )
        except PostFailure as failed:
            lost = Exchange(
                None,
                perf_counter() - begun,
                failure="timeout" if failed.kind == "timeout" else "error",
                detail=self._shown(failed.detail),
            )
            return lost, failed.kind != "refused", None
        seconds = perf_counter() - begun
        if response.status == 200:
            return Exchange(response.body, seconds, 200), False, None
        again = response.status == 429 or response.status >= 500
        return self._refusal(response, seconds, again), again, response.retry_after_s

    def _refusal(self, response: Response, seconds: float, again: bool) -> Exchange:
        detail = f"status {response.status}: {self.excerpt(response.body)}"
        hopeless = not again and (response.status in _HOPELESS or response.status < 400)
        return Exchange(None, seconds, response.status, detail=detail, hopeless=hopeless)

    def _shown(self, text: str) -> str:
        # The key goes before the cut, which could leave half of it.
        hidden = text.replace(self._key, "[key]") if self._key else text
        return " ".join(hidden[: 4 * _SHOWN_CHARS].split())[:_SHOWN_CHARS]


def _read_key(variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise ConfigError(f"the environment variable {variable} holds no key; set it")
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"the key in {variable} holds characters that no header can carry")
    return key
