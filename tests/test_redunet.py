"""ReduNet: the operators, the layer in its three forms, forward construction, and the shift-invariant form."""

from itertools import islice

import numpy as np
import pytest
from backends import CPU, GPU, NUMPY, parametrize
from closeness import assert_close, near, rounded

import srr
from srr import curvature, layers, redunet, redunet_fourier

EPS = 0.6


def instance(n=9, d=5, K=3, kind="hard", seed=0):
    """Tokens on the sphere and memberships."""
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((n, d))
    Pi = np.eye(K)[np.arange(n) % K] if kind == "hard" else rng.multinomial(64, rng.dirichlet(np.ones(K), n)) / 64
    return Z / np.linalg.norm(Z, axis=1, keepdims=True), Pi


def dense(Z, Pi, eps=EPS):
    """The operators, by explicit inverses."""
    (n, d), sizes = Z.shape, Pi.sum(axis=0)
    E = d / (n * eps**2) * np.linalg.inv(np.eye(d) + d / (n * eps**2) * Z.T @ Z)
    C = [
        d / (size * eps**2) * np.linalg.inv(np.eye(d) + d / (size * eps**2) * (Z.T * w) @ Z)
        for w, size in zip(Pi.T, sizes, strict=True)
    ]
    return E, np.stack(C), sizes / n


# --- the operators ------------------------------------------------------------------------------------------


@parametrize(NUMPY, CPU, GPU, slow="jax-float32")
@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_operators_are_the_inverses(backend, kind):
    Z, Pi = rounded(backend, *instance(7, 4, 3, kind))  # fewer tokens than dimensions in each class, more in all
    n, d = Z.shape
    E, C, gamma = dense(Z, Pi)
    with backend.active():
        found = redunet.operators(backend.array(Z), backend.array(Pi), eps=EPS)
        for actual, expected in zip(found, (E, C, gamma), strict=True):
            assert_close(backend, actual, expected, size=n + d, scale=np.abs(expected).max() * 10)


def test_a_batch_is_a_stack_of_singles():
    pairs = [instance(7, 4, 3, kind, seed) for kind, seed in (("hard", 0), ("soft", 1), ("soft", 2))]
    Z, Pi = (np.stack(a) for a in zip(*pairs, strict=True))
    for i, together in enumerate(redunet.operators(Z, Pi, eps=EPS)):
        near(together, np.stack([redunet.operators(*pair, eps=EPS)[i] for pair in pairs]), size=20, scale=50)
    moved = layers.redunet(Z, Pi, eps=EPS)(Z)
    near(moved, np.stack([layers.redunet(*pair, eps=EPS)(pair[0]) for pair in pairs]), size=20, scale=50)


def test_an_empty_class_has_no_operator():
    Z, Pi = instance()
    with pytest.raises(ValueError, match="Pi must have a token in each class, got none in class 3"):
        redunet.operators(Z, np.hstack([Pi, np.zeros((9, 1))]), eps=EPS)
    four = np.eye(4)[np.arange(9) % 4]
    with pytest.raises(ValueError, match=r"none in class 3$"):
        redunet.operators(Z, np.stack([four, np.hstack([Pi, np.zeros((9, 1))])]), eps=EPS)
    with pytest.raises(ValueError, match=r"none in class 1$"):
        redunet.operators(Z[:1], np.array([[1.0, 0.0]]), eps=EPS)
    assert redunet.operators(np.zeros((0, 9, 5)), Pi, eps=EPS)[1].shape == (0, 3, 5, 5)


def test_tokens_beyond_the_precision_have_no_operator():
    Z, Pi = instance()
    for size in (1e160, 1e200, 1e300):
        with pytest.raises(srr.FactorisationError, match="Z and eps must leave"):
            redunet.operators(size * Z, Pi, eps=EPS)
        with pytest.raises(srr.FactorisationError, match="Z and eps must leave"):
            redunet_fourier.shift_invariant_operators(size * Z[..., None], Pi, eps=EPS)
    assert np.isfinite(redunet.operators(1e110 * Z, Pi, eps=EPS)[1]).all()


