"""Images of records: found inside their root and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from qzoom.data.images import ImageFolder, MissingImageError, image_folder
from qzoom.errors import DataError, ImageError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "a").mkdir(parents=True)
    Image.new("RGB", (4, 3), "red").save(root / "a" / "red.png")
    Image.new("RGB", (4, 3), "blue").save(tmp_path / "outside.png")
    return root


def test_a_file_of_the_root_opens(root: Path) -> None:
    image = ImageFolder(root).open("a/red.png")
    assert image.size == (4, 3)
    assert image.mode == "RGB"


@pytest.mark.parametrize("path", ["a/gone.png", "a", "gone/red.png", "a/" + "x" * 500])
def test_missing_images(root: Path, path: str) -> None:
    with pytest.raises(MissingImageError):
        ImageFolder(root).find(path)


@pytest.mark.parametrize("path", ["../outside.png", "/etc/passwd", "a/../../outside.png", ""])
def test_paths_that_leave_the_root(root: Path, path: str) -> None:
    with pytest.raises(DataError) as caught:
        ImageFolder(root).find(path)
    assert not isinstance(caught.value, MissingImageError)


def test_symlinks_may_point_within_the_root_only(root: Path) -> None:
    (root / "in.png").symlink_to(root / "a" / "red.png")
    (root / "out.png").symlink_to(root.parent / "outside.png")
    (root / "up").symlink_to(root.parent)
    (root / "loop").symlink_to(root / "loop")
    folder = ImageFolder(root)
    assert folder.open("in.png").getpixel((0, 0)) == (255, 0, 0)
    for path in ("out.png", "up/outside.png"):
        with pytest.raises(DataError, match="leads out of"):
            folder.find(path)
    with pytest.raises(MissingImageError):
        folder.find("loop")


def test_the_root_itself_may_be_a_symlink(root: Path) -> None:
    link = root.parent / "link"
    link.symlink_to(root)
    assert ImageFolder(link).open("a/red.png").size == (4, 3)


def test_a_root_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no image folder at"):
        ImageFolder(tmp_path / "gone")


def test_a_file_that_is_no_image(root: Path) -> None:
    (root / "text.png").write_text("no picture")
    with pytest.raises(ImageError):
        ImageFolder(root).open("text.png")


def test_several_roots(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    Image.new("RGB", (8, 8)).save(other / "b.png")
    both = image_folder([root, other])
    assert both.find("b.png") == (other / "b.png").resolve()
    assert both.open("b.png").size == (8, 8)
    with pytest.raises(MissingImageError, match=f"no image 'c.png' under {root} and {other}"):
        both.find("c.png")
    with pytest.raises(DataError, match="image"):
        both.find("../b.png")
    (other / "a").mkdir()
    (other / "a" / "red.png").write_bytes((root / "a" / "red.png").read_bytes())
    with pytest.raises(DataError, match=f"a/red.png.* is under {root} and {other}; rename one"):
        both.find("a/red.png")
    with pytest.raises(DataError, match="no image folder is named"):
        image_folder([])


def test_one_root_stays_one(root: Path) -> None:
    assert type(image_folder(root)) is ImageFolder
