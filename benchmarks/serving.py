"""A server of the embedded model, as a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def server(threads: int, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process, in float32 on a free port, and its address with /v1."""
    command = [sys.executable, "-m", "qzoom", "serve", "--port", "0", "--dtype", "float32"]
    process = subprocess.Popen(
        [*command, "--threads", str(threads), *options],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
    )
    try:
        assert process.stderr is not None
        first = process.stderr.readline()
        found = re.search(r"http://\S+/v1", first)
        if found is None:
            raise SystemExit(f"the server did not start: {first}")
        yield process, found.group()
    finally:
        process.kill()
