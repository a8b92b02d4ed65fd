"""Which samples a step takes: every one once an epoch, each epoch in its own order."""

from __future__ import annotations

from random import Random


def places_of_step(total: int, step: int, size: int, name: str) -> list[int]:
    """Places of a step's `size` samples among `total`: a pure function, so a training resumes.

    Args:
        name: Stage and seed; another one gives other orders.
    """
    places = range(step * size, (step + 1) * size)
    orders = {epoch: _order(total, epoch, name) for epoch in {p // total for p in places}}
    return [orders[place // total][place % total] for place in places]


def _order(total: int, epoch: int, name: str) -> list[int]:
    order = list(range(total))
    Random(f"{name}/{epoch}").shuffle(order)
    return order