# --- memberships, sphere, subspaces -------------------------------------------------------------------------


def test_soft_memberships():
    Z, Pi = instance()
    C = dense(Z, Pi)[1]
    size = np.linalg.norm(np.einsum("nd,kde->nke", Z, C), axis=-1)
    weights = np.exp(-0.3 * size)
    found = redunet.soft_memberships(Z, C, sharpness=0.3)
    near(found, weights / weights.sum(axis=1, keepdims=True), size=20, scale=10)
    hard = redunet.soft_memberships(Z, C, sharpness=1e12)
    assert np.array_equal(hard, np.eye(3)[size.argmin(axis=1)])
    assert np.array_equal(redunet.soft_memberships(Z, C, sharpness=0), np.full((9, 3), 1 / 3))
    by_default = redunet.soft_memberships(Z, 1e-3 * C)
    near(by_default, redunet.soft_memberships(Z, C, sharpness=0.5), size=20, scale=10)
    with pytest.raises(ValueError, match=r"^C must have shape \(\.\.\., K, 5, 5\) with no empty axis, got \(3, 4, 4\)"):
        redunet.soft_memberships(Z, C[:, :4, :4])


def test_the_sphere():
    Z = np.array([[3.0, 4], [0, 0], [3e200, 4e200], [3e-200, 4e-200], [3e-10, 4e-10]])
    there = np.array([0.6, 0.8])
    near(redunet.on_sphere(Z), np.array([there, 0 * there, there, there, there]), size=2, scale=1)
    floored = redunet.on_sphere(Z, floor=1e-8)
    near(floored[:3], np.array([there, 0 * there, there]), size=2, scale=1)
    near(floored[3:] * [[1e192], [20]], np.array([5 * there, there]), size=2, scale=5)
    near(redunet.on_sphere(np.array([[3e-10, 0.0]]), floor=1e-8), np.array([[0.03, 0.0]]), size=1, scale=1)


def test_class_subspaces_and_the_nearest_of_them():
    mixture = srr.mixtures.sample(n=60, d=9, K=3, p=2, coherence="random", seed=0)
    U = redunet.class_subspaces(mixture.Z, mixture.Pi, 2)
    near(U @ U.swapaxes(1, 2), mixture.U @ mixture.U.swapaxes(1, 2), size=60, scale=10)
    assert np.array_equal(redunet.nearest_subspace(mixture.draw(1).Z, U), mixture.draw(1).labels)
    kept = [np.linalg.norm(mixture.Z[mixture.labels == k] @ U[k, :, i]) for k in range(3) for i in range(2)]
    assert all(first > second for first, second in zip(kept[::2], kept[1::2], strict=True))
    assert redunet.class_subspaces(mixture.Z, mixture.Pi, 9).shape == (3, 9, 9)
    with pytest.raises(ValueError, match=r"^p must be <= d = 9, got 10$"):
        redunet.class_subspaces(np.stack([mixture.Z[:11]] * 2), mixture.Pi[:11], 10)
    with pytest.raises(ValueError, match=r"^Z must have shape \(\.\.\., n, 9\) with no empty axis, got \(60, 8\)$"):
        redunet.nearest_subspace(mixture.Z[:, :8], U)


# --- the layer ----------------------------------------------------------------------------------------------


@parametrize(NUMPY, CPU, GPU, slow="jax-float32")
@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_given_memberships_make_a_gradient_step(backend, kind):
    Z, Pi = rounded(backend, *instance(kind=kind))
    gradient = srr.rate_reduction_and_gradient(Z, Pi=Pi, eps=EPS)[1]
    with backend.active():
        layer = layers.redunet(backend.array(Z), backend.array(Pi), rule="gradient", eps=EPS, eta=0.7)
        half = layer.compress(backend.array(Z))
        assert_close(backend, half, Z + 0.7 * gradient, size=20, scale=20)
        expected = (Z + 0.7 * gradient) / np.linalg.norm(Z + 0.7 * gradient, axis=1, keepdims=True)
        assert_close(backend, layer(backend.array(Z)), expected, size=20, scale=20)


