r"""Implicit compression: steps on Rᶜ(Z|U) that lower it for every size κ > 0.

The gradient step Z − κ ∇Rᶜ(Z) is bound to κ < 2/L_c, which shrinks like ε². With Y_k = ZU_k, β = p/(n ε²), σ = √β s
for a singular value s, and c = κβ::

    proximal        argmin_X Rᶜ(X|U) + ‖X − Z‖²/(2κ)           `implicit_step`, mutually orthogonal subspaces
    semi-implicit   Z (I + κA)⁻¹, A = β Σ_k U_kW_kU_kᵀ         `semi_implicit_step`, any family
    cyclic          the proximal step of one head after another `cyclic_step`, any orthonormal bases

The proximal step descends since X = Z is among its candidates: Rᶜ(Z⁺) + ‖Z⁺ − Z‖²/(2κ) ≤ Rᶜ(Z). For orthogonal
subspaces it acts on the singular values of every head alone (von Neumann's trace inequality), s ↦ t(s), see `shrink`.

The semi-implicit step holds the weights W_k = (I + βY_kᵀY_k)⁻¹ of the gradient ZA at Z and takes the tokens at Z⁺,
as lagged diffusivity does. log det is concave in the Gram matrix, so Rᶜ lies below its tangent there, a quadratic in
the tokens, and Rᶜ(Z⁺) ≤ Rᶜ(Z) − ‖Z⁺ − Z‖²/κ − ½ tr(ΔAΔᵀ), Δ = Z⁺ − Z.

The cyclic step lowers the rate of each head in its turn, and may raise those of the heads before by more.
"""

from __future__ import annotations

import math

from srr._arrays import (
    Array,
    Namespace,
    detached,
    is_concrete,
    like,
    map_blocks,
    namespace,
    positive,
    quiet,
    require_finite,
    require_orthonormal,
    unit_roundoff,
)
from srr._autodiff import tracks
from srr._heads import project, require_tokens_and_bases, side_by_side, unproject
from srr._scalars import Scalar, alpha, positive_scalar

__all__ = ["cyclic_step", "implicit_step", "semi_implicit_step", "shrink"]


# --- the scalar problem -----------------------------------------------------------------------------------------


def shrink(s: Array, *, beta: float, step: Scalar) -> Array:
    """t(s), the t that minimises ½ log(1 + βt²) + (t − s)²/(2κ), for every entry s.

    It is a root of βt³ − βst² + (1 + κβ)t − s = 0 between 0 and s. For κβ ≤ 8 there is one; for larger κβ there may
    be three, and t(s) jumps from the smallest to the largest where both give the least value: there it is the smallest.

    Parameters
    ----------
    s : array
        Any shape. t(−s) = −t(s).
    beta : float
        β > 0.
    step : float or 0-d array
        κ > 0.

    Returns
    -------
    array
        Shape of s.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    The proximal operator of the Cauchy penalty, as Karakuş, Mayo and Achim 2020 (arXiv 2003.04798) call it, also where
    it is not single-valued, κβ > 8. Differentiable in s and κ, three times, where t does not jump.
    """
    xp = namespace(s=s)
    require_finite(s, "s")
    c = _weight(xp, s, positive(beta, "beta"), positive_scalar(step, s, "step"))
    sigma = math.sqrt(beta) * xp.abs(s)
    r = _ratio(xp, detached(sigma), detached(c))
    if tracks(s, c):  # two steps of Newton's method at the root carry its derivatives
        g, rest, e = _coefficients(xp, sigma, c)
        for _ in range(2):
            r = r - _value(r, g, rest, e) / _slope(r, g, rest)
    return r * s


def _weight(xp: Namespace, beside: Array, beta: float, step: Scalar) -> Array:
    # c = κβ in the dtype of the tokens, at most a quarter of its range: beyond, every token is zero anyway.
    most = float(xp.finfo(beside.dtype).max) / 4
    if isinstance(step, float):
        return xp.asarray(min(beta * step, most), **like(beside))
    with quiet():
        return xp.clip(beta * step, max=most)


LAGUERRE = 10
"""Steps of Laguerre's method: 4 reach the last digit, and 7 beside the triple root κβ = 8, βs² = 27."""


