"""qzoom as a model of lmms-eval: `lmms-eval --model qzoom --model_args pretrained=...`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from importlib import import_module
from itertools import groupby
from typing import Any, Final

import torch
from PIL import Image

from qzoom.errors import DataError, QZoomError
from qzoom.eval.adapters.generation import options_of, without_images
from qzoom.eval.adapters.model_args import HarnessArgs, read_args
from qzoom.eval.adapters.zoom_log import ZoomLog
from qzoom.images.decode import ImageSource
from qzoom.zoom.answer import ZoomAnswer
from qzoom.zoom.model import ZoomModel
from qzoom.zoom.options import AskOptions

_harness: Any = import_module("lmms_eval.api.model")
_instance: Any = import_module("lmms_eval.api.instance")
_utils: Any = import_module("lmms_eval.utils")
_tqdm: Any = import_module("tqdm")
_metrics: Any = import_module("lmms_eval.models.model_utils.gen_metrics")

_ONLY_GENERATION: Final = (
    "qzoom answers by generating, not by {}; choose a task whose output_type is generate_until"
)


class QzoomModel(_harness.lmms):  # type: ignore[misc]
    """Answers `generate_until` requests, in batches where `batch_size` is above 1."""

    is_simple = True

    def __init__(self, **model_args: Any) -> None:
        """Load the model.

        Args:
            model_args: fields of `HarnessArgs`.

        Raises:
            QZoomError: for an argument that is unknown or wrong, and for a model that cannot be
                loaded or asked in this way.
        """
        super().__init__()
        args = read_args(model_args)
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            args = self._join_processes(args)
        self._args = args
        self._log = ZoomLog(args.log_zoom)
        self._ask: AskOptions = args.ask_options()
        self.device: torch.device = self.model.device

    @classmethod
    def create_from_arg_string(
        cls, arg_string: str, additional_config: dict[str, Any] | None = None
    ) -> QzoomModel:
        """Make it from `--model_args`, which go before the harness's own options."""
        return cls(**(additional_config or {}) | _utils.simple_parse_args_string(arg_string))

    @cached_property
    def model(self) -> ZoomModel:
        """The model, loaded again where the harness had it let go."""
        return self._args.load()

    @property
    def batch_size(self) -> int:
        """Questions at a time."""
        return self._args.batch_size

    def clean(self) -> None:
        """Let go of the weights, for a judge that needs the memory."""
        self.__dict__.pop("model", None)
        super().clean()

    def generate_until(self, requests: list[Any]) -> list[Any]:
        """Texts and token counts, in the order of the requests.

        Raises:
            QZoomError: naming task and documents, for what cannot be asked.
        """
        results, usages = [], []
        seconds = 0.0
        with _tqdm.tqdm(total=len(requests), disable=self.rank != 0, desc="qzoom") as bar:
            for batch in _batches([request.args for request in requests], self.batch_size):
                found = self._answer(batch)
                seconds += found[0].timings_s["total"]
                usages += [answer.usage | {"zoomed": answer.zoomed} for answer in found]
                results += [
                    self._result(args, answer) for args, answer in zip(batch, found, strict=True)
                ]
                bar.update(len(batch))
        _report(usages, seconds)
        return results

    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
        """Not supported."""
        raise NotImplementedError(_ONLY_GENERATION.format("scoring continuations"))

    def generate_until_multi_round(self, requests: list[Any]) -> list[str]:
        """Not supported."""
        raise NotImplementedError(_ONLY_GENERATION.format("dialogues of several rounds"))

    def _answer(self, batch: Sequence[tuple[Any, ...]]) -> list[ZoomAnswer]:
        _, kwargs, _, _, task, split = batch[0]
        ids = [args[3] for args in batch]
        try:
            options = options_of(kwargs, self._ask)
            if options.get("temperature"):
                # From the generator that the harness seeds, and another one for every repeat.
                options["seed"] = int(torch.randint(1 << 62, ()))
            pairs = [(self._pictures(args), without_images(args[0])) for args in batch]
            answers = self.model.ask_many(pairs, **options)
        except QZoomError as error:
            shown = ", ".join(map(str, ids))
            raise type(error)(f"{task}, {split}, document {shown}: {error}") from None
        for doc_id, answer in zip(ids, answers, strict=True):
            self._log.add(answer, len(batch), task=task, split=split, doc_id=doc_id)
        return answers

    def _pictures(self, args: tuple[Any, ...]) -> list[ImageSource]:
        _, _, doc_to_visual, doc_id, task, split = args
        visuals = doc_to_visual(self.task_dict[task][split][doc_id])
        for visual in visuals or ():
            if not isinstance(visual, (Image.Image, str)):
                raise DataError(f"a visual is a {type(visual).__name__}; qzoom reads pictures only")
        return list(visuals or ())

    def _result(self, args: tuple[Any, ...], answer: ZoomAnswer) -> Any:
        self.cache_hook.add_partial("generate_until", (args[0], args[1]), answer.text)
        usage = answer.usage
        counts = _instance.TokenCounts(usage["prompt_tokens"], usage["new_tokens"])
        return _instance.GenerationResult(answer.text, counts)

    def _join_processes(self, args: HarnessArgs) -> HarnessArgs:
        """Take this process's part under accelerate or torchrun: its device and its own log."""
        self.accelerator = import_module("accelerate").Accelerator()
        self._rank, self._world_size = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE"))
        device = str(self.accelerator.device) if args.device in (None, "cuda") else args.device
        log = f"{args.log_zoom}.{self._rank}" if args.log_zoom and self._rank else args.log_zoom
        return replace(args, device=device, log_zoom=log)


def _batches(requests: list[tuple[Any, ...]], size: int) -> Iterator[list[tuple[Any, ...]]]:
    """Consecutive requests of one task with the same arguments; one at a time where they sample."""
    for _, group in groupby(requests, key=_shared):
        same = list(group)
        step = 1 if options_of(same[0][1], AskOptions()).get("temperature") else size
        yield from (same[start : start + step] for start in range(0, len(same), step))


def _shared(args: tuple[Any, ...]) -> str:
    kwargs: Mapping[str, Any] = args[1]
    return json.dumps([args[4], args[5], kwargs], sort_keys=True, default=str)


def _report(usages: list[dict[str, int]], seconds: float) -> None:
    """Speed, and mean tokens and share of zooms, for the harness's own table."""
    if not usages:
        return
    totals = {name: sum(usage[name] for usage in usages) for name in usages[0]}
    new_tokens = totals["new_tokens"]
    more: dict[str, float] = {"total_requests": len(usages)}
    for name in ("visual_tokens", "roi_tokens", "zoomed"):
        more[name] = totals[name] / len(usages)
    _metrics.log_metrics(seconds, new_tokens, new_tokens / seconds if seconds else 0.0, more)
