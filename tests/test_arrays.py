"""How libraries and modes are told apart; a class stands in for the arrays of a library that is not installed."""

import math
import sys
import tracemalloc
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
from families import Tokens

import srr
from srr import _arrays, _logdet, _scalars

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")


@pytest.fixture
def stand_in(monkeypatch):
    """Makes an object that counts as an array of the given class."""

    def make(module, name):
        cls = type(name, (), {})
        monkeypatch.setitem(sys.modules, module, SimpleNamespace(**{name: cls}))
        return cls()

    return make


@pytest.mark.parametrize(("module", "name"), [("dask.array", "Array"), ("sparse", "SparseArray")])
def test_lazy_and_sparse_arrays_are_refused(stand_in, module, name):
    with pytest.raises(TypeError, match=f"^Z must be an array of NumPy, CuPy, torch or JAX, got {name}$"):
        srr.coding_rate(stand_in(module, name), eps=0.5)


def test_cupy_raises_where_a_factorisation_fails(stand_in, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupyx", SimpleNamespace(errstate=lambda **given: given))
    assert _arrays._raising(stand_in("cupy", "ndarray")) == {"linalg": "raise"}
    told = []
    monkeypatch.setattr(_arrays, "_raising", lambda M: (told.append(M), nullcontext())[1])
    _arrays.cholesky(np.eye(2))
    assert [M.shape for M in told] == [(1, 2, 2)]


def test_blocks_are_for_the_cache_of_a_cpu(stand_in):
    elsewhere = torch.zeros(1, device="meta"), jax.numpy.zeros(1), stand_in("cupy", "ndarray")
    assert _arrays._on_cpu(np.zeros(1))
    assert _arrays._on_cpu(torch.zeros(1))
    assert not any(map(_arrays._on_cpu, elsewhere))


def test_there_is_one_block_where_blocks_are_no_use(monkeypatch):
    monkeypatch.setattr(_arrays, "BLOCK_BYTES", 1)

    def blocks(a):
        sizes = []

        def first_entries(a):
            sizes.append(a.shape[0])
            return (a[:, 0, 0],)

        assert _arrays.map_blocks(first_entries, a)[0].shape == (3,)
        return sizes

    assert blocks(np.zeros((3, 1, 1))) == blocks(torch.zeros((3, 1, 1))) == [1, 1, 1]
    assert blocks(jax.numpy.zeros((3, 1, 1))) == [3]

    def traced(a):
        assert blocks(a) == [3]
        return a

    torch.func.vmap(traced)(torch.zeros((2, 3, 1, 1)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_block_holds_as_many_bytes_as_it_may(dtype, monkeypatch):
    sizes = []

    def first_entries(a):
        sizes.append(a.shape[0])
        return (a[:, 0, 0],)

    tokens = np.zeros((2, 3, 4, 5), dtype)
    for items, expected in ((1, [1, 1, 1, 1, 1, 1]), (4, [4, 2]), (5.99, [5, 1]), (6, [6])):
        monkeypatch.setattr(_arrays, "BLOCK_BYTES", int(items * tokens[0, 0].nbytes))
        sizes.clear()
        assert _arrays.map_blocks(first_entries, tokens)[0].shape == (2, 3)
        assert sizes == expected


def test_an_empty_batch_keeps_its_dtype():
    (found,) = _arrays.map_blocks(lambda a: (a,), np.zeros((0, 3, 2), np.float32))
    assert (found.shape, found.dtype) == ((0, 3, 2), np.float32)


def test_values_of_a_tensor_without_storage_cannot_be_read():
    assert not _arrays.is_concrete(torch.zeros(1, device="meta"))
    assert _arrays.is_concrete(torch.zeros(1))


def test_values_of_what_jax_traces_step_by_step_cannot_be_read():
    seen = []
    jax.jit(lambda a: (seen.append(_arrays.is_concrete(a)), a)[1])(jax.numpy.zeros(1))
    assert seen == [False]
    assert _arrays.is_concrete(jax.numpy.zeros(1))


def test_a_detached_array_is_a_constant():
    x = torch.tensor(2.0, requires_grad=True)
    (_arrays.detached(x) * x).backward()
    assert float(x.grad) == 2.0
    assert float(jax.grad(lambda x: _arrays.detached(x) * x)(2.0)) == 2.0


def test_a_matrix_of_torch_that_has_no_cholesky_factor_gets_nan():
    indefinite = torch.tensor([[1.0, 2.0], [2.0, 1.0]])
    found = _arrays.cholesky(torch.stack([4 * torch.eye(2), -torch.eye(2), indefinite, torch.eye(2)]))
    assert torch.equal(found[0], 2 * torch.eye(2))
    assert torch.equal(found[3], torch.eye(2))
    assert bool(found[1:3].isnan().all())


@pytest.fixture(params=["numpy", "strict", "torch", "jax"])
def asarray(request):
    strict = pytest.importorskip("array_api_strict")
    of_library = {"numpy": np.asarray, "strict": strict.asarray, "torch": torch.tensor, "jax": jax.numpy.asarray}
    return of_library[request.param]


def test_the_complementary_error_function_in_every_library(asarray):
    points = np.array([[-1.5, 0.0], [0.5, 2.0]], np.float32)
    transform = {jax.numpy.asarray: jax.jit, torch.tensor: torch.func.vmap}.get(asarray, lambda f: f)
    found = transform(_arrays.erfc)(asarray(points))
    assert (type(found), found.dtype) == (type(asarray(points)), asarray(points).dtype)
    np.testing.assert_allclose(found, np.vectorize(math.erfc)(points), rtol=1e-5)


def test_cupy_takes_the_complementary_error_function_from_its_scipy(stand_in, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupyx.scipy.special", SimpleNamespace(erfc=lambda a: ("erfc", a)))
    a = stand_in("cupy", "ndarray")
    assert _arrays.erfc(a) == ("erfc", a)


def test_factors_and_inverses_in_every_library(asarray):
    definite, indefinite = np.array([[[4, 2], [2, 5]], [[1, 2], [2, 1]]], np.float32)
    L = _arrays.cholesky(asarray(np.stack([definite, indefinite])))
    np.testing.assert_allclose(L[0, ...], [[2, 0], [1, 2]], rtol=1e-6)
    assert np.isnan(np.asarray(L[1, ...])).any()
    by_factor = asarray in (np.asarray, torch.tensor)  # which alone is read there
    inverse = _arrays.inverse_of_factored(asarray(math.nan * definite if by_factor else definite), L[0, ...])
    np.testing.assert_allclose(inverse, [[5 / 16, -1 / 8], [-1 / 8, 1 / 4]], rtol=1e-6)


def test_large_triangles_are_inverted_by_halves(monkeypatch):
    sizes, inv = [], np.linalg.inv
    monkeypatch.setattr(np.linalg, "inv", lambda L: (sizes.append(len(L)), inv(L))[1])
    L = np.tril(np.random.default_rng(0).standard_normal((33, 33))) + 9 * np.eye(33)
    np.testing.assert_allclose(_arrays.inverse_of_triangular(L) @ L, np.eye(33), atol=1e-14)
    assert sizes == [16, 8, 9]


def test_square_norms_in_every_library(asarray):
    rows = asarray(np.array([[1, 2], [3, 5]], np.float32))
    np.testing.assert_array_equal(_arrays.square_norm(rows), [5, 34])
    if asarray is torch.tensor:
        assert torch.func.vmap(_arrays.square_norm)(rows[:, None]).tolist() == [[5], [34]]


def test_quiet_silences_every_floating_point_warning():
    a = np.array([0.0, 1e300, 1e-300])
    with np.errstate(all="raise"), _arrays.quiet():
        assert np.array_equal(a * a / a[::-1], [0, np.inf, np.nan], equal_nan=True)
        assert np.isinf(a[1:] / 0).all()


@pytest.mark.filterwarnings("ignore:.torch.jit")  # torch.func's own
def test_numbers_without_values_are_taken_as_they_are():
    Z, D = torch.tensor([[1.0, -2.0]]), torch.eye(2)
    steps = torch.tensor([0.1, 0.4])

    def step(t):
        return srr.prox.ista_step(Z, D, step=t, lam=t, nonnegative=False)

    def sloped(t):
        return srr.attention.residual_step(Z, D[None], step=t)

    for f in (step, sloped):
        assert torch.equal(torch.func.vmap(f)(steps), torch.stack([f(t) for t in steps]))


@pytest.mark.parametrize("shape", [(1000, 2), (2, 1000)])
def test_a_norm_costs_a_gram_matrix_of_the_smaller_side(shape):
    M = np.random.default_rng(0).standard_normal(shape)
    assert _scalars.spectral_norm(M) == pytest.approx(np.linalg.norm(M, 2), rel=1e-13)
    tracemalloc.start()
    _scalars.spectral_norm(M)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * M.nbytes < 1000 * 1000 * 8 / 10


def test_the_ends_of_the_range_are_within_it():
    for value, beyond in ((sys.float_info.min, 0.0), (sys.float_info.max, np.inf)):
        assert _scalars.in_range(value, "rule", "it") == value
        with pytest.raises(ValueError, match=r"^rule from 2\.2e-308 to 1\.8e\+308, got it$"):
            _scalars.in_range(beyond, "rule", "it")


@pytest.mark.parametrize(
    ("modules", "level"),
    [
        (["srr._logdet", "srr.rates", "tests.test_arrays", "srr.rates"], 3),
        (["srr._logdet", "srr", None, "srr"], 3),
        (["srr._logdet", "srrr"], 2),
        (["user"], 1),
        (["srr"], 2),
    ],
)
def test_the_level_outside_srr_is_counted_from_the_innermost_call(modules, level):
    frame = None
    for name in reversed(modules):
        frame = SimpleNamespace(f_globals={} if name is None else {"__name__": name}, f_back=frame)
    assert _logdet._level_outside_srr(frame) == level


def test_a_relative_error_of_just_the_promise_is_no_warning():
    _logdet.warn_where_imprecise(np.array([1.0]), np.array([np.sqrt(2.0**-53)]))


@pytest.mark.parametrize(("errors", "worst"), [([0.125, 0.0, 0.15], r"0\.2"), ([0.125, 0.5, 0.0], r"0\.5")])
def test_a_warning_tells_the_worst_relative_error(errors, worst):
    with pytest.warns(
        srr.PrecisionWarning, match=rf"^a rate is known only to a relative error of {worst}: .* float64 "
    ):
        _logdet.warn_where_imprecise(np.array([0.5, 0.0, 2.0]), np.array(errors))


@pytest.mark.parametrize(("method", "accept"), [("cholesky", 1.0), ("auto", 2.0**-26.5)])
def test_a_bound_is_accepted_up_to_the_promise(method, accept, monkeypatch):
    """One hundred per cent of the value where no other route is allowed, √u where one is."""
    bound = np.array([accept / 2, accept])
    monkeypatch.setattr(
        _logdet, "_cholesky_route", lambda A, *_: _logdet.Factored(A[:, 0, 0], None, np.zeros(2, bool), bound)
    )
    A = np.ones((2, 1, 1))
    assert not _logdet.half_logdet(A, 1.0, method=method).used_svd.any()
    bound[1] = np.nextafter(accept, 2)
    if method == "auto":
        assert list(_logdet.half_logdet(A, 1.0, method=method).used_svd) == [False, True]
    else:
        with pytest.raises(srr.FactorisationError, match=r"^the Cholesky factor of I \+ c A\^T A lost every digit"):
            _logdet.half_logdet(A, 1.0, method=method)


def test_the_power_of_two_above():
    largest = np.finfo(float).max
    above = _logdet._power_of_two_above(np.array([0.0, 1e-300, 0.75, 1.0, 3.0, largest]))
    assert above.tolist() == [1.0, 2.0**-996, 1.0, 1.0, 4.0, 2.0**1023]


def test_the_bound_of_the_svd_route_is_the_one_derived(monkeypatch):
    """The change of F as each of n equal singular values goes from σ − δ to σ + δ, and rounding."""
    n, root, u = 3, 0.7, 1e-6  # large enough to be seen beside the rounding of σ ± δ
    monkeypatch.setattr(_logdet._arrays, "unit_roundoff", lambda A: u)
    sizes = np.array([0.5, 2.0, 1e-200, 1e140])
    whole = _logdet.half_logdet(sizes[:, None, None] * np.eye(n), root, method="svd")
    assert whole.used_svd.tolist() == [True] * 4
    assert whole.used_svd.dtype == bool
    for i, s in enumerate(sizes):
        value, delta = n / 2 * np.log1p((root * s) ** 2), 4 * np.sqrt(2 * n) * u * s
        change = n / 2 * np.log1p(4 * s * delta * root**2 / (1 + (root * (s - delta)) ** 2))
        assert whole.value[i] == pytest.approx(value, rel=1e-14)
        bound = change / value + (4 + np.sqrt(n)) * u if value else 0
        assert whole.error_bound[i] == pytest.approx(bound, rel=1e-9, abs=0)
    lost = _logdet.half_logdet(np.diag([1.0, 0.0]), root, method="svd")  # a singular value that may be up to delta
    value, delta = np.log1p(root**2) / 2, 8 * u
    change = np.log1p(4 * delta * root**2 / (1 + (root * (1 - delta)) ** 2)) / 2
    error = change + np.log1p((root * delta) ** 2) / 2 + (4 + np.sqrt(2)) * u * value
    assert lost.error_bound == pytest.approx(error / value, rel=1e-9, abs=0)


def test_the_smallest_and_the_largest_tokens():
    for size in (1e-120, 1e-9):  # the square of the first is a float, and lost beside one
        with pytest.raises(srr.FactorisationError):
            srr.coding_rate(np.full((3, 2), size), eps=0.5, method="cholesky")
    nothing = srr.coding_rate(np.zeros((3, 2)), eps=0.5, method="cholesky", report=True)
    assert (nothing.value, nothing.error_bound) == (0, 0)
    beside = srr.coding_rate(np.stack([np.zeros((3, 2)), np.eye(3)[:, :2]]), eps=0.5, method="cholesky", report=True)
    assert beside.value[0] == beside.error_bound[0] == 0 < beside.value[1]
    largest = np.finfo(float).max
    assert srr.coding_rate(np.full((1, 1), largest), eps=0.5) == pytest.approx(np.log(largest) + np.log(2), rel=1e-15)


def test_a_warning_points_outside_srr():
    with pytest.warns(srr.PrecisionWarning) as caught:
        srr.coding_rate(Tokens(n=6, d=6, rank=2).Z, eps=1e-13)
    assert [w.filename for w in caught if w.filename.startswith(srr.__path__[0])] == []
