"""What a layer costs: the flops of its matrix products and factorisations on n tokens, two for each multiply-add.

Softmax, shrinkage, LayerNorm, additions and checks are left out, and so is the norm in the default step of a rule, the
same for any number of tokens. With q = min(n, p)::

    attention              4 n d K p + 4 n² K p
    neumann                4 n d K p + 4 n p q K
    gradient               neumann + K q³                       Cholesky factor and inverse of a head
    implicit               4 n d K p + 8 n p q K + 9 q³ K       eigenvectors of a head
    semi_implicit          linear in n                          a QR factorisation a head, and one of (d + Kp) × d
    token_statistics       4 n d K p + 2 n K p
    contract_and_broadcast 4 n d K p + 8 n r K p + 4 r² K p     r representatives
    ista_step              4 n d m                              m atoms; from a code that is not zero
    ista                   2 n d m (2T − 1)                     T steps from zero

Factorisations are of leading order, as Golub and Van Loan count them (Matrix Computations, 4th edition): q³/3 for a
Cholesky factor (4.2), and 2q³/3 for LAPACK's inverse from it, 9q³ for the eigenvectors of a symmetric matrix and 4q³/3
for its eigenvalues alone (8.3), 4mq² − 4q³/3 for both QR factors of an m × q matrix (5.2) and for its singular values
(8.6), 8q³/3 for an inverse by elimination (3.4).

A layer has a method ``flops(n)``; a layer of one's own needs none, but with one `of_layer` serves it, too.
"""

from __future__ import annotations

from srr._arrays import count

__all__ = [
    "attention",
    "contract_and_broadcast",
    "gradient",
    "implicit",
    "ista",
    "ista_step",
    "neumann",
    "of_layer",
    "semi_implicit",
    "token_statistics",
]


def attention(n: int, d: int, K: int, p: int) -> int:
    """4 n d K p + 4 n² K p: projection and output, Gram matrices and weighted means.

    Parameters
    ----------
    n, d, K, p : int
        Tokens, dimension, heads and their dimension, each at least 1.

    Returns
    -------
    int

    Raises
    ------
    TypeError, ValueError
        A size that is no whole number, or below 1.
    """
    n, d, K, p = _sizes(n=n, d=d, K=K, p=p)
    return 4 * n * d * K * p + 4 * n * n * K * p


def neumann(n: int, d: int, K: int, p: int) -> int:
    """4 n d K p + 4 n p q K, q = min(n, p): projections, Gram matrices, their products with the heads, and back.

    Parameters, result and errors as in `attention`.
    """
    n, d, K, p = _sizes(n=n, d=d, K=K, p=p)
    return 4 * n * d * K * p + 4 * n * p * min(n, p) * K


def gradient(n: int, d: int, K: int, p: int) -> int:
    """4 n d K p + 4 n p q K + K q³, q = min(n, p): the gradient of Rᶜ(Z|U).

    Parameters, result and errors as in `attention`.
    """
    return neumann(n, d, K, p) + K * min(n, p) ** 3


def implicit(n: int, d: int, K: int, p: int) -> int:
    """4 n d K p + 8 n p q K + 9 q³ K, q = min(n, p): `implicit.implicit_step`, with three products of eigenvectors.

    Parameters, result and errors as in `attention`.
    """
    n, d, K, p = _sizes(n=n, d=d, K=K, p=p)
    q = min(n, p)
    return 4 * n * d * K * p + 8 * n * p * q * K + 9 * q**3 * K


def semi_implicit(n: int, d: int, K: int, p: int) -> int:
    """Of ``weighted_bases``, then 4 n d² for the tokens and the inverse from a QR factorisation of (d + Kp) × d.

    Parameters, result and errors as in `attention`.

    Notes
    -----
    `implicit.semi_implicit_step`.
    """
    n, d, K, p = _sizes(n=n, d=d, K=K, p=p)
    return weighted_bases(n, d, K, p) + _inverse_factor(d + K * p, d) + 2 * product(n, d, d)


