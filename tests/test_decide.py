"""Decisions on differences, against exact rational determinants computed another way."""

from dataclasses import dataclass
from fractions import Fraction

import backends
import families
import numpy as np
import oracle
import pytest
from flint import arb, ctx, fmpq
from hypothesis import given
from hypothesis import strategies as st

import srr
from srr import enclosure
from verify import decide
from verify import moments as enclosures_of_moments

BITS = 8192
SIZES = (1, 2, 3, 5)


@dataclass(frozen=True)
class Objective:
    U: object
    eps: float
    lam: float


@ctx.workprec(BITS)
def log_ratio(before, after):
    """Σ w/2 log(det after / det before) of two lists of (weight, determinant)."""
    return sum((arb(w) * arb(new / old).log() / 2 for (w, old), (_, new) in zip(before, after, strict=True)), arb(0))


def l1(A):
    return sum((Fraction(x) for x in np.abs(A).ravel().tolist()), Fraction(0))


def lasso(Z, D, A, lam):
    Z, D, A = ([[Fraction(x) for x in row] for row in M.tolist()] for M in (Z, D, A))
    residual = [
        z - sum(a * b for a, b in zip(code, atom, strict=True))
        for row, code in zip(Z, A, strict=True)
        for z, atom in zip(row, D, strict=True)
    ]
    return Fraction(lam) * sum(abs(a) for row in A for a in row) + sum(r * r for r in residual) / 2


@ctx.workprec(BITS)
def as_arb(f):
    return arb(fmpq(f.numerator, f.denominator))


@ctx.workprec(BITS)
def assert_decided(decision, exact):
    """The right sign, and an enclosure that holds the exact value."""
    sign = 1 if exact > 0 else -1 if exact < 0 else 0 if exact == 0 else None
    if sign is None:  # the oracle's own ball is around zero, which equality of determinants has to explain
        assert decision.sign == 0
    else:
        assert decision.sign == sign
    assert arb(decision.lower) <= exact or decision.sign == 0
    assert arb(decision.upper) >= exact or decision.sign == 0


@st.composite
def pairs(draw, max_log_eps=3.0):
    """Two token sets of one shape: far apart, near, an ulp apart, copies, or rearranged."""
    tokens = draw(families.tokens(sizes=SIZES, max_log_eps=max_log_eps))
    Z = tokens.Z.astype(np.float64)
    rng = np.random.default_rng(tokens.seed + 3)
    match draw(st.sampled_from(("far", "near", "ulp", "copy", "permuted", "negated"))):
        case "far":
            after = Z * rng.uniform(0.5, 1.5, Z.shape)
        case "near":
            after = Z * (1 + 1e-9 * rng.standard_normal(Z.shape))
        case "ulp":
            after = Z.copy()
            after[-1, -1] = np.nextafter(Z[-1, -1], np.inf)
        case "copy":
            after = Z.copy()
        case "permuted":
            after = Z[::-1].copy()
        case "negated":
            after = -Z
    return tokens, Z, after


# --- each difference against the oracle ---------------------------------------------------------------------


@given(pairs())
def test_rate_change(pair):
    tokens, Z, after = pair
    exact = log_ratio(*(oracle.coding_determinants(oracle.matrix(A), eps=tokens.eps) for A in (Z, after)))
    assert_decided(decide.rate_change(Z, after, eps=tokens.eps), exact)


@given(pairs(), st.integers(1, 3), st.sampled_from(("orthonormal", "any")))
def test_subspace_rate_change(pair, K, kind):
    tokens, Z, after = pair
    U = tokens.bases(K, 1 + tokens.seed % tokens.d, kind).astype(np.float64)
    bases = [oracle.matrix(basis) for basis in U]
    exact = log_ratio(*(oracle.subspace_determinants(oracle.matrix(A), bases, eps=tokens.eps) for A in (Z, after)))
    assert_decided(decide.subspace_rate_change(Z, after, U, eps=tokens.eps), exact)