def test_given_memberships_are_for_as_many_tokens():
    Z, Pi = instance()
    layer = layers.redunet(Z, Pi, rule="gradient", eps=EPS)
    with pytest.raises(ValueError, match=r"Z must have shape \(\.\.\., 9, 5\)"):
        layer(Z[:4])
    assert layers.redunet(Z, Pi, eps=EPS)(Z[:4]).shape == (4, 5)


def test_tokens_of_another_dimension_or_dtype_are_refused():
    Z, Pi = instance()
    layer = layers.redunet(Z, Pi, eps=EPS)
    with pytest.raises(ValueError, match=r"^Z must have shape \(\.\.\., n, 5\) with no empty axis, got \(9, 4\)$"):
        layer.compress(Z[:, :4])
    with pytest.raises(TypeError, match=r"^E and Z must have one dtype, got float64 and float32$"):
        layer.compress(Z.astype(np.float32))


def test_the_layer_by_default():
    Z, Pi = instance()
    for layer in (layers.redunet(Z, Pi, eps=EPS), next(redunet.construct(Z, Pi, layers=1, eps=EPS))[0]):
        assert (layer.rule, layer.eps, layer.eta, layer.sharpness) == ("network", EPS, 0.5, 500.0)


def official_layer(X, Z, labels, eps2, eta, lmbda):
    """What the published layer makes of X, built from Z and labels; ``eps2`` is what it calls eps."""
    torch = pytest.importorskip("torch")
    X, Z = torch.tensor(X), torch.tensor(Z)
    m, d = Z.shape
    c = d / (m * eps2)
    E = c * torch.inverse(torch.eye(d) + c * Z.T @ Z)
    moved, costs, shares = [], [], []
    for j in range(int(labels.max()) + 1):
        part = Z[torch.tensor(labels == j)]
        c = d / (len(part) * eps2)
        moved.append(X @ (c * torch.inverse(torch.eye(d) + c * part.T @ part)))
        costs.append(torch.linalg.norm(moved[-1], axis=1))
        shares.append(torch.tensor(len(part) / m).float())
    soft = torch.softmax(-lmbda * torch.stack(costs), axis=0)
    step = X @ E - sum(g * p[:, None] * z for g, p, z in zip(shares, soft, moved, strict=True))
    out = X + eta * step
    return (out / torch.clip(torch.linalg.norm(out, axis=1, keepdims=True), 1e-8)).numpy()


@parametrize(NUMPY, CPU, GPU, slow="jax-float32")
def test_the_official_layer(backend):
    Z, Pi = rounded(backend, *instance(11, 5, 3))
    X = rounded(backend, instance(6, 5, 3, seed=4)[0])[0]
    expected = official_layer(X, Z, Pi.argmax(axis=1), 0.1, 0.5, 2.0)
    with backend.active():
        layer = layers.redunet(
            backend.array(Z), backend.array(Pi), rule="official", eps=np.sqrt(0.1), eta=0.5, sharpness=2.0
        )
        assert_close(backend, layer(backend.array(X)), expected, size=100, scale=20)


def test_the_official_shares_are_float32():
    Z, Pi = instance(11)
    official = layers.redunet(Z, Pi, rule="official", eps=EPS).gamma
    assert np.array_equal(official, layers.redunet(Z, Pi, eps=EPS).gamma.astype(np.float32).astype(np.float64))
    assert not np.array_equal(official, layers.redunet(Z, Pi, eps=EPS).gamma)
    of_signals = [
        layers.shift_invariant_redunet(Z[..., None], Pi, rule=r, eps=EPS).gamma for r in ("official", "network")
    ]
    assert np.array_equal(of_signals[0], official)
    assert not np.array_equal(*of_signals)


def test_the_official_norm_has_a_floor():
    Z, Pi = instance()
    short = 1e-10 * Z
    assert np.array_equal(layers.redunet(Z, Pi, eps=EPS).sparsify(short), redunet.on_sphere(short))
    near(layers.redunet(Z, Pi, rule="official", eps=EPS).sparsify(short), 1e-2 * Z, size=5, scale=1e-2)
    signals_, Pi = signals((4, 2, 6))
    layer = layers.shift_invariant_redunet(signals_, Pi, rule="official", eps=EPS)
    near(layer.sparsify(1e-10 * signals_), 1e-2 * signals_, size=5, scale=1e-2)
    near(layers.shift_invariant_redunet(signals_, Pi, eps=EPS).sparsify(1e-10 * signals_), signals_, size=5, scale=1)


