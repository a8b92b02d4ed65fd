"""A real server on a free port of this machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import uvicorn
from PIL import Image

from qzoom.images.data_url import data_url
from qzoom.serve.app import build_app
from qzoom.serve.limits import Limits
from qzoom.serve.state import ServerState
from qzoom.zoom.model import ZoomModel

NAME = "toy"


@contextmanager
def served(
    model: ZoomModel, keys: Sequence[str] = (), **limits: Any
) -> Iterator[tuple[ServerState, str]]:
    """The state of a running server, and its address with /v1."""
    state = ServerState(model, NAME, Limits(**limits))
    config = uvicorn.Config(
        build_app(state, keys), host="127.0.0.1", port=0, log_level="error", lifespan="on"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield state, f"http://127.0.0.1:{port}/v1"
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


def user(*parts: str | Image.Image) -> dict[str, Any]:
    """A user's message of texts and images."""
    content: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, str):
            content.append({"type": "text", "text": part})
        else:
            content.append({"type": "image_url", "image_url": {"url": data_url(part, "png")}})
    return {"role": "user", "content": content}
