"""Plain transformers as contenders: from scratch, with a prefix cache, and two prefills."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from qzoom.bench.prompts import Prompt, batched
from qzoom.bench.subject import Subject
from qzoom.geometry.boxes import Box


@dataclass
class Plain:
    """The untouched model; each method answers greedily with `new_tokens` tokens."""

    subject: Subject
    new_tokens: int

    def direct(self, *prompts: Prompt) -> Tensor:
        """One look, everything from scratch."""
        return self._generate(batched([prompt.inputs for prompt in prompts]))

    def zoomed(self, box_cells_xyxy: Box, *prompts: Prompt) -> Tensor:
        """A pass over the picture, which decides, and another over picture and crop."""
        with torch.inference_mode():
            self._model(
                **batched([prompt.inputs for prompt in prompts]), logits_to_keep=1, use_cache=True
            )
        return self._generate(batched([prompt.with_crop(box_cells_xyxy) for prompt in prompts]))

    def prefix_cache(self, prompt: Prompt) -> DynamicCache:
        """Keys and values of everything up to the picture's last cell."""
        with torch.inference_mode():
            cache = DynamicCache(config=self._model.config)
            inputs, count = prompt.inputs, prompt.prefix_length
            cut = ("input_ids", "attention_mask", "mm_token_type_ids")
            first = {n: v[:, :count] if n in cut else v for n, v in inputs.items()}
            self._model(**first, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return cache

    def cached(self, cache: DynamicCache, prompt: Prompt) -> Tensor:
        """A later question over a prefix, whose cache is left as it was."""
        count = prompt.prefix_length
        tokens = []
        with torch.inference_mode():
            step_ids = prompt.input_ids[None, count:].to(self._model.device)
            place = max(prompt.grid_hw) + _text_before(prompt)
            for _ in range(self.new_tokens):
                positions = torch.arange(place, place + step_ids.shape[1], device=step_ids.device)
                out = self._model(
                    input_ids=step_ids,
                    position_ids=positions.expand(3, 1, -1),
                    past_key_values=cache,
                    use_cache=True,
                    logits_to_keep=1,
                )
                place += step_ids.shape[1]
                step_ids = out.logits[:, -1].argmax(-1, keepdim=True)
                tokens.append(step_ids)
            cache.crop(count - cache.get_seq_length())
        return torch.cat(tokens, 1)

    def _generate(self, inputs: dict[str, Any]) -> Tensor:
        sequences: Tensor = self._model.generate(
            **inputs, max_new_tokens=self.new_tokens, do_sample=False
        )
        return sequences[:, -self.new_tokens :]

    @property
    def _model(self) -> Any:
        return self.subject.plain


def _text_before(prompt: Prompt) -> int:
    """Rows before the picture's first cell."""
    rows, cols = prompt.grid_hw
    return prompt.prefix_length - rows * cols
