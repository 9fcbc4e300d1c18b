"""The cost of every operator and layer against the flops that torch counts."""

import numpy as np
import pytest

from srr import attention, flops, layers, prox

SIZES = [(7, 6, 3, 2, 11), (2, 6, 2, 3, 20), (9, 6, 1, 6, 24), (1, 4, 2, 2, 4)]  # n, d, K, p, m
sizes = pytest.mark.parametrize(("n", "d", "K", "p", "m"), SIZES)


def counted(run):
    counter = pytest.importorskip("torch.utils.flop_counter")
    with counter.FlopCounterMode(display=False) as found:
        run()
    return found.get_total_flops()


def drawn(*shapes):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    return [torch.tensor(rng.standard_normal(shape)) for shape in shapes]


@sizes
def test_operators(n, d, K, p, m):
    Z, U, D, S = drawn((n, d), (K, d, p), (d, m), (d, d))
    for operator in (attention.mssa, attention.mssa_official, attention.causal_mssa):
        assert counted(lambda f=operator: f(Z, U)) == flops.attention(n, d, K, p)
    for step in (attention.exact_step, attention.neumann_step):
        assert counted(lambda f=step: f(Z, U, eps=1.0, step=0.1)) == flops.gradient(n, d, K, p)
    assert counted(lambda: prox.ista_step(Z, S, step=0.1, lam=0.1)) == flops.ista_step(n, d, d)
    for T in (1, 2, 5):
        assert counted(lambda T=T: prox.ista(Z, D, step=0.1, lam=0.1, iterations=T)) == flops.ista(n, d, m, T)


@sizes
def test_layers(n, d, K, p, m):
    Z, U, D, S = drawn((n, d), (K, d, p), (d, m), (d, d))
    every = [
        *(layers.crate(U, S, rule=rule, eps=1.0, kappa=0.1) for rule in layers.RULES if "implicit" not in rule),
        layers.official(U, S, bias=Z[0]),
        layers.crate_variant(U, S, variant="fixed"),
        layers.crate_causal(U, S),
        layers.crate_causal_overcomplete(U, D),
        layers.crate_alpha(U, D, eps=1.0),
        layers.crate_alpha_official(U, D, D),
        layers.crate_decoder(U, S),
        layers.crate_decoder_official(U, S),
        layers.descent(U, eps=1.0, lam=0.1),
    ]
    for layer in every:
        for whole in (layer, layers.PreNorm(layer)):
            assert counted(lambda f=whole: f(Z)) == flops.of_layer(whole, n), (type(layer), getattr(layer, "rule", ""))


def test_a_layer_of_one_s_own_has_no_known_cost():
    class Mine(layers.Layer):
        def compress(self, Z):
            return Z

        sparsify = compress

    with pytest.raises(TypeError, match="layer must be of a kind whose flops are known, got Mine"):
        flops.of_layer(Mine(), 3)


@pytest.mark.parametrize("rule", ["implicit", "semi-implicit"])
def test_implicit_rules_are_not_taken_for_attention(rule):
    layer = layers.crate(np.eye(4)[None, :, :2], np.eye(4), rule=rule, eps=1.0)
    with pytest.raises(TypeError, match=f"layer must have a rule whose flops are known, got '{rule}'"):
        flops.of_layer(layer, 3)