@pytest.mark.parametrize("rule", redunet.RULES)
def test_symmetries(rule):
    """Tokens in another order with their labels, classes in another order, and rotations."""
    Z, Pi = instance()
    rng = np.random.default_rng(1)
    order, Q = rng.permutation(9), np.linalg.qr(rng.standard_normal((5, 5)))[0]
    network = {"rule": rule, "eps": EPS, "eta": 0.4, "sharpness": 0.5}
    after = layers.redunet(Z, Pi, **network)(Z)
    near(layers.redunet(Z[order], Pi[order], **network)(Z[order]), after[order], size=20, scale=20)
    near(layers.redunet(Z, Pi[:, ::-1].copy(), **network)(Z), after, size=20, scale=20)
    near(layers.redunet(Z @ Q, Pi, **network)(Z @ Q), after @ Q, size=20, scale=20)


def test_a_sign_is_kept():
    """The layer is odd: a token and its negative stay a pair."""
    Z, Pi = instance()
    layer = layers.redunet(Z, Pi, eps=EPS)
    assert np.array_equal(layer(-Z), -layer(Z))


def test_construction_is_layer_after_layer_and_goes_on_from_features():
    Z, Pi = instance()
    steps = list(redunet.construct(Z, Pi, layers=4, eps=EPS, eta=0.3, sharpness=2.0))
    before = Z
    for layer, after in steps:
        again = layers.redunet(before, Pi, eps=EPS, eta=0.3, sharpness=2.0)
        assert np.array_equal(layer.E, again.E)
        assert np.array_equal(layer(before), after)
        before = after
    rest = list(redunet.construct(steps[1][1], Pi, layers=2, eps=EPS, eta=0.3, sharpness=2.0))
    assert np.array_equal(rest[-1][1], steps[-1][1])
    (first,) = islice(redunet.construct(Z, Pi, layers=10**9, eps=EPS, eta=0.3, sharpness=2.0), 1)  # lazily
    assert np.array_equal(first[1], steps[0][1])


def test_construction_separates_the_classes():
    mixture = srr.mixtures.sample(n=80, d=8, K=2, p=3, noise=0.05, coherence=0.7, seed=0)
    Z, apart = redunet.on_sphere(mixture.Z), mixture.labels[:, None] != mixture.labels
    assert np.abs(Z @ Z.T)[apart].max() > 0.8
    *_, (_, Z) = redunet.construct(Z, mixture.Pi, layers=300, eps=0.5)
    assert np.abs(Z @ Z.T)[apart].max() < 1e-3


def test_parameters_are_those_of_a_layer():
    Z, Pi = instance()
    layer = layers.redunet(Z, Pi, eps=EPS)
    assert sum(a.size for a in (layer.E, layer.C, layer.gamma)) == redunet.parameters(5, 3) == 103


# --- step sizes ---------------------------------------------------------------------------------------------


def test_step_sizes():
    n, d = 9, 5
    alpha = d / (n * EPS**2)
    assert curvature.rate_reduction_bounds(n, d, eps=EPS) == pytest.approx((-9 * alpha / 8, 9 * alpha / 8))
    assert curvature.partition_step(n, d, eps=EPS) == pytest.approx(1 / alpha)
    assert curvature.reduction_step(n, d, eps=EPS) == pytest.approx(8 / 9 / alpha)
    assert curvature.sphere_step(n, d, eps=EPS) == pytest.approx(16 / 17 / alpha)


