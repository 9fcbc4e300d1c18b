"""What a long run keeps: whole lines, of the same code and settings alone, so that it goes on where it stopped."""

import sys

from verify import journal
from verify.journal import Journal, resumed
from verify.results import Settings


def half(folder, number):
    (folder / f"asked-{number}").write_text(str(number))
    if number % 2:
        raise ValueError("odd")
    return (number // 2, "half")


def asked(folder):
    names = sorted(path.name for path in folder.glob("asked-*"))
    for name in names:
        (folder / name).unlink()
    return [int(name.removeprefix("asked-")) for name in names]


def run(kept, folder, *numbers):
    return resumed(kept, half, (folder,), numbers, returns=tuple[int, str], workers=1, timeout=60.0)


def found(results):
    return {done.job: (done.value, before) for done, before in results}


def test_what_is_done_is_not_done_again(tmp_path):
    kept = Journal(tmp_path / "new" / "kept.jsonl", "1")
    assert found(run(kept, tmp_path, 2, 4)) == {2: ((1, "half"), False), 4: ((2, "half"), False)}
    assert asked(tmp_path) == [2, 4]
    assert found(run(kept, tmp_path, 4, 6)) == {4: ((2, "half"), True), 6: ((3, "half"), False)}
    assert asked(tmp_path) == [6]
    assert [done.job for done, before in run(kept, tmp_path, 6, 2) if before and done.seconds > 0] == [6, 2]
    assert asked(tmp_path) == []


def test_an_interrupted_run_keeps_what_it_has_done(tmp_path):
    kept = Journal(tmp_path / "kept.jsonl", "1")
    interrupted = run(kept, tmp_path, 2, 4, 6)
    next(interrupted)
    interrupted.close()
    asked(tmp_path)
    assert [before for _, before in found(run(kept, tmp_path, 2, 4, 6)).values()] == [True, False, False]
    assert asked(tmp_path) == [4, 6]


def test_a_line_that_was_cut_short_costs_its_own_job_alone(tmp_path):
    kept = Journal(tmp_path / "kept.jsonl", "1")
    found(run(kept, tmp_path, 2, 4))
    kept.path.write_bytes(kept.path.read_bytes()[:-9])
    asked(tmp_path)
    assert [before for _, before in found(run(kept, tmp_path, 2, 4)).values()] == [True, False]
    assert asked(tmp_path) == [4]
    kept.path.write_bytes(kept.path.read_bytes() + b'[1, 2]\n"x"\n\xff')
    assert all(before for _, before in found(run(kept, tmp_path, 2, 4)).values())


def test_another_version_keeps_nothing_for_this_one(tmp_path):
    found(run(Journal(tmp_path / "kept.jsonl", "1"), tmp_path, 2))
    assert found(run(Journal(tmp_path / "kept.jsonl", "2"), tmp_path, 2)) == {2: ((1, "half"), False)}
    assert found(run(Journal(tmp_path / "kept.jsonl", "1"), tmp_path, 2)) == {2: ((1, "half"), True)}


def test_a_job_that_failed_is_tried_again(tmp_path):
    kept = Journal(tmp_path / "kept.jsonl", "1")
    for _ in range(2):
        ((done, before),) = run(kept, tmp_path, 3)
        assert (done.value, done.problem, before) == (None, "ValueError: odd", False)
    assert asked(tmp_path) == [3]


def test_without_a_journal_all_is_done(tmp_path):
    assert found(run(None, tmp_path, 2)) == found(run(None, tmp_path, 2)) == {2: ((1, "half"), False)}


def test_a_version_follows_code_and_settings(tmp_path, monkeypatch):
    assert journal.version(Settings()) == journal.version(Settings())
    assert journal.version(Settings()) != journal.version(Settings(seed=1))
    (tmp_path / "journalled").mkdir()
    code = tmp_path / "journalled" / "__init__.py"
    code.write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(journal, "PACKAGES", ("journalled",))
    before = journal.version()
    code.write_text("x = 2\n")
    assert journal.version() != before
    code.write_text("x = 1\n")
    assert journal.version() == before
    (tmp_path / "journalled" / "more.py").write_text("")
    assert journal.version() != before
    del sys.modules["journalled"]
