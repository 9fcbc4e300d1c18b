"""The variants of CRATE: the output matrix that each names, and which of them see the subspaces alone."""

import numpy as np
import paper
import pytest
from closeness import near

from srr import attention, layers, prox

EPS = 0.7


def instance(n=7, d=6, K=3, p=2, seed=0):
    rng = np.random.default_rng(seed)
    U = np.linalg.qr(rng.standard_normal((d, K * p)))[0].reshape(d, K, p).swapaxes(0, 1)
    return rng.standard_normal((n, d)), U, rng.standard_normal((d, d)) / np.sqrt(d)


def heads(Z, U):
    """[SSA(Z|U_1); …; SSA(Z|U_K)] in the papers' columns."""
    return np.concatenate([paper.ssa(Z.T, basis) for basis in U])


FORMULAS = {
    "conceptual": lambda Z, U: Z.T + np.hstack(list(U)) @ heads(Z, U),
    "negative": lambda Z, U: Z.T - np.hstack(list(U)) @ heads(Z, U),
    "transpose": lambda Z, U: Z.T + np.hstack(list(U)).T @ heads(Z, U),
    "fixed": lambda Z, U: Z.T + layers.output_matrix(U, "fixed", seed=3) @ heads(Z, U),
    "identity": lambda Z, U: Z.T + heads(Z, U),
}


def test_every_variant_has_its_formula():
    assert tuple(FORMULAS) == layers.VARIANTS


@pytest.mark.parametrize("variant", FORMULAS)
def test_a_variant_is_the_formula_and_then_ista(variant):
    Z, U, D = instance()
    layer = layers.crate_variant(U, D, variant=variant, seed=3, eta=0.2, lam=0.3)
    expected = FORMULAS[variant](Z, U).T
    near(layer.compress(Z), expected, size=20, scale=10)
    near(layer(Z), prox.ista_step(expected, D, step=0.2, lam=0.3), size=20, scale=20)
    order = np.random.default_rng(1).permutation(len(Z))
    near(layer(Z[order]), layer(Z)[order], size=20, scale=20)


def test_the_first_two_are_rules_of_the_papers_form():
    Z, U, D = instance()
    conceptual = layers.crate_variant(U, D, variant="conceptual")
    near(conceptual(Z), layers.crate(U, D, rule="conceptual", eps=EPS)(Z), size=20, scale=20)
    negative = layers.crate_variant(U, D, variant="negative")
    near(negative(Z), layers.crate(U, D, rule="conceptual", eps=EPS, kappa=-1.0)(Z), size=20, scale=20)


def test_the_scale_of_the_code():
    Z, U, D = instance()
    near(
        layers.crate_variant(U, D, variant="identity", scale=None).compress(Z),
        Z + attention.mssa_official(Z, U, output=np.eye(6)),
        size=20,
        scale=10,
    )


def test_a_fixed_output_is_drawn_as_torch_initialises_one():
    _, U, _ = instance(d=60, K=6, p=5)
    W = layers.output_matrix(U, "fixed", seed=1)
    assert W.shape == (60, 30)
    assert 0.99 / np.sqrt(30) < np.abs(W).max() < 1 / np.sqrt(30)
    assert np.array_equal(W, layers.output_matrix(U, "fixed", seed=1))
    assert not np.array_equal(W, layers.output_matrix(U, "fixed", seed=2))
    assert np.array_equal(layers.output_matrix(U, "fixed"), layers.output_matrix(U, "fixed", seed=0))
    _, U, D = instance()
    assert np.array_equal(layers.crate_variant(U, D, variant="fixed").output, layers.output_matrix(U, "fixed"))
    for variant in layers.VARIANTS:
        assert layers.output_matrix(U.astype(np.float32), variant).dtype == np.float32


@pytest.mark.parametrize("variant", FORMULAS)
def test_which_variants_see_the_subspaces_alone(variant):
    Z, U, D = instance()
    other = U @ np.linalg.qr(np.random.default_rng(1).standard_normal((2, 2)))[0]
    after = [layers.crate_variant(bases, D, variant=variant).compress(Z) for bases in (U, other)]
    if variant in ("conceptual", "negative"):
        near(*after, size=20, scale=10)
    else:
        assert np.abs(after[0] - after[1]).max() > 0.1


@pytest.mark.parametrize("variant", ["transpose", "identity"])
def test_two_variants_need_as_many_heads_as_fill_the_space(variant):
    _, U, D = instance(K=2)
    with pytest.raises(ValueError, match=rf"U must have K p = d with variant '{variant}', got \(2, 6, 2\)"):
        layers.crate_variant(U, D, variant=variant)
