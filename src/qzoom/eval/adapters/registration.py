"""The entry point by which lmms-eval finds qzoom; nothing of the model is imported here."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def manifest() -> Any:
    """What lmms-eval registers under the name "qzoom"."""
    registry: Any = import_module("lmms_eval.models.registry_v2")
    return registry.ModelManifest(
        model_id="qzoom", simple_class_path="qzoom.eval.adapters.lmms_eval.QzoomModel"
    )
