"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from qzoom.errors import DataError


class Closing:
    """What is closed at the end of a `with` block."""

    def close(self) -> None:
        """Let go of what is held."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let errors of the system that name no file, such as that of a full disk, name this one."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


@contextmanager
def replacing(path: Path, *, resumable: bool = False) -> Iterator[BinaryIO]:
    """A binary file that takes the place of `path` when the block ends without an error.

    Args:
        resumable: Write under a name that a second run takes over, so that a killed one leaves
            nothing behind; two at once must not write the same path then.
    """
    partial = path.with_name(f".draft-{path.name}") if resumable else _partial(path)
    with _folder(path.parent):
        try:
            with naming(path), partial.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Wait until no other process holds `path`, a file of no content, and hold it for the block.

    Where the system or its drive knows no locks, nothing is held. A killed process lets go.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        with suppress(OSError):  # some network drives know no locks
            fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        yield


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill that becomes `path` when the block ends without an error.

    Raises:
        DataError: when `path` is a file, or a folder with something in it.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise DataError(f"{path} exists and is not an empty folder; name a new one")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(path)
    partial.mkdir()
    try:
        yield partial
        os.replace(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _folder(path: Path) -> Iterator[None]:
    """Make a folder; after an error those that were made go again, as far as they are empty."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with suppress(OSError):
            for each in missing:
                each.rmdir()
        raise


def _partial(path: Path) -> Path:
    return path.absolute().parent / f".{path.name}.{uuid.uuid4().hex[:8]}.partial"
