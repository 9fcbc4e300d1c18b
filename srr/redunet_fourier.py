r"""Shift-invariant ReduNet: all cyclic shifts of a signal are of its class, and a Fourier transform diagonalises them.

A token is a signal of C channels on a cycle of T samples, ``(n, C, T)``, or on a torus ``(n, C, H, W)``; S is the
number of samples. Counted with all their shifts the tokens are nS, of dimension CS, so that α = C/(n ε²). Their Gram
matrix has C × C circulant blocks, and so have E and C_k (Chan et al. 2022, arXiv 2105.10446). At each frequency p, with
ẑ the discrete Fourier transform of the tokens, un-normalised, ::

    Ê(p) = α (I_C + α Σ_i ẑ_i(p) ẑ_i(p)*)⁻¹,        E z = the inverse transform of Ê(p) ẑ(p),

S inverses of size C, of which real signals need half. The published code takes the unitary transform with the same α,
and so has α/S inside the inverse; it is ``scaling="official"``.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import array_api_compat as compat

from srr import flops
from srr._arrays import (
    Array,
    FactorisationError,
    choice,
    detached,
    is_concrete,
    like,
    namespace,
    quiet,
    require_finite,
    require_membership,
    require_shape,
)
from srr._scalars import Scalar, alpha, as_array, nonnegative_scalar, positive_scalar
from srr.layer import Layer
from srr.redunet import RULES, official_shares, require_no_empty_class, softmin, unit

__all__ = [
    "SCALINGS",
    "ShiftInvariantReduNet",
    "all_shifts",
    "shift_invariant_operators",
    "shift_invariant_rate_reduction",
    "shift_invariant_redunet",
]

SCALINGS = ("paper", "official")
"""Names of the scalings of the Fourier transform."""


def all_shifts(Z: Array) -> Array:
    """Every cyclic shift of every signal, as tokens: ``(n, C, *size)`` to ``(n S, C S)``, shifts of one after another.

    Parameters
    ----------
    Z : array, shape (n, C, T) or (n, C, H, W)

    Returns
    -------
    array, shape (n S, C S)

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.
    """
    xp = namespace(Z=Z)
    size, axes = _signals(Z)
    shifted = [xp.roll(Z, shift, axis=axes) for shift in itertools.product(*map(range, size))]
    return xp.reshape(xp.stack(shifted, axis=1), (Z.shape[0] * len(shifted), -1))


def shift_invariant_operators(Z: Array, Pi: Array, *, eps: float, scaling: str = "paper") -> tuple[Array, Array, Array]:
    """Ê(p) and Ĉ_k(p) at the frequencies of a real transform, and γ_k.

    Parameters
    ----------
    Z : array, shape (n, C, T) or (n, C, H, W)
        Signals.
    Pi : array, shape (n, K)
        Memberships, as in `redunet.operators`.
    eps : float
        Precision ε > 0.
    scaling : {"paper", "official"}
        See the module's docstring.

    Returns
    -------
    E : complex array, shape (..., C, C)
        Axes of T//2 + 1 frequencies, or H × (W//2 + 1): what a real signal does not leave to complex conjugation.
    C : complex array, shape (K, ..., C, C)
    gamma : array, shape (K,)

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.
    FactorisationError
        Signals so large that what is to be inverted leaves the range of floats.
    """
    xp, a = _check(Z, Pi, eps)
    with quiet():
        size = math.prod(Z.shape[2:]) * Z.shape[0] * a * xp.sum(detached(Z) ** 2)
    if is_concrete(size) and not math.isfinite(float(size)):
        raise FactorisationError(f"Z and eps must leave I + α Σ ẑẑ* finite in {Z.dtype}, got eps = {eps!r}")
    inside = a / (1 if choice(scaling, SCALINGS, "scaling") == "paper" else math.prod(Z.shape[2:]))
    spectrum = _by_frequency(Z)
    share = xp.mean(Pi, axis=0)
    E = a * _resolvent(inside * _gram(spectrum, spectrum))
    classes = [
        a / share[k] * _resolvent(inside / share[k] * _gram(spectrum * Pi[:, k, None], spectrum))
        for k in range(Pi.shape[1])
    ]
    return E, xp.stack(classes), share


def shift_invariant_rate_reduction(Z: Array, Pi: Array, *, eps: float) -> Array:
    """ΔR of all shifts of the signals, each in the class of its signal, over S: nats, from S determinants of size C.

    Parameters and errors as in `shift_invariant_operators`.

    Returns
    -------
    array, shape ()

    Notes
    -----
    Its gradient at a signal z is E z − Σ_k γ_k π_k C_k z.
    """
    xp, a = _check(Z, Pi, eps)
    spectrum = _by_frequency(Z)
    share = xp.mean(Pi, axis=0)
    value = _half_logdet(a * _gram(spectrum, spectrum), Z.shape[-1])
    for k in range(Pi.shape[1]):
        part = a / share[k] * _gram(spectrum * Pi[:, k, None], spectrum)
        value = value - share[k] * _half_logdet(part, Z.shape[-1])
    return as_array(value / math.prod(Z.shape[2:]))


@dataclass(frozen=True, eq=False)
class ShiftInvariantReduNet(Layer):
    """A layer of the shift-invariant form; `shift_invariant_redunet` builds it and documents the parameters."""

    E: Array
    """``(*frequencies, C, C)``."""
    C: Array
    """``(K, *frequencies, C, C)``."""
    gamma: Array
    """``(K,)``."""
    Pi: Array
    """The memberships it was built with, ``(n, K)``."""
    size: tuple[int, ...]
    """(T,) or (H, W)."""
    rule: str
    eta: Scalar
    sharpness: Scalar

    def compress(self, Z: Array) -> Array:
        """z + η (E z − Σ_k γ_k π_k C_k z) of signals ``(n, C, *size)``: meant to raise ΔR of all shifts."""
        xp = namespace(Z=Z, gamma=self.gamma)
        *_, channels = self.E.shape
        require_shape(Z, ("n", channels, *self.size), "Z")
        require_finite(Z, "Z")
        spectrum = _by_frequency(Z)
        by_class = xp.stack([self._applied(self.C[k, ...], spectrum) for k in range(self.gamma.shape[0])])
        if self.rule == "gradient":
            require_shape(Z, (self.Pi.shape[0], channels, *self.size), "Z")
            Pi = self.Pi
        else:
            flat = xp.reshape(by_class, (*by_class.shape[:2], -1))
            Pi = softmin(self.sharpness * xp.linalg.vector_norm(flat, axis=-1))
        weights = xp.reshape(self.gamma[:, None] * xp.matrix_transpose(Pi), (*by_class.shape[:2], *(1,) * (Z.ndim - 1)))
        return Z + self.eta * (self._applied(self.E, spectrum) - xp.sum(weights * by_class, axis=0))

    def sparsify(self, Z: Array) -> Array:
        """Each signal onto the sphere."""
        namespace(Z=Z)
        require_finite(Z, "Z")
        return unit(Z, 1e-8 if self.rule == "official" else 0.0, 1 + len(self.size))

    def flops(self, n: int) -> int:
        """Of both halves on n signals; see `srr.flops`.

        A complex multiply-add counts 8, and a Fourier transform of S real samples 2.5 S log₂ S, half of what a complex
        one takes (Van Loan 1992, Computational Frameworks for the Fast Fourier Transform): one there, and K + 1 back.
        """
        (*frequencies, C, _), K, S = self.E.shape, self.gamma.shape[0], math.prod(self.size)
        transforms: int = round((K + 2) * n * C * 2.5 * S * math.log2(S))
        return transforms + 4 * flops.product(n * math.prod(frequencies), C, (K + 1) * C)

    def _applied(self, operator: Array, spectrum: Array) -> Array:
        # operator (*frequencies, C, C) on every column ẑ(p) of spectrum (*frequencies, n, C), back as (n, C, *size).
        xp = compat.array_namespace(spectrum)
        moved = xp.matmul(spectrum, xp.matrix_transpose(operator))
        axes = len(self.size)
        moved = xp.permute_dims(moved, (axes, axes + 1, *range(axes)))
        return xp.fft.irfftn(moved, s=self.size, axes=tuple(range(2, 2 + axes)))


def shift_invariant_redunet(
    Z: Array,
    Pi: Array,
    *,
    rule: str = "network",
    scaling: str = "paper",
    eps: float,
    eta: Scalar = 0.5,
    sharpness: Scalar = 500.0,
) -> ShiftInvariantReduNet:
    """The layer of shift-invariant ReduNet that labelled signals define.

    It commutes with cyclic shifts of its signals, and so do any number of such layers.

    Parameters
    ----------
    Z, Pi, eps, scaling
        As in `shift_invariant_operators`; signals on the sphere of all their entries.
    rule, eta, sharpness
        As in `redunet.redunet`. The norm in the memberships is that over channels and samples.

    Returns
    -------
    ShiftInvariantReduNet

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.
    """
    E, C, gamma = shift_invariant_operators(Z, Pi, eps=eps, scaling=scaling)
    choice(rule, RULES, "rule")
    positive_scalar(eta, Z, "eta")
    nonnegative_scalar(sharpness, Z, "sharpness")
    shares = official_shares(gamma) if rule == "official" else gamma
    return ShiftInvariantReduNet(E, C, shares, Pi, tuple(Z.shape[2:]), rule, eta, sharpness)


# --- frequencies --------------------------------------------------------------------------------------------


def _signals(Z: Array) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The size of the signals, and its axes."""
    if Z.ndim not in (3, 4) or 0 in Z.shape:
        raise ValueError(f"Z must have shape (n, C, T) or (n, C, H, W) with no empty axis, got {tuple(Z.shape)}")
    require_finite(Z, "Z")
    return tuple(Z.shape[2:]), tuple(range(2, Z.ndim))


