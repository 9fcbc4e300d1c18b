r"""ToST: token statistics in place of attention, from a variational form of the rate within classes.

With Y_k = ZU_k ``(n, p)``, memberships π_k ``(n,)`` of mass n_k and f(x) = log(1 + cx), c = d/ε², in rows of tokens::

    rate      R^var(Z, Π|U) = ½ Σ_k (n_k/n) Σ_i f(v_ki)         v_ki = Σ_j π_jk (Y_k)²_ji / n_k
    gradient  ∇R^var = (1/n) Σ_k Diag(π_k) Y_k D_k U_kᵀ         D_k = Diag(f'(v_k)),  f'(x) = c/(1 + cx)
    TSSA      −τ ∇R^var, Π held fixed

It bounds Rᶜ(Z|Π) from above where each class lies in its subspace, and needs no product of tokens with tokens: second
moments along the columns of U_k are all that a token is told of the others.

With Π fixed a step descends. f is concave, so f(v) lies below its tangent and R^var below a quadratic of the same
gradient, whose Hessian maps row j of H to h_j Σ_k π_jk U_k D_k U_kᵀ/n. For orthonormal U_k and rows of Π on the simplex
that is at most max D/n ≤ c/n = α, however the subspaces overlap: R^var falls for every τ < 2n/max D, and so for every
τ < 2/α.

Wu et al. 2024 (arXiv 2412.17810); their code for ``tssa_official`` and ``tssa_official_causal``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from srr import flops
from srr._arrays import (
    Array,
    Namespace,
    count,
    detached,
    is_concrete,
    like,
    map_blocks,
    namespace,
    require_broadcast,
    require_finite,
    require_membership,
    require_shape,
)
from srr._heads import project, require_subspaces, require_tokens_and_bases, side_by_side, softmax, unproject
from srr._scalars import Scalar, alpha, in_range, positive_scalar
from srr.attention import require_output
from srr.layer import AttentionOnly

__all__ = [
    "Tost",
    "TostOfficial",
    "descent_step",
    "memberships",
    "memberships_official",
    "memberships_official_causal",
    "tost",
    "tost_official",
    "tssa",
    "tssa_causal",
    "tssa_official",
    "tssa_official_causal",
    "variational_rate",
    "variational_rate_and_gradient",
]

# --- the rate -----------------------------------------------------------------------------------------------


def variational_rate(Z: Array, Pi: Array, U: Array, *, eps: float) -> Array:
    """R^var(Z, Π|U) = ½ Σ_k (n_k/n) Σ_i log(1 + c v_ki), c = d/ε², in nats.

    Parameters
    ----------
    Z : array, shape (..., n, d)
        Tokens.
    Pi : array, shape (..., n, K)
        Memberships, rows on the simplex.
    U : array, shape (K, d, p)
        Bases of K subspaces, orthonormal or not.
    eps : float
        Precision ε > 0.

    Returns
    -------
    array, shape (...)

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    Wu et al. 2024 (arXiv 2412.17810), corollary 1, for f(x) = log(1 + cx).
    """
    return variational_rate_and_gradient(Z, Pi, U, eps=eps)[0]


def variational_rate_and_gradient(Z: Array, Pi: Array, U: Array, *, eps: float) -> tuple[Array, Array]:
    """R^var and its gradient (1/n) Σ_k Diag(π_k) Y_k D_k U_kᵀ in Z, the memberships held fixed.

    Parameters and errors as in `variational_rate`.

    Returns
    -------
    value : array, shape (...)
        Nats.
    gradient : array, shape (..., n, d)
    """
    xp = _check_all(Z, Pi, U)
    n, W, c = Z.shape[-2], side_by_side(U), alpha(Z.shape[-1], 1, eps)

    def rate(Z: Array, Pi: Array) -> tuple[Array, Array]:
        Y, pi = project(Z, W, U.shape[0]), xp.matrix_transpose(Pi)
        mass = xp.sum(pi, axis=-1)
        v = _moments(xp, Y, pi)
        value = xp.sum(mass / n * xp.sum(xp.log1p(c * v), axis=(2, 3)), axis=1) / 2
        return value, unproject(pi[..., None] * Y * (c / (1 + c * v) / n), W)

    value, gradient = map_blocks(rate, Z, Pi)
    return value, gradient


def descent_step(U: Array, n: int, *, eps: float) -> Scalar:
    """1/(α max_k ‖U_k‖²), α = d/(n ε²): steps τ of this size, and of any size below twice this, lower R^var.

    Parameters
    ----------
    U : array, shape (K, d, p)
        Bases, not all zero; they may overlap in any way.
    n : int
        Tokens.
    eps : float
        Precision ε > 0.

    Returns
    -------
    float
        A 0-d array where values cannot be read, as under ``jax.jit``. A constant: no derivative flows through it.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    Majorisation, in the module's docstring. The memberships are held fixed.
    """
    xp = namespace(U=U)
    require_subspaces(U)
    largest = xp.max(xp.linalg.svdvals(detached(U)))
    norm = float(largest) if is_concrete(U) else largest
    if is_concrete(U) and norm == 0:
        raise ValueError("U must not be zero, got bases of zeros")
    step = 1 / alpha(U.shape[1], count(n, "n"), eps) / norm / norm
    return in_range(step, "U and eps must keep the step", f"a norm of {norm} and eps = {eps!r}")


# --- memberships --------------------------------------------------------------------------------------------


def memberships(Z: Array, U: Array, *, eta: Scalar) -> Array:
    """softmax_k(‖U_kᵀz‖²/2η) of every token: the paper's Π.

    For unit variances and noise t it is the posterior at η = t²(1 + t²) (`denoising.SubspaceMixture`).

    Parameters
    ----------
    Z : array, shape (..., n, d)
    U : array, shape (K, d, p)
    eta : float or 0-d array
        η > 0.

    Returns
    -------
    array, shape (..., n, K)

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.
    """
    xp, W = require_tokens_and_bases(Z, U), side_by_side(U)
    twice = 2 * positive_scalar(eta, Z, "eta")

    def shares(Z: Array) -> tuple[Array]:
        energy = xp.sum(project(Z, W, U.shape[0]) ** 2, axis=-1)
        return (xp.matrix_transpose(softmax(energy / twice, axis=-2)),)

    return map_blocks(shares, Z)[0]


def memberships_official(Z: Array, U: Array, *, scale: Array | None = None) -> Array:
    """softmax_k(t_k Σ_i (Y_k)²_ji / Σ_j' (Y_k)²_j'i): the Π of the official code, which no scaling of Z changes.

    Parameters
    ----------
    Z : array, shape (..., n, d)
    U : array, shape (K, d, p)
        U_k = ``qkv.weight[k * p : (k + 1) * p].T``.
    scale : array, shape (K,), optional
        t = ``temp[:, 0]``; ones by default.

    Returns
    -------
    array, shape (..., n, K)

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.
    """
    return _VISION.memberships(Z, U, scale)


def memberships_official_causal(
    Z: Array, U: Array, *, scale: Array | None = None, denominator_bias: Array | None = None
) -> Array:
    """The same with the sum over tokens up to each token, and a bias: the Π of the official language model.

    Parameters
    ----------
    Z, U, scale
        As in `memberships_official`.
    denominator_bias : array, shape (K, n), optional
        ``denom_bias[:, :n, 0]``, added to each of the p shares of a token; zeros by default.

    Returns
    -------
    array, shape (..., n, K)

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.
    """
    return _LANGUAGE.memberships(Z, U, scale, denominator_bias)


# --- the operators ------------------------------------------------------------------------------------------


def tssa(Z: Array, Pi: Array, U: Array, *, eps: float, step: Scalar) -> Array:
    """−(τ/n) Σ_k Diag(π_k) Y_k D_k U_kᵀ: a gradient step on R^var, less the tokens it starts from.

    Parameters
    ----------
    Z, Pi, U, eps
        As in `variational_rate`.
    step : float or 0-d array
        τ > 0; Z + TSSA has a lower R^var than Z for τ < 2/α (`descent_step`).

    Returns
    -------
    array, shape (..., n, d)

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    Wu et al. 2024 (arXiv 2412.17810), the TSSA operator.
    """
    gradient = variational_rate_and_gradient(Z, Pi, U, eps=eps)[1]
    return -positive_scalar(step, Z, "step") * gradient


def tssa_causal(Z: Array, Pi: Array, U: Array, *, eps: float, step: Scalar) -> Array:
    """`tssa` with every sum over tokens taken up to the token at hand, and n the number of them.

    Token t is what `tssa` would return last for the first t tokens.

    Parameters, result and errors as in `tssa`.
    """
    xp = _check_all(Z, Pi, U)
    W, c, tau = side_by_side(U), alpha(Z.shape[-1], 1, eps), positive_scalar(step, Z, "step")
    seen = xp.arange(1, Z.shape[-2] + 1, **like(Z))[:, None]

    def attend(Z: Array, Pi: Array) -> tuple[Array]:
        Y, pi = project(Z, W, U.shape[0]), xp.matrix_transpose(Pi)[..., None]
        mass = xp.cumulative_sum(pi, axis=2)
        v = xp.cumulative_sum(pi * Y**2, axis=2) / xp.where(mass > 0, mass, xp.ones_like(mass))
        return (-tau * unproject(pi * Y * (c / (1 + c * v) / seen), W),)

    return map_blocks(attend, Z, Pi)[0]


def tssa_official(
    Z: Array, U: Array, *, scale: Array | None = None, output: Array | None = None, bias: Array | None = None
) -> Array:
    """−[Diag(π_k) Y_k Diag(1/(1 + v_k))]_k Wᵀ + b: the operator of the official code.

    With the theory's W it is `tssa` of `memberships_official` at ε² = d and τ = n, which is the step 1/α.

    Parameters
    ----------
    Z, U, scale
        As in `memberships_official`.
    output : array, shape (d, K p), optional
        W = ``to_out[0].weight``; by default [U_1, …, U_K].
    bias : array, shape (d,), optional
        b = ``to_out[0].bias``.

    Returns
    -------
    array, shape (..., n, d)

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    ``tost_vision``, ``AttentionTSSA``, its qkv without bias. v_k divides by n_k + 10⁻⁸, as there.
    """
    return _VISION.attend(Z, U, output, bias, scale)


def tssa_official_causal(
    Z: Array,
    U: Array,
    *,
    scale: Array | None = None,
    denominator_bias: Array | None = None,
    output: Array | None = None,
    bias: Array | None = None,
) -> Array:
    """`tssa_official` with cumulative sums over tokens: the operator of the official language model.

    Parameters, result and errors as in `tssa_official` and `memberships_official_causal`.

    Notes
    -----
    ``tost_lang``, ``CausalSelfAttention_TSSA``.
    """
    return _LANGUAGE.attend(Z, U, output, bias, scale, denominator_bias)


@dataclass(frozen=True)
class _Code:
    """What the two forms of the official code do differently: how they sum, and what they keep from zero."""

    total: Callable[[Namespace, Array], Array]
    floor: float
    """Of the sums of squares."""

    def shares(self, xp: Namespace, Y: Array, scale: Array | None, denominator_bias: Array | None) -> Array:
        """π ``(b, K, n)`` of heads ``(b, K, n, p)``."""
        square = Y**2
        logits = xp.sum(square / xp.clip(self.total(xp, square), min=self.floor), axis=-1)
        if denominator_bias is not None:
            logits = logits + Y.shape[-1] * denominator_bias
        return softmax(logits if scale is None else scale[:, None] * logits, axis=-2)

    def memberships(self, Z: Array, U: Array, scale: Array | None, denominator_bias: Array | None = None) -> Array:
        xp, W = _check_heads(Z, U, scale, denominator_bias), side_by_side(U)

        def shares(Z: Array) -> tuple[Array]:
            return (xp.matrix_transpose(self.shares(xp, project(Z, W, U.shape[0]), scale, denominator_bias)),)

        return map_blocks(shares, Z)[0]

    def attend(
        self,
        Z: Array,
        U: Array,
        output: Array | None,
        bias: Array | None,
        scale: Array | None,
        denominator_bias: Array | None = None,
    ) -> Array:
        xp, W = _check_heads(Z, U, scale, denominator_bias), side_by_side(U)
        require_output(U, output, bias)
        to = W if output is None else output

        def attend(Z: Array) -> tuple[Array]:
            Y = project(Z, W, U.shape[0])
            pi = self.shares(xp, Y, scale, denominator_bias)[..., None]
            v = self.total(xp, pi * Y**2) / (self.total(xp, pi) + 1e-8)
            return (-unproject(pi * Y / (1 + v), to),)

        attended = map_blocks(attend, Z)[0]
        return attended if bias is None else attended + bias


_VISION = _Code(lambda xp, a: xp.sum(a, axis=-2, keepdims=True), 1e-24)  # a norm of at least 10⁻¹²
_LANGUAGE = _Code(lambda xp, a: xp.cumulative_sum(a, axis=-2), 1e-12)


def _moments(xp: Namespace, Y: Array, pi: Array) -> Array:
    """v_k ``(b, K, 1, p)`` of heads ``(b, K, n, p)`` under memberships ``(b, K, n)``; zero for an empty class."""
    mass = xp.sum(pi, axis=-1, keepdims=True)
    share = pi / xp.where(mass > 0, mass, xp.ones_like(mass))
    return xp.matmul(share[..., None, :], Y**2)


def _check_heads(Z: Array, U: Array, scale: Array | None, denominator_bias: Array | None) -> Namespace:
    xp = require_tokens_and_bases(Z, U)
    _require_for_heads(U, scale, "scale")
    _require_for_heads(U, denominator_bias, "denominator_bias", Z.shape[-2])
    return xp


def _check_all(Z: Array, Pi: Array, U: Array) -> Namespace:
    namespace(Z=Z, Pi=Pi)
    xp = require_tokens_and_bases(Z, U)
    require_shape(Pi, ("...", Z.shape[-2], U.shape[0]), "Pi")
    require_membership(Pi, Z.shape[-2])
    require_broadcast(Z=Z, Pi=Pi)
    return xp


def _require_for_heads(U: Array, a: Array | None, name: str, *sizes: int) -> None:
    if a is not None:
        namespace(**{name: a}, U=U)
        require_shape(a, (U.shape[0], *sizes), name)
        require_finite(a, name)


# --- layers -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Tost(AttentionOnly):
    """The attention half of ToST in the paper's form; `tost` builds it and documents the fields."""

    U: Array
    eps: float
    eta: Scalar
    step: Scalar | None
    step_per_token: Scalar
    """`descent_step` of one token, to which that of n is proportional."""

    def memberships(self, Z: Array) -> Array:
        """Π, from the tokens that the step starts at."""
        return memberships(Z, self.U, eta=self.eta)

    def compress(self, Z: Array) -> Array:
        """Z + TSSA(Z)."""
        Pi = self.memberships(Z)
        step = Z.shape[-2] * self.step_per_token if self.step is None else self.step
        return Z + tssa(Z, Pi, self.U, eps=self.eps, step=step)

    def flops(self, n: int) -> int:
        """On n tokens; see `srr.flops`."""
        K, d, p = self.U.shape
        return flops.token_statistics(n, d, K, p) + flops.product(n, d, K * p)  # memberships project once more


