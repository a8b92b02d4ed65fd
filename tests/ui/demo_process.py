"""`qzoom demo` in a process of its own, on a free port of this machine."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STOP_S = 60


@contextmanager
def demo(*arguments: str, **variables: str) -> Iterator[str]:
    """The address of a page that lives as long as the block."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **variables}
    command = [sys.executable, "-m", "qzoom", "demo", "--port", "0", *arguments]
    process = subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )
    try:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if line.startswith("open http://"):
                break
        else:
            raise AssertionError("the page did not start: " + "".join(lines[-20:]))
        # A full pipe would stop the page.
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield line.split()[1]
    finally:
        process.terminate()
        process.wait(STOP_S)