def _check(Z: Array, Pi: Array, eps: float) -> tuple[Array, float]:
    xp = namespace(Z=Z, Pi=Pi)
    _signals(Z)
    require_shape(Pi, (Z.shape[0], "K"), "Pi")
    require_membership(Pi, Z.shape[0])
    require_no_empty_class(Pi)
    return xp, float(alpha(Z.shape[1], Z.shape[0], eps))


def _by_frequency(Z: Array) -> Array:
    """ẑ(p) of every signal, in rows: ``(*frequencies, n, C)``."""
    xp = compat.array_namespace(Z)
    spectrum = xp.fft.rfftn(Z, axes=tuple(range(2, Z.ndim)))
    return xp.permute_dims(spectrum, (*range(2, Z.ndim), 0, 1))


def _gram(left: Array, right: Array) -> Array:
    """Σ_i ẑ_i ẑ_i* of rows ẑ_i, a column each: ``(*frequencies, C, C)``."""
    xp = compat.array_namespace(left)
    return xp.matmul(xp.matrix_transpose(left), xp.conj(right))


def _shifted(gram: Array) -> Array:
    xp = compat.array_namespace(gram)
    *_, size = gram.shape
    return xp.eye(size, **like(gram)) + gram


def _resolvent(gram: Array) -> Array:
    return compat.array_namespace(gram).linalg.inv(_shifted(gram))


def _half_logdet(gram: Array, last: int) -> Array:
    """½ Σ_p log det(I + gram(p)) over all frequencies: those with a mirror image count twice."""
    xp = compat.array_namespace(gram)
    logdet = xp.linalg.slogdet(_shifted(gram))[1]
    twice = xp.sum(logdet) - xp.sum(logdet[..., 0]) / 2
    return twice if last % 2 else twice - xp.sum(logdet[..., -1]) / 2
