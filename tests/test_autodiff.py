"""Differentiation through the rates by torch and JAX: the closed form, and finite wherever the rate is.

What users of coding rates as training losses report is NaN: a zero token, an empty class, equal singular values, a
determinant that rounding made negative. Each is an instance here.
"""

from dataclasses import replace

import backends
import exact_rates as reference
import families
import numpy as np
import oracle
import pytest
from families import Tokens
from hypothesis import given, settings
from hypothesis import strategies as st

import srr
from srr import rates
from srr._autodiff import tracks

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
jnp = jax.numpy

X64 = {np.float64: True, np.float32: False}
RATES = reference.RATES
every_rate = reference.every_rate
every_dtype = reference.every_dtype
SOME = (RATES[0], RATES[2], RATES[3])
"""For JAX, which compiles anew for each: the coding rate, any bases, soft parts."""
some_rates = pytest.mark.parametrize("rate", SOME, ids=str)
every_library = pytest.mark.parametrize("library", ["torch", "jax"])


def torch_gradient(rate, tokens, **options):
    Z = torch.tensor(tokens.Z, requires_grad=True)
    given = {k: torch.tensor(a) for k, a in rate.arguments(tokens).items()}
    value = rate.value(Z, **given, eps=tokens.eps, **options)
    value.backward()
    return value.detach().numpy(), Z.grad.numpy()


def jax_gradient(rate, tokens, **options):
    return tuple(part[0] for part in jax_gradients(rate, [tokens], **options))


def jax_gradients(rate, stack, transform=jax.jit, **options):
    """For token sets of one shape, seed and eps, as one batch: JAX compiles for every shape and number."""
    first = stack[0]
    with jax.enable_x64(X64[first.dtype]):
        Z, given = jnp.asarray(np.stack([t.Z for t in stack])), given_jax(rate.arguments(first))

        def total(Z):
            values = rate.value(Z, **given, eps=first.eps, **options)
            return jnp.sum(values), values

        gradient, values = transform(jax.grad(total, has_aux=True))(Z)
        return np.asarray(values), np.asarray(gradient)


def given_jax(given):
    return {k: jnp.asarray(a) for k, a in given.items()}


def wrong(rate, tokens, value, gradient):
    """What is wrong with a value and its derivative; empty if nothing is."""
    if gradient.dtype != tokens.dtype or gradient.shape != (tokens.n, tokens.d):
        return f"has gradient {gradient.dtype} {gradient.shape}"
    parts = rate.parts(tokens.Z, tokens.eps, **rate.arguments(tokens))
    loose = np.sqrt(families.roundoff(tokens.dtype))
    off = oracle.error(value, reference.exact(rate, tokens))
    allowed = reference.stable(parts, tokens.dtype) + loose * reference.magnitude(parts)
    if not off <= allowed:
        return f"value {float(value):.3e} is off by {off:.2e}, allowed {allowed:.2e}"
    off = oracle.gradient_error(gradient, reference.exact_gradient(rate, tokens))
    size = reference.gradient_magnitude(parts)
    allowed = reference.stable_gradient(parts, tokens.dtype) + loose * size
    if not off <= allowed:
        return f"gradient is off by {off:.2e} of {size:.2e}, allowed {allowed:.2e}"
    return ""


# --- the closed form, everywhere --------------------------------------------------------------------------------


@reference.imprecise
@every_rate
@every_dtype
def test_torch_gradient_is_the_closed_form_on_hard_instances(rate, dtype):
    failed = [(t, w) for t in families.hard(dtype) if (w := wrong(rate, t, *torch_gradient(rate, t)))]
    assert not failed, reference.listing(failed)


@reference.imprecise
@some_rates
@every_dtype
def test_jax_gradient_is_the_closed_form_on_hard_instances(rate, dtype):
    wide = [t for t in families.hard(dtype) if (t.n, t.d) == (5, 10)]
    stack = [replace(t, eps=0.5, scale=t.scale * 0.5 / t.eps) for t in wide]  # one eps, for one compilation
    results = zip(stack, *jax_gradients(rate, stack), strict=True)
    failed = [(t, w) for t, value, gradient in results if (w := wrong(rate, t, value, gradient))]
    assert not failed, reference.listing(failed)


