"""The stack machine of plain pickles: opcodes in, a value out, nothing called on the way."""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from typing import Any, Final

from qzoom.data.fields import shown
from qzoom.data.pickle_arrays import Named, Unbuilt, build, call, named
from qzoom.errors import DataError

HIGHEST_PROTOCOL: Final = 5
# Whole numbers beyond this may share a hash with others, and a dict of such keys is slow.
_LARGEST_KEY: Final = 2**60

_PUSHES: Final = frozenset(
    {
        "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "FLOAT", "BINFLOAT",
        "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
        "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
    }
)  # fmt: skip
_CONSTANTS: Final = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}


class Machine:
    """Runs one pickle."""

    def __init__(self, max_items: int, max_memo: int) -> None:
        self._max_items = max_items
        self._max_memo = max_memo
        self._stack: list[Any] = []
        # Heights of the stack at open marks; nothing below the last one may be taken.
        self._marks: list[int] = []
        self._floor = 0
        self._memo: list[Any] = []

    def run(self, source: Any) -> Any:
        """The value of the program in a file-like source.

        Raises:
            DataError: naming the byte of the opcode that is refused or damaged.
        """
        at, steps = 0, 0
        try:
            for opcode, arg, position in pickletools.genops(source):
                at, steps = position or 0, steps + 1
                if steps > self._max_items:
                    raise DataError(f"more than {self._max_items} items")
                self._step(opcode.name, arg)
        except DataError as error:
            raise DataError(f"byte {at}: {error}") from None
        except (ValueError, AssertionError, OverflowError) as error:
            raise DataError(f"byte {at} or after: no pickle ({shown(str(error))})") from None
        return self._take(self._stack[0])

    def _step(self, name: str, arg: Any) -> None:
        if name in _PUSHES:
            self._stack.append(arg)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in _STEPS:
            _STEPS[name](self, arg)
        else:
            raise DataError(f"opcode {name} is refused; only plain data and numpy arrays are read")

    def _pop(self) -> Any:
        if len(self._stack) <= self._floor:
            raise DataError("the stack is empty")
        return self._stack.pop()

    def _top(self) -> Any:
        if len(self._stack) <= self._floor:
            raise DataError("the stack is empty")
        return self._stack[-1]

    def _take(self, value: Any) -> Any:
        """A value on its way into a container: arrays and dtypes have to be complete."""
        if isinstance(value, Unbuilt):
            if value.value is None:
                raise DataError("an array or dtype is used before it is complete")
            return value.value
        return value

    def _mark(self, _: Any) -> None:
        self._floor = len(self._stack)
        self._marks.append(self._floor)

    def _since_mark(self) -> list[Any]:
        if not self._marks:
            raise DataError("no mark is open")
        start = self._marks.pop()
        self._floor = self._marks[-1] if self._marks else 0
        values = [self._take(value) for value in self._stack[start:]]
        del self._stack[start:]
        return values

    def _tuple(self, size: int) -> None:
        values = [self._take(self._pop()) for _ in range(size)]
        self._stack.append(tuple(reversed(values)))

    def _extend(self, values: list[Any]) -> None:
        target = self._top()
        if type(target) is not list:
            raise DataError(f"append to {type(target).__name__}")
        target.extend(values)

    def _update(self, values: list[Any]) -> None:
        target = self._top()
        if type(target) is not dict or len(values) % 2:
            raise DataError(f"set {len(values)} keys and values in {type(target).__name__}")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if not isinstance(key, str | bytes | int) or (
                isinstance(key, int) and abs(key) > _LARGEST_KEY
            ):
                raise DataError(f"a dict key of {shown(key)} is refused")
            target[key] = value

    def _append(self, _: Any) -> None:
        self._extend([self._take(self._pop())])

    def _set_item(self, _: Any) -> None:
        value, key = self._take(self._pop()), self._take(self._pop())
        self._update([key, value])

    def _list(self, _: Any) -> None:
        self._stack.append(self._since_mark())

    def _dict(self, _: Any) -> None:
        values = self._since_mark()
        self._stack.append({})
        self._update(values)

    def _put(self, index: int) -> None:
        if not 0 <= index < self._max_memo:
            raise DataError(f"memo index {index}, the limit is {self._max_memo}")
        if index >= len(self._memo):
            self._memo.extend([_MISSING] * (index + 1 - len(self._memo)))
        self._memo[index] = self._top()

    def _get(self, index: int) -> None:
        if not 0 <= index < len(self._memo) or self._memo[index] is _MISSING:
            raise DataError(f"memo index {index} was never stored")
        self._stack.append(self._memo[index])

    def _global(self, arg: str) -> None:
        module, _, name = arg.partition(" ")
        self._stack.append(named(module, name))

    def _stack_global(self, _: Any) -> None:
        name, module = self._pop(), self._pop()
        self._stack.append(named(module, name))

    def _reduce(self, _: Any) -> None:
        args, function = self._pop(), self._pop()
        self._stack.append(call(function, args))

    def _build(self, _: Any) -> None:
        state = self._pop()
        build(self._top(), state)

    def _protocol(self, version: int) -> None:
        if version > HIGHEST_PROTOCOL:
            raise DataError(f"protocol {version}, the highest known is {HIGHEST_PROTOCOL}")

    def _stop(self, _: Any) -> None:
        if len(self._stack) != 1 or self._marks:
            raise DataError(f"the program ends with {len(self._stack)} values and open marks")
        if isinstance(self._take(self._stack[0]), Named):
            raise DataError("the value is a global")


_MISSING: Final = object()

_STEPS: Final[dict[str, Callable[[Machine, Any], None]]] = {
    "MARK": Machine._mark,
    "EMPTY_LIST": lambda machine, _: machine._stack.append([]),
    "LIST": Machine._list,
    "APPEND": Machine._append,
    "APPENDS": lambda machine, _: machine._extend(machine._since_mark()),
    "EMPTY_DICT": lambda machine, _: machine._stack.append({}),
    "DICT": Machine._dict,
    "SETITEM": Machine._set_item,
    "SETITEMS": lambda machine, _: machine._update(machine._since_mark()),
    "TUPLE": lambda machine, _: machine._stack.append(tuple(machine._since_mark())),
    "TUPLE1": lambda machine, _: machine._tuple(1),
    "TUPLE2": lambda machine, _: machine._tuple(2),
    "TUPLE3": lambda machine, _: machine._tuple(3),
    "PUT": Machine._put,
    "BINPUT": Machine._put,
    "LONG_BINPUT": Machine._put,
    "MEMOIZE": lambda machine, _: machine._put(len(machine._memo)),
    "GET": Machine._get,
    "BINGET": Machine._get,
    "LONG_BINGET": Machine._get,
    "GLOBAL": Machine._global,
    "STACK_GLOBAL": Machine._stack_global,
    "REDUCE": Machine._reduce,
    "BUILD": Machine._build,
    "PROTO": Machine._protocol,
    "FRAME": lambda machine, _: None,
    "STOP": Machine._stop,
}