@given(pairs(), st.integers(1, 3), st.sampled_from(("soft", "hard", "empty class")))
def test_partition_rate_change(pair, K, kind):
    tokens, Z, after = pair
    Pi = tokens.memberships(K, kind).astype(np.float64)
    Pi /= Pi.sum(-1, keepdims=True)
    dets = [oracle.partition_determinants(oracle.matrix(A), oracle.matrix(Pi), eps=tokens.eps) for A in (Z, after)]
    exact = log_ratio(*dets)
    rate = log_ratio(*(oracle.coding_determinants(oracle.matrix(A), eps=tokens.eps) for A in (Z, after)))
    with ctx.workprec(BITS):
        reduction = rate - exact
    for decide_it, value in (
        (decide.partition_rate_change, exact),
        (decide.partition_rate_reduction_change, reduction),
    ):
        decision = decide_it(Z, after, Pi, eps=tokens.eps)
        if decision.sign is None:  # soft memberships: equality of a product of powers is not sought
            assert kind == "soft"
            assert value.contains(0)  # as for tokens in another order, or for the reduction of a single token
        else:
            assert_decided(decision, value)


def moments(Z, Pi, U, eps):
    """(n_k/n, 1 + c v_ki) for every class and column, ToST's."""
    Z, weights = oracle.matrix(Z), oracle.matrix(Pi).transpose().tolist()
    c = fmpq(Z.ncols()) / oracle.rational(eps) ** 2
    for members, basis in zip(weights, U, strict=True):
        size = sum(members, fmpq(0))
        for column in (Z * oracle.matrix(basis)).transpose().tolist() if size else ():
            v = sum((w * y * y for w, y in zip(members, column, strict=True)), fmpq(0)) / size
            yield size / Z.nrows(), 1 + c * v


@given(
    pairs(),
    st.integers(1, 3),
    st.sampled_from(("soft", "hard", "empty class")),
    st.sampled_from(("orthonormal", "any")),
)
def test_variational_rate_change(pair, K, members, kind):
    tokens, Z, after = pair
    U = tokens.bases(K, 1 + tokens.seed % tokens.d, kind).astype(np.float64)
    Pi = tokens.memberships(K, members).astype(np.float64)
    Pi /= Pi.sum(-1, keepdims=True)
    exact = log_ratio(*(list(moments(A, Pi, U, tokens.eps)) for A in (Z, after)))
    decision = decide.variational_rate_change(Z, after, Pi, U, eps=tokens.eps)
    if decision.sign is None:
        assert members == "soft"
        assert exact.contains(0)
    else:
        assert_decided(decision, exact)


def noise_share(Z, Pi, U):
    """N/(N + S) as a rational number."""
    Z, signal, noise = oracle.matrix(Z), fmpq(0), fmpq(0)
    for members, basis in zip(oracle.matrix(Pi).transpose().tolist(), U, strict=True):
        basis = oracle.matrix(basis)
        inside = Z * basis
        outside = Z - inside * basis.transpose()
        for w, a, b in zip(members, inside.tolist(), outside.tolist(), strict=True):
            signal += w * sum((x * x for x in a), fmpq(0))
            noise += w * sum((x * x for x in b), fmpq(0))
    return noise / (noise + signal) if noise + signal else fmpq(0)


@given(
    pairs(),
    st.integers(1, 3),
    st.sampled_from(("soft", "hard", "empty class")),
    st.sampled_from(("orthonormal", "any")),
)
def test_noise_share_change(pair, K, members, kind):
    tokens, Z, after = pair
    U = tokens.bases(K, 1 + tokens.seed % tokens.d, kind).astype(np.float64)
    Pi = tokens.memberships(K, members).astype(np.float64)
    Pi /= Pi.sum(-1, keepdims=True)
    exact = noise_share(after, Pi, U) - noise_share(Z, Pi, U)
    decision = decide.noise_share_change(Z, after, Pi, U)
    assert decision.sign == (exact > 0) - (exact < 0)
    with ctx.workprec(BITS):
        assert arb(decision.lower) <= arb(exact)
        assert arb(decision.upper) >= arb(exact)