def test_the_step_at_the_tokens():
    """From the most inward gradient; at the end where no gradient points inwards, between the ends elsewhere."""
    Z = np.array([[1.0, 0], [1, 0], [0, 1], [0, 1], [0, 1]])
    alpha = 2 / (5 * EPS**2)
    apart = np.eye(2)[[0, 0, 1, 1, 1]]
    assert curvature.sphere_step_at(Z, apart, eps=EPS) == pytest.approx(16 / 9 / alpha)
    mixed = np.eye(2)[[0, 0, 0, 1, 1]]
    M, part = np.array([1 / (1 + 2 * alpha), 1 / (1 + 3 * alpha)]), 1 / (1 + 5 / 3 * alpha)
    rho = alpha * (M[1] - part)  # of the first class's token where the second lies
    assert rho < 0
    both = curvature.sphere_step_at(np.stack([Z, Z]), np.stack([apart, mixed]), eps=EPS)
    assert both == curvature.sphere_step_at(Z, mixed, eps=EPS) == pytest.approx(2 / (9 / 8 * alpha - rho))


# --- the shift-invariant form -------------------------------------------------------------------------------

SHAPES = [(4, 3, 5), (4, 2, 6), (5, 2, 3, 4), (5, 3, 4, 3), (3, 2, 1), (3, 1, 2)]


def signals(shape, seed=0):
    Z = np.random.default_rng(seed).standard_normal(shape)
    return Z / np.sqrt(np.sum(Z**2, axis=tuple(range(1, len(shape))), keepdims=True)), np.eye(2)[
        np.arange(shape[0]) % 2
    ]


def test_all_shifts():
    Z = np.arange(6.0).reshape(1, 2, 3)
    assert redunet_fourier.all_shifts(Z).tolist() == [[0, 1, 2, 3, 4, 5], [2, 0, 1, 5, 3, 4], [1, 2, 0, 4, 5, 3]]
    torus = redunet_fourier.all_shifts(np.random.default_rng(0).standard_normal((2, 1, 2, 3)))
    assert torus.shape == (12, 6)
    assert len(np.unique(torus, axis=0)) == 12


@parametrize(NUMPY, CPU, GPU, slow="jax-float32")
def test_by_frequency_as_with_all_shifts(backend):
    Z, Pi = rounded(backend, *signals((5, 2, 3, 4)))
    by_frequency(backend, Z, Pi, "network")


@pytest.mark.parametrize("rule", redunet.RULES)
@pytest.mark.parametrize("shape", SHAPES)
def test_sizes_of_signals(shape, rule):
    by_frequency(NUMPY, *signals(shape), rule)


def by_frequency(backend, Z, Pi, rule):
    network = {"rule": rule, "eps": EPS, "eta": 0.3, "sharpness": 0.5}
    samples = int(np.prod(Z.shape[2:]))
    tokens, repeated = redunet_fourier.all_shifts(Z), np.repeat(Pi, samples, axis=0)
    plain = layers.redunet(tokens, repeated, **network)
    first = redunet_fourier.all_shifts  # of every signal, unshifted, comes first
    with backend.active():
        layer = layers.shift_invariant_redunet(backend.array(Z), backend.array(Pi), **network)
        half, after = layer.compress(backend.array(Z)), layer(backend.array(Z))
        assert_close(backend, first(half), plain.compress(tokens), size=50, scale=20)
        assert_close(backend, first(after), plain(tokens), size=50, scale=20)
        rate = redunet_fourier.shift_invariant_rate_reduction(backend.array(Z), backend.array(Pi), eps=EPS)
        expected = srr.rate_reduction(tokens, Pi=repeated, eps=EPS) / samples
        assert_close(backend, rate, np.asarray(expected), size=50, scale=20)


