"""Judges behind an OpenAI-compatible endpoint, such as a vLLM or SGLang server."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event
from typing import Any, Final

from qzoom.errors import ConfigError, LabelError
from qzoom.labels.http_post import PostFailure, Response, check_url, post_json
from qzoom.labels.judge import JudgePrompt, Reply

_FATAL: Final = frozenset({401, 403, 404, 405})
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class HttpJudgeSettings:
    """Where a judge is and how it is asked.

    Args:
        base_url: Up to the version, such as "http://localhost:8000/v1".
        model: Name the endpoint knows it by.
        api_key_env: Environment variable that holds the key; None sends no key.
        key_over_http: Allow a key to travel unencrypted to another machine.
        timeout_s: Limit of one whole exchange.
        retries: Tries after the first, on 429, on 5xx, on timeouts and when the network fails.
        backoff_s, max_backoff_s: Wait before the first retry, doubled each time, and its limit.
        concurrency: Requests at a time.
        max_bytes: Largest response read.
        max_tokens: Longest reply.
        extra: Fields of the request to add, or to leave out where None.

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
    concurrency: int = 4
    max_bytes: int = 1 << 20
    max_tokens: int = 16
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parts = check_url(self.base_url)
        for name, least in (
            ("concurrency", 1),
            ("max_bytes", 1),
            ("max_tokens", 1),
            ("retries", 0),
        ):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least {least}")
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


class HttpReplier:
    """Asks an endpoint with bounded threads, waits and retries. Never shows the key."""

    def __init__(self, judge: HttpJudgeSettings) -> None:
        """Read the key, if any.

        Raises:
            ConfigError: If the key's variable is not set or holds what no header can.
        """
        self._judge = judge
        self._url = judge.base_url.rstrip("/") + "/chat/completions"
        self._key = _read_key(judge.api_key_env)

    @property
    def name(self) -> str:
        """Model and settings; not the address, which does not change replies."""
        judge = self._judge
        extra = f" extra={json.dumps(dict(judge.extra), sort_keys=True)}" if judge.extra else ""
        return f"{judge.model} max_tokens={judge.max_tokens}{extra}"

    def replies(self, prompts: Sequence[JudgePrompt]) -> Iterator[Reply]:
        """One reply for each prompt, in order, as soon as it and those before it are there.

        Raises:
            LabelError: If the endpoint refuses every request alike: a bad key, model or path.
        """
        stop = Event()
        pool = ThreadPoolExecutor(self._judge.concurrency, "judge")
        try:
            for future in [pool.submit(self._reply, prompt, stop) for prompt in prompts]:
                yield future.result()
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)

    def _reply(self, prompt: JudgePrompt, stop: Event) -> Reply:
        """Ask until there is an answer, the retries are spent or the run ends."""
        retry = 0
        while True:
            reply, again, asked_s = self._try(prompt)
            if not again or retry == self._judge.retries:
                return reply
            if stop.wait(self._judge.wait_s(retry, asked_s)):
                return reply
            retry += 1

    def _try(self, prompt: JudgePrompt) -> tuple[Reply, bool, float | None]:
        """A reply, whether another try may help, and the wait that was asked for."""
        judge = self._judge
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        try:
            response = post_json(
                self._url,
                _content(judge, prompt),
                headers,
                timeout_s=judge.timeout_s,
                max_bytes=judge.max_bytes,
            )
        except PostFailure as failure:
            timed_out = failure.kind == "timeout"
            reply = Reply(None, "timeout" if timed_out else "error", self._shown(failure.detail))
            return reply, failure.kind != "refused", None
        if response.status == 200:
            return _read_completion(response.body), False, None
        again = response.status == 429 or response.status >= 500
        detail = self._shown(f"status {response.status}: {_start(response)}")
        if not again and (response.status in _FATAL or response.status < 400):
            raise LabelError(f"judge {judge.model} at {judge.base_url} gives {detail}")
        return Reply(None, "error", detail), again, response.retry_after_s

    def _shown(self, text: str) -> str:
        """Text without the key, should the endpoint repeat it."""
        return text.replace(self._key, "[key]") if self._key else text


def _content(judge: HttpJudgeSettings, prompt: JudgePrompt) -> dict[str, Any]:
    content: dict[str, Any] = {
        "model": judge.model,
        "messages": [
            {"role": "system", "content": prompt.system},
            {"role": "user", "content": prompt.user},
        ],
        "temperature": 0,
        "max_tokens": judge.max_tokens,
        **judge.extra,
    }
    return {name: value for name, value in content.items() if value is not None}


def _read_completion(body: bytes) -> Reply:
    try:
        text = json.loads(body)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError, RecursionError):
        text = None
    if isinstance(text, str):
        return Reply(text)
    return Reply(None, "error", f"no chat completion: {body[:80]!r}")


def _start(response: Response) -> str:
    text = response.body[:200].decode(errors="replace")
    return " ".join(text.split()) or "no text"


def _read_key(variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise ConfigError(f"the environment variable {variable} holds no key; set it")
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"the key in {variable} holds characters that no header can carry")
    return key
