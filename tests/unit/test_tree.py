"""The shape of the source tree: layers, file sizes, and what must never be called."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qzoom import errors

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"
FILES = sorted((SOURCE / "qzoom").rglob("*.py"))
GEOMETRY = sorted((SOURCE / "qzoom" / "geometry").glob("*.py"))
MAX_LINES = 350
# What each layer may use of the layers that are checked here.
MAY_USE = {
    "geometry": {"errors", "geometry"},
    "images": {"errors", "geometry", "images"},
    "data": {"data", "errors", "geometry", "images", "synth"},
    "zoom": {"backbones", "checkpoints", "errors", "geometry", "images", "steps", "zoom"},
    "labels": {
        *("backbones", "checkpoints", "data", "errors", "geometry", "images", "intervals"),
        *("labels", "loading", "plotting", "progress", "zoom"),
    },
    "serve": {
        *("__version__", "addresses", "backbones", "errors", "headers", "images", "serve"),
        *("steps", "zoom"),
    },
}


def imported_modules(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file.name} has a relative import in line {node.lineno}"
            module = node.module or ""
            found.add(module)
            # "from qzoom import errors" names the layer only in its second half.
            if module == "qzoom":
                found.update(f"qzoom.{alias.name}" for alias in node.names)
    return found - {"qzoom"}


def dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


@pytest.mark.parametrize("layer", MAY_USE)
def test_layers_use_only_what_is_below(layer):
    for file in (SOURCE / "qzoom" / layer).rglob("*.py"):
        used = {name.split(".")[1] for name in imported_modules(file) if name.startswith("qzoom.")}
        assert used <= MAY_USE[layer], f"{file.name} uses {sorted(used - MAY_USE[layer])}"


def test_geometry_names_no_model_library():
    for file in GEOMETRY:
        roots = {name.split(".")[0] for name in imported_modules(file)}
        outside = roots - set(sys.stdlib_module_names) - {"torch", "qzoom"}
        assert not outside, f"{file.name} imports {sorted(outside)}"


def test_geometry_loads_no_model_library():
    modules = [f"qzoom.geometry.{file.stem}" for file in GEOMETRY if file.stem != "__init__"]
    code = (
        f"import sys, {', '.join(modules)}\n"
        "print(*(name for name in sys.modules if name.split('.')[0] == 'transformers'"
        " or name.startswith('qzoom.')))"
    )
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert set(found.stdout.split()) <= {"qzoom.errors", "qzoom.geometry", *modules}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_files_are_short(file):
    lines = len(file.read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_LINES, f"{file.name} has {lines} lines, the limit is {MAX_LINES}; split it"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_nothing_unpickles_or_trusts_remote_code(file):
    unsafe_modules = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve"}
    unsafe_modules |= {"jsonpickle", "marshal"}
    unsafe_calls = {"torch.load", "eval", "exec", "yaml.load", "yaml.load_all"}
    unsafe_calls |= {"yaml.unsafe_load", "yaml.full_load"}
    assert not {name.split(".")[0] for name in imported_modules(file)} & unsafe_modules
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        assert dotted(node.func) not in unsafe_calls, f"line {node.lineno}"
        for keyword in node.keywords:
            trusted = keyword.arg == "trust_remote_code" and not (
                isinstance(keyword.value, ast.Constant) and keyword.value.value is False
            )
            unpickled = keyword.arg == "allow_pickle" and not (
                isinstance(keyword.value, ast.Constant) and keyword.value.value is False
            )
            assert not trusted, f"line {node.lineno} may run remote code"
            assert not unpickled, f"line {node.lineno} may unpickle"


def test_errors_share_a_base_that_is_a_value_error():
    kinds = [errors.ImageError, errors.CheckpointError, errors.PromptError]
    kinds += [errors.ConfigError, errors.DataError]
    assert all(issubclass(kind, errors.QZoomError) for kind in kinds)
    assert issubclass(errors.QZoomError, ValueError)