@given(pairs(), st.integers(1, 3), st.sampled_from((0.0, 0.1, 3.0)))
def test_loss_sparse_rate_and_rate_reduction(pair, K, lam):
    tokens, Z, after = pair
    U = tokens.bases(K, 1).astype(np.float64)
    bases = [oracle.matrix(basis) for basis in U]
    rate = log_ratio(*(oracle.coding_determinants(oracle.matrix(A), eps=tokens.eps) for A in (Z, after)))
    compression = log_ratio(
        *(oracle.subspace_determinants(oracle.matrix(A), bases, eps=tokens.eps) for A in (Z, after))
    )
    with ctx.workprec(BITS):
        penalty = as_arb(Fraction(lam) * (l1(after) - l1(Z)))
        reduction, sparse, loss = rate - compression, penalty - rate, penalty - rate + compression
    assert_decided(decide.rate_reduction_change(Z, after, U, eps=tokens.eps), reduction)
    assert_decided(decide.sparse_rate_change(Z, after, eps=tokens.eps, lam=lam), sparse)
    assert_decided(decide.loss_change(Objective(U, tokens.eps, lam), Z, after), loss)
    assert_decided(decide.l1_change(Z, after), as_arb(l1(after) - l1(Z)))


@given(pairs(), st.sampled_from((0.0, 0.1, 3.0)), st.integers(1, 4))
def test_lasso_change(pair, lam, extra):
    tokens, A, after = pair
    rng = np.random.default_rng(tokens.seed)
    Z, D = rng.standard_normal((len(A), extra)), rng.standard_normal((extra, tokens.d))
    exact = lasso(Z, D, after, lam) - lasso(Z, D, A, lam)
    assert_decided(decide.lasso_change(Z, D, A, after, lam=lam), as_arb(exact))


# --- the three means ----------------------------------------------------------------------------------------


def large(seed):
    """Tokens enough for float64 to be tried, of any rank, condition and scale, before and after a step."""
    rng = np.random.default_rng(seed)
    n, d = rng.integers(16, 40, 2)
    spectrum = 10.0 ** rng.uniform(-8, 3, min(n, d)) * (rng.random(min(n, d)) < rng.uniform(0.2, 1))
    P, Q = (np.linalg.qr(rng.standard_normal((m, min(n, d))))[0] for m in (n, d))
    Z = (P * spectrum) @ Q.T
    step = rng.choice([1e-14, 1e-9, 1e-4, 0.3])
    return Z, Z * (1 + step * rng.standard_normal(Z.shape)), rng, 10.0 ** rng.uniform(-3, 2)


@given(pairs())
def test_off_sphere_change(pair):
    _, Z, after = pair
    old, new = (sum((sum(Fraction(x) ** 2 for x in row) - 1) ** 2 for row in A.tolist()) for A in (Z, after))
    assert_decided(decide.off_sphere_change(Z, after), as_arb(new - old))


@pytest.mark.parametrize("seed", range(60))
def test_every_bound_of_float64_holds(seed, monkeypatch):
    # The decision with and without float64 is one and the same, and the enclosures overlap.
    Z, after, rng, eps = large(seed)
    n, d = Z.shape
    K, p = int(rng.integers(1, 4)), int(rng.integers(1, min(8, d)))
    U = rng.standard_normal((K, d, p))
    Pi = rng.dirichlet(np.ones(K), n)
    Pi /= Pi.sum(-1, keepdims=True)
    D, lam = rng.standard_normal((d, d)), 0.1
    questions = (
        lambda: decide.rate_change(Z, after, eps=eps),
        lambda: decide.subspace_rate_change(Z, after, U, eps=eps),
        lambda: decide.partition_rate_change(Z, after, Pi, eps=eps),
        lambda: decide.variational_rate_change(Z, after, Pi, U, eps=eps),
        lambda: decide.noise_share_change(Z, after, Pi, U),
        lambda: decide.lasso_change(Z, D, Z, after, lam=lam),
        lambda: decide.off_sphere_change(Z, after),
        lambda: decide.off_sphere_change(Z / np.linalg.norm(Z, axis=1, keepdims=True), after / np.linalg.norm(after)),
        lambda: decide.loss_change(Objective(U, eps, lam), Z, after),
    )
    quick = [ask() for ask in questions]
    monkeypatch.setattr(decide, "FLOATS_FROM", 10**9)
    for fast, ask in zip(quick, questions, strict=True):
        sure = ask()
        assert fast.sign == sure.sign
        assert "float64" not in sure.method
        assert fast.lower <= sure.upper
        assert sure.lower <= fast.upper


@pytest.mark.parametrize("seed", range(20))
def test_the_bound_covers_squares_that_cancel(seed, monkeypatch):
    """Tokens on the sphere to the last bit: how far they are off it is nothing but rounding."""
    rng = np.random.default_rng(seed)
    Z, after = (A / np.linalg.norm(A, axis=1, keepdims=True) for A in rng.standard_normal((2, 40, 24)))
    quick = decide.off_sphere_change(Z, after)
    monkeypatch.setattr(decide, "FLOATS_FROM", 10**9)
    assert quick.sign == decide.off_sphere_change(Z, after).sign


