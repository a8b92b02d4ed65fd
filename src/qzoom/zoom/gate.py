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

    Args:
        run: over the gate's own store and the rows' rotary tables.
        hidden_bnh: rows that left the lower trunk layers.
        last_b: index of each prompt's last row.
    """
    out = run(list(gate.layers), hidden_bnh, last_b=last_b)
    refine: Tensor = gate.head(out[:, -1])
    return refine.float().sigmoid()[:, 0]
