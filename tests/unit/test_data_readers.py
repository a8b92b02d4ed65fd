"""Each reader on a few rows of the layout its owners publish."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qzoom.data.readers.modes import mode_of
from qzoom.data.readers.options import ReadOptions
from qzoom.data.readers.registry import READERS, reader
from qzoom.data.records import Record, Turn
from qzoom.errors import DataError

SUFFIX = "Answer the question using a single word or phrase."


def put(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in content))
    else:
        path.write_text(json.dumps(content))
    return path


def read(name: str, path: Path, **options: Any) -> list[Record | DataError]:
    root = options.pop("images", path.parent)
    return list(reader(name).read([path], ReadOptions(root, **options)))


def good(name: str, path: Path, **options: Any) -> list[Record]:
    found = read(name, path, **options)
    assert all(isinstance(record, Record) for record in found), found
    return found  # type: ignore[return-value]


def said(*texts: str) -> list[dict[str, str]]:
    roles = ("human", "gpt")
    return [{"from": roles[i % 2], "value": text} for i, text in enumerate(texts)]


LLAVA = [
    {"id": "t", "conversations": said("Hi", "Hello")},
    {
        "id": 2327515,
        "image": "gqa/images/2327515.jpg",
        "conversations": said(f"<image>\nIs it red?\n{SUFFIX}", "Yes", "What is it?", "hat"),
    },
    {
        "id": "140031996X",
        "image": "ocr_vqa/images/140031996X.jpg",
        "conversations": said(f"Who wrote it?\n{SUFFIX}\n<image>", "H. Jackson Brown"),
    },
    {"id": "c", "image": "coco/train2017/1.jpg", "conversations": said("<image>\nWhat?", "A cat")},
]


def test_llava(tmp_path: Path) -> None:
    path = put(tmp_path / "llava_v1_5_mix665k.json", LLAVA)
    gqa, ocr = good("llava", path)
    # The reference numbers its questions by the row in the whole mix, and so do we.
    assert gqa.id == "llava_v1_5_mix665k-1"
    assert gqa.images == ("gqa/images/2327515.jpg",)
    assert gqa.turns == (
        Turn(f"Is it red?\n{SUFFIX}", ("Yes",)),
        Turn("What is it?", ("hat",)),
    )
    assert (gqa.dataset, gqa.mode) == ("gqa", "natural")
    assert (ocr.dataset, ocr.mode) == ("ocr_vqa", "textual")
    assert ocr.turns == (Turn(f"Who wrote it?\n{SUFFIX}", ("H. Jackson Brown",)),)
    assert {gqa.licence, ocr.licence} == {"CC-BY-4.0"}


def test_llava_options(tmp_path: Path) -> None:
    path = put(tmp_path / "mix.json", LLAVA)
    found = good("llava", path, keep_suffix=False, only=("gqa/", "coco/"), moves=(("gqa/", "g/"),))
    assert [record.images[0] for record in found] == ["g/images/2327515.jpg", LLAVA[3]["image"]]
    assert found[0].turns[0].question == "Is it red?"
    assert found[1].mode == "natural"
    assert good("llava", path, mode="textual", dataset="mine")[0].mode == "textual"


@pytest.mark.parametrize(
    ("conversations", "message"),
    [
        ([], "at least one image and one turn"),
        ("no", "must be a list"),
        ([{"from": "robot", "value": "x"}], "from 'human' or 'gpt'"),
        ([{"from": "human"}], "'value' is missing"),
        ([*said("a", "b"), {"from": "gpt", "value": "c"}], "take turns"),
        (said("<image>", "Yes"), "question is empty"),
    ],
)
def test_bad_conversations_are_bad_rows(tmp_path: Path, conversations: Any, message: str) -> None:
    row = {"image": "gqa/1.jpg", "conversations": conversations}
    bad, fine = read("llava", put(tmp_path / "a.json", [row, LLAVA[1]]))
    assert isinstance(bad, DataError)
    assert f"{tmp_path / 'a.json'}[0]: " in str(bad)
    assert message in str(bad)
    assert isinstance(fine, Record)


def test_conversations_with_a_left_over_reply_or_question(tmp_path: Path) -> None:
    messages = [{"from": "gpt", "value": "?"}, *said("One?", "1", "Two?")]
    path = put(tmp_path / "a.json", [{"image": "gqa/1.jpg", "conversations": messages}])
    assert good("llava", path)[0].turns == (Turn("One?", ("1",)), Turn("Two?"))


def test_an_array_cut_short_gives_its_rows_and_then_fails(tmp_path: Path) -> None:
    path = put(tmp_path / "a.json", LLAVA)
    path.write_text(path.read_text()[:-40])
    found = iter(reader("llava").read([path], ReadOptions(tmp_path)))
    assert isinstance(next(found), Record)
    assert isinstance(next(found), Record)
    with pytest.raises(DataError, match="cut short"):
        next(found)


VCOT: dict[str, Any] = {
    "question": "who is it?", "answer": "P. Carter", "possible_answers": ["P. Carter", "p. carter"],
    "image": "xnbl0037_1.png", "width": 1695, "height": 2025,
    "bboxs": [[429, 511, 666, 578], [429, 511, 666, 578], [-3, 2000, 1700, 2030]],
    "dataset": "docvqa", "split": "train",
}  # fmt: skip


def test_visual_cot(tmp_path: Path) -> None:
    gqa = {
        "question": "what?", "answer": "cup", "full_answer": "It is a cup.", "image": "23.jpg",
        "width": 10, "height": 10, "bboxs": [[1, 1, 5.5, 5]], "dataset": "gqa", "split": "val",
    }  # fmt: skip
    textcap = VCOT | {"dataset": "textcap", "bboxs": []}
    path = put(tmp_path / "docvqa_cot_train.jsonl", [VCOT, gqa, textcap])
    doc, natural, caption = good("visual_cot", path)
    assert doc.id == "docvqa_cot_train-0"
    assert doc.images == ("cot/docvqa/xnbl0037_1.png",)
    assert doc.turns[0].answers == ("P. Carter", "p. carter")
    # Repeats are dropped and boxes end where the image does.
    assert doc.turns[0].boxes_px_xyxy == ((429, 511, 666, 578), (0, 2000, 1695, 2025))
    assert (doc.mode, doc.dataset, doc.split) == ("textual", "visual_cot_docvqa", "train")
    assert doc.licence == "CC-BY-NC-4.0"
    assert (natural.mode, natural.split, natural.turns[0].answers) == ("natural", "val", ("cup",))
    assert caption.images == ("cot/textvqa/xnbl0037_1.png",)
    assert good("visual_cot", path, prefix="DocVQA", only=("DocVQA/x",))[0].images == (
        "DocVQA/xnbl0037_1.png",
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bboxs": [[5, 5, 5, 9]]}, "must have x1 < x2"),
        ({"bboxs": [[2000, 0, 2100, 9]]}, "must have x1 < x2"),
        ({"bboxs": [[1, 2, 3]]}, "bboxs[0] must have 4 numbers"),
        ({"width": None}, "width must be a finite number"),
        ({"dataset": "moon"}, "no mode is known for dataset 'moon'; give --mode"),
        ({"image": "../x.png"}, "must have no empty, '.' or '..' part"),
        ({"answer": {}}, "answer must be text or a number"),
        ({"question": " "}, "question is empty"),
    ],
)
def test_bad_visual_cot_rows(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = put(tmp_path / "a.jsonl", [VCOT | change, VCOT])
    bad, fine = read("visual_cot", path)
    assert f"{path}:1: " in str(bad)
    assert message in str(bad)
    assert isinstance(fine, Record)


def test_chartqa(tmp_path: Path) -> None:
    rows = [{"imgname": "41699051005347.png", "query": "How many?", "label": "3"},
            {"imgname": "b.png", "query": "Sum?", "label": 4.5}]  # fmt: skip
    path = put(tmp_path / "ChartQA Dataset" / "train" / "train_human.json", rows)
    first, second = good("chartqa", path, images=tmp_path)
    assert first.id == "chartqa-train_human-0"
    assert first.images == ("ChartQA Dataset/train/png/41699051005347.png",)
    assert first.turns == (Turn("How many?", ("3",)),)
    assert (first.mode, first.split, first.licence) == ("textual", "train", "GPL-3.0")
    assert second.turns[0].answers == ("4.5",)
    other = tmp_path / "images"
    other.mkdir()
    with pytest.raises(DataError, match=r"is not under .* give --prefix"):
        read("chartqa", path, images=other)
    assert good("chartqa", path, images=other, prefix="ChartQA/png")[0].images == (
        "ChartQA/png/41699051005347.png",
    )


def test_textvqa(tmp_path: Path) -> None:
    answers = ["nous les gosses"] * 9 + ["", "dakota"]
    row = {
        "question": "what is the brand?", "image_id": "0054c91397f2fe05", "image_width": 1024,
        "image_height": 730, "answers": answers, "question_tokens": ["what"], "question_id": 0,
        "set_name": "train", "image_classes": ["Camera"],
    }  # fmt: skip
    whole = {"dataset_type": "train", "dataset_version": "0.5.1", "data": [row]}
    path = put(tmp_path / "TextVQA_0.5.1_train.json", whole)
    (record,) = good("textvqa", path)
    assert record.id == "textvqa-0"
    assert record.images == ("textvqa/train_images/0054c91397f2fe05.jpg",)
    assert record.turns[0].answers == ("nous les gosses",) * 9 + ("dakota",)
    assert (record.split, record.mode, record.licence) == ("train", "textual", "CC-BY-4.0")
    assert good("textvqa", path, prefix="")[0].images == ("0054c91397f2fe05.jpg",)


def test_vstar_coco(tmp_path: Path) -> None:
    ask = (
        "<image>\nAdditional visual information to focus on: <object>, <object>.\n"
        "Is the cup on the left of the dog?"
    )
    row = {
        "image": "coco2014/train2014/COCO_train2014_000000000001.jpg",
        "conversations": said(ask, "Yes, the cup is on the left."),
        "target_instances": [{"name": "cup", "bbox": [10, 20, 30, 40]},
                             {"name": "dog", "bbox": [100.5, 20, 30, 40]}],
    }  # fmt: skip
    bare = {"image": "coco2017/train2017/1.jpg", "question": "What?", "answer": "a cup",
            "target_instances": []}  # fmt: skip
    flat = row | {"target_instances": [{"name": "cup", "bbox": [1, 2, 0, 4]}]}
    path = put(tmp_path / "spatial_relation_data.json", [row, bare, flat])
    moves = (("coco2014/", "coco/"), ("coco2017/", "coco/"))
    first, second, bad = read("vstar_coco", path, moves=moves)
    assert isinstance(first, Record)
    assert first.id == "vstar-spatial_relation_data-0"
    assert first.images == ("coco/train2014/COCO_train2014_000000000001.jpg",)
    assert first.turns == (
        Turn(
            "Is the cup on the left of the dog?",
            ("Yes, the cup is on the left.",),
            ((10, 20, 40, 60), (100.5, 20, 130.5, 60)),
        ),
    )
    assert first.mode == "natural"
    assert isinstance(second, Record)
    assert second.turns == (Turn("What?", ("a cup",)),)
    assert "must have x1 < x2" in str(bad)


def test_qzoom_hosted_universal_input(tmp_path: Path) -> None:
    row = {
        "uid": "gqa:gqa_source:120396:0", "question_id": "120396", "dataset": "gqa",
        "image": "coco/train2017/000000189951.jpg", "text": f"What concerns?\n{SUFFIX}",
        "mode": "natural", "short_prompt": True, "use_system_prompt": True, "max_new_tokens": 128,
        "source": "gqa_source",
    }  # fmt: skip
    path = put(tmp_path / "stage1_universal_input.jsonl", [row])
    (record,) = good("qzoom_hosted", path, keep_suffix=False)
    assert record.id == row["uid"]
    assert record.turns == (Turn("What concerns?"),)
    assert (record.dataset, record.mode) == ("gqa", "natural")


def test_qzoom_hosted_pools_and_post_training_rows(tmp_path: Path) -> None:
    pool = [
        {"question_id": "7", "image": "/data/sets/ocr_vqa/images/1.jpg", "text": "Who?",
         "category": "default"},
        {"question_id": 8, "image": "/data/sets/vg/1.jpg", "text": "Who?", "category": "default"},
        {"id": 3, "image": ["/data/sets/ChartQA/1.png"], "question": "Sum?", "answers": [3, "4"]},
        {"image": "/data/sets/coco/1.png", "prompt": "Where?", "answer": "there"},
    ]  # fmt: skip
    path = put(tmp_path / "pool.jsonl", pool)
    moves = (("/data/sets/", ""),)
    first, unknown, third, fourth = read("qzoom_hosted", path, moves=moves)
    assert isinstance(first, Record)
    assert (first.id, first.images, first.mode, first.dataset) == (
        "pool:7:0", ("ocr_vqa/images/1.jpg",), "textual", "pool",
    )  # fmt: skip
    assert "no mode is known for dataset 'pool'; give --mode" in str(unknown)
    assert isinstance(third, Record)
    assert (third.id, third.turns[0].answers) == ("pool:3:2", ("3", "4"))
    assert isinstance(fourth, Record)
    assert (fourth.id, fourth.mode, fourth.turns) == (
        "pool:3:3", "natural", (Turn("Where?", ("there",)),),
    )  # fmt: skip
    only = good("qzoom_hosted", path, moves=moves, only=("ocr_vqa/",), dataset="ocr_vqa")
    assert [record.id for record in only] == ["pool:7:0"]
    # Without --map the absolute path is a bad row, not a file outside the root.
    assert "must be relative to the image root" in str(read("qzoom_hosted", path)[0])


def test_qzoom_hosted_reads_arrays_too(tmp_path: Path) -> None:
    row = {"image": ["docvqa/1.png"], "conversations": said("<image>\nWho?", "me")}
    path = put(tmp_path / "qwen_stage2.json", [row, {"image": "a.png"}, {"text": "x"}])
    first, second, third = read("qzoom_hosted", path)
    assert isinstance(first, Record)
    assert (first.turns, first.mode) == ((Turn("Who?", ("me",)),), "textual")
    assert "no conversations, text, prompt or question" in str(second)
    assert "'image' is missing" in str(third)


@pytest.mark.parametrize("name", sorted(set(READERS) - {"hf_dataset"}))
@pytest.mark.parametrize("row", [5, None, "x", [], {}])
def test_rows_of_another_shape_are_bad_rows_or_left_out(
    tmp_path: Path, name: str, row: Any
) -> None:
    lines = name in ("visual_cot", "sroie")
    content: Any = {"data": [row]} if name == "textvqa" else [row]
    found = read(name, put(tmp_path / ("a.jsonl" if lines else "a.json"), content))
    assert all(isinstance(item, DataError) for item in found)
    assert len(found) == 1 or (name, row) == ("llava", {})


def test_options_a_reader_does_not_take(tmp_path: Path) -> None:
    path = put(tmp_path / "a.json", [])
    with pytest.raises(DataError, match="reader 'chartqa' takes no option 'only'"):
        read("chartqa", path, only=("a",))
    with pytest.raises(DataError, match="reader 'llava' takes no option 'columns'"):
        read("llava", path, columns={"image": "x"})
    with pytest.raises(DataError, match="no reader 'lava'; did you mean 'llava'"):
        reader("lava")


def test_modes() -> None:
    assert mode_of("visual_cot_textvqa") == "textual"
    assert mode_of("mixed", "gqa/images/1.jpg") == "natural"
    assert mode_of("OCR-VQA", "ocr_vqa/1.jpg") == "textual"
    assert mode_of("mixed") is None
