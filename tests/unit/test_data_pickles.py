"""Plain pickles come back as the pickle module gives them, in all protocols."""

from __future__ import annotations

import contextlib
import pickle
import pickletools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qzoom.data.pickles import PickleLimits, read_pickle
from qzoom.errors import DataError

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
LEAF = (
    st.none()
    | st.booleans()
    | st.integers(-(2**100), 2**100)
    | st.floats(allow_nan=False)
    | st.text(max_size=300)
    | st.binary(max_size=300)
)
KEY = st.text(max_size=5) | st.integers(-(2**59), 2**59) | st.binary(max_size=5)
VALUE = st.recursive(
    LEAF,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(KEY, inner, max_size=4)
    ),
    max_leaves=15,
)


def read(tmp_path: Path, data: bytes, **limits: int) -> Any:
    path = tmp_path / "a.pkl"
    path.write_bytes(data)
    return read_pickle(path, PickleLimits(**limits))


def read_or_refuse(folder: Path, data: bytes) -> None:
    """Any other error than ours would end the test."""
    with contextlib.suppress(DataError):
        read(folder, data)


def same(a: Any, b: Any) -> bool:
    """Equal, of equal types, and with equal arrays."""
    if isinstance(a, np.ndarray | np.generic):
        return type(a) is type(b) and a.dtype == b.dtype and np.array_equal(a, b)
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


@given(value=VALUE, protocol=st.sampled_from(PROTOCOLS))
def test_plain_values(tmp_path_factory: pytest.TempPathFactory, value: Any, protocol: int) -> None:
    folder = tmp_path_factory.getbasetemp()
    assert same(read(folder, pickle.dumps(value, protocol)), value)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("optimised", [False, True])
def test_arrays_and_scalars(tmp_path: Path, protocol: int, optimised: bool) -> None:
    codes = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", ">f4"]
    value: list[Any] = [np.arange(6).reshape(2, 3).astype(code) for code in codes]
    shared = np.ones((2, 2), np.float32)
    value += [
        np.asfortranarray(value[3]), value[3].T, value[3][:, ::2], np.array(5.0), np.zeros((0, 3)),
        np.float32(2.5), np.int64(-3), np.bool_(True), shared, {"again": shared, "t": (shared,)},
    ]  # fmt: skip
    data = pickle.dumps(value, protocol)
    if optimised:
        data = pickletools.optimize(data)
    found = read(tmp_path, data)
    assert same(found, value)
    assert found[-2] is found[-1]["again"]


def test_the_names_that_older_numpy_wrote(tmp_path: Path) -> None:
    value = [np.arange(3, dtype="f4"), np.float32(1)]
    for protocol in (2, 4, 5):
        data = pickle.dumps(value, protocol)
        # Names have a length in protocol 4 and end with a line in protocol 2.
        old = data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
        old = old.replace(b"numpy._core.numeric", b"numpy.core.numeric")
        old = old.replace(b"\x8c\x16numpy.core", b"\x8c\x15numpy.core")
        old = old.replace(b"\x8c\x13numpy.core", b"\x8c\x12numpy.core")
        assert old != data
        assert same(read(tmp_path, old), value)


def test_arrays_are_those_of_the_file(tmp_path: Path) -> None:
    found = read(tmp_path, pickle.dumps(np.arange(4, dtype="f4"), 4))
    assert not found.flags.writeable


ROWS = [
    {"text": "é", "n": -1, "f": 0.5, "raw": b"\x80", "none": None},
    {"map": np.ones(2, np.float32), "t": (1, 2, 3, 4), "b": True},
]


@pytest.mark.parametrize("protocol", [0, 4, 5])
def test_a_file_cut_anywhere_is_one_line(tmp_path: Path, protocol: int) -> None:
    data = pickle.dumps(ROWS, protocol)
    for cut in range(len(data)):
        with pytest.raises(DataError) as caught:
            read(tmp_path, data[:cut])
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 400
    assert same(read(tmp_path, data), ROWS)


@pytest.mark.parametrize("protocol", [0, 5])
def test_any_one_byte_changed_gives_an_error_or_a_plain_value(
    tmp_path: Path, protocol: int
) -> None:
    data = pickle.dumps(ROWS, protocol)
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= (0x01, 0x80, 0xFF)[place % 3]
        read_or_refuse(tmp_path, bytes(changed))


@given(data=st.binary(max_size=60), protocol=st.integers(0, 5))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, data: bytes, protocol: int) -> None:
    folder = tmp_path_factory.getbasetemp()
    for program in (data, b"\x80" + bytes([protocol]) + data + b"."):
        read_or_refuse(folder, program)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.pkl", tmp_path):
        with pytest.raises(DataError, match="cannot be read"):
            read_pickle(path)
