"""Answers as OpenAI's clients read them, whole and in chunks."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any

from qzoom.serve.engine.jobs import Begun
from qzoom.serve.engine.logprobs import TokenLogprob
from qzoom.zoom.answer import ZoomAnswer


class Replies:
    """Makes the objects of one response: they share an id, a time and the model's name."""

    def __init__(self, model_name: str, tokenizer: Any, *, heatmap: bool) -> None:
        self._base = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": model_name,
        }
        self._tokenizer = tokenizer
        self._heatmap = heatmap

    def whole(self, answer: ZoomAnswer, logprobs: list[TokenLogprob] | None) -> dict[str, Any]:
        """The response of a request without streaming."""
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": answer.text},
            "finish_reason": answer.finish_reason,
            "logprobs": None if logprobs is None else {"content": self._logprobs(logprobs)},
        }
        base = self._base | {"object": "chat.completion", "choices": [choice]}
        return base | {"usage": usage_of(answer), "qzoom": self.zoom_of(answer)}

    def first(self, begun: Begun) -> dict[str, Any]:
        """The chunk before any text: what gate and region network decided."""
        ticket, crop = begun.ticket, begun.ticket.crop
        decided = {
            "gate_probability": ticket.gate_probability,
            "zoomed": crop is not None,
            "boxes_xyxy_px": [] if crop is None else [list(crop.box_px_xyxy)],
            "session_reused": begun.reused,
        }
        return self._chunk({"role": "assistant", "content": ""}) | {"qzoom": decided}

    def piece(self, text: str, logprobs: Sequence[TokenLogprob]) -> dict[str, Any]:
        """A chunk of text."""
        return self._chunk({"content": text}, logprobs=logprobs)

    def last(self, answer: ZoomAnswer) -> dict[str, Any]:
        """The chunk after the text."""
        return self._chunk({}, finish=answer.finish_reason) | {"qzoom": self.zoom_of(answer)}

    def usage(self, answer: ZoomAnswer) -> dict[str, Any]:
        """The chunk of `stream_options.include_usage`."""
        chunk = self._base | {"object": "chat.completion.chunk", "choices": []}
        return chunk | {"usage": usage_of(answer)}

    def zoom_of(self, answer: ZoomAnswer) -> dict[str, Any]:
        """The field `qzoom`: what was looked at, in pixels of the upright image."""
        fields: dict[str, Any] = {
            "gate_probability": answer.gate_probability,
            "zoomed": answer.zoomed,
            "image_index": answer.image_index,
            "boxes_xyxy_px": [list(box) for box in answer.boxes_xyxy_px],
            "visual_tokens": answer.usage["visual_tokens"],
            "roi_tokens": answer.usage["roi_tokens"],
            "timings_s": dict(answer.timings_s),
        }
        if self._heatmap:
            heat = answer.heatmap
            fields["heatmap_hw"] = (
                None if heat is None else heat.double().round(decimals=4).tolist()
            )
        return fields

    def _chunk(
        self,
        delta: dict[str, Any],
        *,
        finish: str | None = None,
        logprobs: Sequence[TokenLogprob] = (),
    ) -> dict[str, Any]:
        found = {"content": self._logprobs(logprobs)} if logprobs else None
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": found}
        return self._base | {"object": "chat.completion.chunk", "choices": [choice]}

    def _logprobs(self, found: Sequence[TokenLogprob]) -> list[dict[str, Any]]:
        return [
            self._token(each.token_id, each.logprob)
            | {"top_logprobs": [self._token(*pair) for pair in each.top]}
            for each in found
        ]

    def _token(self, token_id: int, logprob: float) -> dict[str, Any]:
        text = self._tokenizer.decode([token_id])
        # JSON has no infinity; OpenAI writes this for a token that cannot come.
        return {"token": text, "logprob": max(logprob, -9999.0), "bytes": list(text.encode())}


def usage_of(answer: ZoomAnswer) -> dict[str, Any]:
    """Counts of tokens; those of images and crops are part of the prompt's."""
    prompt, new = answer.usage["prompt_tokens"], answer.usage["new_tokens"]
    images = answer.usage["visual_tokens"] + answer.usage["roi_tokens"]
    return {
        "prompt_tokens": prompt,
        "completion_tokens": new,
        "total_tokens": prompt + new,
        "prompt_tokens_details": {"image_tokens": images},
    }
