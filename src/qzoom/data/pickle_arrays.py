"""What a plain pickle may call, imitated: numpy arrays, numpy scalars and old-style bytes.

Globals are only ever compared by name. None is looked up, imported or called.
"""

from __future__ import annotations

import math
from typing import Any, Final, Literal

import numpy as np

from qzoom.data.fields import shown
from qzoom.errors import DataError

Job = Literal["reconstruct", "ndarray", "dtype", "scalar", "frombuffer", "encode", "bytes"]

_JOBS: Final[dict[tuple[str, str], Job]] = {
    ("numpy.core.multiarray", "_reconstruct"): "reconstruct",
    ("numpy._core.multiarray", "_reconstruct"): "reconstruct",
    ("numpy.core.multiarray", "scalar"): "scalar",
    ("numpy._core.multiarray", "scalar"): "scalar",
    ("numpy.core.numeric", "_frombuffer"): "frombuffer",
    ("numpy._core.numeric", "_frombuffer"): "frombuffer",
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    # Bytes and empty bytes, as protocols below 3 write them.
    ("_codecs", "encode"): "encode",
    ("__builtin__", "bytes"): "bytes",
    ("builtins", "bytes"): "bytes",
}
# Numbers and truth values; never objects, text or records.
_DTYPES: Final = frozenset(
    ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")
)
_BYTE_ORDERS: Final = ("<", ">", "|", "=")


class Named:
    """A global on the stack: a name for one of the jobs, and nothing that could be called."""

    def __init__(self, job: Job) -> None:
        self.job = job


class Unbuilt:
    """An array or a dtype that its BUILD has still to complete."""

    def __init__(self, dtype: np.dtype[Any] | None) -> None:
        self.is_dtype = dtype is not None
        self.dtype = dtype
        self.value: np.ndarray[Any, Any] | np.dtype[Any] | None = None


def named(module: object, name: object) -> Named:
    """The global of a name.

    Raises:
        DataError: when it is none of the known ones.
    """
    job = _JOBS.get((module, name)) if isinstance(module, str) and isinstance(name, str) else None
    if job is None:
        raise DataError(
            f"global {shown(module)} {shown(name)} is refused; only plain data and numpy arrays "
            "are read"
        )
    return Named(job)


def call(function: object, args: object) -> object:
    """What a known global makes of its arguments.

    Raises:
        DataError: for anything but a known global with arguments as numpy writes them.
    """
    if not isinstance(function, Named):
        raise DataError(f"a call of {shown(type(function).__name__)} is refused")
    if isinstance(args, tuple):
        match function.job, args:
            case "reconstruct", (Named(job="ndarray"), (0,), b"b"):
                return Unbuilt(None)
            case "dtype", (str(code), False, True):
                return Unbuilt(_dtype(code))
            case "scalar", (np.dtype() as dtype, bytes(raw)):
                return _array(raw, dtype, (), "C")[()]
            case "frombuffer", (bytes() | bytearray() as raw, np.dtype() as dtype, shape, order):
                return _array(raw, dtype, shape, order)
            case "frombuffer", (
                bytes() | bytearray() as raw,
                np.dtype() as dtype,
                shape,
                order,
                None,
            ):
                return _array(raw, dtype, shape, order)
            case "encode", (str(text), "latin1"):
                return _latin1(text)
            case "bytes", ():
                return b""
    raise DataError(f"a call of {function.job!r} with other arguments than numpy's is refused")


def build(target: object, state: object) -> None:
    """Complete an array or dtype from its state, as numpy writes it.

    Raises:
        DataError: for anything else.
    """
    if not isinstance(target, Unbuilt):
        raise DataError(f"BUILD of {shown(type(target).__name__)} is refused")
    if target.value is not None:
        raise DataError("a second BUILD of the same array or dtype is refused")
    match target.is_dtype, state:
        case True, (3, str(order), None, None, None, -1, -1, 0) if order in _BYTE_ORDERS:
            assert target.dtype is not None
            target.value = target.dtype.newbyteorder(order)  # type: ignore[arg-type]
        case False, (1, shape, np.dtype() as dtype, bool(fortran), bytes(raw)):
            target.value = _array(raw, dtype, shape, "F" if fortran else "C")
        case _:
            raise DataError("an array or dtype with another state than numpy's is refused")


def _dtype(code: str) -> np.dtype[Any]:
    if code not in _DTYPES:
        raise DataError(f"arrays of dtype {shown(code)} are refused; only numbers are read")
    return np.dtype(code)


def _array(
    raw: bytes | bytearray, dtype: np.dtype[Any], shape: object, order: object
) -> np.ndarray[Any, Any]:
    if not isinstance(shape, tuple) or not all(type(side) is int and side >= 0 for side in shape):
        raise DataError(f"an array of shape {shown(shape)} is refused")
    if order not in ("C", "F"):
        raise DataError(f"an array in order {shown(order)} is refused")
    wanted = math.prod(shape) * dtype.itemsize
    if wanted != len(raw):
        raise DataError(f"an array of shape {shape} has {len(raw)} bytes where {wanted} are due")
    try:
        return np.ndarray(shape, dtype, buffer=raw, order=order)
    except (ValueError, OverflowError, MemoryError):
        raise DataError(f"an array of shape {shown(shape)} is refused") from None


def _latin1(text: str) -> bytes:
    try:
        return text.encode("latin1")
    except UnicodeEncodeError:
        raise DataError("text that is no latin1 stands for bytes") from None
