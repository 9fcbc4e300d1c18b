"""Bounds on rounding: real and emulated arithmetic, in every order of sums, and the exact value are within them."""

from dataclasses import dataclass, replace

import arithmetics
import numpy as np
import pytest
import torch
from arithmetics import EXACT, ORDERS, Rounded, product, within
from flint import arb, ctx
from torch.nn import functional as F

from verify import bounded
from verify.bounded import PRECISIONS, Bounded, exact
from verify.repeatable import eliminated, exponential

DTYPES = tuple(PRECISIONS)
TORCH = {name: getattr(torch, name) for name in DTYPES}


@dataclass(frozen=True)
class Operation:
    """Steps in some arithmetic A, the same steps with bounds, and the shapes of what they are given."""

    steps: object
    bounds: object
    shapes: tuple


def _softmax(A, x, shifted=True):
    w = A.exp(A.sub(x, A.largest(x)) if shifted else x)
    return A.div(w, A.total(w))


def _norm(A, x):
    d = A.number(x.shape[-1])
    centred = A.sub(x, A.div(A.total(x), d))
    variance = A.div(A.total(A.mul(centred, centred)), d)
    return A.div(centred, A.sqrt(A.add(variance, A.number(1e-5))))


def _norm_bounds(x):
    centred = x - x.mean(-1, keepdims=True)
    return centred / bounded.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)


def _gelu(A, x):
    return A.mul(A.mul(x, A.add(A.erf(A.div(x, A.sqrt(A.number(2)))), A.number(1))), A.number(0.5))


def _log_det(A, z):
    """Of I + z zᵀ, by elimination."""
    q = z.shape[0]
    M = product(A, z, z.T)
    M = A.add(M, A.given(np.eye(q)))
    logs = []
    for k in range(q):
        logs.append(A.log(M[k, k]))
        factors = A.div(M[k + 1 :, k, None], M[k, k])
        M = M.copy()
        M[k + 1 :] = A.sub(M[k + 1 :], A.mul(factors, M[k, None]))
    return A.total(np.stack(logs)[None])[0]


