r"""How curved the rates are, and the step sizes that follow.

All bounds rest on one spectrum. F(Z) = ½ log det(I + α ZᵀZ) = ½ Σ log(1 + α sᵢ²) is a function of the
singular values of Z alone. With g(s) = α s/(1 + α s²), the derivative of ½ log(1 + α s²), its Hessian has the
eigenvalues ::

    g'(sᵢ),   (g(sᵢ) − g(sⱼ))/(sᵢ − sⱼ),   (g(sᵢ) + g(sⱼ))/(sᵢ + sⱼ),   g(sᵢ)/sᵢ,

the last where n ≠ d. g is odd, so each is a divided difference of g, and by the mean value theorem a value of
g'(s) = α (1 − α s²)/(1 + α s²)². These range over [−α/8, α]: the maximum is at s = 0, the minimum where α s²
= 3. Both ends are attained. Lemma 6 of Yu et al. 2023 (N23, arXiv 2306.01129) has ±9α/4; a step needs only
the upward curvature, which is α for F and α/8 for −F.

Gradient and proximal gradient steps decrease a function whose smooth part is curved upwards by at most L if
they are shorter than 2/L; 1/L guarantees most.
"""

from __future__ import annotations

import math

from srr._arrays import Array, count, detached, is_concrete, namespace, positive, require_tokens
from srr._heads import require_subspaces, side_by_side
from srr._scalars import Scalar, alpha, as_array, in_range, spectral_norm
from srr.rates import rate_reduction_and_gradient

__all__ = [
    "coding_rate_bounds",
    "compression_step",
    "expansion",
    "expansion_at",
    "expansion_step",
    "loss_step",
    "overlap",
    "partition_rate_bounds",
    "partition_step",
    "rate_reduction_bounds",
    "reduction_step",
    "sphere_step",
    "sphere_step_at",
    "subspace_rate",
    "subspace_rate_bounds",
]


def coding_rate_bounds(n: int, d: int, *, eps: float) -> tuple[float, float]:
    """(−α/8, α), α = d/(n ε²): between them lies the Hessian of R at every Z ``(n, d)``.

    Both are attained: α at Z = 0, −α/8 where a singular value s has α s² = 3.

    Parameters
    ----------
    n, d : int
        Tokens and their dimension.
    eps : float
        Precision ε > 0.

    Returns
    -------
    lower, upper : float
        Nats per squared unit of the tokens.

    Raises
    ------
    TypeError, ValueError
        n or d is no integer above zero, eps no finite number above zero, or α beyond the range of floats.

    Notes
    -----
    Proof in the module's docstring; it sharpens N23 lemma 6.
    """
    curvature: float = alpha(count(d, "d"), count(n, "n"), eps)
    return -curvature / 8, curvature


def partition_rate_bounds(n: int, d: int, *, eps: float) -> tuple[float, float]:
    """(−α/8, α), α = d/(n ε²): between them lies the Hessian in Z of Rᶜ(Z|Π), for every fixed Π.

    Parameters, result and errors as in `coding_rate_bounds`.

    Notes
    -----
    Π may be hard or soft. Part k is (n_k/n) F(Diag(π_k)^½ Z) with constant α_k = d/(n_k ε²), and (n_k/n) α_k
    = α. So its second derivative along H lies in [−α/8, α] · ‖Diag(π_k)^½ H‖², and these squares add up to
    ‖H‖², the rows of Π being on the simplex. Neither the number of parts nor the smallest of them enters.
    """
    return coding_rate_bounds(n, d, eps=eps)


def rate_reduction_bounds(n: int, d: int, *, eps: float) -> tuple[float, float]:
    """(−9α/8, 9α/8), α = d/(n ε²): between them lies the Hessian in Z of ΔR(Z|Π), for every fixed Π.

    Parameters, result and errors as in `coding_rate_bounds`.

    Notes
    -----
    The ranges of R and of Rᶜ(·|Π), subtracted. The upper end is approached as a class becomes rare; for the lower one
    −α is conjectured, and approached.
    """
    upper = 9 * coding_rate_bounds(n, d, eps=eps)[1] / 8
    return -upper, upper


def subspace_rate_bounds(U: Array, n: int, *, eps: float) -> tuple[Scalar, Scalar]:
    """(−L_c/8, L_c), L_c = β λ_max(Σ_k U_k U_kᵀ), β = p/(n ε²): between them lies the Hessian of Rᶜ(Z|U).

    The upper end is attained at Z = 0, whatever U.

    Parameters
    ----------
    U : array, shape (K, d, p)
        Bases, orthonormal or not.
    n : int
        Tokens.
    eps : float
        Precision ε > 0.

    Returns
    -------
    lower, upper : float
        Nats per squared unit of the tokens. 0-d arrays where values cannot be read, as under ``jax.jit``.
        Constants: no derivative flows through them.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    Head k is F(ZU_k) with constant β, so its second derivative along H lies in [−β/8, β] · ‖HU_k‖², and
    Σ_k ‖HU_k‖² ≤ λ_max(Σ_k U_k U_kᵀ) ‖H‖².
    """
    L = subspace_rate(U, n, eps=eps)
    return -L / 8, L


