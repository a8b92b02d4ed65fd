"""Questions of records: ids, what is left out, and missing pictures."""

from pathlib import Path

import pytest
from PIL import Image
from tests.unit.labels_pool import FakeAnswerer

from qzoom.data.images import ImageFolder
from qzoom.data.jsonl import RecordFile, write_records
from qzoom.data.records import Record, Turn
from qzoom.errors import DataError, LabelError
from qzoom.labels.answers import AnswerRun, answer_pool
from qzoom.labels.pool import QuestionPool


def record(name: str, *turns: Turn, image: str = "a.png") -> Record:
    return Record(name, (image,), turns, "mine", "textual", "private", "us")


@pytest.fixture
def folder(tmp_path: Path) -> ImageFolder:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    return ImageFolder(tmp_path)


def test_turns_become_questions_with_their_own_ids(folder: ImageFolder) -> None:
    one, two = Turn("what?", ("owl", "owl", "bird")), Turn("why?", ())
    pool = QuestionPool([record("r", one), record("s", one, two)], folder)
    assert [(q.id, q.question) for q in pool] == [("r", "what?"), ("s#0", "what?"), ("s#1", "why?")]
    assert next(iter(pool)).ground_truths == ("owl", "bird")
    assert next(iter(pool)).images == (folder.root.resolve() / "a.png",)
    answered = QuestionPool(pool.records, folder, answered=True)
    assert [q.id for q in answered] == ["r", "s#0"]
    first = QuestionPool(pool.records, folder, limit=2)
    assert (pool.count(), first.count()) == (3, 2)
    assert [q.id for q in first] == ["r", "s#0"]


def test_a_file_of_records_can_be_gone_through_twice(folder: ImageFolder, tmp_path: Path) -> None:
    write_records(tmp_path / "r.jsonl", [record("r", Turn("what?", ("owl",)))])
    pool = QuestionPool(RecordFile(tmp_path / "r.jsonl"), folder)
    assert [q.id for q in pool] == [q.id for q in pool] == ["r"]
    with pytest.raises(LabelError, match="more than once"):
        QuestionPool(iter([]), folder)


def test_a_missing_picture_is_counted_and_the_rest_answered(
    folder: ImageFolder, tmp_path: Path
) -> None:
    records = [record(f"r{i}", Turn("what?")) for i in range(3)]
    records[1] = record("r1", Turn("what?"), image="gone.png")
    pool = list(QuestionPool(records, folder))
    with pytest.raises(DataError, match=r"no image 'gone\.png'"):
        _ = pool[1].images
    report = answer_pool(pool, FakeAnswerer(), tmp_path / "answers.jsonl", AnswerRun(batch_size=3))
    assert (report.answered, report.failed) == (2, 1)
    assert report.reasons[0].startswith("r1: no image 'gone.png'")