def tost(U: Array, *, eps: float, eta: Scalar = 0.5, step: Scalar | None = None) -> Tost:
    """A layer of ToST as its paper derives it: Z + TSSA(Z), and nothing in the second half.

    What its networks have there, an MLP as in every transformer, is not derived (`tost_block`).

    Parameters
    ----------
    U : array, shape (K, d, p)
        Bases, not all zero.
    eps : float
        Precision ε > 0.
    eta : float or 0-d array
        η > 0 of `memberships`; ½ by default, which is softmax_k(‖U_kᵀz‖²).
    step : float or 0-d array, optional
        τ > 0; by default `descent_step` of the tokens at hand.

    Returns
    -------
    Tost

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    Wu et al. 2024 (arXiv 2412.17810). With orthonormal bases a layer lowers R^var(·, Π|U) for the Π of the tokens that
    come in.
    """
    safe = descent_step(U, 1, eps=eps)
    positive_scalar(eta, U, "eta")
    if step is not None:
        positive_scalar(step, U, "step")
    return Tost(U, eps, eta, step, safe)


@dataclass(frozen=True, eq=False)
class TostOfficial(AttentionOnly):
    """The attention half of the official code less its LayerNorm; `tost_official` documents the fields."""

    U: Array
    scale: Array | None
    output: Array | None
    bias: Array | None

    def memberships(self, Z: Array) -> Array:
        """Π, from the tokens that the step starts at."""
        return memberships_official(Z, self.U, scale=self.scale)

    def compress(self, Z: Array) -> Array:
        """Z − [Diag(π_k) Y_k Diag(1/(1 + v_k))]_k Wᵀ + b."""
        return Z + tssa_official(Z, self.U, scale=self.scale, output=self.output, bias=self.bias)

    def flops(self, n: int) -> int:
        """On n tokens; see `srr.flops`."""
        K, d, p = self.U.shape
        return flops.token_statistics(n, d, K, p)


def tost_official(
    U: Array, *, scale: Array | None = None, output: Array | None = None, bias: Array | None = None
) -> TostOfficial:
    """The attention half of a block of the official code but for LayerNorm and LayerScale; `tost_block` has the rest.

    Parameters
    ----------
    U : array, shape (K, d, p)
    scale : array, shape (K,), optional
    output : array, shape (d, K p), optional
    bias : array, shape (d,), optional
        As in `tssa_official`.

    Returns
    -------
    TostOfficial

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.
    """
    namespace(U=U)
    require_subspaces(U)
    _require_for_heads(U, scale, "scale")
    require_output(U, output, bias)
    return TostOfficial(U, scale, output, bias)