@reference.imprecise
def test_jax_step_by_step_takes_each_route_where_it_must():
    """Without jit values are read, and one batch is split between Cholesky and the SVD."""
    t = Tokens(n=5, d=4, rank=4, eps=1e-4, dtype=np.float32)
    stack = [t, replace(t, rank=1), replace(t, scale=1e-6), replace(t, defect="zero")]
    for s, value, gradient in zip(stack, *jax_gradients(RATES[0], stack, lambda f: f), strict=True):
        assert wrong(RATES[0], s, value, gradient) == "", s


@reference.imprecise
def test_jax_step_by_step_on_soft_parts():
    """The rate and its derivative, of tokens for which Cholesky will not do."""
    t = Tokens(n=4, d=3, rank=2, eps=1e-6)
    Pi = t.memberships(2)
    H = np.random.default_rng(0).standard_normal(t.Z.shape)
    value, gradient = rates.partition_coding_rate_and_gradient(t.Z, Pi, eps=t.eps)
    with jax.enable_x64(True):
        Z, P = jnp.asarray(t.Z), jnp.asarray(Pi)
        found, slope = jax.jvp(lambda Z: rates.partition_coding_rate(Z, P, eps=t.eps), (Z,), (jnp.asarray(H),))
        both, slopes = jax.jvp(
            lambda Z: rates.partition_coding_rate_and_gradient(Z, P, eps=t.eps), (Z,), (jnp.asarray(H),)
        )
    close = {"rtol": 1e-7}
    np.testing.assert_allclose(found, value, **close)
    np.testing.assert_allclose(both[0], value, **close)
    np.testing.assert_allclose(both[1], gradient, **close)
    np.testing.assert_allclose([slope, slopes[0]], 2 * [np.sum(gradient * H)], **close)


@reference.imprecise
@settings(max_examples=30)
@given(
    rate=st.sampled_from(RATES),
    tokens=families.tokens(sizes=(1, 2, 3, 5)),
    method=st.sampled_from(("auto", "svd")),
)
def test_torch_gradient(rate, tokens, method):
    assert wrong(rate, tokens, *torch_gradient(rate, tokens, method=method)) == ""


@pytest.mark.parametrize("method", ["auto", "svd"])
@every_rate
def test_equal_singular_values(rate, method):
    """An orthogonal Z, whose SVD is as ambiguous as can be."""
    t = Tokens(n=4, d=4, rank=4, condition=1.0)
    assert wrong(rate, t, *torch_gradient(rate, t, method=method)) == ""
    if rate in SOME:
        assert wrong(rate, t, *jax_gradient(rate, t, method=method)) == ""


@every_rate
@every_dtype
@pytest.mark.parametrize(("n", "d"), [(1, 1), (1, 6), (6, 1), (3, 3)])
def test_all_zero_tokens_have_gradient_zero(rate, dtype, n, d):
    t = Tokens(n=n, d=d, rank=1, dtype=dtype, defect="zero")
    value, gradient = torch_gradient(rate, t)
    assert value == 0
    assert not gradient.any()
    if rate in SOME and n == d and dtype == np.float32:
        value, gradient = jax_gradient(rate, t)
        assert value == 0
        assert not gradient.any()


