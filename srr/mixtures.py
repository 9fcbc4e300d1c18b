"""Mixtures of Gaussian subspaces: tokens z = U_s a + σ w, and how the subspaces lie to one another.

All randomness is NumPy's PCG64 in float64, converted last: a seed gives the same mixture on every backend.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from array_api_compat import array_namespace

from srr import _arrays
from srr._arrays import Array, count, namespace, nonnegative, require_orthonormal
from srr._heads import require_subspaces
from srr._scalars import as_array, flag

__all__ = ["Mixture", "coherence", "principal_angles", "sample"]

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@dataclass(frozen=True, eq=False)
class Mixture:
    """Tokens drawn from a mixture of Gaussian subspaces, and the mixture; `sample` makes one."""

    Z: Array
    """Tokens, ``(n, d)``."""
    U: Array
    """Orthonormal bases, ``(K, d, p)``."""
    labels: Array
    """The subspace of every token, integers ``(n,)``."""
    law: Law
    """What the tokens were drawn from."""

    @property
    def Pi(self) -> Array:
        """The labels as hard memberships, ``(n, K)``."""
        xp = array_namespace(self.U)
        classes = xp.arange(self.U.shape[0], dtype=self.labels.dtype, device=_arrays.like(self.Z)["device"])
        return xp.astype(self.labels[:, None] == classes, self.Z.dtype)

    def draws(self, number: int) -> Iterator[Array]:
        """``number`` fresh token sets ``(n, d)`` of the same mixture; the same ones each time."""
        return (self.draw(index).Z for index in range(1, count(number, "number") + 1))

    def draw(self, index: int) -> Mixture:
        """The token set of that index, with its labels; index 0 is this mixture as sampled."""
        Z, labels = self.law.tokens(self.Z.shape[0], count(index, "index", least=0))
        return Mixture(_converted(Z, self.Z), self.U, _labels(labels, self.Z), self.law)


@dataclass(frozen=True, eq=False)
class Law:
    """A mixture of Gaussian subspaces in float64."""

    bases: Floats
    """``(K, d, p)``."""
    spectrum: Floats
    """Variances along the columns of each basis, ``(K, p)``."""
    weights: Floats | None
    """Shares of the subspaces, ``(K,)``; None: as equal as n allows."""
    noise: float
    """σ."""
    confined: bool
    """Whether the noise lies in the other subspaces only."""
    seed: int

    def tokens(self, n: int, index: int) -> tuple[Floats, np.ndarray[tuple[int], np.dtype[np.int64]]]:
        """n tokens and their labels."""
        rng = _generator(self.seed, 1 + index)
        K, d, p = self.bases.shape
        if self.weights is None:
            labels = rng.permutation(np.arange(n) % K)
        else:
            labels = rng.choice(K, size=n, p=self.weights)
        code = np.zeros((n, K, p))
        code[np.arange(n), labels] = rng.standard_normal((n, p)) * np.sqrt(self.spectrum)[labels]
        span = self.bases.transpose(0, 2, 1).reshape(K * p, d)
        clean = code.reshape(n, K * p) @ span
        if not self.confined:
            return clean + self.noise * rng.standard_normal((n, d)), labels
        stray = rng.standard_normal((n, K, p))
        stray[np.arange(n), labels] = 0
        return clean + self.noise * stray.reshape(n, K * p) @ span, labels


def sample(
    *,
    n: int,
    d: int,
    K: int,
    p: int,
    noise: float = 0.0,
    confined: bool = False,
    spectrum: Sequence[float] | Sequence[Sequence[float]] | None = None,
    weights: Sequence[float] | None = None,
    coherence: str | float | Sequence[float] = "orthogonal",
    seed: int,
    like: Array | None = None,
) -> Mixture:
    """Draw K subspaces of dimension p and n tokens z = U_s a + σ w, a ~ N(0, Diag(spectrum_s)), w ~ N(0, I).

    Parameters
    ----------
    n, d, K, p : int
        Tokens, their dimension, subspaces, dimension of each.
    noise : float
        σ ≥ 0, per coordinate of the whole space.
    confined : bool
        Noise in the other subspaces only: z = U_s a + σ Σ_{j ≠ s} U_j e_j, e_j ~ N(0, I), the noisy mixture of low-rank
        Gaussians of Wang et al. 2025 (arXiv 2506.03790).
    spectrum : sequence of p floats, or K of them, optional
        Variances ≥ 0 along the basis vectors; ones by default.
    weights : sequence of K floats, optional
        Probabilities of the subspaces: labels are drawn independently. By default the K parts are as equal as
        n allows, in random order.
    coherence : {"orthogonal", "random"}, float or sequence of p floats
        How the subspaces lie: mutually orthogonal; independent and uniform; or with these principal angles,
        in radians from 0 to π/2, between every two of them (one float: all p angles equal). All but "random"
        ask for K p ≤ d.
    seed : int
        ≥ 0.
    like : array, optional
        The result is of its library, dtype and device; NumPy float64 by default.

    Returns
    -------
    Mixture

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.
    """
    n, d, K, p = count(n, "n"), count(d, "d"), count(K, "K"), count(p, "p")
    if p > d:
        raise ValueError(f"p must be <= d = {d}, got {p}")
    seed = count(seed, "seed", least=0)
    law = Law(
        _bases(_generator(seed, 0), d, K, p, coherence),
        _spectrum(spectrum, K, p),
        None if weights is None else _weights(weights, K),
        nonnegative(noise, "noise"),
        flag(confined, "confined"),
        seed,
    )
    if like is None:
        like = law.bases
    namespace(like=like)
    Z, labels = law.tokens(n, 0)
    return Mixture(_converted(Z, like), _converted(law.bases, like), _labels(labels, like), law)


def principal_angles(U: Array) -> Array:
    """The p principal angles between every two of the subspaces, in radians, ascending.

    Parameters
    ----------
    U : array, shape (K, d, p)
        Orthonormal bases.

    Returns
    -------
    array, shape (K, K, p)
        Accurate at both ends: the angle is arctan2 of sine and cosine, each from singular values.

    Raises
    ------
    TypeError, ValueError
        U is no float array ``(K, d, p)``, or not finite, or a basis is not orthonormal.

    Notes
    -----
    Björck and Golub 1973.
    """
    xp = _check_bases(U)
    left, right = U[:, None, :, :], U[None, :, :, :]
    inner = xp.matmul(xp.matrix_transpose(left), right)
    cosine = xp.linalg.svdvals(inner)
    sine = xp.flip(xp.linalg.svdvals(right - xp.matmul(left, inner)), axis=-1)
    return xp.atan2(sine, cosine)


def coherence(U: Array) -> Array:
    """The largest cosine between two of the subspaces: 0 if all are orthogonal, 1 if two share a direction.

    max over j ≠ k of ‖U_jᵀU_k‖₂, the cosine of the least principal angle; 0 when K = 1.

    Parameters and errors as in `principal_angles`.

    Returns
    -------
    array, shape ()
    """
    xp = _check_bases(U)
    K = U.shape[0]
    inner = xp.matmul(xp.matrix_transpose(U[:, None, :, :]), U[None, :, :, :])
    apart = 1 - xp.eye(K, **_arrays.like(U))
    return as_array(xp.max(xp.linalg.svdvals(inner * apart[:, :, None, None])))


def _check_bases(U: Array) -> Array:
    xp = namespace(U=U)
    require_subspaces(U)
    require_orthonormal(U)
    return xp


# --- drawing ------------------------------------------------------------------------------------------------


def _generator(seed: int, stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(stream,))))


def _bases(rng: np.random.Generator, d: int, K: int, p: int, coherence: str | float | Sequence[float]) -> Floats:
    if isinstance(coherence, str) and coherence == "random":
        return _orthonormal(rng.standard_normal((K, d, p)))
    apart = 2 * np.sin(_angles(coherence, p) / 2) ** 2  # 1 − cos θ, to the last digit of a tiny θ
    if K * p > d:
        raise ValueError(f'coherence must be "random" when K p = {K * p} > d = {d}, got {coherence!r}')
    frame = _orthonormal(rng.standard_normal((d, K * p))).reshape(d, K, p)
    # Column i of the K bases: K unit vectors with inner products cos θ_i, from the root of their Gram matrix.
    off = (np.sqrt(K - (K - 1) * apart) - np.sqrt(apart)) / K
    root = np.sqrt(apart) * np.eye(K)[:, :, None] + off
    return np.ascontiguousarray(np.einsum("kji,dji->kdi", root, frame))


def _orthonormal(gaussian: Floats) -> Floats:
    Q, R = np.linalg.qr(gaussian)
    signs = np.copysign(1.0, np.diagonal(R, axis1=-2, axis2=-1))  # R's diagonal > 0: Q is uniform
    return np.ascontiguousarray(Q * signs[..., None, :])


def _angles(coherence: str | float | Sequence[float], p: int) -> Floats:
    if isinstance(coherence, str):
        if coherence != "orthogonal":
            raise ValueError(f'coherence must be "orthogonal", "random" or angles, got {coherence!r}')
        return np.full(p, math.pi / 2)
    angles = _floats(coherence, "coherence")
    if angles.shape not in ((), (p,)):
        raise ValueError(f"coherence must be one angle or p = {p} of them, got shape {angles.shape}")
    if angles.min() < 0 or angles.max() > math.pi / 2:
        raise ValueError(f"coherence must have angles from 0 to pi/2, got {coherence!r}")
    return np.broadcast_to(angles, p)


def _spectrum(spectrum: Sequence[float] | Sequence[Sequence[float]] | None, K: int, p: int) -> Floats:
    variances = _floats(1.0 if spectrum is None else spectrum, "spectrum")
    if spectrum is not None and variances.shape not in ((p,), (K, p)):
        raise ValueError(f"spectrum must have shape ({p},) or ({K}, {p}), got {variances.shape}")
    if variances.min() < 0:
        raise ValueError(f"spectrum must have variances >= 0, got {variances.min()}")
    return np.broadcast_to(variances, (K, p))


def _weights(weights: Sequence[float], K: int) -> Floats:
    shares = _floats(weights, "weights")
    if shares.shape != (K,):
        raise ValueError(f"weights must have shape ({K},), got {shares.shape}")
    if shares.min() < 0 or not math.isclose(shares.sum(), 1):
        raise ValueError(f"weights must be >= 0 and sum to 1, got {weights!r}")
    normalised: Floats = shares / shares.sum()
    return normalised


def _floats(values: object, name: str) -> Floats:
    try:
        array = np.asarray(values)
    except ValueError:  # ragged
        array = np.asarray(None)
    if not issubclass(array.dtype.type, np.integer | np.floating):
        raise TypeError(f"{name} must be real numbers, got {values!r}")
    array = np.asarray(array, np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, got {values!r}")
    return array


def _converted(a: Floats, like: Array) -> Array:
    return array_namespace(like).asarray(a, **_arrays.like(like))


def _labels(labels: np.ndarray[tuple[int], np.dtype[np.int64]], like: Array) -> Array:
    return array_namespace(like).asarray(labels, device=_arrays.like(like)["device"])