def test_float64_is_used_and_its_bound_is_tight():
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((40, 24))
    decision = decide.rate_change(Z, 0.9 * Z, eps=0.5)
    assert decision.method == "float64 with error bound"
    assert decision.sign == -1
    assert decision.upper - decision.lower < 1e-8 * abs(decision.midpoint)


@pytest.mark.parametrize("step", [1e-6, 1e-13, 1e-14])
def test_small_steps_are_decided_from_their_own_bound(step, monkeypatch):
    rng = np.random.default_rng(0)
    Z, U, Pi = rng.standard_normal((32, 10)), rng.standard_normal((2, 10, 4)), rng.dirichlet(np.ones(2), 32)
    Pi /= Pi.sum(-1, keepdims=True)
    D = 0.1 * rng.standard_normal((10, 10))
    questions = (
        (lambda A: decide.rate_change(Z, A, eps=0.5), srr.coding_rate_and_gradient(Z, eps=0.5)[1]),
        (
            lambda A: decide.subspace_rate_change(Z, A, U, eps=0.5),
            srr.subspace_coding_rate_and_gradient(Z, U, eps=0.5)[1],
        ),
        (
            lambda A: decide.partition_rate_change(Z, A, Pi, eps=0.5),
            srr.partition_coding_rate_and_gradient(Z, Pi, eps=0.5)[1],
        ),
        (
            lambda A: decide.loss_change(Objective(U, 0.5, 0.1), Z, A),
            srr.SparseRateReduction(U, 0.5, 0.1).smooth_gradient(Z) + 0.1 * np.sign(Z),
        ),
        (lambda A: decide.lasso_change(Z, D, Z, A, lam=0.1), 0.1 * np.sign(Z) - (Z - Z @ D.T) @ D),
    )
    for ask, gradient in questions:
        gradient = gradient / np.linalg.norm(gradient)
        quick = ask(Z - step * gradient)
        assert quick.method == ("float64 with error bound" if step > 1e-8 else "float64 with error bound of the change")
        assert quick.sign == -1
        with monkeypatch.context() as only_values:
            only_values.setattr(decide, "intersection", lambda value, change: value)
            assert ("float64" in ask(Z - step * gradient).method) == (step > 1e-8)
        with monkeypatch.context() as only_balls:
            only_balls.setattr(decide, "FLOATS_FROM", 10**9)
            sure = ask(Z - step * gradient)
        assert sure.sign == -1
        assert quick.lower <= sure.upper
        assert sure.lower <= quick.upper


@pytest.mark.parametrize("extreme", [1e-200, 1e-120, 1e120, 1e200])
def test_float64_bounds_extremes_or_leaves_them(extreme):
    Z = np.random.default_rng(0).standard_normal((20, 20)) * extreme
    assert enclosed(enclosure.coding_rate(Z, eps=1.0), oracle.coding_rate(Z, eps=1.0))
    assert decide.rate_change(Z, 0.9 * Z, eps=0.5).sign == -1
    assert decide.rate_change(Z, 0.9 * Z, eps=extreme).sign == -1


@ctx.workprec(300)
def enclosed(bounds, exact):
    return arb(float(bounds.lower)) <= exact <= arb(float(bounds.upper))


@pytest.mark.parametrize("seed", range(20))
def test_the_bound_covers_a_projection_that_cancels(seed):
    # The two coordinates of a token are large and nearly equal, and the basis takes their difference.
    rng = np.random.default_rng(seed)
    first = 1e8 * rng.random((20, 1))
    Z = np.hstack([first, first + rng.random((20, 1))])
    U = np.array([[[1.0], [-1.0]]]) / np.sqrt(2)
    bounds = enclosure.subspace_coding_rate(Z, U, eps=1)  # β = 1/20
    with ctx.workprec(300):
        gram = oracle.matrix(Z) * oracle.matrix(U[0])
        exact = (1 + arb((gram.transpose() * gram)[0, 0] / 20)).log() / 2
        assert enclosed(bounds, exact)
        plain = np.log1p(np.sum((Z @ U[0]) ** 2) / 20) / 2
        assert abs(arb(float(plain)) - exact) > 1e-12  # so that it is the projection's error which the bound covers