@every_rate
def test_value_and_gradient_together_is_differentiable_too(rate):
    """Its value's derivative is its gradient; its gradient's derivative is symmetric, as a Hessian is."""
    t = Tokens(n=4, d=3, rank=3, eps=0.6)
    Z = torch.tensor(t.Z, requires_grad=True)
    given = {k: torch.tensor(a) for k, a in rate.arguments(t).items()}
    value, gradient = rate.value_and_gradient(Z, **given, eps=t.eps)
    (first,) = torch.autograd.grad(value, Z, retain_graph=True)
    np.testing.assert_allclose(first, gradient.detach(), rtol=1e-12, atol=1e-13)
    hessian = torch.autograd.functional.jacobian(
        lambda Z: rate.value_and_gradient(Z, **given, eps=t.eps)[1], Z.detach()
    ).reshape(12, 12)
    np.testing.assert_allclose(hessian, hessian.T, rtol=1e-10, atol=1e-11)


def test_derivatives_are_tracked_just_where_one_may_be_asked_for():
    x, y, seen = torch.zeros(2), torch.zeros(2, requires_grad=True), []
    assert [tracks(x, None), tracks(x, y), tracks(jnp.zeros(2))] == [False, True, False]
    with torch.no_grad():
        assert not tracks(y)
    torch.func.jvp(lambda x: (seen.append(tracks(None, x)), x)[1], (x,), (x,))
    jax.grad(lambda x: (seen.append(tracks(None, x)), x)[1])(1.0)
    assert seen == [True, True]


def test_value_and_gradient_together_are_differentiable_in_the_memberships_alone():
    """Also where some are zero, and a square root of them has no derivative."""
    t = Tokens(n=4, d=3, rank=3)
    Z, Pi = torch.tensor(t.Z), torch.tensor(t.memberships(2, "hard"), requires_grad=True)
    (alone,) = torch.autograd.grad(rates.partition_coding_rate(Z, Pi, eps=0.6), Pi)
    value, gradient = rates.partition_coding_rate_and_gradient(Z, Pi, eps=0.6)
    (beside,) = torch.autograd.grad(value, Pi, retain_graph=True)
    np.testing.assert_allclose(beside, alone, rtol=1e-12)
    assert torch.autograd.grad(gradient.sum(), Pi)[0].isfinite().all()


def test_value_and_gradient_together_are_differentiable_at_equal_singular_values():
    Z = torch.eye(3, dtype=torch.float64, requires_grad=True)
    value, gradient = rates.coding_rate_and_gradient(Z, eps=0.6, method="svd")
    np.testing.assert_allclose(torch.autograd.grad(value, Z, retain_graph=True)[0], gradient.detach(), rtol=1e-12)
    assert torch.autograd.grad(gradient.sum(), Z)[0].isfinite().all()


# --- derivatives in the other arguments -------------------------------------------------------------------------


def _centred(rng, n, K):
    """A direction in which memberships stay on the simplex and every part keeps its size."""
    H = np.round(rng.standard_normal((n, K)) * 64) / 64  # short rationals: the sums below cancel exactly
    H = H[:-1] if n > 1 else H
    H = np.concatenate([H, -H.sum(0, keepdims=True)]) if n > 1 else H * 0
    return np.concatenate([H[:, :-1], -H[:, :-1].sum(1, keepdims=True)], axis=1)


@every_library
@pytest.mark.parametrize(("n", "d"), [(5, 3), (3, 3), (2, 5)])
def test_derivative_in_the_bases_is_the_exact_one(library, n, d):
    t = Tokens(n=n, d=d, rank=min(n, d), eps=0.7)
    U = t.bases(2, 2, "any")
    H = np.random.default_rng(3).standard_normal(U.shape)
    Z = oracle.matrix(t.Z)

    def along(k):
        # Head k alone moves, so its determinant is the only polynomial that is not constant.
        return oracle.directional_derivative(
            lambda basis: oracle.subspace_determinants(Z, [basis], eps=t.eps), U[k], H[k]
        )

    expected = float(oracle.arb(along(0) + along(1)))
    got = np.sum(_gradient(library, lambda U, Z: rates.subspace_coding_rate(Z, U, eps=t.eps), U, t.Z) * H)
    np.testing.assert_allclose(got, expected, rtol=1e-12)


