"""Judges behind an OpenAI-compatible endpoint, such as a vLLM or SGLang server."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from qzoom.errors import LabelError
from qzoom.labels.http_endpoint import ChatEndpoint, EndpointSettings
from qzoom.labels.judge import JudgePrompt, Reply


@dataclass(frozen=True)
class HttpJudgeSettings(EndpointSettings):
    """Where a judge is and how it is asked.

    Args:
        concurrency: Requests at a time.
        max_tokens: Longest reply.
        extra: Fields of the request to add, or to leave out where None.

    Raises:
        ConfigError: If a setting is out of range or the URL is not one of http or https.
    """

    concurrency: int = 4
    max_tokens: int = 16
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_least(concurrency=1, max_tokens=1)


class HttpReplier:
    """Asks an endpoint with bounded threads, waits and retries. Never shows the key."""

    def __init__(self, judge: HttpJudgeSettings) -> None:
        """Read the key, if any.

        Raises:
            ConfigError: If the key's variable is not set or holds what no header can.
        """
        self._judge = judge
        self._endpoint = ChatEndpoint(judge)

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
        judge = self._judge
        exchange = self._endpoint.ask(_content(judge, prompt), stop)
        if exchange.body is not None:
            return self._read(exchange.body)
        if exchange.hopeless:
            raise LabelError(f"judge {judge.model} at {judge.base_url} gives {exchange.detail}")
        return Reply(None, exchange.failure, exchange.detail)

    def _read(self, body: bytes) -> Reply:
        try:
            text = json.loads(body)["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError, RecursionError):
            text = None
        if isinstance(text, str):
            return Reply(text)
        return Reply(None, "error", f"no chat completion: {self._endpoint.excerpt(body)!r}")


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
