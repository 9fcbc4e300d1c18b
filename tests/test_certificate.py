"""Certificates: what they say, that they are checked without trust, and that nothing wrong or hostile passes."""

import ast
import dataclasses
import hashlib
import json
import pickle
import subprocess
import sys
from pathlib import Path

import backends
import numpy as np
import pytest
from flint import fmpq, fmpq_mat

import srr
from srr import enclosure
from verify import certificate, certify_descent, check_exact, decide
from verify.cli import main
from verify.recheck import recheck

SCRIPT = Path(check_exact.__file__)
SMALL = ["--n", "8", "--d", "4", "--K", "2", "--p", "2"]


@pytest.fixture(autouse=True)
def somewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


@pytest.fixture(scope="module")
def mixture():
    return srr.mixtures.sample(n=8, d=4, K=2, p=2, noise=0.1, seed=3)


def objective_of(mixture, lam=0.1):
    return srr.SparseRateReduction(mixture.U, eps=0.5, lam=lam)


@pytest.fixture(scope="module")
def descent(mixture):
    return certify_descent(srr.layers.descent(mixture.U, eps=0.5, lam=0.1), objective_of(mixture), mixture.Z)


@dataclasses.dataclass(frozen=True, eq=False)
class Given(srr.Layer):
    """A layer of two functions."""

    first: object
    second: object

    def compress(self, Z):
        return self.first(Z)

    def sparsify(self, Z):
        return self.second(Z)


def signs(found):
    return {statement.half: statement.sign for statement in found.statements}


def alone(path, script=SCRIPT):
    """The script in a Python that has no packages and no search path."""
    return subprocess.run(
        [sys.executable, "-I", "-S", str(script), str(path)], capture_output=True, text=True, timeout=60
    )


# --- what is certified --------------------------------------------------------------------------------------------


def test_the_descent_layer_is_certified(descent, mixture):
    assert descent.kept
    assert signs(descent) == {"compress": -1, "sparsify": -1, "layer": -1}
    assert [s.exact is not None for s in descent.statements] == [
        True,
        True,
        False,
    ]  # the loss has logarithms and a norm
    assert recheck(descent) == ("", "", "")
    change = decide.rate_reduction_change(
        mixture.Z, srr.layers.descent(mixture.U, eps=0.5, lam=0.1).compress(mixture.Z), mixture.U, eps=0.5
    )
    assert (descent.statements[0].lower, descent.statements[0].upper) == (-change.upper, -change.lower)


def test_the_numbers_are_those_of_the_layer(descent, mixture):
    layer = srr.layers.descent(mixture.U, eps=0.5, lam=0.1)
    for name, a in {"input": mixture.Z, "half": layer.compress(mixture.Z), "output": layer(mixture.Z)}.items():
        stored = descent.arrays[name]
        assert [float.fromhex(x) for x in stored.values.split()] == a.ravel().tolist()
        assert stored.sha256 == hashlib.sha256(a.tobytes()).hexdigest()
        assert (stored.shape, stored.dtype) == (a.shape, "float64")
    assert descent.eps == "1/2"
    assert descent.statements[2].lam == "{}/{}".format(*(0.1).as_integer_ratio())
    assert "taken as its output" in descent.subject


@pytest.mark.parametrize("rule", [*srr.layers.RULES, "official"])
@pytest.mark.parametrize("norm", [False, True])
def test_every_layer_of_crate_kept_or_broken(rule, norm, mixture, somewhere):
    build = srr.layers.official if rule == "official" else srr.layers.crate
    options = {} if rule == "official" else {"rule": rule, "eps": 0.5}
    layer = build(mixture.U, np.eye(4), eta=0.1, lam=0.2, **options)
    found = certify_descent(srr.layers.PreNorm(layer) if norm else layer, objective_of(mixture), mixture.Z)
    assert [s.quantity for s in found.statements] == ["Rc", "lasso", "loss"]
    assert found.statements[1].lam == "{}/{}".format(*(0.2).as_integer_ratio())  # the layer's, not the objective's
    assert ("normed" in found.arrays) == norm
    assert recheck(found) == ("", "", "")
    assert found.kept == all(s.sign <= 0 for s in found.statements)
    (somewhere / "c.json").write_text(certificate.to_json(found))
    assert alone("c.json").returncode == 0


