"""Requests as they come over the wire: OpenAI's chat completions, and `qzoom` beside them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from qzoom.serve import limits

_REFUSED = {
    "tools": "tools are not supported",
    "tool_choice": "tools are not supported",
    "functions": "functions are not supported",
    "function_call": "functions are not supported",
    "logit_bias": "logit_bias is not supported",
    "prompt_embeds": "tensors are not accepted; send text and images",
    "audio": "audio is not supported",
    "chat_template": "the template is the model's own",
    "chat_template_kwargs": "the template is the model's own",
    "mm_processor_kwargs": "the image budget is the server's own",
}
_HARMLESS: tuple[Any, ...] = (None, [], {}, "none", "auto")


class Strict(BaseModel):
    """Unknown fields are left out, infinities refused."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False, frozen=True)


class TextPart(Strict):
    """Text of a message."""

    type: Literal["text"]
    text: str


class ImageUrl(Strict):
    """A data URL, or an https URL of a host that the server allows."""

    url: str
    detail: Literal["auto", "low", "high"] = "auto"


class ImagePart(Strict):
    """An image of a message."""

    type: Literal["image_url"]
    image_url: ImageUrl


Part = Annotated[TextPart | ImagePart, Field(discriminator="type")]


class ChatMessage(Strict):
    """One turn; "developer" is another name of "system"."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[Part], Field(min_length=1, max_length=limits.MAX_PARTS)]

    @property
    def parts(self) -> list[TextPart | ImagePart]:
        """The content in parts."""
        if isinstance(self.content, str):
            return [TextPart(type="text", text=self.content)]
        return self.content


class ZoomFields(BaseModel):
    """How to zoom; what is left out is the model's own.

    direct: never look closer. return_heatmap: send the region network's map back.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

    effort: Literal["low", "medium", "high"] | None = None
    gate_threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    roi_threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    direct: bool = False
    return_heatmap: bool = False


class StreamOptions(Strict):
    """include_usage: one more chunk with the counts of tokens."""

    include_usage: bool = False


Name = Annotated[str, Field(max_length=limits.MAX_NAME_CHARS)]
Stop = Annotated[str, Field(min_length=1, max_length=limits.MAX_STOP_CHARS)]


class ChatRequest(Strict):
    """A chat completion; without `temperature` it is greedy."""

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=limits.MAX_MESSAGES)]
    model: Name | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=limits.MAX_STOPS)] | None = None
    n: Literal[1] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=limits.MAX_TOP_LOGPROBS)] | None = None
    presence_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    frequency_penalty: Annotated[float, Field(ge=0, le=0)] | None = None
    ignore_eos: bool = False
    cache_salt: Name | None = None
    user: Name | None = None
    qzoom: ZoomFields | None = None

    @model_validator(mode="before")
    @classmethod
    def _refuse(cls, data: Any) -> Any:
        """Name what would change the answer and is not there, instead of leaving it out."""
        if isinstance(data, dict):
            for name, reason in _REFUSED.items():
                if name in data and data[name] not in _HARMLESS:
                    raise ValueError(f"{name}: {reason}")
            shape = data.get("response_format")
            if isinstance(shape, dict) and shape.get("type", "text") != "text":
                raise ValueError("response_format: only text is supported")
        return data

    @model_validator(mode="after")
    def _fits(self) -> ChatRequest:
        if self.top_logprobs and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs: true")
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options needs stream: true")
        if self.messages[-1].role == "assistant":
            raise ValueError("the last message must be the user's")
        return self

    @property
    def new_tokens(self) -> int | None:
        """Longest answer asked for."""
        return self.max_completion_tokens or self.max_tokens
