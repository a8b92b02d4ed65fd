"""Hostile pickles: nothing is executed, nothing is imported, nothing grows without bound."""

from __future__ import annotations

import collections
import datetime
import os
import pickle
import struct
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qzoom.data.pickles import PickleLimits, read_pickle
from qzoom.errors import DataError

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


def refusal(tmp_path: Path, data: bytes, **limits: int) -> str:
    path = tmp_path / "a.pkl"
    path.write_bytes(data)
    started = time.perf_counter()
    with pytest.raises(DataError) as caught:
        read_pickle(path, PickleLimits(**limits))
    assert time.perf_counter() - started < 30
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 400
    return text


class Command:
    """Runs a command when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_command_is_refused_and_not_run(tmp_path: Path, protocol: int) -> None:
    proof = tmp_path / "ran"
    data = pickle.dumps([1, {"a": Command(proof)}], protocol)
    text = refusal(tmp_path, data)
    assert "global 'posix' 'system' is refused" in text
    assert "byte " in text
    assert not proof.exists()


@pytest.mark.parametrize(
    "value",
    [eval, print, Path("a"), datetime.date(2020, 1, 1), collections.OrderedDict(a=1), 1j,
     {1, 2}, frozenset({1}), bytearray(b"x"), slice(1), range(3), object(), np.random.default_rng,
     np.array([1, "a", None], object), np.array(["a"]), np.array([b"a"]), np.ma.array([1]),
     np.array(["2020"], "M8[D]"), np.zeros(1, [("a", "f4")]), np.float32],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_other_objects_are_refused(tmp_path: Path, value: Any, protocol: int) -> None:
    assert "refused" in refusal(tmp_path, pickle.dumps(value, protocol))


@pytest.mark.parametrize("value", [np.dtype("f4"), [np.dtype("f4")], [np.ndarray], {"a": np.dtype}])
def test_known_names_are_no_data(tmp_path: Path, value: Any) -> None:
    assert "is no plain data" in refusal(tmp_path, pickle.dumps(value))


def test_a_module_is_never_imported(tmp_path: Path) -> None:
    (tmp_path / "qzoom_trap.py").write_text("raise SystemExit")
    sys.path.insert(0, str(tmp_path))
    try:
        text = refusal(tmp_path, b"cqzoom_trap\nname\n.")
    finally:
        sys.path.remove(str(tmp_path))
    assert "global 'qzoom_trap' 'name' is refused" in text
    assert "qzoom_trap" not in sys.modules


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (b"Pabc\n.", "opcode PERSID is refused"),
        (b"K\x01Q.", "opcode BINPERSID is refused"),
        (b"\x82\x01.", "opcode EXT1 is refused"),
        (b"\x83\x01\x00.", "opcode EXT2 is refused"),
        (b"\x84\x01\x00\x00\x00.", "opcode EXT4 is refused"),
        (b"(ios\nsystem\n.", "opcode INST is refused"),
        (b"(cnumpy\nndarray\no.", "opcode OBJ is refused"),
        (b"cnumpy\nndarray\n)\x81.", "opcode NEWOBJ is refused"),
        (b"cnumpy\nndarray\n)}\x92.", "opcode NEWOBJ_EX is refused"),
        (b"\x8f.", "opcode EMPTY_SET is refused"),
        (b"K\x012.", "opcode DUP is refused"),
        (b"K\x010.", "opcode POP is refused"),
        (b"\x97.", "opcode NEXT_BUFFER is refused"),
        (b"S'a'\n.", "opcode STRING is refused"),
        (b"U\x01a.", "opcode SHORT_BINSTRING is refused"),
        (b"\x8b\x01\x00\x00\x00\x01.", "opcode LONG4 is refused"),
        (b"K\x01)R.", "a call of 'int' is refused"),
        (b"]K\x01b.", "BUILD of 'list' is refused"),
        (b"cnumpy\nndarray\n)R.", "a call of 'ndarray' with other arguments"),
        (b"cnumpy\nndarray\n.", "the value is a global"),
        (b"cnumpy\nndarray\n\x85.", "is no plain data"),
        (b"c__builtin__\nbytes\nK\x05\x85R.", "a call of 'bytes' with other arguments"),
        (b"c_codecs\nencode\nV\\u0100\nVlatin1\n\x86R.", "no latin1"),
        (b"c_codecs\nencode\nVa\nVrot13\n\x86R.", "a call of 'encode' with other arguments"),
        (b"K\x01K\x02\x93.", "global 1 2 is refused"),
        (b"\x80\x06.", "protocol 6, the highest known is 5"),
        (b".", "ends with 0 values"),
        (b"K\x01K\x02.", "ends with 2 values"),
        (b"(K\x01.", "open marks"),
        (b"e.", "no mark is open"),
        (b"(e.", "the stack is empty"),
        (b"K\x01K\x02a.", "append to int"),
        (b"K\x01(K\x02e.", "append to int"),
        (b"}(K\x01u.", "set 1 keys and values in dict"),
        (b"h\x05.", "memo index 5 was never stored"),
        (b"K\x01r\xff\xff\xff\xffh\x05.", "memo index 4294967295, the limit is"),
        (b"K\x01p-3\n.", "memo index -3"),
        (b"}(NK\x01u.", "a dict key of None is refused"),
        (b"}(]K\x01u.", "a dict key of [] is refused"),
        (b"}(\x8a\x09" + b"\x00" * 8 + b"\x01K\x01u.", "a dict key of 18446744073709551616"),
        (b"}(G?\xf0\x00\x00\x00\x00\x00\x00K\x01u.", "a dict key of 1.0 is refused"),
        (b"K\x01.K\x02.", "3 bytes follow the end"),
        (b"", "cut short"),
        (b"\xff", "no pickle"),
        (b"I" + b"9" * 5000 + b"\n.", "no pickle"),
    ],
)
def test_programs_that_are_not_plain_data(tmp_path: Path, program: bytes, message: str) -> None:
    assert message in refusal(tmp_path, program)


@pytest.mark.parametrize(
    "program",
    [
        b"X\xff\xff\xff\x7f", b"B\xff\xff\xff\x7f", b"\x8d" + struct.pack("<Q", 2**40),
        b"\x8e" + struct.pack("<Q", 2**62), b"\x96" + struct.pack("<Q", 2**62),
        b"\x8b" + struct.pack("<i", 2**31 - 1), b"C\xff", b"\x8e" + struct.pack("<Q", 2**64 - 1),
    ],
)  # fmt: skip
def test_huge_announced_lengths_take_no_memory(tmp_path: Path, program: bytes) -> None:
    text = refusal(tmp_path, program + b"abc.")
    assert "are left" in text or "no pickle" in text


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_values_that_hold_themselves(tmp_path: Path, protocol: int) -> None:
    ring: list[Any] = []
    ring.append(ring)
    knot: dict[str, Any] = {}
    knot["a"] = [knot]
    for value in (ring, knot):
        assert "or it holds itself" in refusal(tmp_path, pickle.dumps(value, protocol))


def test_a_tuple_that_holds_itself(tmp_path: Path) -> None:
    inner: list[Any] = []
    outer = (inner,)
    inner.append(outer)
    assert "refused" in refusal(tmp_path, pickle.dumps(outer, 4))


def test_deep_nesting(tmp_path: Path) -> None:
    deep = b"]" * 20_000 + b"a" * 19_999 + b"."
    assert "nested more than 32 deep" in refusal(tmp_path, deep)
    tuples = b")" + b"\x85" * 20_000 + b"."
    assert "nested more than 32 deep" in refusal(tmp_path, tuples)
    assert "open marks" in refusal(tmp_path, b"(" * 20_000 + b"K\x01.")


def test_depth_counts_through_shared_values(tmp_path: Path) -> None:
    shared: list[Any] = [[[1]]]
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps([shared, [[shared]]]))
    assert read_pickle(path, PickleLimits(max_depth=6)) == [shared, [[shared]]]
    with pytest.raises(DataError, match="nested more than 5 deep"):
        read_pickle(path, PickleLimits(max_depth=5))


def test_a_small_file_that_unfolds_without_end(tmp_path: Path) -> None:
    bomb: list[Any] = ["x"] * 10
    for _ in range(25):
        bomb = [bomb] * 10
    data = pickle.dumps(bomb)
    assert len(data) < 2000
    assert "items, shared ones counted each time" in refusal(tmp_path, data)


def test_limits(tmp_path: Path) -> None:
    data = pickle.dumps(list(range(1000)))
    assert "more than 500 items" in refusal(tmp_path, data, max_items=500)
    assert "the limit is 100" in refusal(tmp_path, data, max_bytes=100)
    many = pickle.dumps([[index] for index in range(100)])
    assert "memo index 50, the limit is 50" in refusal(tmp_path, many, max_memo=50)


def array_program(dtype: bytes, state: bytes, order: bytes = b"<") -> bytes:
    """An array's pickle in protocol 2, with a dtype and a state of choice."""
    return (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01"
        + state.replace(
            b"DTYPE",
            b"cnumpy\ndtype\nX" + struct.pack("<I", len(dtype)) + dtype
            + b"\x89\x88\x87R(K\x03X\x01\x00\x00\x00" + order
            + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb",
        )
        + b"tb."
    )  # fmt: skip