@pytest.mark.parametrize("shape", [(4, 2, 6), (5, 2, 3, 4)])
def test_the_official_transform(shape):
    """By hand, frequency by frequency, with the unitary transform of the published code."""
    Z, Pi = signals(shape)
    C, axes = shape[1], tuple(range(2, len(shape)))
    eps2, eta, lmbda = 0.3, 0.2, 0.4
    V = np.fft.fftn(Z, axes=axes, norm="ortho")

    def operator(V):
        c = C / (len(V) * eps2)
        return c * np.linalg.inv(np.eye(C) + c * np.einsum("na...,nb...->...ab", V, V.conj()))

    E, parts = operator(V), [operator(V[Pi[:, k] == 1]) for k in range(2)]
    moved = [np.einsum("...ab,nb...->na...", part, V) for part in parts]
    costs = [np.sqrt(np.sum(np.abs(m) ** 2, axis=tuple(range(1, len(shape))))) for m in moved]
    soft = np.exp(-lmbda * np.array(costs))
    soft /= soft.sum(axis=0)
    shares = Pi.mean(axis=0).astype(np.float32)
    weights = (soft * shares[:, None]).reshape(2, -1, *(1,) * (len(shape) - 1))
    step = np.einsum("...ab,nb...->na...", E, V) - weights[0] * moved[0] - weights[1] * moved[1]
    expected = Z + eta * np.fft.ifftn(step, axes=axes, norm="ortho").real
    layer = layers.shift_invariant_redunet(
        Z, Pi, rule="official", scaling="official", eps=np.sqrt(eps2), eta=eta, sharpness=lmbda
    )
    near(layer.compress(Z), expected, size=50, scale=20)


@pytest.mark.parametrize("shape", [(4, 2, 6), (5, 2, 3, 4)])
def test_layers_commute_with_shifts(shape):
    Z, Pi = signals(shape)
    X, axes = signals(shape, seed=1)[0], tuple(range(2, len(shape)))
    shifted = np.roll(X, (1, 2)[: len(axes)], axis=axes)
    for _ in range(3):
        layer = layers.shift_invariant_redunet(Z, Pi, eps=EPS, eta=0.3, sharpness=0.5)
        Z, X, shifted = map(layer, (Z, X, shifted))
    near(shifted, np.roll(X, (1, 2)[: len(axes)], axis=axes), size=50, scale=20)
    assert len(list(layers.unroll([layer], Z))) == 2


def test_the_largest_signals():
    """Where the sum of squares of a spectrum may leave the range, and where no power can."""
    Z, Pi = signals((4, 2, 6))
    largest = np.finfo(float).max / (6 * 4 * 2 / (4 * EPS**2)) / np.sum(Z**2)
    assert np.isfinite(redunet_fourier.shift_invariant_operators(np.sqrt(0.8 * largest) * Z, Pi, eps=EPS)[2]).all()
    with pytest.raises(
        srr.FactorisationError, match=r"^Z and eps must leave I \+ α Σ ẑẑ\* finite in float64, got eps = 0\.6$"
    ):
        redunet_fourier.shift_invariant_operators(np.sqrt(1.2 * largest) * Z, Pi, eps=EPS)


def test_the_shift_invariant_layer_by_default_and_what_it_refuses():
    Z, Pi = signals((4, 2, 6))
    layer = layers.shift_invariant_redunet(Z, Pi, eps=EPS)
    assert (layer.rule, layer.eta, layer.sharpness) == ("network", 0.5, 500.0)
    with pytest.raises(TypeError, match=r"^gamma and Z must have one dtype, got float64 and float32$"):
        layer.compress(Z.astype(np.float32))
    for half in (layer.compress, layer.sparsify):
        with pytest.raises(ValueError, match=r"^Z must be finite, got nan at index \(0, 0, 0\)$"):
            half(np.nan * Z)
    with pytest.raises(ValueError, match=r"^Z must have shape \(4, 2, 6\) with no empty axis, got \(3, 2, 6\)$"):
        layers.shift_invariant_redunet(Z, Pi, rule="gradient", eps=EPS).compress(Z[:3])
    with pytest.raises(ValueError, match=r"^Pi must have shape \(4, K\) with no empty axis, got \(3, 2\)$"):
        layers.shift_invariant_redunet(Z, Pi[:3], eps=EPS)


def test_signals_of_another_size_are_refused():
    Z, Pi = signals((4, 2, 6))
    layer = layers.shift_invariant_redunet(Z, Pi, eps=EPS)
    with pytest.raises(ValueError, match=r"Z must have shape \(n, 2, 6\)"):
        layer(Z[..., :5])
    with pytest.raises(ValueError, match="none in class 1"):
        layers.shift_invariant_redunet(Z, np.eye(2)[[0, 0, 0, 0]], eps=EPS)
