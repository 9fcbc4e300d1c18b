r"""Segmentation by lossy coding: how many nats a set of tokens takes, whole and in parts, and which parts take fewest.

To code n tokens of dimension d, of mean zero, to precision ε takes ::

    L(Z) = (n + d)/2 log det(I + d/(n ε²) ZᵀZ) = (n + d) R(Z):

R(Z) for each token, and d R(Z) once, the *overhead*, for the basis in which they are coded. Without it, L = n R(Z).
In parts Π, with the labels coded as well, ::

    Lˢ(Z, Π) = Σ_k [ (n_k + d)/2 log det(I + d/(n_k ε²) Zᵀ Diag(π_k) Z) − n_k log(n_k/n) ].

Lengths are in nats; divided by log 2 they are in bits, as published. Tokens are rows. Ma, Derksen, Hong and Wright 2007
(IEEE TPAMI 29).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from srr import _arrays, _autodiff, _logdet, _partition
from srr._arrays import Array, namespace
from srr._scalars import as_array, flag
from srr.rates import _check_partition, coding_rate

__all__ = ["Segmentation", "coding_length", "pairwise_steepest_descent", "segmented_length"]


def coding_length(Z: Array, *, eps: float, overhead: bool = True) -> Array:
    """L(Z) = (n + d)/2 log det(I + d/(n ε²) ZᵀZ), in nats.

    Parameters
    ----------
    Z : array, shape (..., n, d)
        n tokens of dimension d. Their mean is taken to be zero: it is neither removed nor coded.
    eps : float
        Precision ε > 0; it enters as ε².
    overhead : bool
        Whether the basis is coded too; without it, n in the place of n + d.

    Returns
    -------
    array, shape (...)

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    Ma, Derksen, Hong and Wright 2007, in bits.
    """
    rate: Array = coding_rate(Z, eps=eps)
    n, d = Z.shape[-2:]
    return as_array((n + d * flag(overhead, "overhead")) * rate)


def segmented_length(Z: Array, Pi: Array, *, eps: float, overhead: bool = True) -> Array:
    """Lˢ(Z, Π) = Σ_k [L(Z_k) − n_k log(n_k/n)], n_k = Σ_j Π_jk, in nats: all parts, and which token is in which.

    Parameters
    ----------
    Z : array, shape (..., n, d)
    Pi : array, shape (..., n, K)
        Memberships, hard or soft, rows on the simplex; batch axes broadcast against those of Z. An empty part takes
        nothing.
    eps, overhead
        As in `coding_length`.

    Returns
    -------
    array, shape (...)

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    Ma, Derksen, Hong and Wright 2007. Concave in Π without the overhead, so that hard memberships are as short as any;
    with it neither is true.
    """
    xp, root = _check_partition(Z, Pi, eps, "auto")
    n, d = Z.shape[-2:]
    basis = d * flag(overhead, "overhead")

    def length(Z: Array, Pi: Array) -> tuple[Array, ...]:
        parts = _partition.gather(Z, Pi)
        groups = (_autodiff.half_logdet(tokens, weights, root, "auto") for tokens, weights in parts.groups)
        rate, error = map(parts.join, *groups)
        label = -xp.log(xp.where(parts.share > 0, parts.share, xp.ones_like(parts.share)))
        weight = n * parts.share + basis
        return xp.sum(weight * rate + n * parts.share * label, axis=1), xp.sum(weight * error, axis=1)

    value, error = _arrays.map_blocks(length, Z, Pi)
    _logdet.warn_where_imprecise(value, error)
    return as_array(value)


class Segmentation(NamedTuple):
    """Where a search for short codes ended."""

    labels: Array
    """The group of each token, 0 to K − 1 in the order of their first tokens, ``(n,)``."""
    lengths: tuple[float, ...]
    """The segmented length from n groups of one token down to K, in nats: each shorter than the one before."""


def pairwise_steepest_descent(Z: Array, *, eps: float, overhead: bool = True) -> Segmentation:
    """Groups of tokens with a short code, by merging: from single tokens, always the two groups that save most.

    It ends where no merger of two groups makes Lˢ shorter, which need not be where Lˢ is shortest.

    Parameters
    ----------
    Z : array, shape (n, d)
        One set of tokens; the result depends on their values and has no derivative.
    eps, overhead
        As in `coding_length`.

    Returns
    -------
    Segmentation

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    Ma, Derksen, Hong and Wright 2007. A group is kept as a triangular root of ZᵀZ in the q = min(n, d) dimensions that
    hold all tokens, so that n tokens take about n² rates of 2q × q matrices and memory for n of them.
    """
    xp = namespace(Z=Z)
    _arrays.require_shape(Z, ("n", "d"), "Z")
    _arrays.require_tokens(Z)
    if not _arrays.is_concrete(Z):
        raise ValueError("Z must have values that can be read, got an array that is being traced")
    (n, d), basis = Z.shape, Z.shape[1] * flag(overhead, "overhead")
    # Rates ask for singular values alone: of the tokens turned into as few dimensions as hold them.
    Z = xp.matrix_transpose(xp.linalg.qr(xp.matrix_transpose(_arrays.detached(Z)))[1])
    _, q = Z.shape

    def lengths(roots: Array, sizes: np.ndarray) -> np.ndarray:  # of groups, their labels included
        m = xp.asarray(np.sqrt(d / q * roots.shape[1] / sizes), **_arrays.like(Z))
        rates = coding_rate(roots * m[:, None, None], eps=eps)
        total: np.ndarray = (sizes + basis) * np.asarray([float(r) for r in rates]) - sizes * np.log(sizes / n)
        return total

    def savings(a: int, others: list[int]) -> np.ndarray:  # by merging group a with each of the others
        pairs = xp.stack([xp.concat([roots[a], roots[b]]) for b in others])
        saved: np.ndarray = length[a] + length[others] - lengths(pairs, size[a] + size[others])
        return saved

    padding = xp.zeros((q - 1, q), **_arrays.like(Z))
    roots = [xp.concat([Z[i : i + 1, :], padding]) for i in range(n)]
    size = np.ones(n)
    length = lengths(xp.stack(roots), size)
    groups, members = list(range(n)), [[i] for i in range(n)]
    saved = np.full((n, n), -np.inf)
    for a in range(n - 1):
        saved[a, a + 1 :] = savings(a, groups[a + 1 :])
    found = [float(np.sum(length))]
    while np.max(saved) > 0:
        a, b = (int(i) for i in np.unravel_index(np.argmax(saved), saved.shape))
        roots[a] = xp.linalg.qr(xp.concat([roots[a], roots[b]]))[1]
        size[a], length[a] = size[a] + size[b], length[a] + length[b] - saved[a, b]
        members[a] += members[b]
        groups.remove(b)
        saved[[a, b], :] = saved[:, [a, b]] = -np.inf
        if others := [k for k in groups if k != a]:
            saved[np.minimum(a, others), np.maximum(a, others)] = savings(a, others)
        found.append(float(np.sum(length[groups])))
    labels = np.zeros(n, dtype=np.int64)
    for k, a in enumerate(groups):
        labels[members[a]] = k
    return Segmentation(xp.asarray(labels, device=_arrays.like(Z)["device"]), tuple(found))