@every_library
@pytest.mark.parametrize(
    ("n", "d", "kind"), [(5, 3, "soft"), (3, 3, "soft"), (4, 6, "soft"), (4, 6, "hard"), (5, 3, "sharp")]
)
def test_derivative_in_the_memberships_is_the_exact_one(library, n, d, kind):
    t = Tokens(n=n, d=d, rank=min(n, d), eps=0.7)
    Pi, Z = t.memberships(3, kind), oracle.matrix(t.Z)
    H = _centred(np.random.default_rng(3), n, 3)
    derivative = oracle.directional_derivative(
        lambda P: oracle.partition_determinants(Z, P, eps=t.eps), Pi, H, degree=d
    )
    got = np.sum(_gradient(library, lambda Pi, Z: rates.partition_coding_rate(Z, Pi, eps=t.eps), Pi, t.Z) * H)
    np.testing.assert_allclose(got, float(oracle.arb(derivative)), rtol=1e-12)


def _gradient(library, f, x, *rest):
    if library == "torch":
        x = torch.tensor(x, requires_grad=True)
        f(x, *map(torch.tensor, rest)).backward()
        return x.grad.numpy()
    with jax.enable_x64(True):
        return np.asarray(jax.jit(jax.grad(f))(jnp.asarray(x), *map(jnp.asarray, rest)))


def test_derivative_in_memberships_that_change_the_size_of_a_part_below_one_token():
    Z = torch.tensor(Tokens(n=3, d=3, rank=3).Z)
    Pi = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]], dtype=torch.float64, requires_grad=True)
    sizes = Pi.sum(0)
    grams = torch.einsum("jk,ja,jb->kab", Pi, Z, Z) * (3 / (sizes * 0.5**2))[:, None, None]
    printed = torch.sum(sizes / 6 * torch.logdet(torch.eye(3) + grams))
    ours = rates.partition_coding_rate(Z, Pi, eps=0.5)
    np.testing.assert_allclose(*(torch.autograd.grad(f, Pi)[0] for f in (ours, printed)), rtol=1e-12)


@every_library
@every_dtype
@pytest.mark.parametrize("kind", ["empty class", "sharp"])
def test_derivative_in_memberships_is_finite_with_an_empty_part(library, dtype, kind):
    t = Tokens(n=6, d=4, rank=4, dtype=dtype, defect="zero token")
    Pi = t.memberships(3, kind)
    if library == "torch":
        Pi = torch.tensor(Pi, requires_grad=True)
        rates.partition_coding_rate(torch.tensor(t.Z), Pi, eps=0.5).backward()
        gradient = Pi.grad.numpy()
    else:
        with jax.enable_x64(X64[dtype]):
            f = jax.jit(jax.grad(lambda Pi: rates.partition_coding_rate(jnp.asarray(t.Z), Pi, eps=0.5)))
            gradient = np.asarray(f(jnp.asarray(Pi)))
    assert np.isfinite(gradient).all()
    assert gradient.dtype == dtype


# --- second derivatives and the libraries' own checks -----------------------------------------------------------


def _losses():
    """Each rate as a function of (Z, the other free argument), the other one unconstrained."""
    U = Tokens(n=4, d=3, rank=3).bases(2, 2, "any")
    logits = np.random.default_rng(1).standard_normal((4, 3))
    yield "coding", lambda Z: rates.coding_rate(Z, eps=0.6), ()
    yield "subspaces", lambda Z, U: rates.subspace_coding_rate(Z, U, eps=0.6), (U,)
    yield "partition", lambda Z, Q: rates.partition_coding_rate(Z, Q.softmax(-1), eps=0.6), (logits,)
    yield "reduction, U", lambda Z, U: rates.rate_reduction(Z, U=U, eps=0.6), (U,)
    yield "reduction, Pi", lambda Z, Q: rates.rate_reduction(Z, Pi=Q.softmax(-1), eps=0.6), (logits,)


