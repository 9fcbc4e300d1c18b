"""The variants of CRATE by Hu, Zou and Xu: the official layer with an output matrix W that is not learned.

With heads side by side in the columns of S = [softmax(c Y_kY_kᵀ) Y_k]_k, the compression is Z + S Wᵀ::

    conceptual   C          W = [U_1, …, U_K]
    negative     N          W = −[U_1, …, U_K]
    transpose    T          W = [U_1, …, U_K]ᵀ      K p = d
    fixed        Fix        W as initialised, at random
    identity     Identity   W = I                   K p = d

The first two depend on the subspaces alone. The others depend on the bases by which they are given, which Rᶜ does not.
"""

from __future__ import annotations

import numpy as np
from array_api_compat import array_namespace

from srr._arrays import Array, choice, count, like, namespace
from srr._heads import require_subspaces, side_by_side
from srr._scalars import Scalar
from srr.crate import Official, official

__all__ = ["VARIANTS", "crate_variant", "output_matrix"]

VARIANTS = ("conceptual", "negative", "transpose", "fixed", "identity")
"""Names of the variants of `crate_variant`."""


def output_matrix(U: Array, variant: str, *, seed: int = 0) -> Array:
    """The output matrix W ``(d, K p)`` of a variant.

    Parameters
    ----------
    U : array, shape (K, d, p)
        Bases; K p = d for "transpose" and "identity".
    variant : {"conceptual", "negative", "transpose", "fixed", "identity"}
    seed : int
        Of the W that is fixed: uniform between ±1/√(K p), as torch initialises a linear map.

    Returns
    -------
    array, shape (d, K p)

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    Hu, Zou and Xu 2024 (arXiv 2411.17182), section on the variants of CRATE.
    """
    namespace(U=U)
    require_subspaces(U)
    choice(variant, VARIANTS, "variant")
    count(seed, "seed", least=0)
    xp = array_namespace(U)
    K, d, p = U.shape
    if variant in ("transpose", "identity") and K * p != d:
        raise ValueError(f"U must have K p = d with variant {variant!r}, got {tuple(U.shape)}")
    W = side_by_side(U)
    if variant == "fixed":
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
        return xp.asarray(rng.uniform(-1, 1, (d, K * p)) / np.sqrt(K * p), **like(U))
    if variant == "identity":
        return xp.eye(d, **like(U))
    return {"conceptual": W, "negative": -W, "transpose": xp.matrix_transpose(W)}[variant]


def crate_variant(
    U: Array,
    D: Array,
    *,
    variant: str,
    seed: int = 0,
    scale: Scalar | None = 1.0,
    eta: Scalar = 0.1,
    lam: Scalar = 0.1,
) -> Official:
    """A layer of CRATE with the output matrix of a variant, then one ISTA step.

    Parameters
    ----------
    U : array, shape (K, d, p)
        Bases.
    D : array, shape (d, d)
        Dictionary.
    variant, seed
        As in `output_matrix`.
    scale : float or 0-d array, optional
        c > 0 in the softmax: 1 as in the papers, unless given; None for the p^−½ of the code.
    eta, lam : float or 0-d array
        η > 0 and λ ≥ 0 of the ISTA step.

    Returns
    -------
    Official
        ``PreNorm`` of it has the LayerNorms of the code.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; the message names it.

    Notes
    -----
    Hu, Zou and Xu 2024 (arXiv 2411.17182). The first is `crate` with ``rule="conceptual"``.
    """
    return official(U, D, output=output_matrix(U, variant, seed=seed), scale=scale, eta=eta, lam=lam)