def _ratio(xp: Namespace, sigma: Array, c: Array) -> Array:
    # r = t/s, the minimiser of ½ log(1 + (σr)²) + σ²(1 − r)²/2c. The cubic of r, of `_coefficients`, is concave below
    # r = 1/3 and convex above: its smallest root is sought from the left, its largest from 1. Below it is in units of
    # 1/(1 + c), or digits of small roots are lost: r = v/(1 + c), 1 − v + bv²(1 − v/(1 + c)) = 0. Where one of the two
    # does not exist, its place holds an r that is no minimiser, and the values tell.
    unit = 1 / (1 + c)
    with quiet():
        b, (g, rest, e) = (sigma * unit) ** 2, _coefficients(xp, sigma, c)
        low = high = xp.ones_like(sigma)
        for _ in range(LAGUERRE):
            part = low * unit
            value, slope = 1 - low + b * low * low * (1 - part), 1 - b * low * (2 - 3 * part)
            low = _laguerre(xp, low, value, -slope, 2 * b * (1 - 3 * part), xp.inf)
            low = xp.minimum(xp.maximum(low, xp.ones_like(low)), (1 + c) / 3)
            value, slope = _value(high, g, rest, e), _slope(high, g, rest)
            high = xp.clip(_laguerre(xp, high, -value, -slope, -2 * g * (3 * high - 1), 0.0), min=1 / 3)
        low = low * unit
        excess = _log_factor(xp, sigma * low) - _log_factor(xp, sigma * high)
        excess = excess + sigma / c * sigma / 2 * (high - low) * (2 - low - high)
    # 0, too, where both terms are below range
    return xp.where((excess < 0) | ((excess == 0) & (c > 2)), low, high)


def _laguerre(xp: Namespace, x: Array, value: Array, slope: Array, bend: Array, otherwise: float) -> Array:
    # One step towards a root of a cubic that falls at x, or ``otherwise``; exact for a triple root.
    root = xp.sqrt(xp.clip(4 * slope * slope - 6 * value * bend, min=0.0))
    return xp.where(slope < 0, x - 3 * value / (slope - root), otherwise)


def _coefficients(xp: Namespace, sigma: Array, c: Array) -> tuple[Array, Array, Array]:
    # Of gr³ − gr² + (1 − g)r − e: σ², 1 + c and 1 over 1 + c + σ², none of which can overflow.
    root = xp.sqrt(1 + c)
    size = xp.hypot(sigma, root)
    return (sigma / size) ** 2, (root / size) ** 2, (1 / size) ** 2


def _value(r: Array, g: Array, rest: Array, e: Array) -> Array:
    return ((g * r - g) * r + rest) * r - e


def _slope(r: Array, g: Array, rest: Array) -> Array:
    return (3 * r - 2) * g * r + rest


def _log_factor(xp: Namespace, x: Array) -> Array:
    # ½ log(1 + x²), x ≥ 0; beyond 1/u it is log x.
    far = 1 / unit_roundoff(x)
    return xp.log1p(xp.clip(x, max=far) ** 2) / 2 + xp.log(xp.clip(x, min=far) / far)


# --- the steps --------------------------------------------------------------------------------------------------


def implicit_step(Z: Array, U: Array, *, eps: float, step: Scalar) -> Array:
    """The proximal step of κRᶜ(·|U), argmin_X Rᶜ(X|U) + ‖X − Z‖²/(2κ), for mutually orthogonal subspaces.

    In every head it multiplies the singular vectors of Y_k = ZU_k by t(s)/s, see `shrink`; what lies outside the
    subspaces it leaves alone. Rᶜ falls by ‖Z⁺ − Z‖²/(2κ) at least, whatever κ.

    Parameters
    ----------
    Z : array, shape (..., n, d)
        Tokens.
    U : array, shape (K, d, p)
        Orthonormal bases of mutually orthogonal subspaces.
    eps : float
        Precision ε > 0.
    step : float or 0-d array
        κ > 0.

    Returns
    -------
    array, shape (..., n, d)

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    One eigendecomposition a head, on the smaller of p × p and n × n. First derivatives are those of the step, also
    where singular values coincide or are zero; where it jumps there is none. Derivatives of second order through it
    leave terms out.
    """
    xp = require_tokens_and_bases(Z, U)
    _require_orthogonal(xp, U)
    W, K = side_by_side(U), U.shape[0]
    beta = alpha(U.shape[-1], Z.shape[-2], eps)
    c = _weight(xp, Z, beta, positive_scalar(step, Z, "step"))
    return map_blocks(lambda Z: (Z - unproject(_removed(xp, project(Z, W, K), beta, c), W),), Z)[0]


def cyclic_step(Z: Array, U: Array, *, eps: float, step: Scalar) -> Array:
    """The proximal step of κ times the rate of one head after another, k = 1, …, K.

    For mutually orthogonal subspaces it is `implicit_step`. Where they overlap, every head's turn lowers its own rate
    and may raise others', and the cycle may raise their sum; `semi_implicit_step` cannot.

    Parameters, result, errors and derivatives as in `implicit_step`, but that the subspaces may overlap.
    """
    xp = require_tokens_and_bases(Z, U)
    require_orthonormal(U)
    beta = alpha(U.shape[-1], Z.shape[-2], eps)
    c = _weight(xp, Z, beta, positive_scalar(step, Z, "step"))

    def cycle(Z: Array) -> tuple[Array]:
        for k in range(U.shape[0]):
            Z = Z - unproject(_removed(xp, project(Z, U[k, ...], 1), beta, c), U[k, ...])
        return (Z,)

    return map_blocks(cycle, Z)[0]


