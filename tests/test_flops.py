"""The cost of every operator and layer against the matrix products that torch counts, and the constants of the rest."""

import inspect

import numpy as np
import pytest

import srr
from srr import attention, cbsa, flops, implicit, layers, prox, tost
from verify import implicit_bench

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


def orthogonal(n, d, K, p):
    """Tokens, and bases of subspaces that fit beside one another."""
    torch = pytest.importorskip("torch")
    d = max(d, K * p)
    Q = np.linalg.qr(np.random.default_rng(1).standard_normal((d, d)))[0]
    return (*drawn((n, d)), torch.tensor(Q[:, : K * p].reshape(d, K, p).swapaxes(0, 1).copy()), torch.tensor(Q))


def qr(m, q):
    """4mq² − 4q³/3, rounded down."""
    return (12 * m * q * q - 4 * q**3) // 3


def inverse_factor(m, q):
    return qr(m, q) + 8 * q**3 // 3


@sizes
def test_operators(n, d, K, p, m):
    Z, U, D, S = drawn((n, d), (K, d, p), (d, m), (d, d))
    for operator in (attention.mssa, attention.mssa_official, attention.causal_mssa):
        assert counted(lambda f=operator: f(Z, U)) == flops.attention(n, d, K, p)
    step = {"eps": 1.0, "step": 0.1}
    assert counted(lambda: attention.neumann_step(Z, U, **step)) == flops.neumann(n, d, K, p)
    assert counted(lambda: attention.exact_step(Z, U, **step)) == flops.gradient(n, d, K, p) - K * min(n, p) ** 3
    semi = K * inverse_factor(n + p, p) + inverse_factor(d + K * p, d)
    assert counted(lambda: implicit.semi_implicit_step(Z, U, **step)) == flops.semi_implicit(n, d, K, p) - semi
    X, V, _ = orthogonal(n, d, K, p)
    check = 2 * V.shape[1] * (K * p) ** 2
    products = flops.implicit(n, V.shape[1], K, p) - 9 * K * min(n, p) ** 3
    assert counted(lambda: implicit.implicit_step(X, V, **step)) == products + check
    Pi = tost.memberships(Z, U, eta=1.0)
    assert counted(lambda: tost.tssa(Z, Pi, U, **step)) == flops.token_statistics(n, d, K, p)
    assert counted(lambda: tost.tssa_official(Z, U)) == flops.token_statistics(n, d, K, p) - 2 * n * K * p
    ones, r = Z[0, :1].repeat(K), -(-n // 2)
    A = cbsa.pooling(n, r, beside=Z)
    official = counted(lambda: cbsa.contract_and_broadcast_official(Z, U, A, contract=ones, broadcast=ones))
    assert official == flops.contract_and_broadcast(n, d, K, p, r)
    assert counted(lambda: prox.ista_step(Z, S, step=0.1, lam=0.1)) == flops.ista_step(n, d, d)
    for T in (1, 2, 5):
        assert counted(lambda T=T: prox.ista(Z, D, step=0.1, lam=0.1, iterations=T)) == flops.ista(n, d, m, T)


@sizes
def test_layers(n, d, K, p, m):
    """All but the factorisations, whose share in the cost is stated here once more."""
    Z, U, D, S = drawn((n, d), (K, d, p), (d, m), (d, d))
    X, V, Q = orthogonal(n, d, K, p)
    wide, q, r = V.shape[1], min(n, d), -(-n // 2)
    of_rate, crate = K * min(n, p) ** 3, {"eps": 1.0, "kappa": 0.1}
    semi = K * inverse_factor(n + p, p)
    every = [
        (layers.crate(U, S, rule="exact", **crate), of_rate),
        (layers.crate(U, S, rule="semi-implicit", **crate), semi + inverse_factor(d + K * p, d)),
        *((layers.crate(U, S, rule=rule, **crate), 0) for rule in ("neumann", "derived", "residual", "conceptual")),
        (layers.official(U, S, bias=Z[0]), 0),
        (layers.crate_variant(U, S, variant="fixed"), 0),
        (layers.crate_causal(U, S), 0),
        (layers.crate_causal_overcomplete(U, D), 0),
        (layers.crate_alpha(U, D, eps=1.0), 0),
        (layers.crate_alpha_official(U, D, D), 0),
        (layers.crate_decoder(U, S), 0),
        (layers.crate_decoder_official(U, S), 0),
        (layers.descent(U, eps=1.0, lam=0.1), of_rate + q**3),
        (
            layers.implicit_descent(U, eps=1.0, lam=0.1, iterations=3),
            q**3 + qr(max(n, d), q) + semi + 4 * d**3 // 3,
        ),
        (layers.tost(U, eps=1.0), 0),
        (layers.tost_official(U), 2 * n * K * p),  # sums, where the paper's form has products
        (layers.tost_block(U, D.T, D), 2 * n * K * p),
        (layers.aot(U), 0),
        (layers.cbsa(U, S, r=r, **crate), K * min(r, p) ** 3),
        (layers.cbsa(U, S, r=r, contraction="attention", **crate), K * min(r, p) ** 3),
        (layers.cbsa(U, S, r=n + 3, **crate), of_rate),
        (layers.cbsa_official(U, S, r=r), 0),
    ]
    for layer, factorised in every:
        for whole in (layer, layers.PreNorm(layer)):
            products = flops.of_layer(whole, n) - factorised
            assert counted(lambda f=whole: f(Z)) == products, (type(layer), getattr(layer, "rule", ""))
    layer = layers.crate(V, Q, rule="implicit", **crate)
    assert counted(lambda: layer(X)) == flops.of_layer(layer, n) - 9 * of_rate + 2 * wide * (K * p) ** 2


def test_redunet():
    mixture = srr.mixtures.sample(n=6, d=5, K=3, p=1, seed=0)
    Z, Pi = drawn((6, 5))[0], drawn((1,))[0].new_tensor(mixture.Pi)
    layer = layers.redunet(Z / Z.norm(dim=1, keepdim=True), Pi, eps=0.5)
    assert counted(lambda: layer(Z[:4])) == flops.of_layer(layer, 4) == 2 * 4 * 25 * 4
    several = layers.redunet((Z / Z.norm(dim=1, keepdim=True)).expand(2, 6, 5), Pi.expand(2, 6, 3), eps=0.5)
    assert flops.of_layer(several, 4) == flops.of_layer(layer, 4)
    for shape, frequencies, S in (((6, 2, 8), 5, 8), ((6, 3, 4, 8), 20, 32), ((6, 2, 1), 1, 1)):
        (X,) = drawn(shape)
        layer = layers.shift_invariant_redunet(X, Pi, eps=0.5)
        transforms = flops.of_layer(layer, 6) - 4 * counted(lambda f=layer, X=X: f(X))  # torch counts 2, not 8
        assert frequencies == np.prod(layer.E.shape[:-2])
        assert transforms == 2.5 * S * np.log2(S) * 6 * shape[1] * (1 + 1 + 3)


def test_every_kind_of_layer_has_a_cost():
    kinds = {name: getattr(layers, name) for name in layers.__all__ if inspect.isclass(getattr(layers, name))}
    abstract = {"Layer", "AttentionOnly", "HalfStep"}
    assert {name for name, kind in kinds.items() if not hasattr(kind, "flops")} == abstract


def test_statistics_and_representatives_are_linear_in_the_tokens():
    more = [flops.attention, flops.token_statistics]
    attention_, statistics = (f(4096, 768, 12, 64) / f(2048, 768, 12, 64) for f in more)
    assert attention_ > 3
    assert statistics == 2
    few = [flops.contract_and_broadcast(n, 768, 12, 64, 64) for n in (2048, 4096)]
    assert 1.9 < few[1] / few[0] < 2


def test_a_layer_of_one_s_own():
    class Mine(layers.Layer):
        def compress(self, Z):
            return Z

        sparsify = compress

    with pytest.raises(TypeError, match=r"layer must have a method flops\(n\), got Mine"):
        flops.of_layer(Mine(), 3)
    Mine.flops = lambda self, n: 7 * n
    assert flops.of_layer(layers.PreNorm(Mine()), 3) == 21


def test_where_the_implicit_step_pays():
    """A step of size 100/L_c takes off many times as much as explicit steps of its cost, if ε is small."""
    rows = list(implicit_bench.run(n=24, d=12, K=3, p=4, rounds=1))
    for eps, times in ((0.01, 30), (0.1, 50), (1.0, 1.1)):
        here = [row for row in rows if row.eps == eps]
        explicit = [row for row in here if row.step == "explicit"]
        ours = next(row for row in here if row.step == "implicit" and row.length == 100)
        assert explicit[-1].flops >= ours.flops > explicit[-1].flops - explicit[0].flops
        assert ours.removed > times * max(row.removed for row in explicit)
    assert all(row.seconds >= 0 and row.removed > 0 for row in rows)
