"""The decoder: each half is its formula, the official layer its code, and a round trip errs as the step squared."""

from functools import partial

import numpy as np
import paper
import pytest
from backends import CPU, GPU, NUMPY, parametrize
from closeness import assert_close, near, rounded

import srr
from srr import attention, curvature, layers
from verify import check_descent
from verify.promises import promises_of
from verify.trace import trace

n, d, K, p = 7, 6, 3, 2
EPS = 0.7


def instance(seed=0):
    """Tokens, orthonormal bases that overlap, a square matrix."""
    rng = np.random.default_rng(seed)
    U = np.linalg.qr(rng.standard_normal((K, d, p)))[0]
    return rng.standard_normal((n, d)), U, rng.standard_normal((d, d)) / np.sqrt(d)


@parametrize(NUMPY, CPU, GPU)
def test_the_papers_decoder(backend):
    arrays = rounded(backend, *instance())
    with backend.active():
        Z, U, D = map(backend.array, arrays)
        layer = layers.crate_decoder(U, D, eps=EPS, kappa=0.3)
        first, after = layer.sparsify(Z), layer(Z)
        Z, U, D = arrays
        half = D.T @ Z.T
        assert_close(backend, first, half.T, size=20, scale=10)
        assert_close(backend, after, (half - 0.3 * paper.mssa(half, U, EPS)).T, size=20, scale=20)


def code_block(x, weight, qkv, to_out, bias):
    """A block of the code of the decoder, in torch."""
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    x, weight, qkv, to_out, bias = (torch.tensor(a) for a in (x, weight, qkv, to_out, bias))
    y = F.linear(F.layer_norm(x, (d,)), weight)
    heads = F.linear(F.layer_norm(y, (d,)), qkv).unflatten(-1, (K, -1)).transpose(-3, -2)
    attended = torch.softmax(heads @ heads.mT * heads.shape[-1] ** -0.5, dim=-1) @ heads
    return y.numpy(), (y - F.linear(attended.transpose(-3, -2).flatten(-2), to_out, bias)).numpy()


@parametrize(NUMPY, CPU, GPU)
def test_the_official_decoder(backend):
    rng = np.random.default_rng(0)
    shapes = ((2, n, d), (d, d), (K * p, d), (d, K * p), (d,))
    x, weight, qkv, to_out, bias = rounded(backend, *map(rng.standard_normal, shapes))
    half, after = code_block(x, weight, qkv, to_out, bias)
    with backend.active():
        array = backend.array
        U = array(qkv.reshape(K, p, d).transpose(0, 2, 1))
        layer = layers.PreNorm(layers.crate_decoder_official(U, array(weight), output=array(to_out), bias=array(bias)))
        assert_close(backend, layer.sparsify(array(x)), half, size=20, scale=60)
        assert_close(backend, layer(array(x)), after, size=20, scale=60)


def test_its_halves_come_in_the_other_order():
    Z, U, D = instance()
    layer = layers.crate_decoder(U, D, eps=EPS)
    for whole in (layer, layers.PreNorm(layer)):
        steps = list(srr.unroll([layers.crate(U, D, eps=EPS), whole], Z))
        assert [(s.index, s.half) for s in steps] == [
            (0, "compress"),
            (0, "sparsify"),
            (1, "sparsify"),
            (1, "compress"),
        ]
        assert np.array_equal(steps[-1].after, whole(steps[1].after))
        assert steps[2].after is steps[3].before


def test_tokens_of_another_dimension_are_refused():
    Z, U, D = instance()
    with pytest.raises(ValueError, match=r"^Z must have shape \(\.\.\., n, 6\) with no empty axis, got \(7, 5\)$"):
        layers.crate_decoder(U, D).sparsify(Z[:, :5])


def test_it_permutes_with_its_tokens_and_turns_with_all():
    Z, U, D = instance()
    rng = np.random.default_rng(1)
    order, Q = rng.permutation(n), np.linalg.qr(rng.standard_normal((d, d)))[0]
    layer = layers.crate_decoder(U, D, eps=EPS)
    near(layer(Z[order]), layer(Z)[order], size=20, scale=20)
    near(layers.crate_decoder(Q @ U, Q @ D @ Q.T, eps=EPS)(Z @ Q.T), layer(Z) @ Q.T, size=20, scale=20)


def test_it_promises_the_opposite_of_an_encoder():
    Z, U, D = instance()
    objective = srr.SparseRateReduction(U, EPS, 0.1)
    decoder = layers.crate_decoder(U, D, eps=EPS)
    named = {promise.half: promise for promise in promises_of(decoder, objective)}
    assert {half: promise.quantity for half, promise in named.items()} == {
        "sparsify": "R - lam|Z|_1",
        "compress": "-Rc",
        "layer": "-loss",
    }
    encoder = {promise.half: promise for promise in promises_of(srr.layers.PreNorm(Plain()), objective)}
    for half in ("compress", "layer"):
        change = named[half].change(Z, 2 * Z)
        assert change == -encoder[half].change(Z, 2 * Z)
        assert change.sign == -1
    values = [objective.terms(tokens) for tokens in (Z, 2 * Z)]
    rise = (values[1].rate - 0.1 * values[1].l1) - (values[0].rate - 0.1 * values[0].l1)
    assert named["sparsify"].change(Z, 2 * Z).midpoint == pytest.approx(float(rise))


