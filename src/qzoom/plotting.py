"""What all diagrams share: the library, colours, markers, and how they are written."""

from __future__ import annotations

import io
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from qzoom.data.files import replacing
from qzoom.errors import ConfigError

# Wong's palette: told apart with every kind of colour vision.
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "*", "p", "h", "<", ">", "d", "8")
CAPTION_COLOUR: Final = "#555555"


def require_matplotlib() -> Any:
    """The library.

    Raises:
        ConfigError: If it is not installed.
    """
    try:
        import_module("matplotlib.figure")
        return import_module("matplotlib")
    except ImportError:
        message = "the diagram needs matplotlib: install it, pip install 'qzoom[train]'"
        raise ConfigError(message) from None


def new_figure(width_in: float, height_in: float) -> Any:
    """An empty figure that no window shows.

    Raises:
        ConfigError: If matplotlib is not installed.
    """
    size = (width_in, height_in)
    return require_matplotlib().figure.Figure(figsize=size, layout="constrained")


def tidy(axes: Any) -> None:
    """Faint grid behind the data, no frame at the top and the right."""
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def save_figure(figure: Any, target: Path) -> None:
    """Write `target` as .png and .svg, each whole or not at all, the same bytes each time."""
    # Without a date and with fixed ids.
    with require_matplotlib().rc_context({"svg.hashsalt": "qzoom"}):
        for kind, meta in (("png", None), ("svg", {"Date": None})):
            drawn = io.BytesIO()
            figure.savefig(drawn, format=kind, dpi=150, metadata=meta)
            with replacing(target.with_name(f"{target.name}.{kind}"), resumable=True) as file:
                file.write(drawn.getvalue())