@pytest.mark.parametrize("seed", range(20))
def test_the_bounds_of_moments_and_noise_cover_what_cancels(seed):
    rng = np.random.default_rng(seed)
    first = 1e8 * rng.random((20, 1))
    Z, U = np.hstack([first, first + rng.random((20, 1))]), np.array([[[1.0], [-1.0]]]) / np.sqrt(2)
    one = np.ones((20, 1))
    found = enclosures_of_moments.variational_rate(Z, one, U, 0.05)
    (_, moment), *_ = moments(Z, one, U, np.sqrt(2 / 0.05))
    with ctx.workprec(300):
        v = (moment - 1) / (fmpq(2) / oracle.rational(np.sqrt(2 / 0.05)) ** 2)
        exact = (1 + arb(oracle.rational(0.05) * v)).log() / 2
        assert enclosed(found, exact)
        assert abs(arb(float(found.midpoint)) - exact) > 1e-14  # far above the rounding of the value, 0.01 at most
    along = np.array([[[1.0], [1.0]]]) / np.sqrt(2)  # what is outside is the small difference
    found = enclosures_of_moments.noise_share(Z, one, along)
    exact = noise_share(Z, one, along)
    with ctx.workprec(300):
        assert enclosed(found, arb(exact))


@pytest.mark.parametrize("seed", range(20))
def test_the_bound_covers_a_residual_that_cancels(seed):
    rng = np.random.default_rng(seed)
    A, D = rng.standard_normal((20, 1)), rng.standard_normal((4, 1))
    bounds = enclosure.lasso(A @ D.T, D, A, lam=0)
    assert enclosed(bounds, as_arb(lasso(A @ D.T, D, A, 0)))


def test_equal_rates_leave_the_decision_to_the_norm():
    # A turn by (3, 4)/5 leaves R as it is; however light the norm weighs, it is what is left.
    Z = np.array([[3.0, 1, 2], [4, 0, 1], [5, 5, 5]])
    before, after = Z @ np.array([[3.0, 4, 0], [-4, 3, 0], [0, 0, 5]]), 5 * Z
    assert not np.array_equal(before.T @ before, after.T @ after)
    eps = Fraction(10**60 + 1, 10**60)  # its determinants have too many digits for the first balls
    for lam, sign in ((Fraction(1, 10**150), 1), (0, 0)):
        assert decide.sparse_rate_change(before, after, eps=eps, lam=lam).sign == sign


def test_precision_rises_until_zero_is_outside():
    Z = np.array([[1.0, 2.0], [3.0, 4.0]])
    after = Z.copy()
    after[0, 0] = np.nextafter(1.0, 2.0)
    assert decide.rate_change(Z, after, eps=1.0).method == "balls, 96 bits"
    assert decide.rate_change(Z * 1e-40, after * 1e-40, eps=1.0).method == "balls, 384 bits"


def test_equal_determinants_of_different_grams_are_found_equal():
    Z = np.array([[3.0, 1, 2], [4, 0, 1], [5, 5, 5]])
    turn = np.array([[3.0, 4, 0], [-4, 3, 0], [0, 0, 5]])
    before, after = 5 * Z, Z @ turn
    assert not np.array_equal(before.T @ before, after.T @ after)
    whole = np.eye(3)[None]
    for decision in (
        decide.rate_change(before, after, eps=0.5),
        decide.subspace_rate_change(before, after, whole, eps=0.5),
        decide.partition_rate_change(before, after, np.eye(3)[[0, 1, 1]], eps=0.5),
        decide.partition_rate_change(before, after, np.full((3, 2), 0.5), eps=0.5),
        decide.rate_reduction_change(before, after, whole, eps=0.5),
    ):
        assert decision == decide.Decision(0, 0.0, 0.0, "exact rationals")


def test_what_cancels_between_heads_is_found_equal():
    # The two heads exchange their tokens: each determinant changes, their product does not.
    Z, U = np.diag([1.0, 2.0]), np.eye(2)[:, :, None]
    assert decide.subspace_rate_change(Z, np.diag([2.0, 1.0]), U, eps=0.7).sign == 0
    assert decide.subspace_rate_change(Z, np.diag([2.0, 1.25]), U, eps=0.7).sign == 1


