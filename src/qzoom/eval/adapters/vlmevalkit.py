"""qzoom as a model of VLMEvalKit; see `register`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any

from qzoom.errors import ConfigError, DataError, QZoomError
from qzoom.eval.adapters.model_args import read_args
from qzoom.eval.adapters.zoom_log import ZoomLog

Message = Sequence[dict[str, str]]


class _Standing:
    """What VLMEvalKit's base class gives a model, where VLMEvalKit is not installed."""

    def set_dump_image(self, dump_image_func: Callable[..., Any]) -> None:
        """Take what writes a row's pictures to files; prompts are the harness's own here."""
        self.dump_image_func = dump_image_func

    def generate(self, message: Message, dataset: str | None = None) -> str:
        """Answer a message."""
        text: str = self.generate_inner(message, dataset)  # type: ignore[attr-defined]
        return text


def _base() -> Any:
    try:
        return import_module("vlmeval.vlm.base").BaseModel
    except ModuleNotFoundError as error:
        if error.name != "vlmeval":  # installed, but something it needs is not
            raise
        return _Standing


class QzoomVLM(_base()):  # type: ignore[misc]
    """Answers messages greedily: all their pictures, in order, then their texts.

    INTERLEAVE: False, since a text between two pictures loses its place.
    """

    INTERLEAVE = False

    def __init__(self, *, use_vllm: bool = False, **model_args: Any) -> None:
        """Load the model.

        Args:
            use_vllm: what VLMEvalKit tells models whose name says Qwen2.5-VL, asked for or not.
            model_args: fields of `HarnessArgs`.

        Raises:
            QZoomError: for an argument that is unknown or wrong, and for a model that cannot be
                loaded or asked in this way.
        """
        super().__init__()
        if use_vllm:
            raise ConfigError("use_vllm is set; qzoom answers by itself: leave out --use-vllm")
        args = read_args(model_args)
        self.model = args.load()
        self._ask = args.ask_options()
        self._log = ZoomLog(args.log_zoom)

    def use_custom_prompt(self, dataset: str | None) -> bool:
        """Whether prompts are the model's own: no, they are those of the dataset."""
        return False

    def generate_inner(self, message: Message, dataset: str | None = None) -> str:
        """The answer to a message.

        Args:
            message: parts with "type" ("image" or "text") and "value" (a path, or the text).

        Raises:
            QZoomError: naming dataset and pictures, for a part of another type, a picture that
                cannot be read, or no text.
        """
        for part in message:
            if part["type"] not in ("image", "text"):
                raise DataError(
                    f"{dataset}: a part is of type {part['type']!r}; qzoom reads pictures"
                )
        pictures = [part["value"] for part in message if part["type"] == "image"]
        text = "\n".join(part["value"] for part in message if part["type"] == "text")
        try:
            answer = self.model.open(pictures).ask(text, **self._ask)
        except QZoomError as error:
            raise type(error)(f"{dataset}, pictures {pictures}: {error}") from None
        self._log.add(answer, 1, dataset=dataset, pictures=pictures)
        return answer.text


def register(name: str = "qzoom", **model_args: Any) -> None:
    """Let VLMEvalKit know qzoom under a name, before its `run.py` looks for it.

    Raises:
        ModuleNotFoundError: when VLMEvalKit is not installed.
        ConfigError: for an argument that is unknown or wrong.
    """
    read_args(model_args)
    import_module("vlmeval.config").supported_VLM[name] = partial(QzoomVLM, **model_args)
