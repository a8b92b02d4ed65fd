"""Account for every tensor: none missing, none left over, each of the right shape."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from qzoom.checkpoints.files import read_shapes
from qzoom.checkpoints.reference_format import Layout, Route, add_on_route, published_key, route_key
from qzoom.checkpoints.trunk import expected_shapes, is_tied_trunk
from qzoom.errors import CheckpointError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from qzoom.zoom.branches import ZoomAddOn

_NAMES_SHOWN = 3
Shapes = dict[Route, tuple[int, ...]]


def live_routes(files: Mapping[str, Path], branch_depth: int) -> dict[str, Route]:
    """Destination of each tensor that is used; dead weights are left out.

    Raises:
        CheckpointError: If two layouts of the same tensor are present.
    """
    keys: dict[Route, str] = {}
    for key in files:
        route = route_key(key, branch_depth)
        if route.destination == "dead":
            continue
        if route in keys:
            raise CheckpointError(f"{keys[route]} and {key} are the same tensor; remove one")
        keys[route] = key
    return {key: route for route, key in keys.items()}


def check_inventory(
    files: Mapping[str, Path],
    routes: Mapping[str, Route],
    trunk: PreTrainedModel,
    add_on: ZoomAddOn | None,
    branch_depth: int,
    layout: Layout,
) -> None:
    """Compare file headers with what the modules need, before any weight is read.

    Raises:
        CheckpointError: Naming tensors that are missing, left over or of the wrong shape.
    """
    expected = _expected(trunk, add_on)
    found = {route: key for key, route in routes.items()}
    missing = [
        published_key(route, branch_depth, layout) for route in expected if route not in found
    ]
    _refuse("missing", missing)
    optional = [Route("trunk", "lm_head.weight")] if is_tied_trunk(trunk) else []
    extra = [
        key for key, route in routes.items() if route not in expected and route not in optional
    ]
    _refuse("left over", extra)
    shapes = read_shapes({key: files[key] for key in routes})
    for route, shape in expected.items():
        key = found[route]
        if shapes[key] != shape:
            raise CheckpointError(
                f"tensor {key} has shape {list(shapes[key])}, config.json asks for {list(shape)}"
            )


def split_tensors(
    tensors: Iterable[tuple[str, Tensor]], routes: Mapping[str, Route]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Tensors of the trunk and of the add-on, under their names there."""
    trunk: dict[str, Tensor] = {}
    add_on: dict[str, Tensor] = {}
    for key, tensor in tensors:
        route = routes[key]
        if route.destination == "trunk":
            trunk[route.name] = tensor
        else:
            add_on[f"{route.destination}.{route.name}"] = tensor
    return trunk, add_on


def _expected(trunk: PreTrainedModel, add_on: ZoomAddOn | None) -> Shapes:
    expected = {Route("trunk", name): shape for name, shape in expected_shapes(trunk).items()}
    if add_on is None:
        return expected
    branches = expected_shapes(add_on).items()
    return expected | {add_on_route(name): shape for name, shape in branches}


def _refuse(what: str, keys: list[str]) -> None:
    if keys:
        shown = ", ".join(sorted(keys)[:_NAMES_SHOWN])
        more = f" and {len(keys) - _NAMES_SHOWN} more" if len(keys) > _NAMES_SHOWN else ""
        count = "1 tensor" if len(keys) == 1 else f"{len(keys)} tensors"
        raise CheckpointError(f"{count} {what}: {shown}{more}")