def test_a_broken_promise_is_certified_as_such(mixture, somewhere):
    layer = srr.layers.crate(mixture.U, np.eye(4), rule="residual", eps=0.5, lam=0.1, eta=0.1)
    found = certify_descent(layer, objective_of(mixture), mixture.Z)
    assert signs(found)["compress"] == 1
    assert not found.kept
    assert recheck(found) == ("", "", "")
    (somewhere / "c.json").write_text(certificate.to_json(found))
    assert "compress: Rc rises: true" in alone("c.json").stdout


@pytest.mark.parametrize("lam", [0.0, 0.1])
def test_a_layer_of_ones_own(lam, mixture):
    layer = Given(lambda Z: Z / 2, lambda Z: Z * 0.75)
    found = certify_descent(layer, objective_of(mixture, lam), mixture.Z)
    assert [s.quantity for s in found.statements] == ["Rc", "lam|Z|_1 - R", "loss"]
    assert [s.exact is not None for s in found.statements] == [True, lam == 0, lam == 0]
    assert recheck(found) == ("", "", "")


def test_what_stays_is_found_equal(mixture, somewhere):
    found = certify_descent(Given(lambda Z: Z[::-1].copy(), lambda Z: Z + 0), objective_of(mixture, 0.0), mixture.Z)
    assert signs(found) == {"compress": 0, "sparsify": 0, "layer": 0}
    assert found.kept
    assert recheck(found) == ("", "", "")
    (somewhere / "c.json").write_text(certificate.to_json(found))
    assert alone("c.json").stdout.count("stays: true") == 3


def test_steps_smaller_than_the_rounding_of_rates(mixture):
    gradient = srr.subspace_coding_rate_and_gradient(mixture.Z, mixture.U, eps=0.5)[1]
    found = certify_descent(Given(lambda Z: Z - 1e-15 * gradient, lambda Z: Z + 0), objective_of(mixture), mixture.Z)
    assert -1e-13 < found.statements[0].lower < 0
    assert signs(found)["compress"] == -1
    assert recheck(found)[0] == ""


def test_larger_ones_carry_enclosures_alone():
    mixture = srr.mixtures.sample(n=70, d=48, K=3, p=16, noise=0.1, seed=0)
    layer = srr.layers.descent(mixture.U, eps=0.5, lam=0.1)
    found = certify_descent(layer, objective_of(mixture), mixture.Z)
    assert found.kept
    assert {s.exact for s in found.statements} == {None}
    assert {s.method for s in found.statements} == {"float64 with error bound"}
    assert recheck(found) == ("", "", "")


@pytest.mark.parametrize("backend", [b for b in backends.CPU if b.has_values], ids=str)
def test_every_library(backend, mixture):
    with backend.active():
        Z, U = backend.array(mixture.Z), backend.array(mixture.U)
        objective = srr.SparseRateReduction(U, eps=0.5, lam=0.1)
        found = certify_descent(srr.layers.descent(U, eps=0.5, lam=0.1), objective, Z)
    assert found.kept
    assert found.arrays["input"].dtype == np.dtype(backend.dtype).name
    assert recheck(found) == ("", "", "")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: certify_descent(abs, objective_of(m), m.Z), TypeError, "layer must have methods"),
        (lambda m: certify_descent(Given(abs, abs), "loss", m.Z), TypeError, "objective must be a SparseRateReduction"),
        (
            lambda m: certify_descent(Given(abs, abs), objective_of(m), m.Z[0]),
            ValueError,
            r"Z must have shape \(n, 4\)",
        ),
        (lambda m: certify_descent(Given(abs, abs), objective_of(m), m.Z[:, :3]), ValueError, r"Z must have shape"),
        (
            lambda m: certify_descent(Given(abs, lambda Z: Z * np.inf), objective_of(m), m.Z),
            ValueError,
            "layer must return finite tokens, got output tokens that are not",
        ),
    ],
)
def test_bad_input_is_named(call, error, message, mixture):
    with np.errstate(all="ignore"), pytest.raises(error, match=message):
        call(mixture)


# --- the check trusts nothing -------------------------------------------------------------------------------------


