"""Does this question need a closer look?"""

from __future__ import annotations

from torch import Tensor

from qzoom.zoom.branches import GateBranch
from qzoom.zoom.layers import LayerRun


def gate_probabilities(
    gate: GateBranch, run: LayerRun, hidden_bnh: Tensor, last_b: Tensor
) -> Tensor:
    """Refine probability of each prompt (eq. 3), float32 of shape `(B,)`.

    There is no final norm before the head, as in the published model.
    """
    out = run(gate.layers, hidden_bnh, last_b=last_b)
    return gate.head(out[:, -1]).float().sigmoid()[:, 0]
