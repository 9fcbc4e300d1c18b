"""Assertions for other people's test suites: they pass what is right, and say what is wrong."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import form_instances as instances
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import srr
from verify import testing
from verify.models.crate import Attention, Ista
from verify.testing import assert_descends, assert_matches

ROOT = Path(__file__).parents[1]
D = 12


def _ista(dtype=torch.float64):
    torch.manual_seed(0)
    model = Ista(D).to(dtype)
    return model, {"D": model.weight}, {"eta": 0.1, "lam": 0.1}


def _attention(dtype=torch.float64):
    torch.manual_seed(0)
    model = Attention(D, 3, 4).to(dtype)
    weights = {"projection": model.qkv.weight, "output": model.to_out[0].weight, "bias": model.to_out[0].bias}
    return model, weights, {"heads": 3}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_a_module_that_is_right_passes_in_every_format(dtype):
    model, weights, constants = _ista(dtype)
    assert_matches(model, "crate.ista", weights=weights, constants=constants)
    if dtype in (torch.float64, torch.float32):
        model, weights, constants = _attention(dtype)
        assert_matches(model.train(), "crate.mssa", weights=weights, constants=constants)
        assert model.training


def test_a_module_that_is_wrong_is_told_what_it_is():
    model, weights, constants = _ista()
    with pytest.raises(AssertionError) as caught:
        assert_matches(model, "crate.ista", weights={"D": weights["D"].T}, constants=constants)
    assert "Ista must be crate.ista:" in str(caught.value)
    assert "D and its transpose have changed places (not: the residual is Z - DZ" in str(caught.value)
    assert "first at [" in str(caught.value)
    model, weights, constants = _attention()
    with pytest.raises(AssertionError, match=r"is MSSA as in the official code .*\n.*and not causal MSSA"):
        assert_matches(model, "crate.mssa-causal", weights=weights, constants=constants)


class _Threshold(nn.Module):
    def __init__(self, model, threshold):
        super().__init__()
        self.model, self.threshold = model, threshold

    def forward(self, z):
        W = self.model.weight
        return F.relu(z + 0.1 * (z - z @ W.T) @ W - self.threshold)


def test_a_threshold_that_is_wrong_by_a_factor_is_seen_in_float32():
    model, weights, constants = _ista(torch.float32)
    assert_matches(_Threshold(model, 0.01), "crate.ista", weights=weights, constants=constants)
    with pytest.raises(AssertionError, match="the threshold is 2 eta lam"):
        assert_matches(_Threshold(model, 0.02), "crate.ista", weights=weights, constants=constants)
    with pytest.raises(AssertionError, match="the threshold lam is missing"):
        assert_matches(_Threshold(model, 0.0), "crate.ista", weights=weights, constants=constants)


@pytest.mark.parametrize("library", ["numpy", "torch", "jax"])
def test_functions_of_any_library(library):
    import jax
    import jax.numpy as jnp

    given = instances.weights("ista")["D"].astype(np.float32)
    D = {"numpy": np.asarray, "torch": torch.from_numpy, "jax": jnp.asarray}[library](given)
    relu = {"numpy": lambda a: np.maximum(a, 0), "torch": torch.relu, "jax": jax.nn.relu}[library]
    kinds = set()

    def step(z, sign=1):
        kinds.add(type(z))
        return relu(z + sign * 0.3 * ((z - z @ D.T) @ D) - 0.3 * 0.2)

    assert_matches(step, "crate.ista", weights={"D": D}, constants={"eta": 0.3, "lam": 0.2})
    assert kinds == {type(D)}
    with pytest.raises(AssertionError, match="the gradient step goes uphill"):
        assert_matches(lambda z: step(z, -1), "crate.ista", weights={"D": D}, constants={"eta": 0.3, "lam": 0.2})


def test_inputs_of_ones_own():
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal((9, 5)) for _ in range(3)]
    assert_matches(
        lambda Z: srr.coding_rate(Z, eps=0.5**0.5), "rate.coding-rate-of-codes", constants={"eps": 0.5}, inputs=inputs
    )
    with pytest.raises(AssertionError, match="is the coding rate as in the papers"):
        assert_matches(
            lambda Z: srr.coding_rate(Z, eps=0.5), "rate.coding-rate-of-codes", constants={"eps": 0.5}, inputs=inputs
        )
    pairs = [(rng.standard_normal((9, 5)), np.eye(3)[np.arange(9) % 3]) for _ in range(3)]
    assert_matches(
        lambda Z, Pi: srr.rate_reduction(Z, Pi=Pi, eps=0.5), "mcr2.rate-reduction", constants={"eps": 0.5}, inputs=pairs
    )


def test_bad_arguments_are_told():
    model, weights, constants = _ista()
    with pytest.raises(ValueError, match=r"form must be one of .*got 'crate\.lasso'"):
        assert_matches(model, "crate.lasso", weights=weights, constants=constants)
    with pytest.raises(ValueError, match="inputs must be given for coding_rate"):
        assert_matches(lambda Z: srr.coding_rate(Z, eps=0.5), "rate.coding-rate", constants={"eps": 0.5})
    with pytest.raises(ValueError, match=r"must be of float64, .* got int64"):
        assert_matches(model, "crate.ista", weights=weights, constants=constants, like=np.eye(D, dtype=np.int64))


def test_a_layer_that_descends_passes_and_one_that_does_not_is_shown():
    mixture = srr.mixtures.sample(n=16, d=8, K=2, p=3, noise=0.1, seed=0)
    objective = srr.SparseRateReduction(mixture.U, eps=0.5, lam=0.1)
    assert_descends(srr.layers.descent(mixture.U, eps=0.5, lam=0.1), objective, mixture.draws(5), budget=20)
    rng = np.random.default_rng(0)
    wrong = srr.layers.crate(mixture.U, rng.standard_normal((8, 8)), eps=0.5)
    with pytest.raises(AssertionError, match=r"Crate must descend:(.|\n)*refuted(.|\n)*Smallest tokens found"):
        assert_descends(wrong, objective, mixture.draws(5), budget=20)


def test_the_example_of_the_docstring_runs(tmp_path):
    """As a test file, and again with the fixtures."""
    text = testing.__doc__.split("::\n\n", 1)[1].split("\n\nWhat fails says", 1)[0]
    code = textwrap.dedent(text)
    (tmp_path / "test_mine.py").write_text(code)
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["verify.pytest_plugin"]\n')
    fixtures = code.replace("from verify.testing import assert_descends, assert_matches\n", "")
    for function, name in (("ista_is_that_of_crate", "matches"), ("attention_is_that_of_crate", "matches")):
        fixtures = fixtures.replace(f"def test_my_{function}()", f"def test_my_{function}(assert_{name})")
    fixtures = fixtures.replace("def test_my_layer_descends()", "def test_my_layer_descends(assert_descends)")
    (tmp_path / "test_fixtures.py").write_text(fixtures)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
    )
    assert "6 passed" in done.stdout, done.stdout
    broken = code.replace("- 0.1 * 0.5)", "- 0.5)")
    assert broken != code
    (tmp_path / "test_mine.py").write_text(broken)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path / "test_mine.py"],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
    )
    assert "1 failed, 2 passed" in done.stdout, done.stdout
    assert "the threshold is lam, without eta" in done.stdout
