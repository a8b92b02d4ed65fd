"""A parsed request turned into what the engine takes: images, prompt, options. Runs in a thread."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from qzoom.errors import QZoomError
from qzoom.serve.engine.engine import Engine
from qzoom.serve.engine.jobs import Prepared
from qzoom.serve.errors import ServeError
from qzoom.serve.limits import Limits
from qzoom.serve.media import images_of
from qzoom.serve.schemas import ChatMessage, ChatRequest, TextPart
from qzoom.zoom.chat import Message, Picture, conversation_ids
from qzoom.zoom.model import ZoomModel
from qzoom.zoom.options import AskOptions
from qzoom.zoom.prompt import PromptLayout, lay_out

_AHEAD = 2


@dataclass(frozen=True)
class Preparer:
    """What preparing a request needs besides it.

    hosts: that images are fetched from; empty fetches none.
    """

    engine: Engine
    hosts: frozenset[str] = frozenset()

    @property
    def model(self) -> ZoomModel:
        """What will answer."""
        return self.engine.model

    @property
    def limits(self) -> Limits:
        """Of the server."""
        return self.engine.limits

    def __call__(self, request: ChatRequest, caller: str) -> Prepared:
        """Decode, tokenize and check.

        Args:
            caller: whose images these are; sessions are never shared between callers.

        Raises:
            ServeError: for a request that cannot be answered as it is.
        """
        self._check_text(request)
        urls = [
            part.image_url.url
            for message in request.messages
            for part in message.parts
            if not isinstance(part, TextPart)
        ]
        try:
            options = self.model.options(**self._options(request))
            images = images_of(urls, self.hosts, self.limits)
            layout = self._lay_out(request, images)
            key = _session_key(caller, request.cache_salt, images, layout)
            pixels = self.model.pipeline(images) if self._soon_needed(key) else None
        except QZoomError as error:
            raise ServeError(400, str(error)) from None
        top = (request.top_logprobs or 0) if request.logprobs else None
        return Prepared(layout, images, pixels, options, key, top)

    def _soon_needed(self, key: str | None) -> bool:
        """Whether patches are worth making here; those of a long queue would fill the memory."""
        known = key is None or key in self.engine.sessions
        return not known and self.engine.queued < _AHEAD

    def _check_text(self, request: ChatRequest) -> None:
        chars = sum(
            len(part.text)
            for message in request.messages
            for part in message.parts
            if isinstance(part, TextPart)
        )
        if chars > self.limits.max_text_chars:
            most = self.limits.max_text_chars
            raise ServeError(400, f"the messages hold {chars} characters; the limit is {most}")
        new, most = request.new_tokens, self.limits.max_new_tokens
        if new is not None and new > most:
            raise ServeError(400, f"max_tokens is {new}; the limit is {most}", param="max_tokens")

    def _options(self, request: ChatRequest) -> AskOptions:
        zoom = request.qzoom
        given: dict[str, Any] = {
            "max_new_tokens": request.new_tokens or self.limits.default_new_tokens,
            "temperature": request.temperature or 0.0,
            "stop": request.stop,
            "seed": None if request.seed is None else request.seed % 2**64,
        }
        given |= {"eos_token_id": []} if request.ignore_eos else {}
        for name in ("top_p", "repetition_penalty"):
            if getattr(request, name) is not None:
                given[name] = getattr(request, name)
        if zoom is not None:
            given |= {"effort": zoom.effort, "gate_threshold": zoom.gate_threshold}
            given |= {"roi_threshold": zoom.roi_threshold}
            given |= {"zoom": "never"} if zoom.direct else {}
        options: AskOptions = given  # type: ignore[assignment]
        return options

    def _lay_out(self, request: ChatRequest, images: Sequence[Image.Image]) -> PromptLayout:
        ids, grids_hw = self.model.parts.ids, [self.model.grid_of(image) for image in images]
        cells = sum(rows * cols for rows, cols in grids_hw)
        most = self.limits.max_prompt_tokens
        if cells > most:
            raise ServeError(400, f"the images take {cells} tokens; the limit is {most} a prompt")
        messages = [_message(message) for message in request.messages]
        tokenizer = self.model.require_tokenizer()
        layout = lay_out(conversation_ids(tokenizer, messages, grids_hw, ids.image), grids_hw, ids)
        if layout.length > most:
            raise ServeError(400, f"the prompt has {layout.length} tokens; the limit is {most}")
        return layout


def _message(message: ChatMessage) -> Message:
    role = "system" if message.role == "developer" else message.role
    parts = [part.text if isinstance(part, TextPart) else Picture() for part in message.parts]
    return Message(role, parts)


def _session_key(
    caller: str, salt: str | None, images: Sequence[Image.Image], layout: PromptLayout
) -> str | None:
    """A digest of everything that the rows of a prefix depend on, and of whose they are."""
    if not images:
        return None
    digest = hashlib.sha256()
    for text in (caller, salt or ""):
        digest.update(hashlib.sha256(text.encode()).digest())
    digest.update(layout.input_ids[: layout.prefix_length].numpy().tobytes())
    for image in images:
        # The pixels as decoded: size and mode come first, so that no two images share bytes.
        digest.update(f"{image.mode} {image.width} {image.height} ".encode())
        digest.update(image.tobytes())
    return digest.hexdigest()