@pytest.mark.parametrize(("name", "loss", "other"), list(_losses()), ids=lambda x: x if isinstance(x, str) else "")
@pytest.mark.parametrize(("n", "d"), [(4, 3), (4, 6)])
def test_torch_gradcheck(name, loss, other, n, d):
    if d == 6:
        other = tuple(Tokens(n=4, d=6, rank=3).bases(2, 2, "any") if a.ndim == 3 else a for a in other)
    inputs = [torch.tensor(a, requires_grad=True) for a in (Tokens(n=n, d=d, rank=3).Z, *other)]
    assert torch.autograd.gradcheck(loss, inputs)
    assert torch.autograd.gradgradcheck(loss, inputs)


@pytest.mark.parametrize("defect", ["zero token", "repeated token", "zero"])
def test_torch_second_derivatives_at_singular_tokens(defect):
    """Where eigenvalues coincide the derivative of an SVD does not exist; that of the rate does."""
    Z = torch.tensor(Tokens(n=4, d=3, rank=3, defect=defect).Z, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda Z: rates.coding_rate(Z, eps=0.6), [Z])
    Pi = torch.tensor(Tokens(n=4, d=3, rank=3).memberships(3, "empty class"))
    assert torch.autograd.gradgradcheck(lambda Z: rates.partition_coding_rate(Z, Pi, eps=0.6), [Z])


@pytest.mark.filterwarnings("ignore:.torch.jit")  # torch.func's own
def test_hessian_at_zero_is_alpha_in_both_libraries():
    n, d, eps = 3, 2, 0.7
    alpha = d / (n * eps**2)
    expected = alpha * np.eye(n * d)
    Z = torch.zeros(n, d, dtype=torch.float64)
    for hessian in (
        torch.autograd.functional.hessian(lambda Z: rates.coding_rate(Z, eps=eps), Z),
        torch.func.hessian(lambda Z: rates.coding_rate(Z, eps=eps))(Z),
    ):
        np.testing.assert_allclose(hessian.reshape(n * d, n * d), expected, atol=1e-14)
    with jax.enable_x64(True):
        hessian = jax.jit(jax.hessian(lambda Z: rates.coding_rate(Z, eps=eps)))(jnp.zeros((n, d)))
        np.testing.assert_allclose(hessian.reshape(n * d, n * d), expected, atol=1e-14)


@some_rates
def test_libraries_agree_on_the_hessian(rate):
    t = Tokens(n=3, d=4, rank=3, eps=0.6)
    given = rate.arguments(t)
    of_torch = torch.autograd.functional.hessian(
        lambda Z: rate.value(Z, **{k: torch.tensor(a) for k, a in given.items()}, eps=t.eps),
        torch.tensor(t.Z),
    )
    with jax.enable_x64(True):
        of_jax = jax.jit(jax.hessian(lambda Z: rate.value(Z, **given_jax(given), eps=t.eps)))(jnp.asarray(t.Z))
        np.testing.assert_allclose(of_torch, np.asarray(of_jax), rtol=1e-10, atol=1e-11)


