"""Trunks and adapters of a workspace put together."""

from __future__ import annotations

import dataclasses
from typing import Any

from qzoom.loading import load
from qzoom.reproduce.settings import ReproduceSettings
from qzoom.reproduce.workspace import Workspace
from qzoom.zoom.model import ZoomModel


def zooming(
    space: Workspace, settings: ReproduceSettings, trunk: str, adapter: str, **overrides: Any
) -> ZoomModel:
    """A trunk with an adapter's branches, under the settings' threshold and budget of crops."""
    model = load(space / trunk, adapter=space / adapter)
    chosen: dict[str, Any] = {
        "roi_threshold": settings.roi_threshold,
        "max_crop_cells": settings.max_crop_cells,
    }
    config = model.config.with_overrides(**chosen | overrides)
    return ZoomModel(dataclasses.replace(model.checkpoint, config=config))
