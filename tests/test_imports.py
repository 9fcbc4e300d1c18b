"""What importing srr costs and pulls in, which way the layers point, and that no array is made without a device."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("srr", "derivations", "verify")
HEAVY = {
    "cattrs",
    "cupy",
    "cyclopts",
    "dask",
    "flint",
    "hypothesis",
    "jax",
    "jinja2",
    "matplotlib",
    "mpmath",
    "pandas",
    "rich",
    "sklearn",
    "sympy",
    "torch",
}


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def loaded():
    """What a fresh interpreter has loaded after ``import srr``."""
    return run("import json, sys, srr; print(json.dumps(sorted(sys.modules)))")


def test_importing_srr_pulls_in_nothing_heavy(loaded):
    assert not HEAVY & set(loaded)
    assert not {name for name in loaded if name.startswith(("scipy", "verify", "derivations"))}


def test_using_srr_on_numpy_pulls_in_nothing_heavy():
    """Not even lazily: torch and JAX are looked for among what is loaded, never imported."""
    code = """
import json, sys
import numpy as np, srr
mixture = srr.mixtures.sample(n=8, d=4, K=2, p=2, seed=0)
layer = srr.layers.descent(mixture.U, eps=0.5, lam=0.1)
list(srr.unroll([layer] * 2, mixture.Z))
srr.SparseRateReduction(mixture.U, 0.5, 0.1).terms(mixture.Z)
srr.rate_reduction_and_gradient(mixture.Z, Pi=mixture.Pi, eps=0.5)
print(json.dumps(sorted(sys.modules)))
"""
    assert not HEAVY & set(run(code))


def test_the_command_line_loads_torch_only_for_what_needs_it():
    """Nor do the layouts, which are read by their names alone, or files of arrays."""
    code = """
import json, sys
import verify, verify.cli, verify.files, verify.checkpoint, verify.layouts
from verify import check_descent, certify_descent
verify.layouts.recognise
try:
    verify.layouts.recognise({})
except ValueError:
    pass
print(json.dumps(sorted(sys.modules)))
"""
    assert not {"torch", "jax", "safetensors"} & set(run(code))


@pytest.mark.parametrize("module", ["checkpoint", "layouts", "models.crate"])
def test_what_needs_torch_is_seen_to(module):
    """The network's own modules do: the check above would see them."""
    loaded = run(f"import json, sys, verify.{module}; print(json.dumps(sorted(sys.modules)))")
    assert ("torch" in loaded) == module.startswith("models")


def test_importing_srr_is_quick():
    """Below 0.1 s beyond NumPy, in processor time, and the least of five: other processes must not decide."""
    code = """
import json, time
import numpy
start = time.process_time()
import srr
print(json.dumps(time.process_time() - start))
"""
    assert min(run(code) for _ in range(5)) < 0.1


def test_every_module_of_srr_can_be_imported_first():
    """No import cycle that only another order of imports hides."""
    for path in sorted((ROOT / "srr").glob("[a-z]*.py")):
        run(f"import srr.{path.stem}; print(1)")


# --- by reading the source --------------------------------------------------------------------------------------


def sources(package):
    return sorted((ROOT / package).rglob("*.py"))


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield node.module


@pytest.mark.parametrize(("package", "forbidden"), [("srr", {"derivations", "verify"}), ("derivations", {"verify"})])
def test_layers_point_one_way(package, forbidden):
    for path in sources(package):
        roots = {name.split(".")[0] for name in imported(ast.parse(path.read_text()))}
        assert not roots & forbidden, path


def test_srr_names_heavy_libraries_only_inside_functions():
    lazily = {"_autodiff.py": {"torch", "jax"}}
    for path in sources("srr"):
        tree = ast.parse(path.read_text())
        roots = {name.split(".")[0] for name in imported(tree)}
        assert roots & HEAVY <= lazily.get(path.name, set()), path
        top = ast.Module([node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], [])
        assert not {name.split(".")[0] for name in imported(top)} & HEAVY, path


def test_nothing_but_the_array_layer_names_a_backend():
    """``is_torch_array`` and the like, and ``sys.modules["torch"]``, are for ``_arrays`` and ``_autodiff``."""
    for path in sources("srr"):
        if path.name in ("_arrays.py", "_autodiff.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
            assert not (name.startswith("is_") and name.endswith("_array") and name != "is_array"), (
                path,
                name,
            )
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert node.value not in ("torch", "jax", "cupy"), (path, node.lineno)


CREATION = ("arange", "asarray", "empty", "eye", "from_dlpack", "full", "linspace", "ones", "zeros")


def creations(tree):
    """Calls ``xp.zeros(...)`` and the like, on a namespace called xp or returned by ``array_namespace``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CREATION:
            owner = node.func.value
            if ast.unparse(owner) == "xp" or ast.unparse(owner).split("(")[0].endswith("namespace"):
                yield node


def has_device(call):
    """``device=...`` is written out, or ``**like(Z)`` brings it."""
    return any(
        keyword.arg == "device"
        or (keyword.arg is None and ast.unparse(keyword.value).split("(")[0] in ("like", "_arrays.like", "beside"))
        for keyword in call.keywords
    )


def test_srr_makes_no_array_without_a_device():
    bare = [
        f"{path.name}:{call.lineno} {ast.unparse(call)}"
        for path in sources("srr")
        for call in creations(ast.parse(path.read_text()))
        if not has_device(call)
    ]
    assert not bare


def test_the_device_check_sees_what_it_should():
    seen = list(creations(ast.parse("xp.zeros(3)\narray_namespace(Z).eye(2)\nxp.ones(2, **like(Z))\nnp.zeros(3)")))
    assert [has_device(call) for call in seen] == [False, False, True]
