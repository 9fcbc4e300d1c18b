"""The command line: exit codes, one clear error for bad input, words beside colour, nothing partial."""

import contextlib
import dataclasses
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from xml.etree import ElementTree

import numpy as np
import pytest

import verify.claims
from verify import bench, implicit_bench
from verify.claims import _sources
from verify.cli import COMMANDS, main
from verify.ledger import Ledger
from verify.notation import NOTATION, WORKS
from verify.results import from_json

WELL = ["faulty.true", "faulty.rounded", "faulty.false", "faulty.conditional", "faulty.picky"]


@pytest.fixture(autouse=True)
def somewhere(tmp_path, monkeypatch):
    """An empty folder to run in, and the tests' own claims."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(verify.claims, "ledger", lambda: Ledger.load("faulty_claims"))
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def srr(*arguments, **environment):
    """The command in a process of its own, with its output piped."""
    return subprocess.run(
        [sys.executable, "-m", "verify", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=120,
    )


# --- verify ---


def test_verify_writes_report_and_results_and_exits_0_when_all_is_as_expected(somewhere, capsys):
    assert main(["verify", "--select", *WELL, "--jobs", "2"]) == 0
    assert sorted(p.name for p in (somewhere / "srr-report").iterdir()) == ["index.html", "results.json"]
    run = from_json((somewhere / "srr-report" / "results.json").read_text())
    assert [r.slug for r in run.results] == WELL
    out, err = capsys.readouterr()
    assert err == ""
    refuted = "1 refuted (1 of the literature, 0 asked here)"
    said = f"5 claims: 3 hold, 1 hold under a condition, {refuted}. All as expected."
    assert said in " ".join(out.split())
    assert "Report: srr-report/index.html" in out
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) <= 80
    for slug in WELL:
        assert slug in out


def test_verify_exits_1_and_says_what_to_do_when_a_verdict_differs(somewhere, capsys):
    assert main(["verify", "--select", "faulty.true", "faulty.wishful", "faulty.raises", "--jobs", "1"]) == 1
    out = capsys.readouterr().out
    assert "faulty.wishful (!)" in out
    assert "(!) faulty.wishful: expected holds, found refuted" in out
    assert "smallest counterexample: x = 51" in out
    assert "replay it: srr show faulty.wishful --replay" in out
    assert "(!) faulty.raises: expected holds, found error" in out
    assert "ZeroDivisionError: of course it does" in out
    assert "faulty_claims.py:" in out
    assert "2 not as expected (!)." in " ".join(out.split())
    assert (somewhere / "srr-report" / "index.html").exists()


def test_verify_prints_json_that_is_the_file(somewhere, capsys):
    assert main(["verify", "--select", "faulty.false", "--json", "--out", "there", "--jobs", "1"]) == 0
    out = capsys.readouterr().out
    assert json.loads(out)["results"][0]["witness"]["params"] == {"x": 51}
    assert out == (somewhere / "there" / "results.json").read_text()


def test_verify_writes_junit_where_told(somewhere):
    place = somewhere / "srr-report" / "junit.xml"  # in the folder that the run itself makes
    assert main(["verify", "--select", "faulty.true", "--junit", "srr-report/junit.xml", "--jobs", "1"]) == 0
    (case,) = ElementTree.parse(place).getroot()
    assert case.attrib["name"] == "true"
    assert float(case.attrib["time"]) > 0


def test_verify_passes_its_options_on(somewhere):
    options = ["--tier", "full", "--seed", "7", "--arrays", "torch", "--dtype", "float32", "--device", "cpu"]
    assert main(["verify", "--select", "faulty.true", *options, "--jobs", "1"]) == 0
    run = from_json((somewhere / "srr-report" / "results.json").read_text())
    assert (run.settings.tier, run.settings.seed) == ("full", 7)
    assert run.settings.arrays == verify.arrays.Arrays("torch", "float32", "cpu")
    assert run.results[0].counts.held == 800
    assert "torch" in run.versions


def test_verify_stops_a_claim_in_time(somewhere, capsys):
    assert main(["verify", "--select", "faulty.hangs", "--timeout", "0.5", "--jobs", "1"]) == 1
    assert "stopped after 0.5 s" in capsys.readouterr().out


def test_select_takes_themes_and_patterns(somewhere, capsys):
    assert main(["list", "--select", "faulty.*ed", "--select", "faulty.true", "--json"]) == 0
    slugs = [c["slug"] for c in json.loads(capsys.readouterr().out)]
    assert slugs == ["faulty.true", "faulty.rounded", "faulty.undecided"]


# --- bad input ---


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frobnicate"], "COMMAND must be one of verify, list, show"),
        (["--frobnicate"], "--frobnicate"),
        (["verify", "--tier", "slow"], '--tier. Choose from: "quick", "full"'),
        (["verify", "--tier"], "--tier requires an argument"),
        (["verify", "--seed", "x"], "--seed: it must be a whole number, got 'x'"),
        (["verify", "--seed", "1.5"], "--seed: it must be a whole number, got '1.5'"),
        (["verify", "--seed", "-1"], "seed must be >= 0, got -1"),
        (["verify", "--arrays", "pandas"], "--arrays"),
        (["verify", "--dtype", "float16"], "--dtype"),
        (["verify", "--device", "cuda"], "device must be cpu for numpy, got 'cuda'"),
        (["verify", "--arrays", "torch", "--device", "x"], "device must be one that torch can use"),
        (["verify", "--jobs", "0"], "jobs must be >= 1, got 0"),
        (["verify", "--jobs", "two"], "--jobs"),
        (["verify", "--timeout", "0"], "timeout must be > 0 and finite, got 0.0"),
        (["verify", "--timeout", "nan"], "timeout must be > 0 and finite, got nan"),
        (["verify", "--timeout", "inf"], "timeout must be > 0 and finite, got inf"),
        (["verify", "--select", "nothing.like-it"], "select must match a claim or a theme (faulty)"),
        (["verify", "--select"], "--select"),
        (["verify", "--out", "a-file"], "out must be a folder, got a-file"),
        (["verify", "--out", "a-file/below"], "out must be in a folder that exists, got a-file/below"),
        (["verify", "--out", "a/b"], "out must be in a folder that exists, got a/b"),
        (["verify", "--out", "/proc/x"], "out must be where files can be written, got /proc/x"),
        (["verify", "--junit", "a-folder"], "junit must be a file, got a-folder"),
        (["verify", "--junit", "a-file/x"], "junit must be in a folder that exists, got a-file/x"),
        (["verify", "--junit", "none/x"], "junit must be in a folder that exists, got none/x"),
        (["verify", "extra"], "extra"),
        (["verify", "--sed", "1"], "Did you mean --seed?"),
        (["list", "--select", "x"], "select must match"),
        (["list", "extra"], "extra"),
        (["show"], "CLAIM"),
        (["show", "faulty.tru"], "got 'faulty.tru'; did you mean faulty.true?"),
        (["show", "zzz"], "CLAIM must be a name that `srr list` shows, got 'zzz'"),
        (["show", "faulty.true", "--replay"], "run `srr verify --select faulty.true` first"),
        (
            ["show", "faulty.true", "--replay", "--results", "a-file"],
            "results must be a file that `srr verify` wrote",
        ),
        (["show", "faulty.true", "--replay", "--results", "a-folder"], "got a-folder, where there is none"),
    ],
)
def test_bad_input_gets_one_sentence_and_exit_code_2_and_leaves_nothing(arguments, message, somewhere, capsys):
    (somewhere / "a-file").write_text("{")
    (somewhere / "a-folder").mkdir()
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    first, hint = err.splitlines()
    assert first.startswith("srr: ")
    assert message in first
    assert hint == f"Try `srr {arguments[0]} --help`." if arguments[0] in COMMANDS else "Try `srr --help`."
    assert sorted(p.name for p in somewhere.iterdir()) == ["a-file", "a-folder"]


def test_a_report_that_cannot_be_written_is_told(somewhere, capsys):
    folder = somewhere / "srr-report"
    (folder / "index.html").mkdir(parents=True)  # a folder where the page should go
    (folder / "results.json").write_text("before")
    assert main(["verify", "--select", "faulty.true", "--jobs", "1"]) == 2
    assert "index.html" in capsys.readouterr().err
    assert not [p for p in folder.iterdir() if p.name.startswith(".")]


# --- list and show ---


def test_list_names_every_claim_with_its_verdict(capsys):
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    for claim in Ledger.load("faulty_claims"):
        assert f"{claim.slug}  {claim.expect}" in out
    assert "13 claims, 2 refuted: 2 of the literature, 0 asked here." in out
    assert max(map(len, out.splitlines())) <= 80


def test_show_tells_everything(capsys):
    assert main(["show", "faulty.rounded"]) == 0
    out = capsys.readouterr().out
    for text in (
        "faulty.rounded",
        r"x^2 \ge 0",
        "the tests",
        "x from 1 to 100",
        "the opposite",
        "faulty.true",
    ):
        assert text in out
    assert main(["show", "faulty.false", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["slug"] == "faulty.false"
    assert shown["expected"] == "refuted"
    assert shown["note"] == "Some numbers are larger than 50."
    assert shown["code"].endswith(f"faulty_claims.py:{Ledger.load('faulty_claims')['faulty.false'].line}")


def test_show_notation_explains_letters_words_and_sources(capsys):
    assert main(["show", "faulty.true"]) == 0
    assert "srr show notation" in capsys.readouterr().out
    assert main(["show", "notation"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "…" not in out
    for text in ("β  ", "L_c", *verify.ledger.Verdict, *verify.ledger.Evidence, "negative twin", "arXiv 2306.01129"):
        assert text in " ".join(out.split()) or text in out
    assert main(["show", "notation", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == NOTATION


def test_every_source_is_given_in_full_and_cited():
    cited = " ".join(
        claim.source for claim in Ledger.load(*(f"verify.claims.{module}" for module in verify.claims.MODULES))
    )
    short = {value for name, value in vars(_sources).items() if name.isupper()}
    assert short <= set(WORKS)
    assert not [work for work in WORKS if work not in cited]


def test_show_breaks_no_latex_and_wraps_notes_anew(monkeypatch, capsys):
    statement = r"\quad ".join([r"x = \frac{a + b}{c + d}"] * 9)
    note = """One sentence that is broken
    here, and again
    here.

    What is indented:

        f(x) = 1
        g(x) = 2
    """

    def check(case):
        raise AssertionError

    check.__doc__ = note
    (claim,) = Ledger.load("faulty_claims").select(["faulty.true"])
    claim = dataclasses.replace(claim, statement=statement, check=check)
    monkeypatch.setattr(verify.claims, "ledger", lambda: Ledger((), (claim,)))
    assert main(["show", claim.slug]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"    {statement}" in lines
    assert "One sentence that is broken here, and again here." in lines
    at = lines.index("    f(x) = 1")
    assert lines[at + 1] == "    g(x) = 2"


def test_show_replays_what_a_run_recorded(capsys):
    assert main(["verify", "--select", "faulty.false", "--jobs", "1"]) == 0
    capsys.readouterr()
    assert main(["show", "faulty.false", "--replay"]) == 0
    out = capsys.readouterr().out
    assert "it refutes the claim, certified" in " ".join(out.split())
    assert "x = 51" in out
    assert main(["show", "faulty.false", "--replay", "--json"]) == 0
    replayed = json.loads(capsys.readouterr().out)
    assert replayed["params"] == {"x": 51}
    assert replayed["holds"] is False
    assert main(["show", "faulty.true", "--replay"]) == 2  # the file holds no counterexample to that one
    assert "which holds none" in capsys.readouterr().err


def test_show_says_what_the_last_run_found(somewhere, capsys):
    assert main(["show", "faulty.false"]) == 0
    assert "last run" not in capsys.readouterr().out
    assert main(["verify", "--select", "faulty.false", "--jobs", "1", "--seed", "7"]) == 0
    capsys.readouterr()
    assert main(["show", "faulty.false"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "last run refuted, certified (quick tier, seed 7, numpy float64: srr-report/results.json)" in out
    for slug, verdict in (("faulty.false", "refuted"), ("faulty.true", None)):  # the latter was not judged
        assert main(["show", slug, "--json"]) == 0
        last = json.loads(capsys.readouterr().out)["last_run"]
        assert (last and last["verdict"]) == verdict
    (somewhere / "srr-report" / "results.json").write_text("{}")
    assert main(["show", "faulty.false"]) == 2
    assert "results must be a file that `srr verify` wrote" in capsys.readouterr().err


def test_show_exits_1_when_the_counterexample_no_longer_refutes(somewhere, capsys):
    assert main(["verify", "--select", "faulty.false", "--jobs", "1"]) == 0
    file = somewhere / "srr-report" / "results.json"
    file.write_text(file.read_text().replace('"x": 51', '"x": 50'))
    capsys.readouterr()
    assert main(["show", "faulty.false", "--replay"]) == 1
    assert "the claim holds on it" in " ".join(capsys.readouterr().out.split())
    file.write_text(file.read_text().replace('"x": 50', '"y": 50'))
    assert main(["show", "faulty.false", "--replay"]) == 2
    assert "no longer fits its check: the check draws x" in capsys.readouterr().err


def test_show_replays_a_stored_witness_without_a_file(monkeypatch, capsys):
    monkeypatch.setattr(verify.claims, "ledger", lambda: Ledger.load("verify.claims._template"))
    assert main(["show", "template.halving-descends", "--replay"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "x = 1 kappa = 3.0" in out
    assert "outside the condition kappa < 2: 3" in out


# --- bench ---


def test_bench_tells_of_each_case(monkeypatch, capsys):
    case = bench.Case("Rc(Z|U)", d=8, n=4, K=2, p=2, batch=1, dtype="float32", gradient=True)
    monkeypatch.setattr(bench, "cases", lambda: [case])
    assert main(["bench", "--rounds", "1"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "Rc(Z|U)  8, 4, 2, 2, 1" in out
    assert "float32  gradient" in out
    assert max(map(len, out.splitlines())) <= 80
    assert main(["bench", "--rounds", "1", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["case"] == dataclasses.asdict(case)
    assert row["share"] == pytest.approx(row["limit"] / row["seconds"])
    assert main(["bench", "--rounds", "0"]) == 2
    assert "rounds must be >= 1, got 0" in capsys.readouterr().err


def test_bench_compares_implicit_compression(monkeypatch, capsys):
    row = implicit_bench.Row(0.1, "implicit", 100.0, 1, 55e6, 0.004, 0.25)
    monkeypatch.setattr(implicit_bench, "run", lambda rounds: iter([row]))
    assert main(["bench", "implicit"]) == 0
    assert "0.1  implicit        100      1     55  4.0  25.000%" in capsys.readouterr().out
    assert main(["bench", "implicit", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [dataclasses.asdict(row)]


@pytest.mark.parametrize("rate", ["R", "Rc(Z|U)"])
def test_bench_certify_tells_ratio_and_radius_and_exits_1_where_they_are_missed(rate, monkeypatch, capsys):
    case = bench.Case(rate, d=24, n=40, K=2, p=3, batch=2, dtype="float64", gradient=False)
    for most, code in ((1e9, 0), (1e-9, 1)):
        monkeypatch.setattr(bench, "certified_cases", lambda most=most: [bench.Certified(case, 0.5, most)])
        assert main(["bench", "certify", "--rounds", "1"]) == code
        out = capsys.readouterr().out
        assert rate in out
        assert "24, 40, 2, 3, 2" in out
        assert max(map(len, out.splitlines())) <= 80
        assert ("not as fast or as narrow" in out) == code
    assert main(["bench", "certify", "--rounds", "1", "--json"]) == 1
    (row,) = json.loads(capsys.readouterr().out)
    assert row["ratio"] == pytest.approx(row["seconds"] / row["plain_seconds"])
    assert row["contains"]
    assert 0 < row["radius"] < 1e-9
    assert not row["met"]


# --- the command itself ---


@pytest.mark.parametrize(
    ("library", "device", "cores"),
    [
        ("numpy", None, 3),
        ("jax", "cpu:0", 3),
        ("torch", "cpu", 3),
        ("torch", "cuda:0", 1),
        ("jax", "gpu", 1),
        ("cupy", None, 1),
    ],
)
def test_one_process_for_each_core_and_a_single_one_on_a_gpu(library, device, cores, monkeypatch):
    from verify.commands.verify import default_jobs

    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 5})
    assert default_jobs(library, device) == cores


def test_srr_alone_tells_what_to_try_first(capsys):
    assert main([]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert len(out.splitlines()) <= 24  # of a small terminal
    named = set(re.findall(r"srr ([a-z]+)", out)) - {"tells"}
    assert {"descend", "show", "verify", "list", "crosscheck", "audit"} <= named <= set(COMMANDS)
    (shown,) = re.findall(r"srr show (\S+)", out)
    every = Ledger.load(*(f"verify.claims.{module}" for module in verify.claims.MODULES))
    assert shown in {claim.slug for claim in every}


def test_a_shell_learns_to_complete(somewhere):
    script = somewhere / "completion"
    done = srr("--install-completion", "--shell", "bash", "--output", str(script), HOME=str(somewhere))
    assert done.returncode == 0, done.stderr
    assert "--install-completion" in srr("--help").stdout

    def completed(*typed):
        ask = (
            f"source {script}; function=$(complete -p srr); function=${{function##*-F }}; "
            f'COMP_WORDS=(srr "$@"); COMP_CWORD=$#; ${{function%% *}} srr "${{!#}}"; echo "${{COMPREPLY[*]}}"'
        )
        told = subprocess.run(["bash", "-c", ask, "bash", *typed], capture_output=True, text=True, check=True)
        return told.stdout.split()

    assert completed("de") == ["derive", "descend"]
    assert completed("verify", "--t") == ["--tier", "--timeout"]
    assert "residual" in completed("descend", "re")


@pytest.mark.parametrize(
    ("arguments", "missing", "said"),
    [
        (["audit", "a:b", "--data", "c.npy"], "torch", "srr audit needs torch, which is not installed: {}torch"),
        (
            ["crosscheck", "a.pt"],
            "torch",
            "srr crosscheck of a checkpoint needs torch, which is not installed: {}torch",
        ),
        (["bench", "audit"], "torch", "srr bench audit needs torch, which is not installed: {}torch"),
        (["verify", "--arrays", "cupy"], "cupy", "arrays must name an installed library, got cupy: {}cupy-cuda13x"),
        (
            ["sweep", "s.toml", "--scheduler", "tcp://127.0.0.1:1"],
            "distributed",
            "scheduler needs Dask, which is not installed: {}distributed",
        ),
        (
            ["experiment", "redunet", "--set", "data=['digits']"],
            "sklearn",
            "data digits needs scikit-learn, which is not installed: {}scikit-learn",
        ),
    ],
)
def test_a_missing_extra_is_told_with_what_installs_it(arguments, missing, said, somewhere, monkeypatch, capsys):
    (somewhere / "s.toml").write_text('experiment = "room"\n[grid]\nd = [[10]]\n')
    monkeypatch.setitem(sys.modules, missing, None)
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"srr: {said.format('pip install ')}")


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["verfy"], "verify"),
        (["show", "tru"], "faulty.true"),
        (["list", "--select", "fauty"], "faulty"),
        (["verify", "--select", "faulty.tru"], "faulty.true"),
        (["derive", "two-form-of-the-coding-rate"], "two-forms-of-the-coding-rate"),
        (["experiment", "rooms"], "room"),
        (["experiment", "room", "--set", "readigs=[]"], "readings"),
        (["descend", "residul"], "residual"),
        (["descend", "--tokens", "token.npy"], "tokens.npy"),
        (["descend", "--tokens", "both.npz:tokes"], "tokens"),
        (["sweep", "desing.toml"], "design.toml"),
        (["sweep", "design.toml"], "room"),
        (["certify", "--check", "prof.json"], "proof.json"),
        (["crosscheck", "nets.py:net"], "nets:net"),
        (["crosscheck", "nets:nett"], "net"),
        (["audit", "nets:net", "--data", "x.npy", "--layout", "crat"], "crate"),
    ],
)
def test_a_wrong_name_is_told_with_the_nearest_ones(arguments, meant, somewhere, monkeypatch, capsys):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (somewhere / "design.toml").write_text('experiment = "rom"\n[grid]\nd = [10]\n')
    (somewhere / "proof.json").write_text("{}")
    (somewhere / "nets.py").write_text("def net():\n    return None\n")
    np.save("tokens.npy", np.ones((2, 2)))
    np.savez("both.npz", tokens=np.ones((2, 2)), other=np.ones(2))
    assert main(arguments) == 2
    said = " ".join(capsys.readouterr().err.split())
    meant_by = re.search(r"[Dd]id you mean ([^?]*)\?", said)
    assert meant_by, said
    assert meant in re.split(r", | or ", meant_by[1].replace('"', ""))


def test_a_module_that_is_not_there_is_told_from_one_that_it_needs(somewhere, monkeypatch, capsys):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (somewhere / "needy.py").write_text("import nowhere_at_all\n")
    assert main(["crosscheck", "absent_at_all:net"]) == 2
    told = "no absent_at_all is installed, and none lies in this folder"
    assert told in capsys.readouterr().err
    assert main(["crosscheck", "needy:net"]) == 2
    assert "got 'needy:net', which needs nowhere_at_all: install it" in capsys.readouterr().err


def test_every_command_is_named_in_the_help_and_has_its_own():
    done = srr("--help")
    assert done.returncode == 0
    for name in COMMANDS:
        assert f" {name} " in done.stdout
        of_its_own = srr(name, "--help")
        assert of_its_own.returncode == 0
        assert of_its_own.stdout.startswith(f"Usage: srr {name}")
        assert max(map(len, of_its_own.stdout.splitlines())) <= 80


def test_the_version_is_told():
    from importlib.metadata import version

    assert srr("--version").stdout.strip() == version("srr")


def test_help_is_quick_because_it_imports_nothing_heavy():
    def seconds():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert srr("--help").returncode == 0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) < 0.4  # of a processor: the machine may be busy with other things
    code = "import sys; from verify.cli import main; main(['--help']); print([m for m in {} if m in sys.modules])"
    heavy = ("numpy", "scipy", "srr", "torch", "jax", "hypothesis", "jinja2", "matplotlib", "sympy", "flint")
    done = subprocess.run([sys.executable, "-c", code.format(heavy)], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("arguments", [["list"], ["list", "--json"], ["descend"], ["--help"]])
def test_a_pipe_that_closes_is_no_error_and_a_full_disk_is_one_line(arguments, monkeypatch):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)  # what is buffered fails last, when Python ends
    command = [sys.executable, "-m", "verify", *arguments]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(writer)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (2, "srr: [Errno 28] No space left on device\n")
    done = subprocess.run(["sh", "-c", '"$@" >&-', "sh", *command], stderr=subprocess.PIPE, text=True, timeout=120)
    assert done.stderr == ""  # no stdout at all


@pytest.mark.parametrize("arguments", [["list"], ["show", "rates.sylvester"], ["descend", "--layers", "2"]])
def test_no_line_ends_in_blanks(arguments):
    assert not [line for line in srr(*arguments).stdout.splitlines() if line != line.rstrip()]


def test_piped_output_is_plain_and_colour_obeys_no_color():
    assert "\x1b" not in srr("list").stdout
    assert "\x1b" in srr("list", FORCE_COLOR="1").stdout
    assert "\x1b[3" not in srr("list", FORCE_COLOR="1", NO_COLOR="1").stdout


def test_an_interruption_leaves_nothing(somewhere):
    code = (
        "import signal, sys, verify.claims\n"
        "from verify.ledger import Ledger\n"
        "from verify.cli import main\n"
        "if __name__ == '__main__':\n"
        "    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it\n"
        "    verify.claims.ledger = lambda: Ledger.load('faulty_claims')\n"
        "    print('go', flush=True)\n"
        "    sys.exit(main(['verify', '--select', 'faulty.hangs', '--jobs', '1']))\n"
    )
    path = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert process.stdout.readline() == "go\n"
    time.sleep(2)
    for _ in range(6):  # on a busy machine the first comes before anything is under way
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            out, err = process.communicate(timeout=20)
            break
    assert process.returncode != 0
    assert "Traceback" not in err
    assert out == ""
    assert list(somewhere.iterdir()) == []


def test_an_interruption_is_said_in_a_line(capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("verify.runner.run", interrupted)
    assert main(["verify"]) == 130
    assert capsys.readouterr().err == "srr: interrupted\n"
