"""docs/security.md says what the code does: its limits, their options, its tests."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from qzoom.cli import build_parser, serve
from qzoom.serve import limits
from qzoom.serve.limits import Limits

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
A_UNIT = {"MEGABYTE"}


def section(title: str) -> str:
    return TEXT.partition(f"## {title}\n")[2].partition("\n## ")[0]


def rows(title: str) -> list[list[str]]:
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


LIMITS = rows("Limits")


def shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def test_the_table_holds_every_limit_at_its_default():
    expected = {field.name: field.default for field in fields(Limits)}
    constants = {name: value for name, value in vars(limits).items() if name.isupper()}
    expected |= {name: value for name, value in constants.items() if name not in A_UNIT}
    found = [(name.strip("`"), value) for name, value, _, _ in LIMITS]
    assert found == [(name, shown(value)) for name, value in expected.items()]


@pytest.mark.parametrize(
    ("name", "option"), [(row[0].strip("`"), row[2].strip("`")) for row in LIMITS if row[2]]
)
def test_the_option_beside_a_limit_sets_it(name, option):
    args = build_parser().parse_args(["serve", option, "300"])
    changed = serve._limits(args)
    factor = limits.MEGABYTE if option.endswith("-mb") else 1
    assert getattr(changed, name) == 300 * factor
    assert getattr(changed, name) != getattr(Limits(), name)


def test_no_option_that_sets_a_limit_is_left_out():
    parser = build_parser()
    group = next(
        group
        for group in parser._subparsers._group_actions[0].choices["serve"]._action_groups
        if (group.title or "").startswith("limits")
    )
    options = {action.option_strings[0] for action in group._group_actions}
    beside = {row[2].strip("`") for row in LIMITS if row[2]}
    assert options - beside == {"--allow-image-host", "--threads"}


def test_what_stands_beside_the_table_is_so():
    from qzoom.images.decode import ImageLimits
    from qzoom.serve import fetch, state

    text = section("Limits").replace("\n", " ")
    assert f"at most {ImageLimits().max_side_px:,} px" in text
    assert f"at most {fetch._MAX_URL_CHARS:,} characters" in text
    assert state._PREPARING_THREADS == 2
    assert "two threads decode" in text


def test_every_defence_names_tests_that_exist():
    named = [re.findall(r"`(tests/[\w/.]+)`", row[2]) for row in rows("What happened elsewhere")]
    assert all(named)
    missing = {path for paths in named for path in paths if not (ROOT / path).is_file()}
    assert not missing


def test_serving_names_every_metric_and_no_other():
    from qzoom.serve.metrics import Metrics

    serving = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(qzoom_\w+)` \| \w+ \|", serving, re.MULTILINE))
    found = set()
    for family in Metrics()._registry.collect():
        found.add(family.name + ("_total" if family.type == "counter" else ""))
    assert listed == found