OPERATIONS = {
    "x + y": Operation(lambda A, x, y: A.add(x, y), lambda x, y: x + y, ((3, 4), (3, 4))),
    "x - y": Operation(lambda A, x, y: A.sub(x, y), lambda x, y: x - y, ((3, 4), (3, 4))),
    "x - y + y y": Operation(
        lambda A, x, y: A.add(A.sub(x, y), A.mul(y, y)), lambda x, y: x - y + y**2, ((3, 4), (3, 4))
    ),
    "(x y) y": Operation(lambda A, x, y: A.mul(A.mul(x, y), y), lambda x, y: x * y * y, ((3, 4), (3, 4))),
    "x/y": Operation(lambda A, x, y: A.div(x, y), lambda x, y: x / y, ((3, 4), (3, 4))),
    "1/(1 + x x)": Operation(
        lambda A, x: A.div(A.number(1), A.add(A.number(1), A.mul(x, x))), lambda x: 1 / (1 + x**2), ((3, 4),)
    ),
    "0.1 x": Operation(lambda A, x: A.mul(A.number(0.1), x), lambda x: 0.1 * x, ((3, 4),)),
    "x/999": Operation(lambda A, x: A.div(x, A.number(999)), lambda x: x / 999, ((3, 4),)),
    "sum": Operation(lambda A, x: A.total(x), lambda x: x.sum(-1, keepdims=True), ((3, 40),)),
    "mean": Operation(lambda A, x: A.div(A.total(x), A.number(40)), lambda x: x.mean(-1, keepdims=True), ((3, 40),)),
    "cumsum": Operation(
        lambda A, x: np.concatenate([A.total(x[..., : i + 1]) for i in range(x.shape[-1])], -1),
        lambda x: x.cumsum(-1),
        ((3, 20),),
    ),
    "x y": Operation(product, lambda x, y: x @ y, ((3, 20), (20, 3))),
    "(x y) z": Operation(
        lambda A, x, y, z: product(A, product(A, x, y), z), lambda x, y, z: (x @ y) @ z, ((3, 6), (6, 5), (5, 2))
    ),
    "b + x W": Operation(
        lambda A, x, W, b: A.total(
            np.concatenate([np.broadcast_to(b, (3, 4))[..., None], A.term(x[:, None, :], W.T[None])], -1)
        )[..., 0],
        lambda x, W, b: bounded.affine(x, W.value, b.value),
        ((3, 8), (8, 4), (4,)),
    ),
    "c (x y) as (c x) y": Operation(
        lambda A, x, y: product(A, A.mul(A.number(0.3), x), y), lambda x, y: (x @ y) * 0.3, ((3, 8), (8, 3))
    ),
    "relu": Operation(lambda A, x, y: A.relu(A.sub(x, y)), lambda x, y: bounded.relu(x - y), ((3, 4), (3, 4))),
    "soft threshold": Operation(
        lambda A, x: A.sub(A.relu(A.sub(x, A.number(0.1))), A.relu(A.sub(A.sub(x, A.add(x, x)), A.number(0.1)))),
        lambda x: bounded.shrunk(x, 0.1),
        ((3, 4),),
    ),
    "norm": Operation(
        lambda A, x: A.sqrt(A.total(A.mul(x, x))), lambda x: bounded.sqrt((x**2).sum(-1, keepdims=True)), ((3, 8),)
    ),
    "exp(x y)": Operation(lambda A, x, y: A.exp(A.mul(x, y)), lambda x, y: bounded.exp(x * y), ((3, 4), (3, 4))),
    "gelu": Operation(_gelu, bounded.gelu, ((3, 8),)),
    "gelu(x y)": Operation(lambda A, x, y: _gelu(A, A.mul(x, y)), lambda x, y: bounded.gelu(x * y), ((3, 4), (3, 4))),
    "softmax": Operation(_softmax, bounded.softmax, ((3, 16),)),
    "softmax, unshifted": Operation(lambda A, x: _softmax(A, x, False), bounded.softmax, ((3, 16),)),
    "softmax of products": Operation(
        lambda A, x, y: _softmax(A, product(A, x, y)), lambda x, y: bounded.softmax(x @ y), ((3, 6), (6, 5))
    ),
    "softmax of what is seen": Operation(
        lambda A, x: np.concatenate([_softmax(A, x[:, :5]), A.given(np.zeros((3, 3)))], -1),
        lambda x: bounded.softmax(x, seen=np.arange(8) < 5),
        ((3, 8),),
    ),
    "softmax, then products": Operation(
        lambda A, x, y: product(A, _softmax(A, x), y), lambda x, y: bounded.softmax(x) @ y, ((3, 6), (6, 4))
    ),
    "LayerNorm": Operation(_norm, _norm_bounds, ((3, 16),)),
    "log det": Operation(
        _log_det,
        lambda z: bounded.log_det(z @ z.mT + np.eye(z.shape[0])),
        ((4, 5),),
    ),
}


def _ordinary(rng, shape, name):
    return rng.standard_normal(shape)


def _cancelling(rng, shape, name):
    """Pairs that differ in their last digits."""
    a = 1 + rng.random(shape)
    a[..., 1::2] = -a[..., 0::2][..., : a[..., 1::2].shape[-1]] * (1 + rng.integers(-3, 4) * PRECISIONS[name].unit * 2)
    return a


def _spread(rng, shape, name):
    return rng.standard_normal(shape) * 10.0 ** rng.uniform(-3, 3, shape)


def _outlier(rng, shape, name):
    a = rng.standard_normal(shape)
    a[..., 0] *= 30
    return a


def _small(rng, shape, name):
    """Whose products underflow."""
    return rng.standard_normal(shape) * np.sqrt(2.0 ** arithmetics.TINY[name]) * 10.0 ** rng.uniform(-4, 1)


def _large(rng, shape, name):
    """Whose products or sums come near to overflow, and beyond."""
    return rng.standard_normal(shape) * np.sqrt(arithmetics.LARGEST[name]) * 10.0 ** rng.uniform(-2, 0.5)


FAMILIES = {
    "ordinary": _ordinary,
    "cancelling": _cancelling,
    "spread": _spread,
    "outlier": _outlier,
    "small": _small,
    "large": _large,
    "equal": lambda rng, shape, name: np.full(shape, rng.standard_normal()),
    "zeros": lambda rng, shape, name: np.zeros(shape),
}


def _given(operation, family, name, seed):
    rng = np.random.default_rng([seed, 5])
    return [arithmetics.rounded(FAMILIES[family](rng, shape, name), name) for shape in operation.shapes]


