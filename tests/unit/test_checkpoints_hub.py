"""Hub ids, answered from an offline cache laid out as the hub client lays it out."""

from __future__ import annotations

import shutil
from pathlib import Path

import huggingface_hub.constants
import pytest
from tests.tiny import image_settings, write_json, write_reference_checkpoint

from qzoom.checkpoints import read_checkpoint
from qzoom.errors import CheckpointError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, with the network switched off."""
    folder = tmp_path / "hub"
    folder.mkdir()
    # The client reads its environment once, at import.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    return folder


def snapshot(cache: Path, repo_id: str, revision: str = "main") -> Path:
    repository = cache / f"models--{repo_id.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / revision).write_text(COMMIT)
    folder = repository / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    return folder


def write_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    model = WordLevel({"<unk>": 0, "total": 1}, unk_token="<unk>")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(model), unk_token="<unk>")
    tokenizer.chat_template = "{{ messages[0].content }}"
    tokenizer.save_pretrained(folder)


def test_cached_repository(cache: Path) -> None:
    write_reference_checkpoint(snapshot(cache, "someone/tiny"), "qwen3_vl")
    loaded = read_checkpoint("someone/tiny")
    assert loaded.name == "someone/tiny"
    assert loaded.add_on is not None
    assert read_checkpoint("someone/tiny", revision=COMMIT).name == "someone/tiny"


def test_cached_revision(cache: Path) -> None:
    write_reference_checkpoint(snapshot(cache, "someone/tiny", "v2"), "qwen3_vl")
    assert read_checkpoint("someone/tiny", revision="v2").config.enabled
    with pytest.raises(CheckpointError, match="not cached and cannot be downloaded"):
        read_checkpoint("someone/tiny", revision="v3")


def test_cached_files_that_link_to_blobs(cache: Path, tmp_path: Path) -> None:
    source = write_reference_checkpoint(tmp_path / "source", "qwen3_vl")
    folder = snapshot(cache, "someone/tiny")
    for file in source.iterdir():
        (folder / file.name).symlink_to(file)
    assert read_checkpoint("someone/tiny").config.enabled


def test_unknown_name_offline(cache: Path) -> None:
    with pytest.raises(CheckpointError, match=r"'someone/else' is no folder.*go online once") as e:
        read_checkpoint("someone/else")
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("name", ["a/b/c", "../escape", "no such folder"])
def test_neither_folder_nor_id(cache: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match="neither a folder nor a hub id"):
        read_checkpoint(name)


def test_a_folder_wins_over_a_hub_id(cache: Path, tmp_path: Path) -> None:
    write_reference_checkpoint(snapshot(cache, "someone/tiny"), "qwen2_5_vl")
    write_reference_checkpoint(tmp_path / "someone" / "tiny", "qwen3_vl")
    assert read_checkpoint("someone/tiny").family == "qwen3_vl"
    with pytest.raises(CheckpointError, match="needs a hub id"):
        read_checkpoint("someone/tiny", revision="main")


def test_released_name_takes_tokenizer_and_images_from_its_backbone(cache: Path) -> None:
    folder = snapshot(cache, "YuhengSSS/Q-Zoom-Qwen3VL-4B")
    write_reference_checkpoint(folder, "qwen3_vl")
    (folder / "tokenizer.json").write_text("broken")
    base = snapshot(cache, "Qwen/Qwen3-VL-4B-Instruct")
    write_tokenizer(base)
    settings = image_settings("qwen3_vl") | {"max_pixels": 4096 * 1024}
    write_json(base / "preprocessor_config.json", settings)
    loaded = read_checkpoint("YuhengSSS/Q-Zoom-Qwen3VL-4B")
    assert loaded.image_settings == settings
    assert loaded.tokenizer is not None
    assert loaded.tokenizer.chat_template == "{{ messages[0].content }}"
    assert loaded.tokenizer.encode("total") == [1]


def test_released_name_without_its_backbone(cache: Path) -> None:
    write_reference_checkpoint(snapshot(cache, "YuhengSSS/Q-Zoom-Qwen3VL-4B"), "qwen3_vl")
    with pytest.raises(CheckpointError, match="'Qwen/Qwen3-VL-4B-Instruct' is no folder"):
        read_checkpoint("YuhengSSS/Q-Zoom-Qwen3VL-4B")


def test_local_folder_uses_its_own_tokenizer(cache: Path, tmp_path: Path) -> None:
    folder = write_reference_checkpoint(tmp_path / "local", "qwen3_vl")
    write_tokenizer(folder)
    with_settings = read_checkpoint(folder).tokenizer
    (folder / "tokenizer_config.json").unlink()
    bare = read_checkpoint(folder).tokenizer
    assert with_settings is not None
    assert bare is not None
    assert with_settings.encode("total") == bare.encode("total") == [1]
    shutil.rmtree(folder)
