"""Conformance vectors: the same bytes everywhere, right results pass, wrong ones are named, bad files are refused."""

import json
import os
import shutil
import subprocess
import sys
from hashlib import sha256

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from verify import vector_cases
from verify.bounded import PRECISIONS
from verify.cli import main
from verify.forms import KINDS
from verify.models.crate import Attention, Ista
from verify.vectors import SCHEMA, export, manifest, open_tensors
from verify.vectors_check import check


@pytest.fixture(autouse=True)
def small_alone(monkeypatch):
    """Small sizes, but where a test asks for more."""
    monkeypatch.setattr(vector_cases, "WIDE", vector_cases.Size("wide", 10, 16, 2, 24, 3))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """All small vectors, written once."""
    folder = tmp_path_factory.mktemp("vectors") / "all"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vector_cases, "WIDE", vector_cases.Size("wide", 10, 16, 2, 24, 3))
        export(folder)
    return folder


@pytest.fixture
def vectors(exported, tmp_path):
    """A copy that a test may change."""
    return shutil.copytree(exported, tmp_path / "vectors")


# --- a program of somebody else's ---------------------------------------------------------------------------------


def consume(folder, results, *, wrong=None):
    """Compute the vectors of official CRATE in torch, from what the README says alone."""
    lines = json.loads((folder / "manifest.json").read_text())["vectors"]
    files, found = {}, {}
    for line in lines:
        if line["form"] not in ("crate.mssa", "crate.ista"):
            continue
        tensors = files.setdefault(line["file"], load_file(folder / line["file"]))
        (z,) = (tensors[name] for name in line["inputs"])
        weights, constants = {role: tensors[name] for role, name in line["weights"].items()}, line["constants"]
        if line["form"] == "crate.mssa":
            inner, d = weights["projection"].shape
            model = Attention(d, constants["heads"], inner // constants["heads"]).to(z.dtype)
            model.load_state_dict(
                {
                    "qkv.weight": weights["projection"],
                    "to_out.0.weight": weights["output"],
                    "to_out.0.bias": weights["bias"],
                }
            )
        else:
            model = Ista(z.shape[-1], step_size=constants["eta"], lambd=constants["lam"]).to(z.dtype)
            model.load_state_dict({"weight": weights["D"]})
        with torch.no_grad():
            found[line["output"]] = (wrong or (lambda model, z: model(z[None])[0]))(model, z)
    results.mkdir()
    save_file(found, results / "torch.safetensors")


def _softmax_over_the_queries(model, z):
    if isinstance(model, Ista):
        return model(z)
    y = model.qkv(z[None]).unflatten(-1, (model.heads, -1)).transpose(1, 2)
    shares = torch.softmax(model.scale * y @ y.mT, dim=-2)
    return model.to_out((shares @ y).transpose(1, 2).flatten(2))[0]


def _only(folder, *forms):
    """The folder with the vectors of these forms alone."""
    head = json.loads((folder / "manifest.json").read_text())
    head["vectors"] = [line for line in head["vectors"] if line["form"] in forms]
    (folder / "manifest.json").write_text(json.dumps(head))


def test_crate_in_torch_passes_in_every_format(vectors):
    _only(vectors, "crate.mssa", "crate.ista")
    consume(vectors, vectors / "results")
    found = check(vectors)
    assert found.passes, [str(f) for f in found.findings if f.verdict != "within"]
    assert {f.vector.dtype for f in found.findings} == set(PRECISIONS)
    assert len(found.findings) > 80
    assert not found.forms
    assert not found.unknown


def test_a_wrong_softmax_fails_and_is_named(vectors, capsys):
    _only(vectors, "crate.mssa", "crate.ista")
    consume(vectors, vectors / "results", wrong=_softmax_over_the_queries)
    assert main(["vectors", "check", str(vectors)]) == 1
    out = capsys.readouterr().out
    assert "OUTSIDE: crate.mssa.float64.small.ordinary" in out
    assert "first at [0, 0]: " in out
    assert "the softmax is over the queries (not: the softmax is over the keys)" in " ".join(out.split())
    found = check(vectors)
    assert {f.vector.form for f in found.findings if f.verdict != "within"} == {"crate.mssa"}
    for dtype in ("float64", "float32"):
        assert any("over the queries" in line for line in found.forms[f"crate.mssa in {dtype}"])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda model, z: torch.sin(model(z[None])[0]), "is no known form"),
        (lambda model, z: torch.zeros_like(z) * torch.nan, "not finite"),
        (lambda model, z: model(z[None]), "of another shape"),
    ],
)
def test_other_wrong_results_are_told(vectors, wrong, says, capsys):
    _only(vectors, "crate.ista")
    consume(vectors, vectors / "results", wrong=wrong)
    assert main(["vectors", "check", str(vectors)]) == 1
    assert says in " ".join(capsys.readouterr().out.split())