def _bounds(operation, given, precision):
    return operation.bounds(*(exact(a, precision) for a in given))


def _outside(operation, given, name, precision, orders=ORDERS):
    """Arithmetics whose result is not within the bound, and the share of entries about which it says something."""
    found = _bounds(operation, given, precision)
    bad = []
    for order in orders:
        for flush in (False,) if name == "float16" else (False, True):
            A = Rounded(name, order, flush)
            if not within(operation.steps(A, *map(A.given, given)), found.value, found.error).all():
                bad.append((order, flush))
    return bad, float(np.isfinite(found.error).mean())


def _instances(title, name, seeds):
    for family in FAMILIES:
        for seed in range(seeds):
            given = _given(OPERATIONS[title], family, name, seed)
            if title == "softmax, unshifted" and max(np.abs(a).max() for a in given) > 8:
                continue  # its exponentials would leave the range
            yield (family, seed), given


@pytest.mark.parametrize("title", OPERATIONS)
@pytest.mark.parametrize("name", DTYPES)
def test_emulated_arithmetic_is_within_the_bound(title, name):
    said = []
    for instance, given in _instances(title, name, 2):
        bad, share = _outside(OPERATIONS[title], given, name, PRECISIONS[name])
        assert not bad, (instance, bad)
        said.append(share)
    assert np.mean(said) > (0.3 if title == "log det" else 0.6)


@pytest.mark.parametrize("title", OPERATIONS)
def test_the_exact_value_is_within_the_bound_of_float64(title):
    said = []
    for instance, given in _instances(title, "float64", 2):
        found = _bounds(OPERATIONS[title], given, PRECISIONS["float64"])
        said.append(np.isfinite(found.error).mean())
        with ctx.workprec(arithmetics.BITS):
            value = OPERATIONS[title].steps(EXACT, *map(EXACT.given, given)) if said[-1] else None
        assert value is None or within(value, found.value, found.error).all(), instance
    assert np.mean(said) > 0.5


@pytest.mark.parametrize("name", ["float64", "float32"])
@pytest.mark.parametrize("title", OPERATIONS)
def test_a_repeatable_bound_holds_as_well(title, name):
    for instance, given in _instances(title, name, 1):
        bad, _ = _outside(OPERATIONS[title], given, name, replace(PRECISIONS[name], repeatable=True), ("forward",))
        assert not bad, instance


@pytest.mark.parametrize("title", OPERATIONS)
@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_sums_in_a_finer_format_have_a_smaller_bound_that_holds(title, name):
    """Products summed in float32 and rounded once, as processors do."""
    if title == "c (x y) as (c x) y":
        return  # by no power of two
    fine = replace(PRECISIONS[name], sums=PRECISIONS["float32"].unit)
    for instance, given in _instances(title, name, 1):
        operation = OPERATIONS[title]
        found, coarse = _bounds(operation, given, fine), _bounds(operation, given, PRECISIONS[name])
        for order in ORDERS:
            A = SumsInSingle(name, order)
            assert within(operation.steps(A, *given), found.value, found.error).all(), (instance, order)
        with np.errstate(invalid="ignore"):
            assert not (found.error > 1.1 * coarse.error).any()


class SumsInSingle(Rounded):
    def term(self, a, b):
        return Rounded("float32").mul(a, b)

    def total(self, a):
        return self._kept(Rounded("float32", self.order).total(a))


# --- bounds that are no bounds, and bounds that say nothing ---------------------------------------------------------

WIDE = {"log det": 3000.0, "softmax of products": 500.0, "gelu(x y)": 500.0}
"""How many times the largest error seen a bound may be on ordinary numbers, where it is more than `FACTOR`."""
FACTOR = 150.0


@pytest.mark.parametrize("title", OPERATIONS)
@pytest.mark.parametrize("name", ["float64", "float32"])
def test_bounds_are_of_the_size_of_errors(title, name):
    worst = largest = 0.0
    for seed in range(6):
        given = _given(OPERATIONS[title], "ordinary", name, seed)
        found = _bounds(OPERATIONS[title], given, PRECISIONS[name])
        with ctx.workprec(arithmetics.BITS):
            value = OPERATIONS[title].steps(EXACT, *map(EXACT.given, given))
            for order in ORDERS:
                result = OPERATIONS[title].steps(Rounded(name, order), *given)
                off = [abs(float(arb(float(r)) - v)) for r, v in zip(np.ravel(result), value.ravel(), strict=True)]
                worst = max(worst, *off)
        largest = max(largest, found.error.max())
    assert worst > 0
    assert largest < WIDE.get(title, FACTOR) * worst


