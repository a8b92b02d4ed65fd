"""Just enough of a Dockerfile's grammar to check ours."""

from pathlib import Path
from typing import NamedTuple


class Instruction(NamedTuple):
    """One instruction, continued lines joined, of the stage with this number."""

    stage: int
    name: str
    value: str


def read(path: Path) -> list[Instruction]:
    found: list[Instruction] = []
    stage, pending = -1, ""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.lstrip().startswith("#"):
            continue
        pending += line.strip()
        if pending.endswith("\\"):
            pending = pending[:-1].rstrip() + " "
            continue
        if pending:
            name, _, value = pending.partition(" ")
            stage += name == "FROM"
            found.append(Instruction(stage, name, value))
        pending = ""
    return found


def values(instructions: list[Instruction], name: str, stage: int | None = None) -> list[str]:
    return [i.value for i in instructions if i.name == name and stage in (None, i.stage)]
