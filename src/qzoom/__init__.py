"""qzoom: look twice only when the question needs it, and only where it matters."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from qzoom.loading import load as load
    from qzoom.zoom.answer import ZoomAnswer as ZoomAnswer
    from qzoom.zoom.config import ZoomConfig as ZoomConfig
    from qzoom.zoom.model import ZoomModel as ZoomModel
    from qzoom.zoom.session import ImageSession as ImageSession

__version__ = "0.1.0"

__all__ = ["ImageSession", "ZoomAnswer", "ZoomConfig", "ZoomModel", "__version__", "load"]

_HOMES: Final = MappingProxyType(
    {
        "load": "qzoom.loading",
        "ZoomModel": "qzoom.zoom.model",
        "ImageSession": "qzoom.zoom.session",
        "ZoomAnswer": "qzoom.zoom.answer",
        "ZoomConfig": "qzoom.zoom.config",
    }
)


def __getattr__(name: str) -> Any:
    # Public names are imported when first used: `import qzoom` must not wait for torch.
    if name not in _HOMES:
        raise AttributeError(f"module 'qzoom' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
