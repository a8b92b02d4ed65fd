"""Records to label shards: the same files however often it stops, in parts, with bad pictures."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image
from tests.tiny_chat import chat_model, picture

from qzoom.data.images import ImageFolder
from qzoom.data.records import Record, Turn
from qzoom.errors import DataError, ImageError
from qzoom.images.square import pad_to_square
from qzoom.labels.attention import HeadSet
from qzoom.labels.find_heads import boxed_cells, find_heads
from qzoom.labels.pipeline import Plan, label_records
from qzoom.labels.presets import HeadPreset
from qzoom.labels.region import RegionLabeller, RegionSample
from qzoom.labels.region_settings import RegionLabelSettings
from qzoom.labels.store import LabelRow, LabelStore, read_labels
from qzoom.labels.tristate import TriStateRule

HEADS = HeadPreset(textual=HeadSet({2: (0, 1)}), natural=HeadSet({3: (2,)}))
SETTINGS = RegionLabelSettings(
    layout="native", cells=30, max_new_tokens=4, rule=TriStateRule(min_peak=0, max_box_share=2)
)


def record(number: int, mode: str = "textual", turns: int = 1) -> Record:
    asked = [
        Turn(f"what is that {turn}?", ("a",), ((10.0, 10.0, 60.0, 60.0),)) for turn in range(turns)
    ]
    return Record(
        f"r{number}",
        (f"{number}.png",),
        tuple(asked),
        "toy",
        mode,
        "none",
        "here",  # type: ignore[arg-type]
    )


RECORDS = [record(0), record(1, "natural"), record(2, turns=2), record(3), record(4)]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageFolder:
    root = tmp_path_factory.mktemp("images")
    for number in range(5):
        picture(200 + 20 * number, 200, seed=number).save(root / f"{number}.png")
    return ImageFolder(root)


class Counting(RegionLabeller):
    """Counts what it labels; dies once it has labelled so many."""

    def __init__(self, last: int = 99) -> None:
        super().__init__(chat_model("qwen3_vl", eos=None), HEADS, SETTINGS)
        self.seen, self.last = 0, last

    def __call__(self, samples: Sequence[RegionSample]) -> list[LabelRow]:
        self.seen += len(samples)
        if self.seen > self.last:
            raise KeyboardInterrupt
        return super().__call__(samples)


def run(folder: Path, images: ImageFolder, labeller: RegionLabeller, **plan: object) -> object:
    store = LabelStore(folder, SETTINGS.to_json(HEADS))
    fields = {"shard_size": 2, "batch_size": 2} | plan
    return label_records(RECORDS, images, labeller, store, Plan(**fields))  # type: ignore[arg-type]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_stopped_run_ends_with_the_same_files(tmp_path: Path, images: ImageFolder) -> None:
    counts = run(tmp_path / "whole", images, Counting())
    assert vars(counts) == {
        "labelled": 6, "teaching": 6, "bad_images": 0, "shards": 3, "kept": 0
    }  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", images, Counting(last=3))
    again = Counting()
    run(tmp_path / "parts", images, again)
    assert again.seen == 4
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    ids = [row.fields["id"] for row in read_labels(tmp_path / "whole")]
    assert ids == ["r0", "r1", "r2#0", "r2#1", "r3", "r4"]


def test_two_processes_share_the_shards(tmp_path: Path, images: ImageFolder) -> None:
    run(tmp_path / "whole", images, Counting())
    for part in (1, 0):
        run(tmp_path / "both", images, Counting(), part=part, parts=2)
    assert contents(tmp_path / "both") == contents(tmp_path / "whole")


def test_bad_pictures_are_rows_that_say_so_up_to_a_limit(
    tmp_path: Path, images: ImageFolder
) -> None:
    root = tmp_path / "images"
    root.mkdir()
    for number in (0, 2, 3):
        (root / f"{number}.png").write_bytes((images.root / f"{number}.png").read_bytes())
    (root / "4.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"1 of 2 pictures of shard 0 are bad \(limit 40%\)"):
        run(tmp_path / "strict", ImageFolder(root), Counting(), most_bad=0.4)
    counts = run(tmp_path / "mild", ImageFolder(root), Counting(), most_bad=0.5)
    assert vars(counts)["bad_images"] == 2
    errors = [row.fields.get("error") for row in read_labels(tmp_path / "mild")]
    assert [error is not None for error in errors] == [False, True, False, False, False, True]


def test_a_picture_of_a_shape_that_no_model_takes(tmp_path: Path, images: ImageFolder) -> None:
    for number in range(5):
        data = (images.root / f"{number}.png").read_bytes()
        (tmp_path / f"{number}.png").write_bytes(data)
    Image.new("RGB", (2100, 2)).save(tmp_path / "3.png")
    counts = run(tmp_path / "labels", ImageFolder(tmp_path), Counting(), most_bad=0.5)
    assert (vars(counts)["bad_images"], vars(counts)["teaching"]) == (1, 5)
    (bad,) = (row for row in read_labels(tmp_path / "labels") if "error" in row.fields)
    assert "aspect ratio of 1050" in bad.fields["error"]
    assert (bad.fields["id"], bad.fields["image"]) == ("r3", "3.png")


def test_a_short_last_shard_is_measured_as_a_whole_one(tmp_path: Path, images: ImageFolder) -> None:
    root = tmp_path / "images"
    root.mkdir()
    for number in range(4):
        (root / f"{number}.png").write_bytes((images.root / f"{number}.png").read_bytes())
    plan = {"shard_size": 5, "most_bad": 0.2}
    counts = run(tmp_path / "labels", ImageFolder(root), Counting(), **plan)
    assert (vars(counts)["bad_images"], vars(counts)["shards"]) == (1, 2)


def test_other_questions_than_those_of_the_folder(tmp_path: Path, images: ImageFolder) -> None:
    run(tmp_path, images, Counting())
    with pytest.raises(DataError, match=r"shard 0 of .* holds 2 questions from \['r0'\], not 3"):
        run(tmp_path, images, Counting(), shard_size=3)


def test_a_strip_makes_no_huge_square() -> None:
    with pytest.raises(ImageError, match=r"20000x2 px, the limit for a square is 16384 px"):
        pad_to_square(Image.new("RGB", (20_000, 2)))


def test_memory_does_not_grow_with_the_questions(tmp_path: Path) -> None:
    def peak_bytes(count: int) -> int:
        store = LabelStore(tmp_path / str(count), {})
        endless = (record(number) for number in range(count))
        tracemalloc.start()
        label_records(
            endless,
            _OnePicture(),  # type: ignore[arg-type]
            _NoModel(),  # type: ignore[arg-type]
            store,
            Plan(shard_size=64),
            # safetensors leaves garbage to the collector, which is in no hurry.
            report=lambda line: gc.collect() and None,
        )
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak_bytes(64)  # what the first run imports
    gc.freeze()  # makes collecting fast
    few, many = peak_bytes(256), peak_bytes(10 * 256)
    gc.unfreeze()
    # One row kept would be several hundred bytes.
    assert many - few < 50 * 9 * 256


class _OnePicture:
    def open(self, path: str) -> Image.Image:
        return Image.new("RGB", (8, 8))


class _NoModel:
    def __call__(self, samples: Sequence[RegionSample]) -> list[LabelRow]:
        return [
            LabelRow({"id": sample.id, "teaches": True}, {"labels": torch.zeros(4, 4)})
            for sample in samples
        ]


def test_a_plan_out_of_range() -> None:
    with pytest.raises(DataError, match="part 2 of 2"):
        Plan(part=2, parts=2)
    with pytest.raises(DataError, match="at least 1"):
        Plan(batch_size=0)


def test_heads_are_found_on_boxed_records(images: ImageFolder) -> None:
    model = chat_model("qwen3_vl", eos=None)
    unboxed = Record("u", ("0.png",), (Turn("what?"),), "toy", "textual", "none", "here")
    gone = Record("g", ("9.png",), RECORDS[0].turns, "toy", "textual", "none", "here")
    found = find_heads(model, [unboxed, gone, *RECORDS], images, samples=3, cells=30)
    assert found.samples == 3
    assert found.inside.shape == (8, 4)


def test_cells_that_a_box_touches() -> None:
    inside = boxed_cells([(10, 10, 21, 11)], (40, 30), (3, 4)).view(3, 4)
    expected = torch.zeros(3, 4, dtype=torch.bool)
    expected[1, 1:3] = True
    assert torch.equal(inside, expected)
    # A box that ends exactly on an edge stays on its side of it.
    assert int(boxed_cells([(10, 10, 20, 20)], (40, 30), (3, 4)).sum()) == 1