def _without_gamma(monkeypatch):
    monkeypatch.setattr(bounded.Precision, "gamma", lambda self, m: 0.0)


def _without_tiny(monkeypatch):
    for name, precision in PRECISIONS.items():
        monkeypatch.setitem(PRECISIONS, name, replace(precision, tiny=0.0))


def _without_overflow(monkeypatch):
    for name, precision in PRECISIONS.items():
        monkeypatch.setitem(PRECISIONS, name, replace(precision, largest=np.inf))


def _without_propagation(monkeypatch):
    """Each step as if what it is given were exact."""

    def forgetful(self, value, moved, ulps=1):
        p = self.precision
        return Bounded(value, 1.01 * ulps * p.roundoff * np.abs(value) + 3 * p.tiny, p)

    monkeypatch.setattr(Bounded, "_rounded", forgetful)


def _without_rounding(monkeypatch):
    monkeypatch.setattr(bounded.Precision, "roundoff", property(lambda self: 0.0))


def _without_errors_of_constants(monkeypatch):
    monkeypatch.setattr(bounded, "exact", lambda a, p, *, constant=False: exact(a, p))


MISSING = {
    "gamma": (_without_gamma, ("sum", "mean", "cumsum", "x y", "(x y) z", "b + x W", "log det")),
    "tiny": (_without_tiny, ("(x y) y", "x y", "norm")),
    "overflow": (_without_overflow, ("x y", "norm", "(x y) y")),
    "propagation": (_without_propagation, ("x - y + y y", "(x y) y", "1/(1 + x x)", "0.1 x")),
    "rounding": (_without_rounding, ("x + y", "x/y", "softmax", "gelu", "relu", "exp(x y)")),
    "constants": (_without_errors_of_constants, ("0.1 x", "soft threshold")),
}


@pytest.mark.parametrize(
    ("term", "title"), [(term, title) for term, (_, titles) in MISSING.items() for title in titles]
)
def test_a_bound_without_one_of_its_terms_is_none(term, title, monkeypatch):
    MISSING[term][0](monkeypatch)
    names = ("bfloat16", "float16") if term in ("constants", "propagation") else DTYPES
    assert any(
        _outside(OPERATIONS[title], given, name, PRECISIONS[name])[0]
        for name in names
        for _, given in _instances(title, name, 4)
    )


# --- real libraries -------------------------------------------------------------------------------------------------

REAL = {
    "x y": lambda x, y: x @ y,
    "(x y) z": lambda x, y, z: (x @ y) @ z,
    "sum": lambda x: x.sum(-1, keepdim=True),
    "mean": lambda x: x.mean(-1, keepdim=True),
    "cumsum": lambda x: x.cumsum(-1),
    "softmax": lambda x: torch.softmax(x, -1),
    "softmax of products": lambda x, y: torch.softmax(x @ y, -1),
    "softmax, then products": lambda x, y: torch.softmax(x, -1) @ y,
    "gelu": F.gelu,
    "gelu(x y)": lambda x, y: F.gelu(x * y),
    "b + x W": lambda x, W, b: F.linear(x, W.T, b),
    "norm": lambda x: torch.linalg.vector_norm(x, dim=-1, keepdim=True),
    "exp(x y)": lambda x, y: torch.exp(x * y),
    "soft threshold": lambda x: F.softshrink(x, 0.1),
    "1/(1 + x x)": lambda x: torch.reciprocal(1 + x**2),
    "0.1 x": lambda x: 0.1 * x,
    "x/999": lambda x: x / 999,
}


@pytest.mark.parametrize("title", REAL)
@pytest.mark.parametrize("name", DTYPES)
def test_torch_is_within_the_bound(title, name):
    for instance, given in _instances(title, name, 3):
        if title == "norm" and instance[0] == "small":
            continue  # torch's CPU norm is of scaled numbers, or not, as the shape will have it
        found = _bounds(OPERATIONS[title], given, PRECISIONS[name])
        result = REAL[title](*(torch.from_numpy(a).to(TORCH[name]) for a in given)).double().numpy()
        assert within(result, found.value, found.error).all(), instance


