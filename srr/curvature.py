r"""How curved the rates are, and the step sizes that follow.

All bounds rest on one spectrum. Let F(Z) = ½ log det(I + α ZᵀZ) = ½ Σ log(1 + α sᵢ²), a function of the singular values of
Z. Its Hessian has as eigenvalues, with g(s) = d/ds ½ log(1 + α s²) = α s/(1 + α s²),

    g'(sᵢ),   (g(sᵢ) − g(sⱼ))/(sᵢ − sⱼ),   (g(sᵢ) + g(sⱼ))/(sᵢ + sⱼ),   g(sᵢ)/sᵢ,

the last when n ≠ d. g is odd, so each is a divided difference of g, and the mean value theorem puts it in the range of
g'(s) = α (1 − α s²)/(1 + α s²)². That range is [−α/8, α]: the maximum at s = 0, the minimum where α s² = 3. Both ends are
attained. N23 lemma 6 proves |∇²F| ≤ 9α/4; what a step needs is sharper: F is curved upwards by at most α, and −F by at most
α/8.

A smooth function curved upwards by at most L descends under gradient (and proximal gradient) steps of size below 2/L, and
1/L takes the most off the bound.
"""

from __future__ import annotations

from srr._arrays import Array, namespace, require_bases, require_shape
from srr._heads import side_by_side
from srr._scalars import Scalar, alpha, squared_norm

__all__ = [
    "coding_rate_bounds",
    "compression_step",
    "expansion",
    "expansion_step",
    "loss_step",
    "overlap",
    "partition_rate_bounds",
    "subspace_rate",
    "subspace_rate_bounds",
]


def coding_rate_bounds(n: int, d: int, *, eps: float) -> tuple[float, float]:
    """(−α/8, α): between these lies the Hessian of R at every Z ``(n, d)``, α = d/(n ε²).

    Both are attained: α at Z = 0, −α/8 where a singular value has α s² = 3.

    Parameters
    ----------
    n, d : int
        Tokens and their dimension.
    eps : float
        Precision ε > 0.

    Returns
    -------
    lower, upper : float
        Nats per squared token unit.

    Raises
    ------
    TypeError, ValueError
        n or d below 1 or no integer; eps not a finite number above zero.

    Notes
    -----
    The module's docstring has the proof. It sharpens N23 (arXiv 2306.01129) lemma 6, whose bound is ±9α/4.
    """
    a = _alpha(n, d, eps)
    return -a / 8, a


def partition_rate_bounds(n: int, d: int, *, eps: float) -> tuple[float, float]:
    """(−α/8, α): between these lies the Hessian in Z of Rᶜ(Z|Π), for every fixed partition Π, hard or soft.

    Parameters, result and errors as in `coding_rate_bounds`.

    Notes
    -----
    Part k is (n_k/n) F_k(Diag(π_k)^½ Z) with constant α_k = d/(n_k ε²), and n_k α_k/n = α, so its second derivative along H
    lies in [−α/8, α] · ‖Diag(π_k)^½ H‖². These sum to ‖H‖², the rows of Π being on the simplex. So neither the number
    of parts nor the smallest part enters.
    """
    return coding_rate_bounds(n, d, eps=eps)


def subspace_rate_bounds(U: Array, n: int, *, eps: float) -> tuple[Scalar, Scalar]:
    """(−L_c/8, L_c): between these lies the Hessian of Rᶜ(Z|U), L_c = β λ_max(Σ_k U_k U_kᵀ), β = p/(n ε²).

    The upper end is attained at Z = 0, whatever U.

    Parameters
    ----------
    U : array, shape (K, d, p)
        Any bases, orthonormal or not.
    n : int
        Tokens.
    eps : float
        Precision ε > 0.

    Returns
    -------
    lower, upper : float
        Nats per squared token unit; 0-d arrays where values cannot be read, as under ``jax.jit``. Constants: no
        derivative flows through them.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    Head k is F(ZU_k) with constant β, so its second derivative along H lies in [−β/8, β] · ‖HU_k‖², and Σ_k ‖HU_k‖² ≤
    λ_max(Σ_k U_k U_kᵀ) ‖H‖².
    """
    L = subspace_rate(U, n, eps=eps)
    return -L / 8, L


def overlap(U: Array) -> Scalar:
    """λ_max(Σ_k U_k U_kᵀ): 1 for mutually orthogonal subspaces, K when they share a direction, never more.

    (For orthonormal bases; for others it is ‖[U_1, …, U_K]‖₂², between the largest ‖U_k‖₂² and their sum.)

    Parameters
    ----------
    U : array, shape (K, d, p)

    Returns
    -------
    float
        A 0-d array where values cannot be read. A constant: no derivative flows through it.

    Raises
    ------
    TypeError, ValueError
        U is no float array ``(K, d, p)`` with p ≤ d, or not finite.
    """
    namespace(U=U)
    require_shape(U, ("K", "d", "p"), "U")
    require_bases(U, U.shape[1])
    return squared_norm(side_by_side(U))


def subspace_rate(U: Array, n: int, *, eps: float) -> Scalar:
    """L_c = β λ_max(Σ_k U_k U_kᵀ): the Lipschitz constant of ∇Rᶜ(·|U), and sharp.

    Parameters, errors and proof as in `subspace_rate_bounds`.

    Returns
    -------
    float
    """
    return overlap(U) * alpha(U.shape[-1], n, eps)


def expansion(n: int, d: int, *, eps: float) -> float:
    """α/8: how much −R is curved upwards at most, α = d/(n ε²).

    Parameters, errors and proof as in `coding_rate_bounds`.

    Returns
    -------
    float
    """
    return _alpha(n, d, eps) / 8


def compression_step(U: Array, n: int, *, eps: float) -> Scalar:
    """1/L_c: gradient steps on Rᶜ(·|U) of this size, and of every size below twice it, decrease Rᶜ.

    Parameters and errors as in `subspace_rate_bounds`; besides, U must not be zero.

    Returns
    -------
    float
    """
    return 1 / _nonzero(subspace_rate(U, n, eps=eps))


def expansion_step(n: int, d: int, *, eps: float) -> float:
    """8/α: proximal gradient steps on λ‖Z‖₁ − R of this size, and of every size below twice it, decrease it.

    Parameters and errors as in `coding_rate_bounds`. The majoriser of N23 eq. 77–88 has 9α/4 for α/8: steps 18 times shorter.

    Returns
    -------
    float
    """
    return 1 / expansion(n, d, eps=eps)


def loss_step(U: Array, n: int, *, eps: float) -> Scalar:
    """1/(L_c + α/8): proximal gradient steps of this size on the whole loss Rᶜ − R + λ‖Z‖₁ decrease it.

    Parameters and errors as in `subspace_rate_bounds`.

    Returns
    -------
    float

    Notes
    -----
    Rᶜ is curved upwards by at most L_c and −R by at most α/8, so the smooth part by at most their sum.
    """
    return 1 / (subspace_rate(U, n, eps=eps) + expansion(n, U.shape[1], eps=eps))


def _alpha(n: int, d: int, eps: float) -> float:
    return alpha(d, n, eps)


def _nonzero(L: Scalar) -> Scalar:
    if isinstance(L, float) and L == 0:
        raise ValueError("U must not be zero, got bases of zeros")
    return L
