"""Rates of many token sets at several precisions, with [CLS] and without, from one Gram matrix each."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from srr._heads import project, side_by_side

CLS = {"first": 0, "last": -1, "none": None}
"""Which token is [CLS]."""


def without(Z: Tensor, cls: str) -> Tensor:
    """Tokens ``(..., n, d)`` but for [CLS]."""
    return {"first": Z[..., 1:, :], "last": Z[..., :-1, :], "none": Z}[cls]


def rates(A: Tensor, *, eps: Sequence[float], cls: str) -> Tensor:
    """½ log det(I + q/(n ε²) AᵀA) for every ε, first with [CLS], then without it.

    R(Z) for A = Z, and R of a head for A = ZU_k.

    Parameters
    ----------
    A : Tensor, shape (..., n, q)
    eps : sequence of float
    cls : {"first", "last", "none"}
        Which token is [CLS]; with none there is no second form.

    Returns
    -------
    Tensor, shape (..., forms, len(eps))
        Nats.

    Notes
    -----
    One Cholesky factorisation of the smaller Gram matrix for each ε: for fewer than seven of them cheaper than its
    eigenvalues. Where rounding may have taken more than √u of a rate, it is taken from singular values instead.
    """
    n, q = A.shape[-2:]
    forms = [(A, None)] if cls == "none" else [(A, None), (without(A, cls), None)]
    if n <= q:
        gram = A @ A.mT
        grams = [gram, *(_dropped(gram, cls) for _ in forms[1:])]
    else:  # added to the Gram matrix of the others, which loses nothing, rather than taken off that of all
        rest = without(A, cls)
        gram = rest.mT @ rest
        one = A[..., CLS[cls], :] if cls != "none" else None
        grams = [gram] if one is None else [gram + one[..., :, None] * one[..., None, :], gram]
    return torch.stack([_half_log_dets(B, G, eps) for (B, _), G in zip(forms, grams, strict=True)], dim=-2)


def subspace_rates(Y: Tensor, *, eps: Sequence[float], cls: str) -> Tensor:
    """Rᶜ of heads Y ``(b, K, n, p)`` (`heads`), as `rates` does: ``(b, forms, len(eps))``."""
    return rates(Y, eps=eps, cls=cls).sum(1)


def official_rates(Y: Tensor, *, eps: float, cls: str) -> Tensor:
    """What the code of CRATE measures for Rᶜ, of heads Y: every token of every head divided by its norm first.

    ``vis_utils/coding_rate.py`` of the code of Yu et al. 2023 (arXiv 2306.01129), whose ``eps=0.01`` is ε², so that
    ε = 0.1. A projection of zero, of which that code makes NaN, stays zero. Result ``(b, forms)``.
    """
    norms = torch.linalg.vector_norm(Y, dim=-1, keepdim=True)
    return subspace_rates(Y / torch.where(norms > 0, norms, 1.0), eps=(eps,), cls=cls)[..., 0]


def heads(Z: Tensor, U: Tensor) -> Tensor:
    """Y_k = ZU_k, ``(b, n, d)`` to ``(b, K, n, p)``."""
    return project(Z, side_by_side(U), U.shape[0])


def _dropped(gram: Tensor, cls: str) -> Tensor:
    return gram[..., 1:, 1:] if cls == "first" else gram[..., :-1, :-1]


def _half_log_dets(A: Tensor, gram: Tensor, eps: Sequence[float]) -> Tensor:
    n, q = A.shape[-2:]
    size, u = gram.shape[-1], torch.finfo(A.dtype).eps / 2
    c = torch.tensor([q / (n * e * e) for e in eps], dtype=A.dtype, device=A.device)
    M = c[:, None, None] * gram[..., None, :, :]
    M.diagonal(dim1=-2, dim2=-1).add_(1)
    trace = M.diagonal(dim1=-2, dim2=-1).sum(-1)
    L, info = torch.linalg.cholesky_ex(M)
    pivots = L.diagonal(dim1=-2, dim2=-1)
    value = torch.log(pivots).sum(-1)
    # Rounding moves log det M by γ tr M at most, γ = 4 √(n + q) u (Higham and Mary 2019), as in srr's own rates.
    bound = 2 * math.sqrt(n + q) * u * trace
    sound = (info == 0) & (bound <= math.sqrt(u) * value) & (pivots.amin(-1) ** 2 > 8 * size * u)
    if not bool(sound.all()):
        doubtful = ~sound.all(-1)
        s = torch.linalg.svdvals(A[doubtful])
        value[doubtful] = torch.log1p(c[:, None] * s[..., None, :] ** 2).sum(-1) / 2
    return value
