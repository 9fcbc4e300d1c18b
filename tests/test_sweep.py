"""Sweeps: validated before anything runs, and whole in the end whatever was killed on the way."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from verify import sweep
from verify.cli import main
from verify.experiments import load

TINY = """\
experiment = "phase-diagram"

[fixed]
rules = ["exact"]
eps = [0.5]
draws = 1
n = 2
d = 2
K = 1
p = 1

[grid]
seed = [{seeds}]
noise = [0.0, 0.1]
"""


def design(folder, cells):
    path = folder / "tiny.toml"
    path.write_text(TINY.format(seeds=", ".join(map(str, range(cells // 2)))))
    return path


def command(path, *options):
    return [sys.executable, "-m", "verify", "sweep", str(path), *options]


def lines(folder):
    journal = folder / "tiny" / "cells.jsonl"
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def children(pid):
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
            command_line = (stat.parent / "cmdline").read_text()
        except OSError:
            continue
        if int(fields[1]) == pid and "spawn_main" in command_line:
            found.append(int(stat.parent.name))
    return found


@pytest.fixture
def undisturbed(tmp_path_factory):
    """The results of the same sweep, run in one go in this process."""

    def run(cells):
        folder = tmp_path_factory.mktemp("undisturbed")
        plan = sweep.read(design(folder, cells))
        assert len(list(sweep.run(plan, folder / "cells.jsonl", sweep.executor(0, None), workers=1))) == cells
        return sweep.results(plan, folder / "cells.jsonl")

    return run


# --- a sweep and its results ---


def test_every_cell_is_what_the_experiment_gives_for_its_parameters(tmp_path):
    plan = sweep.read(design(tmp_path, 4))
    list(sweep.run(plan, tmp_path / "cells.jsonl", sweep.executor(0, None), workers=1))
    found = load("phase-diagram")
    for cell in json.loads(sweep.results(plan, tmp_path / "cells.jsonl"))["cells"]:
        assert cell["error"] is None
        assert cell["rows"] == list(found.run(found.with_parameters(cell["parameters"])))


def test_the_table_has_a_row_for_each_and_the_parameters_that_vary(tmp_path):
    plan = sweep.read(design(tmp_path, 4))
    list(sweep.run(plan, tmp_path / "cells.jsonl", sweep.executor(0, None), workers=1))
    rows = list(csv.DictReader(sweep.table(plan, tmp_path / "cells.jsonl").splitlines()))
    assert [(row["cell.noise"], row["cell.seed"]) for row in rows] == [
        (str(cell.parameters["noise"]), str(cell.parameters["seed"])) for cell in plan.cells
    ]
    assert set(rows[0]) - {"cell.noise", "cell.seed"} == set(
        json.loads(sweep.results(plan, tmp_path / "cells.jsonl"))["cells"][0]["rows"][0]
    )


def test_a_sweep_goes_on_where_it_ended(tmp_path, monkeypatch):
    plan, journal = sweep.read(design(tmp_path, 6)), tmp_path / "cells.jsonl"
    for _, _ in zip(range(2), sweep.run(plan, journal, sweep.executor(0, None), workers=1), strict=False):
        pass
    asked = []
    compute = sweep.compute
    monkeypatch.setattr(sweep, "compute", lambda name, given: asked.append(given["seed"]) or compute(name, given))
    list(sweep.run(plan, journal, sweep.executor(0, None), workers=1))
    assert len(asked) == 6 - 2
    assert list(sweep.run(plan, journal, sweep.executor(0, None), workers=1)) == []


def test_a_line_that_was_cut_off_is_done_again(tmp_path, undisturbed):
    plan, journal = sweep.read(design(tmp_path, 4)), tmp_path / "cells.jsonl"
    list(sweep.run(plan, journal, sweep.executor(0, None), workers=1))
    whole = journal.read_bytes()
    for kept in (len(whole) - 1, len(whole) - 40, len(whole) // 2, 3):
        journal.write_bytes(whole[:kept])
        list(sweep.run(plan, journal, sweep.executor(0, None), workers=1))
        assert sweep.results(plan, journal) == undisturbed(4)


def test_a_cell_that_fails_is_kept_with_its_error_and_the_rest_goes_on(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = design(tmp_path, 4)
    found = load("phase-diagram")

    def run(given):
        if given.noise:
            raise ArithmeticError("noisy")
        yield from found.run(given)

    monkeypatch.setattr(sweep, "experiment_named", lambda name: replace(found, run=run))
    assert main(["sweep", str(path)]) == 1
    out = capsys.readouterr().out
    assert "2 failed" in out
    assert "ArithmeticError: noisy" in out
    cells = json.loads((tmp_path / "tiny" / "results.json").read_text())["cells"]
    assert [cell["error"] is None for cell in cells] == [True, False, True, False]


def test_other_parameters_and_other_code_are_other_cells(monkeypatch):
    first = sweep.key_of("phase-diagram", {"seed": 0})
    assert first != sweep.key_of("phase-diagram", {"seed": 1})
    assert first != sweep.key_of("other", {"seed": 0})
    monkeypatch.setattr(sweep, "_code", lambda: "other")
    other = sweep.key_of("phase-diagram", {"seed": 0})
    assert first != other


# --- what is killed ---


def killed_at_random(folder, cells, kills, options=(), rng=random):
    path = design(folder, cells)
    for _ in range(kills):
        before = lines(folder)
        process = subprocess.Popen(command(path, *options), cwd=folder, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while lines(folder) == before and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.05))
        process.kill()
        process.wait()
    done = subprocess.run(command(path, *options), cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return (folder / "tiny" / "results.json").read_text()


def test_killing_the_sweep_loses_nothing(tmp_path, undisturbed):
    assert killed_at_random(tmp_path, 200, 3, rng=random.Random(0)) == undisturbed(200)
    keys = [json.loads(line)["key"] for line in whole_lines(tmp_path)]
    assert len(keys) == len(set(keys)) == 200


def whole_lines(folder):
    for line in (folder / "tiny" / "cells.jsonl").read_bytes().split(b"\n"):
        if line.endswith(b"}"):
            yield line


@pytest.mark.slow
def test_killing_the_sweep_a_hundred_times_loses_nothing(tmp_path, undisturbed):
    assert killed_at_random(tmp_path, 200, 100, rng=random.Random(1)) == undisturbed(200)


def test_a_worker_that_is_killed_is_replaced(tmp_path, undisturbed):
    path = design(tmp_path, 100)
    process = subprocess.Popen(command(path, "--workers", "2"), cwd=tmp_path, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while lines(tmp_path) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(children(process.pid)[0], signal.SIGKILL)
    assert process.wait(timeout=200) == 0
    assert (tmp_path / "tiny" / "results.json").read_text() == undisturbed(100)


def test_a_pool_that_is_broken_before_it_is_given_a_cell_is_replaced(tmp_path, undisturbed):
    plan, journal = sweep.read(design(tmp_path, 4)), tmp_path / "cells.jsonl"
    pools = []

    class Broken(sweep._InProcess):
        def submit(self, function, /, *args, **kwargs):
            if len(pools) == 1:
                raise BrokenProcessPool("a worker died")
            return super().submit(function, *args, **kwargs)

    @contextmanager
    def pool():
        pools.append(None)
        yield Broken()

    list(sweep.run(plan, journal, pool, workers=2))
    assert len(pools) == 2
    assert sweep.results(plan, journal) == undisturbed(4)


def test_ctrl_c_ends_cleanly(tmp_path):
    path = design(tmp_path, 2000)  # not all done before the signal comes, on a busy machine either
    code = (
        "import signal, sys\n"
        "from verify.cli import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it\n"
        "sys.exit(main(['sweep', sys.argv[1]]))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while lines(tmp_path) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on" in out
    assert err == ""


# --- Dask ---


@pytest.mark.slow
def test_on_dask_with_a_worker_killed(tmp_path, undisturbed):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        path = design(tmp_path, 200)
        process = subprocess.Popen(
            command(path, "--scheduler", cluster.scheduler_address), cwd=tmp_path, stdout=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 120
        while lines(tmp_path) < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(next(iter(cluster.workers.values())).process.pid, signal.SIGKILL)
        assert process.wait(timeout=300) == 0
    assert (tmp_path / "tiny" / "results.json").read_text() == undisturbed(200)


# --- bad input ---


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("experiment = ", "TOML"),
        ('experiment = "none"\n[grid]\nseed = [1]', "line 1: experiment must be one of phase-diagram"),
        ("[grid]\nseed = [1]", "experiment must be the name of one, got None"),
        ('experiment = "phase-diagram"', "grid must be there, or random"),
        ('experiment = "phase-diagram"\n[grid]', "line 2: grid must have at least one parameter"),
        ('experiment = "phase-diagram"\n[grid]\nseed = []', "line 3: seed must be a list of at least one value"),
        ('experiment = "phase-diagram"\n[grid]\nsead = [1]', "line 3: sead must be a parameter of phase-diagram"),
        ('experiment = "phase-diagram"\n[grid]\nseed = [1, "a"]', "line 3: seed must be a whole number, got 'a'"),
        (
            'experiment = "phase-diagram"\n[fixed]\nn = 1.5\n[grid]\nseed = [1]',
            "line 3: n must be a whole number, got 1.5",
        ),
        (
            'experiment = "phase-diagram"\n[fixed]\neps = []\n[grid]\nseed = [1]',
            "line 3: eps must be a list of numbers, at least one, got []",
        ),
        ('experiment = "phase-diagram"\n[grid]\ndraws = [1, 0]', "line 3: draws must be at least 1, got 0"),
        ('experiment = "phase-diagram"\n[grid]\nnoise = [0.1, -1.0]', "line 3: noise must be >= 0, got -1.0"),
        ('experiment = "phase-diagram"\n[grid]\nrules = [["exact"], ["x"]]', "line 3: rules must be of exact, "),
        (
            'experiment = "phase-diagram"\n[grid]\np = [4, 5]',
            "line 3: p must be <= 4 for K = 4 orthogonal subspaces in",
        ),
        (
            'experiment = "twelve-layers"\n[grid]\ndepths = [2, 4]',
            "line 3: depths must have a list for each of its values, as [[2], [4]], got [2, 4]",
        ),
        (
            'experiment = "twelve-layers"\n[random]\nsamples = 3\nrules = {choices = ["tost"]}',
            'line 4: rules must have a list for each of its values, as [["tost"]], got',
        ),
        (
            'experiment = "twelve-layers"\n[fixed]\ndepths = 2\n[grid]\nseed = [1]',
            "line 3: depths must be a list of whole numbers, at least one, got 2; write depths=[2]",
        ),
        ('experiment = "phase-diagram"\ncolour = 1\n[grid]\nseed = [1]', "line 2: colour must be one of experiment"),
        ('experiment = "phase-diagram"\n[random]\nseed = 0', "samples must be a whole number of at least 1, got None"),
        ('experiment = "phase-diagram"\n[random]\nsamples = 2\nnoise = 3', "line 4: noise must be {low, high}"),
        (
            'experiment = "phase-diagram"\n[random]\nsamples = 2\nnoise = {low = 0, high = 1, log = true}',
            "line 4: noise must have low < high, above 0 with log",
        ),
    ],
)
def test_a_bad_design_is_refused_before_anything_runs(tmp_path, monkeypatch, capsys, text, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.toml").write_text(text)
    assert main(["sweep", "bad.toml"]) == 2
    err = " ".join(capsys.readouterr().err.split())
    assert message in err
    assert not (tmp_path / "bad").exists()


def test_random_designs_are_drawn_from_their_seed(tmp_path):
    text = TINY.split("[grid]")[0] + (
        "[random]\nsamples = 20\nseed = 3\nnoise = {low = 0.01, high = 1.0, log = true}\n"
        'coherence = {choices = ["orthogonal", "random"]}\nseed_of_cell = 1\n'
    ).replace("seed_of_cell = 1\n", "")
    (tmp_path / "r.toml").write_text(text)
    cells = sweep.read(tmp_path / "r.toml").cells
    assert len(cells) == 20
    assert all(0.01 <= cell.parameters["noise"] <= 1 for cell in cells)
    assert {cell.parameters["coherence"] for cell in cells} == {"orthogonal", "random"}
    assert [cell.key for cell in cells] == [cell.key for cell in sweep.read(tmp_path / "r.toml").cells]


def test_a_garbled_line_is_named_and_what_to_do(tmp_path, monkeypatch, capsys, undisturbed):
    monkeypatch.chdir(tmp_path)
    path, journal = design(tmp_path, 4), tmp_path / "tiny" / "cells.jsonl"
    assert main(["sweep", str(path)]) == 0
    kept = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*kept[:2], b"\0" * 9 + kept[2][9:], kept[3][:-20]]))  # and the last line cut off
    capsys.readouterr()
    assert main(["sweep", str(path)]) == 2
    err = " ".join(capsys.readouterr().err.split())
    assert "cells.jsonl must be a journal of sweeps, got line 3: b'\\x00" in err
    assert "delete that line, and what it kept is done again, or write to another folder with --out" in err
    journal.write_bytes(b"".join([*kept[:2], kept[3][:-20]]))
    assert main(["sweep", str(path)]) == 0
    assert " 4 cells of phase-diagram: 2 done before, 0 failed" in " " + " ".join(capsys.readouterr().out.split())
    assert (tmp_path / "tiny" / "results.json").read_text() == undisturbed(4)


def test_a_journal_of_something_else_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = design(tmp_path, 2)
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "cells.jsonl").write_text("something else\n")
    assert main(["sweep", str(path)]) == 2
    assert "must be a journal of sweeps, got line 1" in " ".join(capsys.readouterr().err.split())
    assert (tmp_path / "tiny" / "cells.jsonl").read_text() == "something else\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--workers", "-1"], "workers must be at least 0, got -1"),
        (["--scheduler", "tcp://127.0.0.1:1"], "scheduler"),
    ],
)
def test_bad_options_are_refused(tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    assert main(["sweep", str(design(tmp_path, 2)), *options]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[grid]\nseed = [" + "1, " * 400 + "]\nn = [" + "1, " * 400 + "]",
            "line 2: grid must have at most 100000 cells",
        ),
        ("[random]\nsamples = 1000000000\nseed = 1\nnoise = {low = 0.0, high = 1.0}", "samples must be at most 100000"),
        ("[random]\nsamples = 3\nnoise = {low = 0.0, high = inf}", "noise must have log true or false and ends below"),
        (
            "[random]\nsamples = 3\nn = {low = 1, high = 100000000000000000000}",
            "n must have log true or false and ends",
        ),
        ('[random]\nsamples = 3\nnoise = {low = 0.1, high = 1.0, log = "x"}', "noise must have log true or false"),
        ("[grid]\neps = [[1" + "0" * 400 + "]]", "must be a number"),
        ("[grid]\neps = [[inf]]", "must be a number, got inf"),
        ("[fixed]\nseed = 3\n[grid]\nseed = [1, 2]", "seed must be fixed or varied, got it in both"),
    ],
)
def test_what_would_fill_the_memory_or_mean_nothing_is_refused(tmp_path, text, message):
    path = tmp_path / "bad.toml"
    path.write_text(f'experiment = "phase-diagram"\n{text}\n')
    with pytest.raises(ValueError, match=message):
        sweep.read(path)


@pytest.mark.parametrize(
    ("value", "error"),
    [(float("nan"), "ValueError: Out of range float"), (1j, "TypeError"), ("\udcff", "UnicodeEncodeError")],
)
def test_rows_that_cannot_be_kept_are_the_error_of_their_cell(monkeypatch, value, error):
    class Odd:
        def with_parameters(self, given):
            return given

        def run(self, given):
            return [{"x": value}]

    monkeypatch.setattr(sweep, "experiment_named", lambda name: Odd())
    rows, said = sweep.compute("odd", {})
    assert rows == []
    assert said.startswith(error)
    assert said.encode()


def test_a_journal_is_that_of_one_sweep_at_a_time(tmp_path):
    plan = sweep.read(design(tmp_path, 4))
    first = sweep.run(plan, tmp_path / "cells.jsonl", sweep.executor(0, None), workers=1)
    next(first)
    with pytest.raises(ValueError, match="another is writing to"):
        next(sweep.run(plan, tmp_path / "cells.jsonl", sweep.executor(0, None), workers=1))
    assert len(list(first)) == 3
    assert list(sweep.run(plan, tmp_path / "cells.jsonl", sweep.executor(0, None), workers=1)) == []