def test_the_array_program_itself_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(array_program(b"f4", b"K\x01\x85DTYPE\x89C\x04\x00\x00\x80?"))
    assert read_pickle(path).tolist() == [1.0]


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (array_program(b"O8", b"K\x01\x85DTYPE\x89]"), "arrays of dtype 'O8' are refused"),
        (array_program(b"V4", b"K\x01\x85DTYPE\x89C\x00"), "arrays of dtype 'V4' are refused"),
        (array_program(b"f3", b"K\x01\x85DTYPE\x89C\x00"), "arrays of dtype 'f3' are refused"),
        (array_program(b"f4,O", b"K\x01\x85DTYPE\x89C\x00"), "are refused"),
        (array_program(b"f4", b"K\x01\x85DTYPE\x89]"), "another state than numpy's"),
        (array_program(b"f4", b"K\x01\x85DTYPE\x89C\x04\x00\x00\x80?", b"x"), "another state"),
        (array_program(b"f4", b"K\x02\x85DTYPE\x89C\x04abcd"), "has 4 bytes where 8 are due"),
        (array_program(b"f4", b"J\xff\xff\xff\xff\x85DTYPE\x89C\x00"), "of shape (-1,) is refused"),
        (array_program(b"f4", b"\x88\x85DTYPE\x89C\x04abcd"), "of shape (True,) is refused"),
        (array_program(b"f4", b"K\x01DTYPE\x89C\x04abcd"), "an array of shape 1 is refused"),
        (array_program(b"f4", b"(\x8a\x09" + b"\x00" * 8 + b"\x01K\x00tDTYPE\x89C\x00"), "refused"),
        (array_program(b"f4", b"(" + b"K\x01" * 100 + b"tDTYPE\x89C\x04abcd"), "is refused"),
        (b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R.",
         "used before it is complete"),
        (b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R\x85.",
         "used before it is complete"),
        (b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\ndtype\nK\x00\x85C\x01b\x87R.",
         "with other arguments than numpy's"),
    ],
)  # fmt: skip
def test_arrays_that_are_not_what_they_say(tmp_path: Path, program: bytes, message: str) -> None:
    assert message in refusal(tmp_path, program)
