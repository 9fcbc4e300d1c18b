"""Files that are written whole or not at all, and told of in time if they cannot be."""

import pytest

from verify.output import require_writable, write_all


def test_files_are_written_whole(tmp_path):
    target = tmp_path / "deep" / "f.json"
    write_all([(target, "one\n"), (tmp_path / "g", "two")])
    assert target.read_bytes() == b"one\n"
    assert (tmp_path / "g").read_text() == "two"
    write_all([(target, "three")])
    assert target.read_text() == "three"
    assert [p.name for p in target.parent.iterdir()] == ["f.json"]
    assert target.stat().st_mode & 0o444


def test_nothing_is_written_if_anything_cannot_be(tmp_path):
    (tmp_path / "f").write_text("before")
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OSError, match="file"):
        write_all([(tmp_path / "f", "after"), (tmp_path / "file" / "g", "after")])
    assert (tmp_path / "f").read_text() == "before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f", "file"]


def test_nothing_is_left_behind_by_text_that_cannot_be_written(tmp_path):
    with pytest.raises(UnicodeEncodeError):
        write_all([(tmp_path / "f", "fine"), (tmp_path / "g", "\ud800")])
    assert list(tmp_path.iterdir()) == []


def test_the_folder_made_for_files_goes_with_them(tmp_path):
    with pytest.raises(UnicodeEncodeError):
        write_all([(tmp_path / "new" / "f", "fine"), (tmp_path / "new" / "g", "\ud800")])
    with pytest.raises(FileNotFoundError):
        write_all([(tmp_path / "new" / "f", "fine"), (tmp_path / "no" / "such" / "g", "fine")])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["new", "folder", "new.txt", "file"])
def test_what_can_be_written_is_let_through_untouched(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("before")
    require_writable(tmp_path / name, "out", folder=name in ("new", "folder"))
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "folder"]