@pytest.mark.filterwarnings("ignore:.torch.jit")  # torch.func's own
@pytest.mark.parametrize(("n", "d"), [(4, 3), (3, 4)])
@pytest.mark.parametrize("by", [0, 1, (0, 1)])
def test_hessian_in_tokens_and_memberships(n, d, by):
    """Forward over reverse mode, against plain torch on the printed formula."""
    t = Tokens(n=n, d=d, rank=3, eps=0.6)
    Z, Pi = torch.tensor(t.Z), torch.tensor(t.memberships(2))

    def printed(Z, Pi):
        sizes = Pi.sum(0)
        grams = torch.einsum("jk,ja,jb->kab", Pi, Z, Z) * (d / (sizes * t.eps**2))[:, None, None]
        return torch.sum(sizes / (2 * n) * torch.logdet(torch.eye(d) + grams))

    def ours(Z, Pi):
        return rates.partition_coding_rate(Z, Pi, eps=t.eps)

    found, expected = (torch.func.hessian(f, argnums=by)(Z, Pi) for f in (ours, printed))
    for a, b in [(found, expected)] if isinstance(by, int) else zip(sum(found, ()), sum(expected, ()), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


# --- transformations --------------------------------------------------------------------------------------------


@some_rates
def test_jax_transformations(rate):
    """vmap, forward and reverse mode, nested, compiled or not, change nothing."""
    t = Tokens(n=5, d=3, rank=3, eps=0.6)
    stack = [replace(t, seed=s).Z for s in range(3)]
    H = np.random.default_rng(0).standard_normal(t.Z.shape)
    values, gradients = rate.value_and_gradient(np.stack(stack), **rate.arguments(t), eps=t.eps)
    with jax.enable_x64(True):
        given, Z = given_jax(rate.arguments(t)), jnp.asarray(np.stack(stack))

        def f(Z):
            return rate.value(Z, **given, eps=t.eps)

        close = {"rtol": 1e-10, "atol": 1e-12}
        np.testing.assert_allclose(jax.jit(f)(Z), values, **close)
        np.testing.assert_allclose(jax.jit(jax.vmap(f))(Z), values, **close)
        np.testing.assert_allclose(jax.jit(jax.vmap(jax.grad(f)))(Z), gradients, **close)
        np.testing.assert_allclose(jax.vmap(jax.jit(jax.grad(f)))(Z), gradients, **close)
        np.testing.assert_allclose(
            jax.jit(lambda Z, H: jax.jvp(f, (Z,), (H,)))(Z[0], jnp.asarray(H))[1],
            np.sum(gradients[0] * H),
            **close,
        )
        both = jax.jit(lambda Z: rate.value_and_gradient(Z, **given, eps=t.eps))(Z)
        np.testing.assert_allclose(both[0], values, **close)
        np.testing.assert_allclose(both[1], gradients, **close)


def test_jax_shape_checks_stay_under_jit():
    with pytest.raises(ValueError, match="Z must have shape"):
        jax.jit(lambda Z: rates.coding_rate(Z, eps=0.5))(jnp.zeros(3))
    with pytest.raises(ValueError, match="U must have shape"):
        jax.jit(lambda Z, U: rates.subspace_coding_rate(Z, U, eps=0.5))(jnp.zeros((4, 3)), jnp.zeros((2, 4, 2)))
    with pytest.raises(ValueError, match="Pi must have shape"):
        jax.jit(lambda Z, Pi: rates.partition_coding_rate(Z, Pi, eps=0.5))(jnp.zeros((4, 3)), jnp.zeros((3, 2)))


@every_rate
def test_torch_func(rate):
    t = Tokens(n=5, d=3, rank=3, eps=0.6)
    given = {k: torch.tensor(a) for k, a in rate.arguments(t).items()}
    Z = torch.tensor(np.stack([replace(t, seed=s).Z for s in range(3)]))

    def f(Z):
        return rate.value(Z, **given, eps=t.eps)

    values, gradients = rate.value_and_gradient(Z, **given, eps=t.eps)
    close = {"rtol": 1e-10, "atol": 1e-12}
    np.testing.assert_allclose(torch.func.grad(f)(Z[0]), gradients[0], **close)
    np.testing.assert_allclose(torch.func.vmap(f)(Z), values, **close)
    np.testing.assert_allclose(torch.func.vmap(torch.func.grad(f))(Z), gradients, **close)


@reference.imprecise
@every_rate
def test_torch_batch_is_differentiated_element_by_element(rate):
    """One ill-conditioned element takes its own route and disturbs no other."""
    t = Tokens(n=5, d=3, rank=3, eps=1e-4)
    stack = [t, replace(t, seed=1, rank=1), replace(t, seed=2), replace(t, defect="zero")]
    Z = torch.tensor(np.stack([s.Z for s in stack]), requires_grad=True)
    given = {k: torch.tensor(a) for k, a in rate.arguments(t).items()}
    rate.value(Z, **given, eps=t.eps).sum().backward()
    for i, s in enumerate(stack):
        arguments = rate.arguments(t)
        parts = rate.parts(s.Z, s.eps, **arguments)
        allowed = reference.stable_gradient(parts, np.float64) + 2e-8 * reference.gradient_magnitude(parts)
        assert oracle.gradient_error(Z.grad[i], rate.exact_gradient(s.Z, **arguments, eps=s.eps)) <= allowed, s


def test_torch_no_grad_and_inference_mode():
    Z = torch.tensor(Tokens(n=5, d=3, rank=3).Z, requires_grad=True)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            value = rates.coding_rate(Z, eps=0.5)
        assert not value.requires_grad


def compiled_gradient(rate, tokens, **options):
    Z = torch.tensor(tokens.Z, requires_grad=True)
    given = {k: torch.tensor(a) for k, a in rate.arguments(tokens).items()}
    torch.compiler.reset()
    value = torch.compile(lambda Z: rate.value(Z, **given, eps=tokens.eps), **options)(Z)
    value.backward()
    return value.detach().numpy(), Z.grad.numpy()


# Dynamo warns of what it meets in torch itself and in array_api_compat.
not_ours = pytest.mark.filterwarnings("ignore")


@not_ours
@pytest.mark.parametrize("rate", [RATES[0], RATES[3]], ids=str)
def test_torch_traced_for_compilation(rate):
    """torch.compile without the compiler behind it; the route is the SVD, since no branch may read a value."""
    t = Tokens(n=6, d=4, rank=2, eps=1e-3)
    assert wrong(rate, t, *compiled_gradient(rate, t, backend="eager")) == ""


@not_ours
@pytest.mark.slow
@pytest.mark.parametrize("rate", SOME, ids=str)
@every_dtype
def test_torch_compile(rate, dtype):
    for t in (
        Tokens(n=6, d=4, rank=4, eps=0.4, dtype=dtype),
        Tokens(n=6, d=4, rank=2, eps=1e-3, dtype=dtype),
        Tokens(n=6, d=4, rank=4, eps=1e-3, dtype=dtype, defect="zero token"),
    ):
        assert wrong(rate, t, *compiled_gradient(rate, t)) == "", t


@not_ours
def test_torch_shape_checks_stay_when_compiled():
    compiled = torch.compile(lambda Z: rates.coding_rate(Z, eps=0.5), backend="eager")
    with pytest.raises(ValueError, match="Z must have shape"):
        compiled(torch.zeros(3))


# --- training ---------------------------------------------------------------------------------------------------


@every_dtype
@pytest.mark.parametrize("method", ["auto", "svd"])
def test_torch_training_stays_finite(dtype, method):
    """Twenty steps on MCR² with learned memberships, a dead token, repeated tokens and an unused class."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((12, 5)).astype(dtype)
    X[0], X[3] = 0, X[2]
    X = torch.tensor(X)
    weight = torch.tensor(rng.standard_normal((5, 4)).astype(dtype), requires_grad=True)
    logits = torch.tensor(rng.standard_normal((12, 3)).astype(dtype), requires_grad=True)
    unused = torch.tensor([0.0, 0.0, -np.inf], dtype=X.dtype)
    optimizer = torch.optim.SGD([weight, logits], lr=0.02)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = -rates.rate_reduction(X @ weight, Pi=(logits + unused).softmax(-1), eps=0.1, method=method)
        loss.backward()
        assert all(p.grad.isfinite().all() for p in (weight, logits))
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


@every_dtype
def test_jax_training_stays_finite(dtype):
    rng = np.random.default_rng(0)
    with jax.enable_x64(X64[dtype]):
        X = rng.standard_normal((12, 5)).astype(dtype)
        X[0], X[3] = 0, X[2]
        X = jnp.asarray(X)
        Pi = jnp.asarray(np.eye(3, dtype=dtype)[np.arange(12) % 2])
        weight = jnp.asarray(rng.standard_normal((5, 4)).astype(dtype))
        loss = jax.jit(jax.value_and_grad(lambda w: -rates.rate_reduction(X @ w, Pi=Pi, eps=0.1)))
        losses = []
        for _ in range(20):
            value, gradient = loss(weight)
            assert jnp.isfinite(gradient).all()
            losses.append(float(value))
            weight = weight - 0.02 * gradient
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


def test_default_dtype_of_torch_is_not_consulted():
    assert torch.get_default_dtype() == torch.float32
    t = Tokens(n=5, d=3, rank=3)
    value, gradient = torch_gradient(RATES[0], t)
    assert value.dtype == gradient.dtype == np.float64
    assert all(b.missing == "" for b in (*backends.CPU, backends.FAKE)), (
        "torch, JAX or array-api-strict is not installed"
    )


def hessian_product(Z, V, eps, dtype):
    A = torch.tensor(Z, dtype=dtype, requires_grad=True)
    gradient = rates.coding_rate_and_gradient(A, eps=eps)[1]
    return torch.autograd.grad((gradient * torch.tensor(V, dtype=dtype)).sum(), A)[0].double()


@pytest.mark.parametrize("eps", [0.5, 0.05, 0.01])
def test_second_derivatives_of_few_tokens_at_small_eps(eps):
    rng = np.random.default_rng(0)
    Z, V = rng.standard_normal((2, 8, 24))
    exact, rounded = (hessian_product(Z, V, eps, dtype) for dtype in (torch.float64, torch.float32))
    assert float((exact - rounded).norm() / exact.norm()) < 1e-4


def test_autocast_does_not_touch_a_rate():
    rng = np.random.default_rng(0)
    Z, U = torch.tensor(rng.standard_normal((16, 16)), dtype=torch.float32), torch.eye(16)[None, :, :4]
    expected = rates.coding_rate(Z, eps=0.1), *rates.subspace_coding_rate_and_gradient(Z, U, eps=0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = rates.coding_rate(Z, eps=0.1), *rates.subspace_coding_rate_and_gradient(Z, U, eps=0.1)
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


@pytest.mark.parametrize("library", ["jax", "torch"])
def test_a_matrix_that_cannot_be_factorised_is_nan_under_jit(library):
    """No exception can be raised where values cannot be read, and no number may be made up."""
    t = Tokens(n=16, d=32, rank=2, eps=1e-12)
    with pytest.raises(srr.FactorisationError):
        srr.coding_rate(t.Z, eps=t.eps, method="cholesky")
    if library == "jax":
        with jax.enable_x64(True):
            value = jax.jit(lambda Z: srr.coding_rate(Z, eps=t.eps, method="cholesky"))(jax.numpy.asarray(t.Z))
    else:
        value = torch.func.vmap(lambda Z: srr.coding_rate(Z, eps=t.eps, method="cholesky"))(torch.tensor(t.Z)[None])[0]
    assert np.isnan(float(value))


@pytest.mark.parametrize(("n", "d"), [(6, 4), (4, 4), (3, 5)])
@pytest.mark.parametrize(("scale", "eps"), [(1e20, 0.5), (1e100, 0.5), (1e150, 1e-6), (1e160, 1e-160)])
def test_derivative_in_the_memberships_of_large_tokens(n, d, scale, eps):
    """Where every singular value is far above the precision the derivative grows by rank/n · log of their ratio."""
    Z, Pi = Tokens(n=n, d=d, rank=4).Z, Tokens(n=n, d=d, rank=4).memberships(2)

    def derivative(scale, eps):
        P = torch.tensor(Pi, requires_grad=True)
        rates.partition_coding_rate(torch.tensor(scale * Z), P, eps=eps).backward()
        return P.grad.numpy()

    growth = min(n, d) / n * (np.log(scale) - np.log(eps) - np.log(1e9) + np.log(0.5))
    np.testing.assert_allclose(derivative(scale, eps), derivative(1e9, 0.5) + growth, rtol=1e-12)
