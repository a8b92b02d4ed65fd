"""In the style of ViCrop (arXiv 2502.17422), without training: contrastive attention, windows.

The attention of a prompt's last row to the cells, at one middle layer, is divided by that of a
prompt that asks nothing in particular; the best window of several sizes is the crop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from torch import Tensor
from torch.nn import functional as F

from qzoom.errors import ConfigError
from qzoom.eval.methods.registry import MethodOptions
from qzoom.eval.rivals.looker import Looker, pixels_of_cells
from qzoom.eval.rivals.second_look import CropMethod, Found, LookSettings, look_settings
from qzoom.geometry.boxes import Box, BoxLike
from qzoom.labels.attention import HeadSet, attention_maps
from qzoom.zoom.model import ZoomModel

DEPTH_SHARE: Final = 0.6
"""Which layer, as a share of the trunk's depth: 22 of 36, as was chosen for Qwen2.5-VL-3B."""


@dataclass(frozen=True)
class VicropSettings(LookSettings):
    """layer: trunk layer whose attention is read, from 0, all heads.

    windows: sides of square windows, as shares of the side of a square of the picture's area.
    generic: the prompt that is divided by.
    """

    layer: int = 0
    windows: tuple[float, ...] = (0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
    generic: str = "Say in one sentence what this picture shows."


def build(model: ZoomModel, options: MethodOptions) -> CropMethod:
    """Localise by two passes up to the layer.

    Raises:
        ConfigError: for a layer that the trunk does not have, or a window that is no share.
    """
    text, depth = model.parts.backbone.language.config, len(model.parts.backbone.layers)
    default = VicropSettings(layer=min(round(DEPTH_SHARE * depth), depth - 1))
    settings = look_settings(default, model, options, "vicrop")
    heads = HeadSet({settings.layer: tuple(range(text.num_attention_heads))})
    heads.check(depth, text.num_attention_heads)
    if not settings.windows or not all(0 < share <= 1 for share in settings.windows):
        raise ConfigError(f"windows are {settings.windows}; give shares above 0, at most 1")

    def find(looker: Looker, prompt: str, boxes_px_xyxy: Sequence[BoxLike]) -> Found:
        map_hw = contrast(looker, prompt, settings.generic, heads)
        rows, cols = map_hw.shape
        square = (rows * cols) ** 0.5
        sides = sorted({max(1, round(share * square)) for share in settings.windows})
        box = best_window(map_hw, sides)
        return Found((pixels_of_cells(box, (rows, cols), looker.images[0].size),), prefills=2)

    return CropMethod("vicrop", model, settings, find)


def contrast(looker: Looker, prompt: str, generic: str, heads: HeadSet) -> Tensor:
    """Attention over attention for the generic prompt, `(rows, cols)` of the first picture."""
    layouts = [looker.layout(text) for text in (prompt, generic)]
    asking = [[layout.length - 1] for layout in layouts]
    features = [looker.features] * 2
    (asked,), (any_c,) = attention_maps(looker.model.parts, layouts, features, asking, [heads])
    rows, cols = looker.grid_hw
    ratio_c = asked.double() / any_c.double().clamp_min(1e-12)
    return ratio_c[: rows * cols].view(rows, cols).cpu()


def best_window(map_hw: Tensor, sides_cells: Sequence[int]) -> Box:
    """The window that stands out most from where it would lie one cell further.

    Of each size the window with the largest sum; of those the one whose sum falls most, per cell,
    on average over its neighbours. The first size wins a tie.

    Args:
        map_hw: of shape `(rows, cols)`.
        sides_cells: sides of square windows; a window is cut to the map.
    """
    found = [_best_of_size(map_hw, side) for side in sides_cells]
    return max(found, key=lambda pair: pair[0])[1]


def _best_of_size(map_hw: Tensor, side: int) -> tuple[float, Box]:
    rows, cols = map_hw.shape
    high, wide = min(side, rows), min(side, cols)
    means = F.avg_pool2d(map_hw.double()[None, None], (high, wide), stride=1)[0, 0]
    y, x = divmod(int(means.argmax()), means.shape[1])
    around = means[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]
    neighbours = around.numel() - 1
    fall = float((means[y, x] - around).sum()) / neighbours if neighbours else 0.0
    return fall, Box(x, y, x + wide, y + high)
