"""`qzoom label` and `qzoom train region`, one after the other, on a tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.tiny_chat import ANY_REGION, chat_checkpoint, picture

import qzoom
from qzoom.checkpoints.save import save_checkpoint
from qzoom.cli import main

SETTINGS = """
layout: native
cells: 30
max_new_tokens: 4
sinks: none
rule: {min_peak: 0.0, max_box_share: 2.0}
"""
RECIPE = "epochs: 2\nbatch_size: 2\nbf16: false\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model, three pictures and their records."""
    save_checkpoint(tmp_path / "model", chat_checkpoint("qwen3_vl", eos=None))
    (tmp_path / "images").mkdir()
    with (tmp_path / "records.jsonl").open("w") as file:
        for number in range(3):
            picture(220 + 20 * number, 200, seed=number).save(tmp_path / f"images/{number}.png")
            turn = {"question": "what?", "answers": ["a"], "boxes_px_xyxy": [[5, 5, 90, 90]]}
            row = {
                "schema": 1, "id": str(number), "images": [f"{number}.png"], "turns": [turn],
                "dataset": "toy", "mode": "textual", "licence": "none", "source": "here",
            }  # fmt: skip
            file.write(json.dumps(row) + "\n")
    (tmp_path / "settings.yaml").write_text(SETTINGS)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path


def test_heads_labels_and_an_adapter(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--images", f"{folder}/images", "--model", f"{folder}/model"]
    records = f"{folder}/records.jsonl"
    found = ["--out", f"{folder}/heads.json", "--cells", "30", "--least-hit", "0"]
    assert main(["label", "heads", records, *common, *found]) == 0
    assert "3 samples" in capsys.readouterr().out
    labels = ["--out", f"{folder}/labels", "--heads", f"{folder}/heads.json"]
    labels += ["--settings", f"{folder}/settings.yaml", "--shard-size", "2"]
    assert main(["label", "region", records, *common, *labels]) == 0
    counts = json.loads(capsys.readouterr().out)
    assert (counts["labelled"], counts["shards"], counts["kept"]) == (3, 2, 0)
    assert main(["label", "region", records, *common, *labels]) == 0
    assert json.loads(capsys.readouterr().out)["kept"] == 2
    trained = ["--labels", f"{folder}/labels", "--out", f"{folder}/run", "--workers", "0"]
    assert main(["train", "region", *common, *trained, "--recipe", f"{folder}/recipe.yaml"]) == 0
    adapter = capsys.readouterr().out.strip()
    model = qzoom.load(folder / "model", adapter=adapter)
    assert model.open(picture()).ask("what?", **ANY_REGION, max_new_tokens=2).zoomed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "gpt"], "no head preset 'gpt'"),
        (["--heads", "{folder}/recipe.yaml"], "is not JSON"),
        (["--preset", "qwen3-vl-4b"], "layer 19 is named; the trunk has 8"),
        (["--preset", "qwen3-vl-4b", "--settings", "{folder}/recipe.yaml"], "unknown setting"),
    ],
)
def test_what_cannot_be_labelled_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    filled = [argument.format(folder=folder) for argument in arguments]
    common = ["--images", f"{folder}/images", "--model", f"{folder}/model"]
    out = ["--out", f"{folder}/labels"]
    code = main(["label", "region", f"{folder}/records.jsonl", *common, *out, *filled])
    assert code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