def overlap(U: Array) -> Scalar:
    """λ_max(Σ_k U_k U_kᵀ) = ‖[U_1, …, U_K]‖₂².

    For orthonormal bases it is 1 if the subspaces are mutually orthogonal, K if all share a direction, and
    never more.

    Parameters
    ----------
    U : array, shape (K, d, p)

    Returns
    -------
    float
        A 0-d array where values cannot be read, as under ``jax.jit``. A constant: no derivative flows through
        it.

    Raises
    ------
    TypeError, ValueError
        U is no float array ``(K, d, p)`` with p ≤ d, or not finite.
    """
    norm = _norm(U)
    if _is_zero(norm):
        return norm
    return _square(norm, "U must keep the squared norm of [U_1, ..., U_K]", f"a norm of {norm!r}")


def subspace_rate(U: Array, n: int, *, eps: float) -> Scalar:
    """L_c = β λ_max(Σ_k U_k U_kᵀ), β = p/(n ε²): the Lipschitz constant of ∇Rᶜ(·|U), and a sharp one.

    Parameters, errors and proof as in `subspace_rate_bounds`.

    Returns
    -------
    float
    """
    norm, root = _norm(U), math.sqrt(U.shape[-1] / count(n, "n"))
    positive(eps, "eps")
    if _is_zero(norm):
        return norm
    return _square(norm * root / eps, "U and eps must keep L_c", f"a norm of {norm!r} and eps = {eps!r}")


def expansion(n: int, d: int, *, eps: float) -> float:
    """α/8, α = d/(n ε²): how much −R is curved upwards at most.

    Parameters, errors and proof as in `coding_rate_bounds`.

    Returns
    -------
    float
    """
    return -coding_rate_bounds(n, d, eps=eps)[0]


def expansion_at(Z: Array, *, eps: float) -> Array:
    """ℓ(Z) = α max_i min(1/8, u_i, log(1 + u_i)/u_i), u_i = α sᵢ²: how much −R is curved upwards as seen from Z.

    −R(Z + H) ≤ −R(Z) − ⟨∇R(Z), H⟩ + ½ ℓ(Z) ‖H‖² for every H. It is α/8 at most, and where every singular value s of
    the tokens is far from ε√(n/d), far less: log(α s²)/s² beyond it, which does not grow as ε falls.

    Parameters
    ----------
    Z : array, shape (..., n, d)
        Tokens.
    eps : float
        Precision ε > 0.

    Returns
    -------
    array, shape (...)
        Nats per squared unit of the tokens.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    With φ(t) = −½ log(1 + α t²), ℓ bounds φ(t) − φ(s) − φ'(s)(t − s) by ½ ℓ (t − s)² for t ≥ 0 and each singular value
    s. Then −R(Y) − ½ ℓ ‖Y‖² = Σ φ(tᵢ) − ½ ℓ tᵢ² lies below its tangent at Z: the gradient there is −P Diag(g(sᵢ) + ℓ
    sᵢ) Qᵀ if Z = P Diag(sᵢ) Qᵀ, and by von Neumann's trace inequality its product with Y is at least −Σ (g(sᵢ) + ℓ
    sᵢ) tᵢ, each in order of size. The scalar bound: 1/8 is that of `expansion`. For u ≤ 1/8 the difference of the sides
    is convex on αt² ≤ 1 and increases beyond, by 1/(2w) + uw ≥ √(2u), w² = αt². For log(1 + u)/u ≤ 1/8, that is u ≥
    26, it is convex near s and beyond, and positive on αt² ≤ 3, outside of which it bends downwards at most between
    the two.
    """
    xp = namespace(Z=Z)
    require_tokens(Z)
    curvature = alpha(Z.shape[-1], Z.shape[-2], eps)
    x = math.sqrt(curvature) * xp.linalg.svdvals(Z)
    far = xp.clip(x, min=1.0)  # u ≥ 1, where log(1 + u)/u counts; of its root, so that u need not be in range
    near, log_ratio = xp.clip(x, max=1.0) ** 2, 2 * xp.log(xp.hypot(far, xp.ones_like(far))) / far / far
    return as_array(curvature * xp.max(xp.clip(xp.minimum(near, log_ratio), max=1 / 8), axis=-1))


def compression_step(U: Array, n: int, *, eps: float) -> Scalar:
    """1/L_c: gradient steps on Rᶜ(·|U) of this size, and of any size below twice this, decrease Rᶜ.

    Parameters and errors as in `subspace_rate_bounds`; and U must not be zero.

    Returns
    -------
    float
    """
    norm = _nonzero(_norm(U))
    root = math.sqrt(count(n, "n") / U.shape[-1]) * positive(eps, "eps") / norm
    return _square(root, "U and eps must keep the step", f"a norm of {norm!r} and eps = {eps!r}")