def semi_implicit_step(Z: Array, U: Array, *, eps: float, step: Scalar) -> Array:
    """Z (I + κA)⁻¹, A = β Σ_k U_k (I + βY_kᵀY_k)⁻¹ U_kᵀ: the gradient step Z − κ Z⁺A with its tokens at the end.

    Rᶜ falls by ‖Z⁺ − Z‖²/κ at least, whatever κ and the bases. Where the subspaces are mutually orthogonal,
    `implicit_step` with the same κ takes off more.

    Parameters and errors as in `implicit_step`, but for any bases.

    Returns
    -------
    array, shape (..., n, d)

    Notes
    -----
    It minimises the tangent of Rᶜ in the Gram matrices plus ‖X − Z‖²/(2κ). One QR factorisation a head, (n + p) × p,
    and one of (d + Kp) × d. All derivatives exist.
    """
    xp = require_tokens_and_bases(Z, U)
    beta = alpha(U.shape[-1], Z.shape[-2], eps)
    c = _weight(xp, Z, beta, positive_scalar(step, Z, "step"))

    def solve(Z: Array) -> tuple[Array]:
        T = inverse_factor(xp, xp.sqrt(c) * xp.matrix_transpose(weighted_bases(xp, Z, U, beta)))
        return (xp.matmul(xp.matmul(Z, T), xp.matrix_transpose(T)),)

    return map_blocks(solve, Z)[0]


def weighted_bases(xp: Namespace, Z: Array, U: Array, beta: float) -> Array:
    """B = [U_kT_k], W_k = T_kT_kᵀ, of a block of tokens ``(b, n, d)``: ``(b, d, Kp)``, A = βBBᵀ."""
    K, d, p = U.shape
    T = inverse_factor(xp, math.sqrt(beta) * project(Z, side_by_side(U), K))
    return xp.reshape(xp.permute_dims(xp.matmul(U, T), (0, 2, 1, 3)), (Z.shape[0], d, K * p))


def inverse_factor(xp: Namespace, X: Array) -> Array:
    """T with TTᵀ = (I + XᵀX)⁻¹, from the QR factors of X below I: its Gram matrix would lose twice the digits."""
    q = X.shape[-1]
    identity = xp.broadcast_to(xp.eye(q, **like(X)), (*X.shape[:-2], q, q))
    R = xp.linalg.qr(xp.concat([identity, X], axis=-2))[1]
    return xp.linalg.solve(R, identity)


# --- a head -----------------------------------------------------------------------------------------------------


def _removed(xp: Namespace, Y: Array, beta: float, c: Array) -> Array:
    # Y − Y⁺ of heads (b, K, n, p).
    *_, n, p = Y.shape
    if n < p:
        return xp.matrix_transpose(_removed(xp, xp.matrix_transpose(Y), beta, c))
    root, V, sigma = math.sqrt(beta), *_singular(xp, detached(Y), math.sqrt(beta))
    r = _ratio(xp, sigma, detached(c))[..., None, :]
    X, V_T = xp.matmul(Y, V), xp.matrix_transpose(V)
    if not tracks(Y, c):
        return xp.matmul(X * (1 - r), V_T)
    # Y⁺ = Y r(G), G = βYᵀY. V is a constant here: its derivative is in the divided differences of r, which
    # G r³ − G r² + (1 + c) r = I gives without cancellation.
    lam, r_T, c_0 = sigma[..., None, :] ** 2, xp.matrix_transpose(r), detached(c)
    divided = r_T**2 * (1 - r_T) / (lam * (r * r + r * r_T + r_T * r_T - r - r_T) + 1 + c_0)
    gram = xp.matmul(xp.matrix_transpose(root * X), root * X)
    by_c = r / (lam * (3 * r - 2) * r + 1 + c_0)  # −∂r/∂c
    turned = xp.matmul(X, divided * (gram - detached(gram)))
    return xp.matmul(X * (1 - r + (c - c_0) * by_c) - turned, V_T)


def _singular(xp: Namespace, Y: Array, root: float) -> tuple[Array, Array]:
    # The right singular vectors of Y, and √β times its singular values: the norms of the columns of YV, which have
    # digits where the eigenvalues of the Gram matrix have none left.
    size = xp.max(xp.abs(Y), axis=(2, 3), keepdims=True)
    X = Y / xp.where(size > 0, size, xp.ones_like(size))
    V = xp.linalg.eigh(xp.matmul(xp.matrix_transpose(X), X))[1]
    return V, root * size[..., 0] * xp.linalg.vector_norm(xp.matmul(X, V), axis=2)


def _require_orthogonal(xp: Namespace, U: Array) -> None:
    if not is_concrete(U):
        return
    W = detached(side_by_side(U))
    with quiet():
        defect = float(xp.max(xp.abs(xp.matmul(xp.matrix_transpose(W), W) - xp.eye(W.shape[1], **like(W)))))
    limit = 100 * math.sqrt(W.shape[0]) * unit_roundoff(W)
    if not defect <= limit:
        raise ValueError(
            "U must be orthonormal bases of mutually orthogonal subspaces, or semi_implicit_step be taken "
            f"(max |U_j^T U_k - I_jk| <= {limit:.1e}), got {defect:.3g}"
        )