def test_the_check_calls_no_bound_that_made_the_certificate(descent, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the check asked srr")

    for module in (enclosure, srr.rates, decide):
        for name, thing in vars(module).items():
            if callable(thing) and getattr(thing, "__module__", "").startswith(("srr", "verify.decide")):
                monkeypatch.setattr(module, name, refuse)
    assert recheck(descent) == ("", "", "")


def altered(found, index, **changes):
    """The certificate with one statement changed."""
    statements = list(found.statements)
    statements[index] = dataclasses.replace(statements[index], **changes)
    return dataclasses.replace(found, statements=tuple(statements))


def with_array(found, name, change):
    """The certificate with an array changed, and its hash with it."""
    array = np.array([float.fromhex(x) for x in found.arrays[name].values.split()])
    numbers = certificate._numbers(change(array).reshape(found.arrays[name].shape), name)
    return dataclasses.replace(found, arrays={**found.arrays, name: numbers})


def scaled(exact, factor):
    p, q = exact.after.split("/")
    return dataclasses.replace(exact, after=f"{int(p, 16) * factor:x}/{q}")


FALSE = {
    "a sign": lambda c: altered(c, 0, sign=1, exact=None),
    "no change": lambda c: altered(c, 2, sign=0),
    "bounds too low": lambda c: altered(c, 0, lower=c.statements[0].lower * 2, upper=c.statements[0].lower * 1.5),
    "bounds too high": lambda c: altered(c, 2, lower=c.statements[2].upper / 2, upper=c.statements[2].upper / 4),
    "bounds of a norm": lambda c: altered(c, 1, upper=c.statements[1].lower),
    "a rational number": lambda c: altered(c, 0, exact=scaled(c.statements[0].exact, 2)),
    "a weight": lambda c: altered(c, 2, lam="1/5"),
    "a quantity": lambda c: altered(c, 0, quantity="Rc", exact=None),
    "eps": lambda c: dataclasses.replace(c, eps="1/4"),
    "eps squared": lambda c: dataclasses.replace(c, eps="1/1"),
    "the output": lambda c: with_array(c, "output", lambda a: a * 1.001),
    "the input, by a unit in the last place": lambda c: with_array(c, "input", lambda a: np.nextafter(a, 9)),
    "the bases": lambda c: with_array(c, "U", lambda a: a[::-1]),
}


@pytest.mark.parametrize("what", FALSE)
def test_false_statements_are_not_confirmed(what, descent, somewhere):
    false = FALSE[what](descent)
    assert any(recheck(false))
    (somewhere / "c.json").write_text(certificate.to_json(false))
    assert main(["certify", "--check", "c.json"]) == 1
    if what in ("a rational number", "eps", "the input, by a unit in the last place", "the bases"):
        done = alone("c.json")
        assert done.returncode == 1
        assert "FALSE" in done.stdout


def test_an_undecided_statement_has_its_bounds_confirmed(descent):
    undecided = altered(descent, 2, sign=None, lower=-1e9, upper=None)
    assert not undecided.kept
    assert recheck(undecided) == ("", "", "")


# --- hostile and broken files -------------------------------------------------------------------------------------


def document(found):
    return json.loads(certificate.to_json(found))


def edited(change):
    def edit(found):
        data = document(found)
        change(data)
        return json.dumps(data).encode()

    return edit


def first_entry(text):
    def change(data):
        values = data["arrays"]["input"]["values"].split()
        data["arrays"]["input"]["values"] = " ".join([text, *values[1:]])

    return edited(change)


BROKEN = {
    "nothing": lambda c: b"",
    "no JSON": lambda c: b"{",
    "no object": lambda c: b"[]",
    "no text": lambda c: b"\xff\xfe\x00",
    "a pickle": lambda c: pickle.dumps({"a": 1}),
    "deeply nested": lambda c: b"[" * 100_000,
    "a number too long": lambda c: b'{"format": ' + b"1" * 5000 + b"}",
    "NaN": edited(lambda d: d["statements"][0].update(lower=float("nan"))),
    "another format": edited(lambda d: d.update(format="srr certificate 2")),
    "another subject": edited(lambda d: d.update(subject="All is well.")),
    "a key too many": edited(lambda d: d.update(extra=1)),
    "a key too many inside": edited(lambda d: d["statements"][0].update(extra=1)),
    "a key missing": edited(lambda d: d.pop("eps")),
    "text for a number": edited(lambda d: d["statements"][0].update(sign="-1")),
    "a bool for a number": edited(lambda d: d["statements"][0].update(sign=True)),
    "a number for text": edited(lambda d: d.update(eps=0.5)),
    "another sign": edited(lambda d: d["statements"][0].update(sign=2)),
    "no statement": edited(lambda d: d.update(statements=[])),
    "an unknown quantity": edited(lambda d: d["statements"][0].update(quantity="R")),
    "an unknown half": edited(lambda d: d["statements"][0].update(half="all")),
    "an array that is not there": edited(lambda d: d["arrays"].pop("half")),
    "arrays exchanged": edited(lambda d: d["statements"][0].update(before="output")),
    "a weight where there is none": edited(lambda d: d["statements"][0].update(lam="1/2")),
    "no weight": edited(lambda d: d["statements"][2].update(lam=None)),
    "a negative weight": edited(lambda d: d["statements"][2].update(lam="-1/2")),
    "eps zero": edited(lambda d: d.update(eps="0/1")),
    "eps by zero": edited(lambda d: d.update(eps="1/0")),
    "eps no ratio": edited(lambda d: d.update(eps="1e400")),
    "eps with too many digits": edited(lambda d: d.update(eps="1/" + "9" * 5000)),
    "an entry changed": first_entry("0x1p+0"),
    "an entry infinite": first_entry("inf"),
    "an entry that is none": first_entry("x"),
    "an entry too few": first_entry(""),
    "a huge shape": edited(lambda d: d["arrays"]["input"].update(shape=[10**9, 10**9])),
    "a negative shape": edited(lambda d: d["arrays"]["input"].update(shape=[-8, -4])),
    "a shape turned": edited(lambda d: d["arrays"]["half"].update(shape=[4, 8])),
    "bases of two axes": edited(lambda d: d["arrays"]["U"].update(shape=[8, 2])),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_file_gets_one_clear_error(what, descent, somewhere, capsys):
    (somewhere / "c.json").write_bytes(BROKEN[what](descent))
    assert main(["certify", "--check", "c.json"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    first, hint = err.splitlines()
    assert first.startswith("srr: ")
    assert len(first) < 400
    assert hint == "Try `srr certify --help`."
    done = alone("c.json")
    assert done.returncode in (0, 1, 2)  # it looks at what it needs alone
    assert "Traceback" not in done.stderr


def test_a_file_that_is_too_large_is_not_read(descent, somewhere, monkeypatch, capsys):
    (somewhere / "c.json").write_text(certificate.to_json(descent))
    monkeypatch.setattr(certificate, "LARGEST_FILE", 100)
    assert main(["certify", "--check", "c.json"]) == 2
    assert "check must be a file of at most 100 bytes, got" in capsys.readouterr().err


# --- the script that needs nothing --------------------------------------------------------------------------------


def test_the_script_is_short_and_imports_nothing():
    text = SCRIPT.read_text()
    assert len(text.splitlines()) < 200
    names = {
        name
        for node in ast.walk(ast.parse(text))
        for name in ([a.name for a in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", None)])
    }
    assert names - {None} == {"fractions", "json", "sys"}


def test_the_script_takes_determinants(somewhere):
    rng = np.random.default_rng(0)
    for _ in range(200):
        q = int(rng.integers(1, 6))
        A = rng.integers(-2, 3, (q, q)).tolist()
        M = [[check_exact.Fraction(x, int(rng.integers(1, 4))) for x in row] for row in A]
        exact = fmpq_mat(q, q, [fmpq(x.numerator, x.denominator) for row in M for x in row]).det()
        found = check_exact.determinant(M)
        assert (found.numerator, found.denominator) == (exact.p, exact.q)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Fraction(len(basis[0]), n) / eps**2", "Fraction(len(basis[0]), n) / eps"),
        ("Fraction(d, n) / eps**2", "Fraction(n, n) / eps**2"),
        ("columns = transposed(B)", "columns = B"),
        ("result *= shifted", "result = shifted"),
        ("(i == j)", "2 * (i == j)"),
        ("(after > before) - (after < before)", "(after < before) - (after > before)"),
        ("sum(abs(x) for row in A for x in row)", "sum(x for row in A for x in row)"),
    ],
)
def test_a_wrong_script_would_say_so(old, new, descent, somewhere):
    text = SCRIPT.read_text()
    assert text.count(old) == 1
    (somewhere / "wrong.py").write_text(text.replace(old, new))
    (somewhere / "c.json").write_text(certificate.to_json(descent))
    assert alone("c.json").returncode == 0
    assert alone("c.json", somewhere / "wrong.py").returncode != 0


def test_the_script_finds_nothing_to_check(descent, somewhere):
    bare = dataclasses.replace(descent, statements=descent.statements[2:])
    (somewhere / "c.json").write_text(certificate.to_json(bare))
    done = alone("c.json")
    assert done.returncode == 1
    assert "not exact, not checked here" in done.stdout
    assert alone("none.json").returncode == 2
    assert subprocess.run([sys.executable, "-I", "-S", SCRIPT], capture_output=True).returncode == 2


# --- the command --------------------------------------------------------------------------------------------------


def test_certify_writes_a_file_that_checks(somewhere, capsys):
    assert main(["certify", *SMALL, "--out", "c.json"]) == 0
    out = capsys.readouterr().out
    assert "Descent" in out
    assert "c.json" in out
    assert max(map(len, out.splitlines())) <= 80
    assert certificate.read(Path("c.json")).kept
    assert main(["certify", "--check", "c.json"]) == 0
    assert capsys.readouterr().out.count("confirmed") == 3
    assert main(["certify", "--check", "c.json", "--json"]) == 0
    assert [row["confirmed"] for row in json.loads(capsys.readouterr().out)] == [True] * 3
    assert alone("c.json").returncode == 0


def test_certify_prints_the_same_bytes_each_time(somewhere, capsys):
    assert main(["certify", *SMALL, "--out", "c.json"]) == 0
    capsys.readouterr()
    assert main(["certify", *SMALL, "--json"]) == 0
    assert capsys.readouterr().out == (somewhere / "c.json").read_text()
    assert certificate.to_json(certificate.read(Path("c.json"))) == (somewhere / "c.json").read_text()


def test_certify_exits_1_where_a_promise_is_broken(somewhere, capsys):
    assert main(["certify", "residual", *SMALL, "--out", "c.json"]) == 1
    assert "rises" in capsys.readouterr().out
    assert main(["certify", "--check", "c.json"]) == 0


def test_certify_takes_tokens_of_ones_own(mixture):
    np.save("Z.npy", mixture.Z)
    np.save("U.npy", mixture.U)
    assert main(["certify", "--tokens", "Z.npy", "--bases", "U.npy", "--out", "c.json"]) == 0
    stored = certificate.read(Path("c.json")).arrays["input"]
    assert [float.fromhex(x) for x in stored.values.split()] == mixture.Z.ravel().tolist()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--check", "none.json"], "check must be a file that exists, got 'none.json'"),
        (["--check", "folder"], "check must be a file, got the directory 'folder'"),
        (["--check", "a.json", "--eps", "1"], "check must go with no other option but json"),
        (["--check", "a.json", "--out", "b.json"], "check must go with no other option but json"),
        (["residual", "--check", "a.json"], "check must go with no other option but json"),
        (["--out", "none/c.json"], "out must be in a folder that exists, got none/c.json"),
        (["--out", "folder"], "out must be a file, got folder"),
        (["--eps", "0"], "eps must be > 0, got 0"),
        (["--layers", "3"], "--layers"),
    ],
)
def test_bad_options_get_one_sentence(arguments, message, somewhere, capsys):
    (somewhere / "folder").mkdir()
    assert main(["certify", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert [p.name for p in somewhere.iterdir()] == ["folder"]


def one_statement(**changes):
    def number(x):
        return {"shape": [1, 1], "values": x.hex()}

    statement = {"half": "layer", "quantity": "|Z|_1", "before": "input", "after": "output", "lam": None, "sign": 1}
    statement |= {"lower": None, "upper": None, "exact": {"before": "1/1", "after": "3/1"}}
    arrays = {"input": number(1.0), "half": number(2.0), "output": number(3.0), "D": number(1.0)}
    arrays["U"] = {"shape": [1, 1, 1], "values": (1.0).hex()}
    Path("one.json").write_text(json.dumps({"eps": "1/2", "arrays": arrays, "statements": [statement | changes]}))
    return alone(Path("one.json"))


def test_the_script_knows_the_ends_of_a_half_and_the_sign_of_lam(somewhere):
    assert one_statement().returncode == 0
    backwards = one_statement(before="output", after="input", sign=-1, exact={"before": "3/1", "after": "1/1"})
    assert backwards.returncode == 2
    assert "are not the ends of layer" in backwards.stderr
    rewarded = one_statement(quantity="lasso", lam="-100/1", sign=-1, exact={"before": "-64/1", "after": "-12a/1"})
    assert rewarded.returncode == 2
    assert "lam must be >= 0" in rewarded.stderr
