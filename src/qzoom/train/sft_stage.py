"""Post-SFT (stage 2): the trunk learns to answer with a crop in its prompt (sec. III-D).

Shapes: T target tokens of a batch, prompt after prompt; V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from qzoom.data.images import ImageFolder
from qzoom.errors import ConfigError
from qzoom.images.pipeline import ImagePipeline
from qzoom.train.epochs import epoch_places
from qzoom.train.loader import Batch
from qzoom.train.pictures import none_left, usable
from qzoom.train.sft_batch import Looks, TaughtPrompt, pack_taught, run_of, taught_ids
from qzoom.train.sft_recipe import SftRecipe
from qzoom.train.sft_samples import SftSample
from qzoom.train.sft_weights import trained_modules
from qzoom.train.step_report import SAMPLES, WEIGHT
from qzoom.zoom.model import ZoomModel


@dataclass(frozen=True)
class Forced:
    """What a teacher-forced batch predicts.

    logits_tv: float32; labels_t: the tokens to learn; prompt_t: the prompt of each.
    """

    logits_tv: Tensor
    labels_t: Tensor
    prompt_t: Tensor


class SftStage:
    """Batches of samples and the cross-entropy of their answers, end tokens included.

    A prompt is the one that the engine has built when it answers: with a crop, the source's cells,
    the crop's at the positions that the model's configuration gives them, question and header.
    `modules` are what it trains; see `trained_modules`.
    """

    name = "sft"

    def __init__(
        self,
        model: ZoomModel,
        samples: Sequence[SftSample],
        images: ImageFolder,
        recipe: SftRecipe,
    ) -> None:
        """Freeze what the recipe does not train.

        Raises:
            ConfigError: For samples with crops on a plain backbone, or a model whose end token is
                not known.
        """
        if not model.config.enabled and any(sample.crop_px_xyxy for sample in samples):
            raise ConfigError(
                f"{model.name} is a plain backbone and looks at no crop; give it an adapter, or "
                "samples without box_px_xyxy"
            )
        self.parts, self.tokenizer = model.parts, model.require_tokenizer()
        self.samples, self.images, self.recipe = samples, images, recipe
        self.end_id = _end_token(model)
        self._pipelines: dict[int | None, ImagePipeline] = {None: model.pipeline} | {
            cells: model.with_budget(max_cells=cells).pipeline
            for cells in {sample.cells for sample in samples}
            if cells is not None
        }
        self.modules = trained_modules(model, recipe)

    def make_batch(self, place: int) -> Batch:
        """Looks, prompts and answers of one micro-batch."""
        recipe = self.recipe
        name = f"{self.name}/{recipe.seed}"
        places = epoch_places(place, recipe.batch_size, len(self.samples), name)
        return self.pack([self.samples[number] for _, number in places])

    def pack(self, samples: Sequence[SftSample]) -> Batch:
        """Samples as arrays, without those of bad pictures or crops; each target token counts."""
        looks = Looks(self.images, self.parts.config)
        kept, prompts, counts = usable(samples, lambda sample: self._prompt(sample, looks))
        if none_left(counts):
            return counts
        packed = pack_taught(prompts)
        return {
            **counts,
            **looks.pack(),
            **packed,
            WEIGHT: np.array(packed["targets"].sum()),
            SAMPLES: np.array([sample.id for sample in kept]),
        }

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Mean over the answers' tokens, and the share of answers whose every token is the top."""
        forced = self.forced(batch)
        loss = F.cross_entropy(forced.logits_tv, forced.labels_t)
        wrong = forced.logits_tv.detach().argmax(-1) != forced.labels_t
        zoomed = torch.as_tensor(batch["crop"]) >= 0
        misses = torch.zeros(len(zoomed), device=wrong.device)
        exact = misses.index_add(0, forced.prompt_t, wrong.float()).cpu() == 0
        shares = {"zoomed": exact[zoomed], "direct": exact[~zoomed]}
        return loss, {f"exact_{look}": float(hit.float().mean()) for look, hit in shares.items()}

    def forced(self, batch: Batch) -> Forced:
        """Logits of every target token, given all before it."""
        backbone = self.parts.backbone
        run = run_of(self.parts, batch)
        hidden_bnh = run.trunk(len(backbone.layers), recompute=self.recipe.recompute)
        lengths = torch.tensor([layout.length for layout in run.layouts])
        targets = torch.as_tensor(batch["targets"])
        prompt_t = torch.arange(len(targets)).repeat_interleave(targets)
        # Counted from each prompt's first target; the slot before a token predicts it.
        nth_t = torch.arange(len(prompt_t)) - (targets.cumsum(0) - targets)[prompt_t]
        slot_t = (lengths - targets)[prompt_t] + nth_t
        labels = [lay.input_ids[-n:] for lay, n in zip(run.layouts, targets.tolist(), strict=True)]
        logits_tv = backbone.logits(run.states_at(prompt_t, slot_t - 1, hidden_bnh))
        device = logits_tv.device
        return Forced(logits_tv, torch.cat(labels).to(device), prompt_t.to(device))

    def _prompt(self, sample: SftSample, looks: Looks) -> TaughtPrompt:
        pipeline = self._pipelines[sample.cells]
        picture, grid_hw = looks.picture(sample.image, pipeline)
        asked = sample.question, sample.target
        ids = taught_ids(self.tokenizer, asked, grid_hw, self.parts.ids.image, self.end_id)
        if sample.crop_px_xyxy is None:
            return TaughtPrompt(*ids, picture)
        crop = looks.crop(sample.image, pipeline, sample.crop_px_xyxy, grid_hw)
        return TaughtPrompt(*ids, picture, *crop)


def _end_token(model: ZoomModel) -> int:
    """The token that ends the model's answers: the tokenizer's, if generation stops at it."""
    ends = model.options().eos_token_ids
    own = model.require_tokenizer().eos_token_id
    if own in ends:
        return int(own)
    if len(ends) == 1:
        return next(iter(ends))
    raise ConfigError(
        f"{model.name} ends answers with one of {sorted(ends)}, its tokenizer with {own}; set one "
        "eos_token_id in generation_config.json"
    )
