r"""Rates of token sets larger than memory, from second moments that add up over blocks of tokens.

Every rate sees tokens through their second moments S = ZᵀZ alone. Those of parts of a set are summed pairwise as the
parts come in, so that memory does not grow with n, and rounding with its logarithm; parts may be on many machines
(`merge`). Forming S squares the condition number, as the Cholesky route of `rates` does:

==========  ===========================================================================================================
``"gram"``  keeps S, at the speed of the matrix product. A `PrecisionWarning` says where S does not resolve a rate.
``"qr"``    keeps the triangular T with TᵀT = S, from QR factorisations of blocks: as accurate as the SVD of all tokens,
            at about four times the cost.
==========  ===========================================================================================================

Error bounds are statistical, as in `rates`: they take roundings for independent, and grow with the square root of the
number of additions in a row; what underflow takes is in them where it is more than 10⁻²⁹² nats (10⁻³¹ in float32).
Rigorous ones, of R and Rᶜ(Z|U) from S in NumPy and float64, are `enclosure.streamed_coding_rate` and
`enclosure.streamed_subspace_coding_rate`, at the cost of a Cholesky factor.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

from array_api_compat import array_namespace, device

from srr import _arrays, _logdet
from srr._arrays import Array, choice, count, namespace, require_finite, require_shape
from srr._heads import require_subspaces
from srr._scalars import alpha, as_array, flag
from srr.rates import RateReport, reported

__all__ = [
    "Moments",
    "blocks",
    "coding_rate",
    "gradient_factor",
    "merge",
    "moments",
    "partition_coding_rate",
    "rate_reduction",
    "second_moments",
    "subspace_coding_rate",
    "subspace_gradient_factor",
]

METHODS = ("gram", "qr")


@dataclass(frozen=True, eq=False)
class Moments:
    """Second moments of n tokens of dimension d; `moments` and `second_moments` make them.

    Attributes
    ----------
    n : int
    method : {"gram", "qr"}
    matrix : array, shape (d, d)
        S = ZᵀZ, or T with TᵀT = S.
    depth : int
        The most additions behind an entry of S, one after the other: what rounding grows with.
    """

    n: int
    method: str
    matrix: Array
    depth: int

    @property
    def gram(self) -> Array:
        """S = ZᵀZ, ``(d, d)``."""
        T = self.matrix
        return T if self.method == "gram" else array_namespace(T).matmul(T.T, T)


# --- moments ----------------------------------------------------------------------------------------------------


def blocks(Z: Any, rows: int = 8192) -> Iterator[Array]:
    """Tokens ``(n, d)`` in blocks of rows: slices of an array or of a memory-mapped file, the blocks of a Dask array.

    Parameters
    ----------
    Z : array, shape (n, d)
        Whatever can be sliced; one with ``compute``, as Dask arrays have, is computed slice by slice.
    rows : int
        Tokens of a block.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.
    """
    size = count(rows, "rows")
    if len(getattr(Z, "shape", ())) != 2:
        raise ValueError(f"Z must have shape (n, d), got {getattr(Z, 'shape', type(Z).__name__)}")
    return _sliced(Z, size)


def _sliced(Z: Any, rows: int) -> Iterator[Array]:
    for start in range(0, Z.shape[0], rows):
        block = Z[start : start + rows]
        yield block.compute() if hasattr(block, "compute") else block


def moments(Z: Iterable[Array], *, method: str = "gram") -> Moments:
    """Second moments of all tokens of an iterable of blocks.

    Parameters
    ----------
    Z : iterable of array, shape (n_i, d)
        Blocks of one library, dtype and device; `blocks` cuts an array into such. Each is read once; some may be
        empty.
    method : {"gram", "qr"}
        See the module's docstring.

    Returns
    -------
    Moments

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it, and the block.
    """
    choice(method, METHODS, "method")
    if not isinstance(Z, Iterable):
        raise TypeError(f"Z must be an iterable of blocks, got {type(Z).__name__}")
    # Like the digits of a binary counter: at place i the moments of 2^i blocks, if any.
    digits: list[Moments | None] = []
    before = None
    for index, block in enumerate(Z):
        name = f"Z[{index}]"
        namespace(**{name: block} if before is None else {"Z[0]": before, name: block})
        if len(block.shape) == 2 and block.shape[0] == 0:
            continue
        require_shape(block, ("n", "d" if before is None else before.shape[1]), name)
        before = block
        carried = _of_block(block, method, name)
        for place, waiting in enumerate(digits):
            if waiting is None:
                digits[place] = carried
                break
            carried, digits[place] = merge(waiting, carried), None
        else:
            digits.append(carried)
    parts = [part for part in digits if part is not None]
    if not parts:
        raise ValueError("Z must have at least one token, got none")
    whole = reduce(merge, parts)
    xp = array_namespace(whole.matrix)
    if not bool(xp.all(xp.isfinite(whole.matrix))):
        raise ValueError(f"Z must have second moments that {whole.matrix.dtype} can hold, got some that overflow")
    return whole


def _of_block(block: Array, method: str, name: str) -> Moments:
    xp, n = array_namespace(block), block.shape[0]
    if method == "qr":
        require_finite(block, name)
        return Moments(n, method, _triangle(block), n)
    S = xp.matmul(xp.matrix_transpose(block), block)
    if not bool(xp.all(xp.isfinite(xp.linalg.diagonal(S)))):  # sums of squares: cheaper to ask than every token
        require_finite(block, name)
    return Moments(n, method, S, n)


def _triangle(A: Array) -> Array:
    """T ``(d, d)`` with TᵀT = AᵀA."""
    xp = array_namespace(A)
    n, d = A.shape
    if n < d:
        A = xp.concat([A, xp.zeros((d, d), **_arrays.like(A))])
    return xp.linalg.qr(A)[1]


def merge(first: Moments, second: Moments) -> Moments:
    """Second moments of both token sets together.

    Raises
    ------
    TypeError, ValueError
        Moments of different dimension, method or array library.
    """
    _required(first, "first")
    _required(second, "second")
    xp = namespace(first=first.matrix, second=second.matrix)
    if second.method != first.method:
        raise ValueError(f"second must have method {first.method!r} as the first, got {second.method!r}")
    require_shape(second.matrix, tuple(first.matrix.shape), "second")
    n, depth = first.n + second.n, max(first.depth, second.depth) + 1
    if first.method == "gram":
        return Moments(n, "gram", first.matrix + second.matrix, depth)
    return Moments(n, "qr", _triangle(xp.concat([first.matrix, second.matrix])), depth)


def second_moments(S: Array, n: int) -> Moments:
    """Moments from a matrix S = ZᵀZ that somebody else has summed, as trainers on many devices do.

    Parameters
    ----------
    S : array, shape (d, d)
        Symmetric; the sum over all n tokens, not their mean.
    n : int
        Tokens, and the additions in a row that S is taken to have behind it: `enclosure` says nothing beyond 2⁴³.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.
    """
    xp = namespace(S=S)
    require_shape(S, ("d", "d"), "S")
    require_finite(S, "S")
    d, width = S.shape
    if d != width:
        raise ValueError(f"S must be square, got shape {tuple(S.shape)}")
    off, size = xp.max(xp.abs(S - S.T)), xp.max(xp.abs(S))
    if float(off) > 16 * d * _arrays.unit_roundoff(S) * float(size):
        raise ValueError(f"S must be symmetric, got entries {float(off):.2g} apart from their transposes")
    if float(xp.min(xp.linalg.diagonal(S))) < 0:
        raise ValueError(f"S must have no negative diagonal, got {float(xp.min(xp.linalg.diagonal(S))):.2g}")
    whole = Moments(count(n, "n"), "gram", (S + S.T) / 2, n)
    least = float(xp.min(xp.linalg.eigvalsh(whole.matrix)))
    if least < -16 * d * (d + math.sqrt(whole.n)) * _arrays.unit_roundoff(S) * float(size):
        raise ValueError(f"S must be positive semidefinite, got an eigenvalue {least:.2g}")
    return whole


# --- rates ------------------------------------------------------------------------------------------------------


def coding_rate(Z: Moments, *, eps: float, report: bool = False) -> Array | RateReport:
    """R(Z) of the tokens whose moments these are, in nats; as `rates.coding_rate`.

    Parameters
    ----------
    Z : Moments
    eps : float
        Precision ε > 0.
    report : bool
        Return a `rates.RateReport`, with a statistical bound on the relative error.

    Returns
    -------
    array, shape (), or RateReport

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.
    """
    return _reported(_coding(Z, eps), Z.method, (), report)


def subspace_coding_rate(Z: Moments, U: Array, *, eps: float, report: bool = False) -> Array | RateReport:
    """Rᶜ(Z|U) of the tokens whose moments these are, in nats; as `rates.subspace_coding_rate`.

    Parameters
    ----------
    Z : Moments
    U : array, shape (K, d, p)
    eps, report
        As in `coding_rate`.

    Returns
    -------
    array, shape (), or RateReport

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.
    """
    return _reported(_subspaces(Z, U, eps), Z.method, U.shape[:1], report)


def partition_coding_rate(parts: Sequence[Moments], *, eps: float, report: bool = False) -> Array | RateReport:
    """Rᶜ(Z|Π) = Σ_k (n_k/n) R(Z_k) of a hard partition, from the moments of its parts; in nats.

    Parameters
    ----------
    parts : sequence of Moments
        One of each part that is not empty.
    eps, report
        As in `coding_rate`.

    Returns
    -------
    array, shape (), or RateReport

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.
    """
    whole = _whole(parts)
    return _reported(_partition(parts, whole.n, eps), whole.method, (len(parts),), report)


def rate_reduction(
    Z: Moments | None = None, *, U: Array | None = None, parts: Sequence[Moments] | None = None, eps: float
) -> Array:
    """ΔR = R(Z) − Rᶜ, against bases U, or against a hard partition from the moments of its parts.

    Parameters
    ----------
    Z : Moments
        Of all tokens; without them, with ``parts``, the sum of these.
    U : array, shape (K, d, p), optional
    parts : sequence of Moments, optional
        Exactly one of U and ``parts`` is to be given.
    eps : float
        Precision ε > 0.

    Returns
    -------
    array, shape ()

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.
    """
    if (U is None) == (parts is None):
        raise ValueError(f"exactly one of U and parts must be given, got {'neither' if U is None else 'both'}")
    if parts is not None:
        whole = _whole(parts)
        if Z is not None and (_required(Z, "Z").n, Z.matrix.shape) != (whole.n, whole.matrix.shape):
            wanted = f"the {whole.n} tokens of dimension {whole.matrix.shape[0]} of its parts"
            raise ValueError(f"Z must be {wanted}, got {Z.n} of dimension {Z.matrix.shape[0]}")
        (value, error), (inner, also) = _coding(whole if Z is None else Z, eps), _partition(parts, whole.n, eps)
    else:
        (value, error), (inner, also) = _coding(Z, eps), _subspaces(Z, U, eps)
    _logdet.warn_where_imprecise(value, error + also)
    return as_array(value - inner)


def gradient_factor(Z: Moments, *, eps: float) -> Array:
    """G ``(d, d)`` with ∇R(Z) = Z G, G = α (I + αS)⁻¹: block by block, each block's gradient is its product with G.

    Parameters, errors as in `coding_rate`.
    """
    Z = _required(Z, "Z")
    return _resolvent(Z, alpha(Z.matrix.shape[1], Z.n, eps))


def subspace_gradient_factor(Z: Moments, U: Array, *, eps: float) -> Array:
    """G ``(d, d)`` with ∇Rᶜ(Z|U) = Z G, G = Σ_k U_k β (I + β U_kᵀSU_k)⁻¹ U_kᵀ.

    Parameters, errors as in `subspace_coding_rate`.
    """
    (Z, beta), xp = _check_bases(Z, U, eps), array_namespace(U)
    heads = xp.stack([_resolvent(_projected(Z, U[k, ...]), beta) for k in range(U.shape[0])])
    return xp.sum(xp.matmul(xp.matmul(U, heads), xp.matrix_transpose(U)), axis=0)


def _half_logdet(Z: Moments, c: float, reach: float = 1.0) -> tuple[Array, Array]:
    """½ log det(I + cS), and a statistical bound on its error; ``reach`` is how often what underflows may enter."""
    xp, T = array_namespace(Z.matrix), Z.matrix
    if Z.method == "qr":
        found = _logdet.half_logdet(T[None, ...], math.sqrt(c), method="svd")
        return found.value[0], found.error_bound[0] * found.value[0]
    u, (q, _) = _arrays.unit_roundoff(T), T.shape
    spectrum = xp.clip(xp.linalg.eigvalsh(T), min=0.0)
    value = xp.sum(xp.log1p(c * spectrum)) / 2
    # Sums of that depth, and the eigenvalues themselves, leave |Δλ| ≤ δ: γ as in _logdet, and Weyl's inequality.
    delta = 4 * math.sqrt(Z.depth + q) * u * xp.max(spectrum) + _lost(Z, c, reach)
    low = xp.clip(spectrum - delta, min=0.0)
    moved = xp.sum(xp.log1p(c * (spectrum + delta - low) / (1 + c * low))) / 2
    return value, moved + (4 + math.sqrt(q)) * u * value


def _resolvent(Z: Moments, c: float) -> Array:
    """c (I + cS)⁻¹, from the singular values of T or the eigenvalues of S."""
    xp = array_namespace(Z.matrix)
    if Z.method == "qr":
        _, sigma, right = xp.linalg.svd(Z.matrix)
        spectrum, V = sigma**2, xp.matrix_transpose(right)
    else:
        spectrum, V = xp.linalg.eigh(Z.matrix)
        spectrum = xp.clip(spectrum, min=0.0)
    return xp.matmul(V * (c / (1 + c * spectrum)), xp.matrix_transpose(V))


def _projected(Z: Moments, U_k: Array) -> Moments:
    """Moments of Z U_k, ``(p, p)``."""
    xp = array_namespace(U_k)
    projected = xp.matmul(Z.matrix, U_k)
    if Z.method == "gram":
        projected = xp.matmul(xp.matrix_transpose(U_k), projected)
        return replace(Z, matrix=(projected + projected.T) / 2, depth=Z.depth + 2 * U_k.shape[0])
    return replace(Z, matrix=_triangle(projected))


def _lost(Z: Moments, c: float, reach: float) -> float:
    """What underflow takes from an eigenvalue of S, n products below the least normal number, if the rate shows it."""
    least = _arrays.least_normal(Z.matrix)
    lost = reach * Z.matrix.shape[0] * Z.n * least
    return lost if c * lost > least / _arrays.unit_roundoff(Z.matrix) else 0.0


def _reach(U_k: Array) -> float:
    """max(1, Σ|u|)²: an entry of S enters U_kᵀSU_k by two of U_k, and of SU_k by one."""
    xp = array_namespace(U_k)
    return max(1.0, float(xp.sum(xp.abs(U_k)))) ** 2


def _coding(Z: Moments | None, eps: float) -> tuple[Array, Array]:
    Z = _required(Z, "Z")
    return _half_logdet(Z, alpha(Z.matrix.shape[1], Z.n, eps))


def _subspaces(Z: Moments | None, U: Array, eps: float) -> tuple[Array, Array]:
    Z, beta = _check_bases(Z, U, eps)
    return _sum([_half_logdet(_projected(Z, U[k, ...]), beta, _reach(U[k, ...])) for k in range(U.shape[0])])


def _partition(parts: Sequence[Moments], n: int, eps: float) -> tuple[Array, Array]:
    rated = [(part.n / n, *_coding(part, eps)) for part in parts]
    return _sum([(weight * value, weight * error) for weight, value, error in rated])


def _sum(terms: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    xp = array_namespace(*terms[0])
    return xp.sum(xp.stack([value for value, _ in terms])), xp.sum(xp.stack([error for _, error in terms]))


def _reported(rated: tuple[Array, Array], method: str, matrices: tuple[int, ...], report: bool) -> Array | RateReport:
    value, error = rated
    if flag(report, "report"):
        xp = array_namespace(value)
        used_svd = xp.full(matrices, method == "qr", device=device(value))
        return reported(value, used_svd, error)
    _logdet.warn_where_imprecise(value, error)
    return as_array(value)


def _required(Z: object, name: str) -> Moments:
    if not isinstance(Z, Moments):
        raise TypeError(f"{name} must be Moments, got {type(Z).__name__}")
    return Z


def _whole(parts: Sequence[Moments]) -> Moments:
    if not isinstance(parts, Sequence) or not parts:
        raise ValueError(f"parts must be a sequence of at least one Moments, got {parts!r}")
    whole = _required(parts[0], "parts[0]")
    for index, part in enumerate(parts[1:], 1):
        whole = merge(whole, _required(part, f"parts[{index}]"))
    return whole


def _check_bases(Z: object, U: Array, eps: float) -> tuple[Moments, float]:
    given = _required(Z, "Z")
    namespace(Z=given.matrix, U=U)
    require_subspaces(U)
    require_shape(U, ("K", given.matrix.shape[1], "p"), "U")
    return given, alpha(U.shape[2], given.n, eps)
