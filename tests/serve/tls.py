"""A TLS server on this machine, with a certificate of its own, that answers as a test says."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from qzoom.serve import fetch

HOST = "images.test"
Answer = Callable[[ssl.SSLSocket], None]


def certificate(folder: Path) -> Path:
    """A key and a certificate that it signed itself, in one file."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command; it makes the certificate of the test's own server")
    file = folder / "server.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}"]
    command += ["-keyout", str(folder / "key.pem"), "-out", str(file)]
    subprocess.run(command, check=True, capture_output=True)
    file.write_bytes(file.read_bytes() + (folder / "key.pem").read_bytes())
    return file


def response(body: bytes, *lines: str, status: str = "200 OK") -> bytes:
    head = [f"HTTP/1.1 {status}", *(lines or (f"Content-Length: {len(body)}",))]
    return "\r\n".join([*head, "", ""]).encode() + body


@contextmanager
def answering(pem: Path, answer: Answer) -> Iterator[int]:
    """A server for the block; its port. Every connection is answered in a thread of its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(raw: socket.socket) -> None:
        with suppress(OSError), context.wrap_socket(raw, server_side=True) as line:
            request = b""
            while b"\r\n\r\n" not in request:
                request += line.recv(4096) or b"\r\n\r\n"
            answer(line)

    def accept() -> None:
        with suppress(OSError):
            while True:
                raw, _ = listener.accept()
                threading.Thread(target=serve, args=(raw,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        # Closing alone would not wake the thread that waits there.
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def lead_to(port: int, patch: pytest.MonkeyPatch) -> None:
    """Let the one public address of these tests stand for the server on this machine."""
    connect = socket.create_connection

    def local(address: tuple[str, int], timeout: float) -> socket.socket:
        assert address == (PUBLIC, 443)
        return connect(("127.0.0.1", port), timeout)

    patch.setattr(fetch.socket, "create_connection", local)


PUBLIC = "93.184.216.34"


def resolves_to(*addresses: str) -> Callable[..., list[tuple[Any, ...]]]:
    """A resolver with one answer for every name."""
    return lambda *_, **__: [(None, None, None, "", (address, 443)) for address in addresses]
