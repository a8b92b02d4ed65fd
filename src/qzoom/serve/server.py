"""Running the application under uvicorn, with a stop that lets answers finish."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from types import FrameType

import uvicorn

from qzoom.addresses import is_loopback, listening, url_of
from qzoom.errors import ConfigError
from qzoom.serve.app import build_app
from qzoom.serve.connections import protocol_within
from qzoom.serve.limits import MAX_HEADER_BYTES
from qzoom.serve.state import ServerState

# Uvicorn cuts connections this long after the engine has failed what was left.
LAST_WORDS_S = 5


def check_keys(host: str, keys: Sequence[str]) -> None:
    """Whether a server may listen there.

    Raises:
        ConfigError: for a key that cannot be sent, and for an address that others reach without
            any key.
    """
    for key in keys:
        if not key.isascii() or not key.isprintable() or len(key) < 16 or " " in key:
            raise ConfigError("an API key needs 16 or more printable ASCII characters, no space")
    if not keys and not is_loopback(host):
        raise ConfigError(
            f"{host} can be reached from elsewhere; set an API key, or listen on 127.0.0.1"
        )


def serve(
    state: ServerState,
    host: str,
    port: int,
    keys: Sequence[str],
    on_ready: Callable[[str], None] = lambda url: None,
) -> None:
    """Answer until SIGTERM or Ctrl-C, or until the engine has died.

    Args:
        on_ready: called with the address once requests are taken.

    Raises:
        ConfigError: as `check_keys`, and for an address that cannot be listened on.
    """
    check_keys(host, keys)
    config = uvicorn.Config(
        build_app(state, keys, local_only=not keys),
        host=host,
        port=port,
        http=protocol_within(state.limits.head_s),
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=int(state.limits.grace_s) + LAST_WORDS_S,
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        limit_concurrency=4 * (state.limits.max_queue + state.limits.max_batch),
    )
    with listening(host, port) as listener:
        url = url_of(listener, host)
        _Server(config, state, lambda: on_ready(url)).run(sockets=[listener])


class _Server(uvicorn.Server):
    """Says when it takes requests, drains the engine at the first signal, and ends with it."""

    def __init__(
        self, config: uvicorn.Config, state: ServerState, on_ready: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._state = state
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    async def on_tick(self, counter: int) -> bool:
        # Whoever supervises the process starts it again; one that lives on would answer nobody.
        return await super().on_tick(counter) or self._state.engine.died

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._state.engine.drain(self._state.limits.grace_s)
        super().handle_exit(sig, frame)