def test_undecided_says_so_and_encloses(monkeypatch):
    monkeypatch.setattr(decide, "PRECISIONS", (24,))
    Z = np.array([[1.0, 2.0], [3.0, 4.0]])
    after = Z.copy()
    after[0, 0] = np.nextafter(1.0, 2.0)
    decision = decide.rate_change(Z, after, eps=1.0)
    assert decision.sign is None
    assert decision.not_above is None
    assert decision.lower < 0 < decision.upper
    assert "undecided" in str(decision)


def test_identical_arrays_are_level():
    Z = np.random.default_rng(0).standard_normal((200, 200))
    assert decide.rate_change(Z, Z.copy(), eps=1e-3) == decide.Decision(0, 0.0, 0.0, "identical arrays")


# --- parameters, libraries, bad input -----------------------------------------------------------------------


def test_rational_parameters_are_taken_as_they_are():
    # From 1/4 to 1/2 the residual of 3/4 falls by 3/32, which λ = 3/8 balances exactly.
    Z, D = np.array([[0.75]]), np.ones((1, 1))
    before, after = np.array([[0.25]]), np.array([[0.5]])
    lam = Fraction(3, 8)
    assert decide.lasso_change(Z, D, before, after, lam=lam).sign == 0
    assert decide.lasso_change(Z, D, before, after, lam=lam + Fraction(1, 10**30)).sign == 1
    assert decide.lasso_change(Z, D, before, after, lam=lam - Fraction(1, 10**30)).sign == -1
    assert decide.rate_change(before, after, eps=Fraction(1, 3)).sign == 1


@pytest.mark.parametrize("backend", [b for b in backends.CPU if b.has_values], ids=str)
def test_the_same_decision_on_every_library(backend):
    rng = np.random.default_rng(1)
    Z, U, Pi = rng.standard_normal((4, 3)), rng.standard_normal((2, 3, 2)), np.eye(2)[[0, 1, 1, 0]]
    Z, U = Z.astype(np.float32), U.astype(np.float32)  # the same numbers in both dtypes
    after = (Z * 0.75).astype(np.float32)
    with backend.active():
        given_arrays = [backend.array(a) for a in (Z, after, U, Pi)]
        found = (
            decide.rate_change(*given_arrays[:2], eps=0.5),
            decide.subspace_rate_change(*given_arrays[:3], eps=0.5),
            decide.partition_rate_change(given_arrays[0], given_arrays[1], given_arrays[3], eps=0.5),
            decide.variational_rate_change(given_arrays[0], given_arrays[1], given_arrays[3], given_arrays[2], eps=0.5),
            decide.noise_share_change(given_arrays[0], given_arrays[1], given_arrays[3], given_arrays[2]),
        )
    assert found == (
        decide.rate_change(Z, after, eps=0.5),
        decide.subspace_rate_change(Z, after, U, eps=0.5),
        decide.partition_rate_change(Z, after, Pi.astype(np.float32), eps=0.5),
        decide.variational_rate_change(Z, after, Pi.astype(np.float32), U, eps=0.5),
        decide.noise_share_change(Z, after, Pi.astype(np.float32), U),
    )


