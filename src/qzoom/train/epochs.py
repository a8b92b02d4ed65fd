"""Which sample comes when: every one once an epoch, each epoch in its own order."""

from __future__ import annotations

from random import Random


def epoch_places(step: int, size: int, total: int, salt: str) -> list[tuple[int, int]]:
    """Epoch and place of each sample of a step: a pure function, so a training resumes exactly.

    Args:
        size: Samples of a step; a step may reach into the next epoch.
        total: Samples there are.
        salt: Another one gives other orders.
    """
    numbers = range(step * size, (step + 1) * size)
    orders = {epoch: _order(epoch, total, salt) for epoch in {n // total for n in numbers}}
    return [(n // total, orders[n // total][n % total]) for n in numbers]


def _order(epoch: int, total: int, salt: str) -> list[int]:
    order = list(range(total))
    Random(f"{salt}/{epoch}").shuffle(order)
    return order