def weighted_bases(n: int, d: int, K: int, p: int) -> int:
    """2 n d K p + 2 d p² K, and for each head the inverse from a QR factorisation of (n + p) × p."""
    return product(n, d, K * p) + K * (_inverse_factor(n + p, p) + product(d, p, p))


def token_statistics(n: int, d: int, K: int, p: int) -> int:
    """4 n d K p + 2 n K p: `tost.tssa`, projection and output and the second moments.

    Parameters, result and errors as in `attention`.

    Notes
    -----
    Causal forms take cumulative sums in place of the last term, which are not counted.
    """
    n, d, K, p = _sizes(n=n, d=d, K=K, p=p)
    return 4 * n * d * K * p + 2 * n * K * p


def contract_and_broadcast(n: int, d: int, K: int, p: int, r: int) -> int:
    """4 n d K p + 8 n r K p + 4 r² K p: `cbsa.contract_and_broadcast_official`.

    Four products of tokens with representatives: pooling, which is one here, logits, contraction and broadcast. Linear
    in the number of tokens.

    Parameters
    ----------
    n, d, K, p, r : int
        Tokens, dimension, heads and their dimension, representatives, each at least 1.

    Returns
    -------
    int

    Raises
    ------
    TypeError, ValueError
        A size that is no whole number, or below 1.
    """
    n, d, K, p, r = _sizes(n=n, d=d, K=K, p=p, r=r)
    return 4 * n * d * K * p + 8 * n * r * K * p + 4 * r * r * K * p


def ista_step(n: int, d: int, m: int) -> int:
    """4 n d m: what the code leaves of the tokens, and its products with the atoms.

    Parameters
    ----------
    n, d, m : int
        Tokens, dimension and atoms, each at least 1.

    Returns
    -------
    int

    Raises
    ------
    TypeError, ValueError
        A size that is no whole number, or below 1.
    """
    n, d, m = _sizes(n=n, d=d, m=m)
    return 4 * n * d * m


def ista(n: int, d: int, m: int, iterations: int) -> int:
    """2 n d m (2T − 1): T steps of `prox.ista`, the first of which has nothing to reconstruct.

    Parameters
    ----------
    n, d, m, iterations : int
        Tokens, dimension, atoms and T, each at least 1.

    Returns
    -------
    int

    Raises
    ------
    TypeError, ValueError
        A size that is no whole number, or below 1.
    """
    n, d, m, T = _sizes(n=n, d=d, m=m, iterations=iterations)
    return 2 * n * d * m * (2 * T - 1)


def of_layer(layer: object, n: int) -> int:
    """Both halves of a layer on n tokens.

    Parameters
    ----------
    layer : Layer
        With a method ``flops``, as all layers of srr have it.
    n : int
        Tokens, at least 1.

    Returns
    -------
    int

    Raises
    ------
    TypeError, ValueError
        A layer without that method; an n that is no whole number, or below 1.
    """
    cost = getattr(layer, "flops", None)
    if not callable(cost):
        raise TypeError(f"layer must have a method flops(n), got {type(layer).__name__}")
    flops: int = cost(count(n, "n"))
    return flops


def product(n: int, d: int, m: int) -> int:
    """2 n d m: of an n × d and a d × m matrix."""
    return 2 * n * d * m


def coding_rate_gradient(n: int, d: int) -> int:
    """4 n d q + q³, q = min(n, d): of R, the rate of a head that takes no projection."""
    return 4 * n * d * min(n, d) + min(n, d) ** 3


def singular_values(n: int, d: int) -> int:
    """Of an n × d matrix."""
    return _qr(max(n, d), min(n, d))


def eigenvalues(q: int) -> int:
    """Of a symmetric q × q matrix."""
    return 4 * q**3 // 3


def _inverse_factor(m: int, q: int) -> int:
    """Of `implicit.inverse_factor` on (m − q) × q: QR factors of an m × q matrix, and the inverse of one."""
    return _qr(m, q) + 8 * q**3 // 3


def _qr(m: int, q: int) -> int:
    return 4 * q * q * (3 * m - q) // 3


def _sizes(**sizes: int) -> tuple[int, ...]:
    return tuple(count(size, name) for name, size in sizes.items())