@pytest.mark.parametrize("title", ["x y", "(x y) z", "sum", "norm", "softmax", "softmax of products", "log det"])
@pytest.mark.parametrize("name", ["float64", "float32", "float16"])
def test_numpy_is_within_the_bound(title, name):
    def softmax(x):
        w = np.exp(x - x.max(-1, keepdims=True))
        return w / w.sum(-1, keepdims=True)

    of = {
        "x y": lambda x, y: x @ y,
        "(x y) z": lambda x, y, z: (x @ y) @ z,
        "sum": lambda x: x.sum(-1, keepdims=True),
        "norm": lambda x: np.sqrt((x**2).sum(-1, keepdims=True)),
        "softmax": softmax,
        "softmax of products": lambda x, y: softmax(x @ y),
        "log det": lambda z: np.linalg.slogdet(z @ z.T + np.eye(len(z), dtype=z.dtype))[1],
    }
    if (title, name) == ("log det", "float16"):
        return  # NumPy has none
    for instance, given in _instances(title, name, 3):
        found = _bounds(OPERATIONS[title], given, PRECISIONS[name])
        if np.isfinite(found.error).all():
            with np.errstate(all="ignore"):
                result = of[title](*(a.astype(name) for a in given))
            assert within(np.asarray(result, dtype=np.float64), found.value, found.error).all(), instance


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("causal", [False, True])
def test_attention_in_one_kernel_is_within_the_bound(name, causal):
    """Which never has the weights of the softmax, and takes its scale into the queries."""
    rng = np.random.default_rng(0)
    for scale in (1e-2, 1.0, 6.0):
        Y = arithmetics.rounded(scale * rng.standard_normal((2, 3, 130, 8)), name)
        seen = np.tril(np.ones((130, 130), dtype=bool)) if causal else None
        y = exact(Y, replace(PRECISIONS[name], sums=PRECISIONS["float32"].unit if name != "float64" else None))
        found = bounded.softmax((y @ y.mT) * 8**-0.5, seen=seen) @ y
        t = torch.from_numpy(Y).to(TORCH[name])
        result = F.scaled_dot_product_attention(t, t, t, is_causal=causal).double().numpy()
        assert within(result, found.value, found.error).all()
        if name in ("float64", "float32"):
            assert found.error.max() < 2e-2


# --- arithmetic that every machine repeats --------------------------------------------------------------------------


def test_the_exponential_is_within_two_units_in_the_last_place():
    x = np.concatenate([np.linspace(-708, 709.5, 4001), np.linspace(-1e-3, 1e-3, 101)])
    with ctx.workprec(100):
        off = [
            abs(float((arb(float(e)) - arb(float(v)).exp()) / arb(float(v)).exp()))
            for v, e in zip(x, exponential(x), strict=True)
        ]
    assert max(off) < 2**-51
    assert exponential(np.array([-np.inf, -800.0, 0.0, 800.0, np.inf])).tolist() == [0, 0, 1, np.inf, np.inf]
    assert np.isnan(exponential(np.array([np.nan])))[0]


def test_elimination_finds_pivots_and_inverse():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((2, 5, 7))
    M = np.eye(5) + A @ np.swapaxes(A, -1, -2)
    pivots, inverse = eliminated(M)
    np.testing.assert_allclose(np.log(pivots).sum(-1), np.linalg.slogdet(M)[1], rtol=1e-13)
    np.testing.assert_allclose(inverse @ M, np.broadcast_to(np.eye(5), M.shape), atol=1e-13)


def test_a_format_rounds_as_its_library_does():
    rng = np.random.default_rng(0)
    a = rng.standard_normal(1000) * 10.0 ** rng.integers(-3, 4, 1000)
    for name in DTYPES:
        normal = np.abs(a) > 2.0 ** arithmetics.TINY[name]
        of_torch = torch.from_numpy(a).to(TORCH[name]).double().numpy()
        np.testing.assert_array_equal(PRECISIONS[name].rounded(a)[normal], of_torch[normal])
        np.testing.assert_array_equal(arithmetics.rounded(a, name), of_torch)