d, Z, U = decide, np.ones((3, 2)), np.eye(2)[None]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: d.rate_change([[1.0]], Z, eps=1), TypeError, "before must be an array, got list"),
        (lambda: d.rate_change(Z, Z.astype(int), eps=1), TypeError, "after must be .* got int64"),
        (lambda: d.rate_change(Z[0], Z, eps=1), ValueError, r"before must have shape \(n, d\)"),
        (
            lambda: decide.rate_change(Z, Z[:2], eps=1),
            ValueError,
            r"after must have shape \(3, 2\).* got \(2, 2\)",
        ),
        (lambda: d.rate_change(Z, Z * np.nan, eps=1), ValueError, "after must be finite, got nan"),
        (lambda: d.rate_change(Z, Z, eps=0), ValueError, "eps must be > 0, got 0"),
        (lambda: d.rate_change(Z, Z, eps=np.inf), ValueError, "eps must be finite, got inf"),
        (lambda: d.rate_change(Z, Z, eps="1"), TypeError, "eps must be a real number, got str"),
        (lambda: d.rate_change(Z, Z, eps=True), TypeError, "eps must be a real number, got bool"),
        (
            lambda: decide.subspace_rate_change(Z, Z, U[:, :1], eps=1),
            ValueError,
            r"U must have shape \(K, 2, p\)",
        ),
        (lambda: d.partition_rate_change(Z, Z, Z, eps=1), ValueError, "Pi must have rows that sum to 1"),
        (
            lambda: decide.partition_rate_change(Z, Z, Z[:2] / 2, eps=1),
            ValueError,
            r"Pi must have shape \(3, K\)",
        ),
        (
            lambda: d.partition_rate_reduction_change(Z, Z, Z, eps=1),
            ValueError,
            "Pi must have rows that sum to 1",
        ),
        (lambda: d.variational_rate_change(Z, Z, Z / 2, U, eps=1), ValueError, r"Pi must have shape \(3, 1\)"),
        (lambda: d.variational_rate_change(Z, Z, Z[:, :1], U, eps=0), ValueError, "eps must be > 0, got 0"),
        (lambda: d.noise_share_change(Z, Z, Z / 2, U), ValueError, r"Pi must have shape \(3, 1\)"),
        (lambda: d.noise_share_change(Z, Z, Z[:, :1], U[:, :1]), ValueError, r"U must have shape \(K, 2, p\)"),
        (lambda: d.sparse_rate_change(Z, Z, eps=1, lam=-1), ValueError, "lam must be >= 0, got -1"),
        (lambda: d.lasso_change(Z[:2], U[0], Z, Z, lam=1), ValueError, r"Z must have shape \(3, d\)"),
        (lambda: d.lasso_change(Z, U[0][:1], Z, Z, lam=1), ValueError, r"D must have shape \(2, 2\)"),
        (lambda: d.loss_change(Objective(U, -1.0, 0.1), Z, Z), ValueError, "eps must be > 0, got -1"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_decisions_read_aloud():
    assert str(decide.Decision(-1, -2.0, -2.0, "balls, 96 bits")) == "falls by 2 (balls, 96 bits)"
    assert str(decide.Decision(0, 0.0, 0.0, "exact rationals")) == "is equal (exact rationals)"
    assert str(decide.Decision(1, 0.0, 5e-324, "m")) == "rises by less than 5e-324 (m)"
    assert decide.Decision(0, 0.0, 0.0, "m").size == "0"
    assert -decide.Decision(1, 1.0, 2.0, "m") == decide.Decision(-1, -2.0, -1.0, "m")
    assert decide.Decision(1, 1.0, 2.0, "m").not_above is False
    assert decide.Decision(0, 0.0, 0.0, "m").not_above is True
    assert decide.Decision(1, 1.0, 3.0, "m").midpoint == 2.0


def test_signs_are_those_of_plain_floats_where_these_are_clear():
    # Not against the oracle but against the textbook's formula: a mistake that the two share would show.
    rng = np.random.default_rng(5)
    Z, after, eps = rng.standard_normal((7, 3)), rng.standard_normal((7, 3)), 0.3
    U = np.linalg.qr(rng.standard_normal((2, 3, 2)))[0]

    def rate(Z, constant):
        return 0.5 * np.linalg.slogdet(np.eye(len(Z)) + constant / (7 * eps**2) * Z @ Z.T)[1]

    decision = decide.rate_change(Z, after, eps=eps)
    assert decision.midpoint == pytest.approx(rate(after, 3) - rate(Z, 3), rel=1e-9)
    decision = decide.subspace_rate_change(Z, after, U, eps=eps)
    heads = sum(rate(after @ basis, 2) - rate(Z @ basis, 2) for basis in U)
    assert decision.midpoint == pytest.approx(heads, rel=1e-9)
    Pi = np.eye(2)[[0, 0, 1, 1, 1, 0, 1]]
    parts = 0.0
    for members in Pi.T.astype(bool):
        share = members.sum() / 7
        parts += share * (rate(after[members], 3 / share) - rate(Z[members], 3 / share))
    assert decide.partition_rate_change(Z, after, Pi, eps=eps).midpoint == pytest.approx(parts, rel=1e-9)


def test_soft_memberships_are_held_to_the_rounding_of_their_dtype():
    Pi = np.random.default_rng(0).dirichlet(np.ones(3), size=6).astype(np.float32)
    Z = np.random.default_rng(1).standard_normal((6, 4)).astype(np.float32)
    assert decide.partition_rate_change(Z, Z / 2, Pi, eps=0.5).sign == -1
