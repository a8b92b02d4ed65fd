"""Serving the page: on this machine, or with a login elsewhere."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qzoom.addresses import is_loopback, listening, url_of
from qzoom.errors import ConfigError
from qzoom.serve.limits import MAX_HEADER_BYTES, Limits
from qzoom.ui.fence import Fence

if TYPE_CHECKING:
    from qzoom.ui.gallery import Example
    from qzoom.zoom.model import ZoomModel

LOGIN_VARIABLE: Final = "QZOOM_DEMO_LOGIN"
LEAST_PASSWORD_CHARS: Final = 12
_STYLE: Final = Path(__file__).with_name("page.css")
_MAX_CONNECTIONS: Final = 128
_FONTS: Final = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
_MONO_FONTS: Final = ("ui-monospace", "Menlo", "Consolas", "monospace")


def read_login(host: str, text: str) -> tuple[str, str] | None:
    """Name and password out of NAME:PASSWORD, or None for a page that needs none.

    Raises:
        ConfigError: for a text of another form, a short password, and for an address that others
            reach without any login.
    """
    if not text:
        if is_loopback(host):
            return None
        raise ConfigError(
            f"{host} can be reached from elsewhere; set {LOGIN_VARIABLE}=NAME:PASSWORD, "
            "or listen on 127.0.0.1"
        )
    name, colon, password = text.partition(":")
    if not (name and colon):
        raise ConfigError(f"{LOGIN_VARIABLE} is not of the form NAME:PASSWORD")
    if len(password) < LEAST_PASSWORD_CHARS:
        raise ConfigError(
            f"the password in {LOGIN_VARIABLE} has {len(password)} characters; "
            f"give at least {LEAST_PASSWORD_CHARS}"
        )
    return name, password


def serve_page(
    model: ZoomModel,
    examples: Sequence[Example],
    host: str,
    port: int,
    login: tuple[str, str] | None,
    note: str = "",
    on_ready: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve the page until Ctrl-C.

    Args:
        on_ready: called with the address that the page is about to have.

    Raises:
        ConfigError: for an address that cannot be listened on.
    """
    import uvicorn

    with listening(host, port) as listener, tempfile.TemporaryDirectory() as folder:
        # Uploads go where only this user can read, and away with the page.
        os.environ["GRADIO_TEMP_DIR"] = folder
        app = build_app(model, examples, login, note, local_only=login is None)
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            limit_concurrency=_MAX_CONNECTIONS,
            h11_max_incomplete_event_size=MAX_HEADER_BYTES,
            timeout_graceful_shutdown=2,
        )
        on_ready(url_of(listener, host))
        uvicorn.Server(config).run(sockets=[listener])


def build_app(
    model: ZoomModel,
    examples: Sequence[Example],
    login: tuple[str, str] | None,
    note: str = "",
    *,
    local_only: bool,
) -> Fence:
    """The page as an ASGI application, behind its fence."""
    # Read when Gradio is imported.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    import gradio as gr
    from fastapi import FastAPI

    from qzoom.ui.page import build_page

    page = build_page(model, examples, note)
    outer = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app = gr.mount_gradio_app(
        outer,
        page,
        "/",
        auth=login,
        footer_links=[],
        run_history=False,
        allowed_paths=sorted({str(example.image.parent) for example in examples}),
        show_error=False,
        max_file_size=Limits().max_image_bytes,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=gr.themes.Base(
            primary_hue="teal", neutral_hue="slate", font=list(_FONTS), font_mono=list(_MONO_FONTS)
        ),
        css_paths=[_STYLE],
    )
    # Gradio lets events name any file of the disk until it thinks itself launched.
    page.has_launched = True
    return Fence(app, local_only=local_only)