def expansion_step(n: int, d: int, *, eps: float) -> float:
    """8/α: proximal gradient steps on λ‖Z‖₁ − R of this size, and of any size below twice this, decrease it.

    Parameters and errors as in `coding_rate_bounds`.

    Returns
    -------
    float

    Notes
    -----
    N23 eq. 77 to 88 majorise −R with curvature 9α/4, and so step 4/(9α): 18 times less.
    """
    root = math.sqrt(8 * count(n, "n") / count(d, "d")) * positive(eps, "eps")
    return float(_square(root, f"eps must keep the step 8 {n} eps^2/{d}", f"{eps!r}"))


def loss_step(U: Array, n: int, *, eps: float) -> Scalar:
    """1/(L_c + α/8): proximal gradient steps on the loss Rᶜ − R + λ‖Z‖₁ of this size decrease it.

    So does any size below twice this. Parameters and errors as in `subspace_rate_bounds`.

    Returns
    -------
    float

    Notes
    -----
    Rᶜ is curved upwards by at most L_c, −R by at most α/8, their sum by at most the sum.
    """
    norm = _norm(U)
    heads, whole = norm * math.sqrt(U.shape[-1]), math.sqrt(U.shape[-2] / 8)
    both = math.hypot(heads, whole) if isinstance(heads, float) else (heads * heads + whole * whole) ** 0.5
    root = math.sqrt(count(n, "n")) * positive(eps, "eps") / both
    return _square(root, "U and eps must keep the step", f"a norm of {norm!r} and eps = {eps!r}")


def partition_step(n: int, d: int, *, eps: float) -> float:
    """1/α: gradient steps on Rᶜ(·|Π) of this size, and of any size up to twice this, do not raise it.

    Parameters and errors as in `coding_rate_bounds`.

    Returns
    -------
    float
    """
    return 1 / coding_rate_bounds(n, d, eps=eps)[1]


def reduction_step(n: int, d: int, *, eps: float) -> float:
    """8/(9α): ascent steps on ΔR(·|Π) of this size, and of any size up to twice this, do not lower it.

    Parameters and errors as in `coding_rate_bounds`.

    Returns
    -------
    float
    """
    return 1 / rate_reduction_bounds(n, d, eps=eps)[1]


def sphere_step(n: int, d: int, *, eps: float) -> float:
    """16/(17α): an ascent step on ΔR(·|Π) of up to this size, then onto the sphere, does not lower it.

    The tokens must be on the sphere, and the memberships those of ΔR: ReduNet with true labels.

    Parameters and errors as in `coding_rate_bounds`.

    Returns
    -------
    float

    Notes
    -----
    `sphere_step_at` for the worst tokens: |ρ| ≤ α, as a token's gradient is no longer than α.
    """
    return 16 / 17 / coding_rate_bounds(n, d, eps=eps)[1]


def sphere_step_at(Z: Array, Pi: Array, *, eps: float) -> Scalar:
    """2/(9α/8 + max(0, −min_i ρ_i)), ρ_i = ⟨z_i, g_i⟩: the same for the tokens at hand, from 16/(17α) to 16/(9α).

    Parameters
    ----------
    Z : array, shape (..., n, d)
        Tokens on the sphere; of several sets, the step is safe for all.
    Pi : array, shape (..., n, K)
        Memberships, hard or soft, held fixed.
    eps : float
        Precision ε > 0.

    Returns
    -------
    float
        A 0-d array where values cannot be read.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    Let g_i be the rows of ∇ΔR(Z|Π), and ∇²ΔR ≥ −L. With η_i = η/(1 + ηρ_i), v_i = η_i(g_i − ρ_i z_i), which is
    tangent, and s_i = √(1 + ‖v_i‖²), the new token is (z_i + v_i)/s_i. By the quadratic bound from below, ΔR gains at
    least Σ_i ((s_i − 1)/s_i) ((s_i + 1)/η_i − ρ_i − L), and (s_i + 1)/η_i ≥ 2/η + 2ρ_i. So 2/η ≥ L − ρ_i suffices:
    with L = 9α/8, the size above. Derived here; `redunet.step-limit-is-sharp` of the ledger says how sharp it is.
    """
    xp = namespace(Pi=Pi)
    gradient = rate_reduction_and_gradient(detached(Z), Pi=detached(Pi), eps=eps)[1]
    n, d = Z.shape[-2:]
    inward = xp.max(xp.clip(-xp.sum(detached(Z) * gradient, axis=-1), min=0.0))
    upper = rate_reduction_bounds(n, d, eps=eps)[1]
    return 2 / (upper + (float(inward) if is_concrete(inward) else inward))


def _norm(U: Array) -> Scalar:
    """‖[U_1, …, U_K]‖₂, the square root of the overlap: in range where that is not."""
    namespace(U=U)
    require_subspaces(U)
    return spectral_norm(side_by_side(U))


def _square(root: Scalar, rule: str, given: str) -> Scalar:
    return in_range(root * root, rule, given)


def _is_zero(norm: Scalar) -> bool:
    return isinstance(norm, float) and norm == 0


def _nonzero(norm: Scalar) -> Scalar:
    if _is_zero(norm):
        raise ValueError("U must not be zero, got bases of zeros")
    return norm