def test_missing_results_fail(vectors, capsys):
    (vectors / "results").mkdir()
    assert main(["vectors", "check", str(vectors)]) == 1
    assert "missing" in capsys.readouterr().out


def test_a_part_that_is_missing_fails_and_unknown_names_are_told(vectors, tmp_path, capsys):
    _only(vectors, "crate.mssa", "crate.ista")
    consume(vectors, tmp_path / "mine")
    tensors = load_file(tmp_path / "mine" / "torch.safetensors")
    name = next(iter(tensors))
    tensors["mistyped"] = tensors.pop(name)
    save_file(tensors, tmp_path / "mine" / "torch.safetensors")
    assert main(["vectors", "check", str(vectors), "--results", str(tmp_path / "mine"), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [line["name"] for line in found["vectors"] if line["verdict"] == "missing"] == [name.removesuffix("/output")]
    assert found["unknown"] == ["mistyped"]
    assert not found["passes"]


# --- what is exported ---------------------------------------------------------------------------------------------


def _contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_two_exports_are_the_same_to_the_last_byte(exported, tmp_path):
    export(tmp_path / "again")
    assert _contents(tmp_path / "again") == _contents(exported)


def test_processor_and_threads_do_not_matter(tmp_path):
    """As if on a machine without wide registers, whose BLAS is another."""
    kinds = ("attention", "mlp", "tssa", "coding_rate", "layer_norm")
    export(tmp_path / "here", kinds)
    other = {
        "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR AVX2 FMA3",
        "OPENBLAS_CORETYPE": "Prescott",
        "OPENBLAS_NUM_THREADS": "2",
        "PYTHONWARNINGS": "ignore",
        "PYTHONHASHSEED": "7",
    }
    code = (
        "import sys; from pathlib import Path; from verify import vector_cases; from verify.vectors import export;"
        'vector_cases.WIDE = vector_cases.Size("wide", 10, 16, 2, 24, 3);'
        "export(Path(sys.argv[1]), sys.argv[2:])"
    )
    subprocess.run(
        [sys.executable, "-c", code, tmp_path / "there", *kinds], check=True, env={**os.environ, **other}, timeout=300
    )
    assert _contents(tmp_path / "there") == _contents(tmp_path / "here")


def test_what_is_exported_is_what_it_was():
    """The schema's number changes with the numbers: draw and exponential are pinned here."""
    assert SCHEMA == "srr-vectors/1"
    a = vector_cases.drawn("pinned", (3, 4))
    assert sha256(a.tobytes()).hexdigest() == PINNED
    assert abs(vector_cases.drawn("many", (10000,)).std() - (4 / 3) ** 0.5) < 0.02


PINNED = "c63bc8387ff85be4d7b96969de0aa9fd9ef9317c476edb35b1fb905994cb2ef0"


def test_every_kind_form_and_format_has_vectors(exported):
    lines, _ = manifest(exported)
    there = {(line.form, line.dtype) for line in lines}
    for kind, entry in KINDS.items():
        for near in entry.named:
            assert (near.slug, "float64") in there
            assert (near.slug, "float32") in there
            assert kind in ("coding_rate", "subspace_rate", "rate_reduction", "tssa") or (near.slug, "float16") in there
    assert {line.name.rsplit(".", 1)[1] for line in lines} >= {
        "one-token",
        "equal-tokens",
        "zeros",
        "huge",
        "tiny",
        "equal-logits",
        "threshold-ties",
    }
    assert len({line.name for line in lines}) == len(lines)


def test_files_are_as_the_readme_says(exported):
    head = json.loads((exported / "manifest.json").read_text())
    for name, about in head["files"].items():
        content = (exported / name).read_bytes()
        assert about == {"bytes": len(content), "sha256": sha256(content).hexdigest()}
    names = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
    for line in head["vectors"]:
        content = (exported / line["file"]).read_bytes()
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        for tensor in (*line["inputs"], *line["weights"].values()):
            assert names[header[tensor]["dtype"]] == line["dtype"]
        for tensor in (line["output"], line["bound"]):
            assert header[tensor]["dtype"] == "F64"
            assert header[tensor]["shape"] == line["shape"]
            assert header[tensor]["data_offsets"][0] % 8 == 0
    text = (exported / "README.md").read_text()
    for kind, entry in KINDS.items():
        assert f"## {kind}: " in text
        for near in entry.named:
            assert f"`{near.slug}`" in text
    for role in {role for line in head["vectors"] for role in line["weights"]}:
        assert f"`{role}`" in text


def test_bounds_are_positive_and_small(exported):
    lines, _ = manifest(exported)
    files = {file: open_tensors(exported / file, "a file")[0] for file in {line.file for line in lines}}
    for line in lines:
        bound, output = files[line.file][line.bound], files[line.file][line.output]
        assert np.isfinite(output).all()
        assert (bound >= 0).all()
        if line.dtype == "float64" and line.kind not in ("coding_rate", "subspace_rate", "rate_reduction"):
            assert bound.max() <= 1e-6 * max(np.abs(output).max(), 1e-12)


def test_a_folder_of_something_else_is_not_written_to(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["vectors", "export", str(tmp_path), "--kind", "skip"]) == 2
    assert "must be empty or hold vectors" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_unknown_kind_is_refused(tmp_path, capsys):
    assert main(["vectors", "export", str(tmp_path / "new"), "--kind", "attentoin"]) == 2
    assert "kind must be one of attention, " in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_export_says_what_it_wrote(tmp_path, capsys):
    assert main(["vectors", "export", str(tmp_path / "new"), "--kind", "skip", "linear"]) == 0
    assert "vectors, " in capsys.readouterr().out
    assert {line.kind for line in manifest(tmp_path / "new")[0]} == {"skip", "linear"}


# --- files that are damaged, or meant to do damage ----------------------------------------------------------------


def _line(folder, **changed):
    head = json.loads((folder / "manifest.json").read_text())
    head["vectors"][0] |= changed
    (folder / "manifest.json").write_text(json.dumps(head))


DAMAGE = {
    "no manifest": (lambda f: (f / "manifest.json").unlink(), "must hold manifest.json"),
    "a manifest cut off": (lambda f: (f / "manifest.json").write_text('{"schema'), "manifest.json must be one that"),
    "a manifest of nothing": (lambda f: (f / "manifest.json").write_text("[]"), "manifest.json must be one that"),
    "a deep manifest": (lambda f: (f / "manifest.json").write_text("[" * 10**5), "manifest.json must be one that"),
    "no text": (lambda f: (f / "manifest.json").write_bytes(b"\xff\xfe\x00"), "manifest.json must be one that"),
    "another schema": (
        lambda f: (f / "manifest.json").write_text(json.dumps({"schema": "srr-vectors/0"})),
        "must have schema 'srr-vectors/1', got 'srr-vectors/0'",
    ),
    "a file elsewhere": (lambda f: _line(f, file="../../etc/passwd"), "not among its files"),
    "an unknown kind": (lambda f: _line(f, kind="magic"), "unknown kind 'magic'"),
    "shapes that are no numbers": (lambda f: _line(f, shape=["x"]), "manifest.json must be one that"),
    "another tensor": (lambda f: _line(f, output="nothing"), "must have the tensor 'nothing'"),
    "another shape": (lambda f: _line(f, shape=[1, 10**12]), "must have shape"),
    "a file that is missing": (
        lambda f: (f / "attention.float64.small.safetensors").unlink(),
        "must be a file that can be read",
    ),
    "a file cut off": (
        lambda f: (f / "attention.float64.small.safetensors").write_bytes(b"\x10" * 20),
        "must be a whole safetensors file",
    ),
    "a header of 2^63 bytes": (
        lambda f: (f / "attention.float64.small.safetensors").write_bytes(b"\xff" * 8 + b"{}"),
        "must be a whole safetensors file",
    ),
    "a number changed": (
        lambda f: (f / "attention.float64.small.safetensors").write_bytes(
            (f / "attention.float64.small.safetensors").read_bytes()[:-1] + b"\x7f"
        ),
        "its SHA-256 differs",
    ),
    "results cut off": (
        lambda f: (f / "results" / "torch.safetensors").write_bytes(b"\x00" * 4),
        "a file of results must be a whole safetensors file, got torch.safetensors",
    ),
    "results of whole numbers": (
        lambda f: save_file({"a": torch.arange(3)}, f / "results" / "torch.safetensors"),
        "must be F64, F32, F16 or BF16, got I64",
    ),
    "results twice": (
        lambda f: shutil.copy(f / "results" / "torch.safetensors", f / "results" / "zwei.safetensors"),
        "must give each tensor once",
    ),
    "no results": (lambda f: shutil.rmtree(f / "results"), "results must be a folder that exists"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_gives_one_clear_error(vectors, damage, capsys):
    _only(vectors, "crate.mssa")
    consume(vectors, vectors / "results")
    spoil, says = DAMAGE[damage]
    spoil(vectors)
    assert main(["vectors", "check", str(vectors)]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 2
    assert "Traceback" not in err