class Plain(srr.Layer):
    def compress(self, Z):
        return Z / 2

    def sparsify(self, Z):
        return Z / 2


def test_descent_and_trace_follow_its_order():
    Z, U, D = instance()
    objective = srr.SparseRateReduction(U, EPS, 0.1)
    decoder = layers.crate_decoder(U, D, eps=EPS)
    found = trace([decoder], objective, Z)
    assert [step.half for step in found.steps] == ["sparsify", "compress", "layer"]
    assert found.steps[0].terms["l1"] == pytest.approx(np.abs(Z @ D).sum())
    report = check_descent(decoder, objective, [Z, 2 * Z], budget=0)
    assert list(report.changes) == ["sparsify", "compress", "layer"]
    first = np.quantile([np.abs(z @ D).sum() - np.abs(z).sum() for z in (Z, 2 * Z)], 0.5)
    assert report.changes["sparsify"]["l1"][2] == pytest.approx(first)
    assert {part.half: part.counts["rose"] for part in report.parts}["compress"] == 2


# --- encoder and decoder --------------------------------------------------------------------------------------


def test_an_autoencoder_undoes_the_last_layer_first():
    _, U, D = instance()
    kinds = [
        layers.crate(U, D, eps=EPS, kappa=0.3),
        layers.crate(U, 2 * D, rule="conceptual", eps=EPS),
        layers.PreNorm(layers.official(U, D, output=np.ones((d, K * p)), bias=D[0], scale=0.5), np.sin, np.cos),
    ]
    whole = layers.crate_autoencoder(kinds)
    assert whole[:3] == tuple(kinds)
    norm, conceptual, first = whole[3:]
    official = norm.layer
    assert (norm.first, norm.second) == (np.sin, np.cos)
    assert (official.A is D, official.scale, official.bias.tolist()) == (True, 0.5, D[0].tolist())
    assert (conceptual.eps, conceptual.kappa) == (None, 1.0)
    assert (first.eps, first.kappa) == (EPS, 0.3)
    assert official.output.tolist() == np.ones((d, K * p)).tolist()
    assert np.array_equal(first.D, D.T)
    with pytest.raises(ValueError, match="layers must have rule 'residual' or 'conceptual', got 'exact'"):
        layers.crate_autoencoder([layers.crate(U, D, rule="exact", eps=EPS)])
    with pytest.raises(TypeError, match="layers must be of kind Crate or Official, got Causal"):
        layers.crate_autoencoder([layers.crate_causal(U, D)])


def test_its_linear_half_takes_back_a_code_that_reconstructs():
    rng = np.random.default_rng(0)
    _, U, _ = instance()
    D = np.linalg.qr(rng.standard_normal((d, d)))[0]
    code = np.maximum(rng.standard_normal((n, d)), 0)
    encoder = layers.crate(U, D, eps=EPS, eta=1.0, lam=0.0)
    _, decoder = layers.crate_autoencoder([encoder])
    near(encoder.sparsify(code @ D.T), code, size=20, scale=10)
    near(decoder.sparsify(code), code @ D.T, size=20, scale=10)


def round_trip(step, back, Z, depth, time=1.0):
    h = time / depth
    for _ in range(depth):
        Z = step(Z, h)
    for _ in range(depth):
        Z = back(Z, h)
    return Z


@pytest.mark.parametrize("kind", ["attention", "exact"])
def test_the_error_of_a_round_trip(kind):
    Z, U, _ = instance()
    if kind == "attention":
        step = back = partial(lambda sign, Z, h: attention.residual_step(Z, U, step=sign * h), 1.0)
        back = partial(lambda sign, Z, h: attention.residual_step(Z, U, step=sign * h), -1.0)
    else:
        gradient = lambda Z: srr.subspace_coding_rate_and_gradient(Z, U, eps=EPS)[1]  # noqa: E731
        step, back = (lambda Z, h: Z - h * gradient(Z)), (lambda Z, h: Z + h * gradient(Z))
    error = lambda depth, time=1.0: np.linalg.norm(round_trip(step, back, Z, depth, time) - Z)  # noqa: E731
    for h in (1e-2, 1e-3):  # one layer: second order in the step
        assert error(1, h) / error(1, h / 2) == pytest.approx(4, rel=5 * h)
    assert error(64) / error(128) == pytest.approx(2, rel=0.05)  # a depth of fixed time: first order
    if kind == "exact":
        L = curvature.subspace_rate(U, n, eps=EPS)
        for h in (0.01, 0.3, 1.0):
            assert error(1, h) <= h**2 * L * np.linalg.norm(gradient(Z))
