"""Rates of many token sets at several precisions, with [CLS] and without, from one Gram matrix each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from srr._heads import project, side_by_side

CLS = {"first": 0, "last": -1, "none": None}
"""Which token is [CLS]."""
OFFICIAL_EPS = 0.1
"""ε of the official measure, in whose code ``eps=0.01`` stands for ε²."""


def without(Z: Tensor, cls: str) -> Tensor:
    """Tokens ``(..., n, d)`` but for [CLS]."""
    return {"first": Z[..., 1:, :], "last": Z[..., :-1, :], "none": Z}[cls]


def over_tokens(by_token: Tensor, cls: str) -> Tensor:
    """Sums over tokens of numbers of theirs ``(..., n)``: ``(..., forms)``, with [CLS], then without it."""
    kinds = [by_token] if cls == "none" else [by_token, without(by_token[..., None], cls)[..., 0]]
    return torch.stack([kind.sum(-1) for kind in kinds], dim=-1)


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
    return _factored(A, grams(A, cls), eps, cls)[0]


@dataclass(frozen=True, eq=False)
class Heads:
    """The projections of token sets onto subspaces, and what is computed of them, once.

    Attributes
    ----------
    Y : Tensor, shape (b, K, n, p)
        Y_k = ZU_k.
    U : Tensor, shape (K, d, p)
    eps : tuple of float
    cls : {"first", "last", "none"}
    """

    Y: Tensor
    U: Tensor
    eps: tuple[float, ...]
    cls: str

    @classmethod
    def of(cls, Z: Tensor, U: Tensor, *, eps: Sequence[float], which: str) -> Heads:
        """Of tokens ``(b, n, d)``; ``which`` token is [CLS]."""
        return cls(project(Z, side_by_side(U), U.shape[0]), U, tuple(eps), which)

    @property
    def constants(self) -> Tensor:
        """β = p/(n ε²), ``(forms, len(eps))``."""
        return _constants(*self.Y.shape[-2:], self.eps, self.cls, self.Y)

    @cached_property
    def grams(self) -> Tensor:
        """Of every head, as `grams` has them: ``(b, K, forms, s, s)``."""
        return grams(self.Y, self.cls)

    @cached_property
    def _factored(self) -> tuple[Tensor, Tensor | None]:
        return _factored(self.Y, self.grams, self.eps, self.cls)

    @cached_property
    def Rc(self) -> Tensor:
        """Rᶜ(Z|U), ``(b, forms, len(eps))``."""
        return self._factored[0].sum(1)

    @cached_property
    def official(self) -> Tensor:
        """What the code of CRATE measures for Rᶜ, every token of every head divided by its norm first: ``(b, forms)``.

        ``vis_utils/coding_rate.py`` of the code of Yu et al. 2023 (arXiv 2306.01129), whose ``eps=0.01`` is ε², so that
        ε = 0.1. A projection of zero, of which that code makes NaN, stays zero.
        """
        norms = torch.linalg.vector_norm(self.Y, dim=-1, keepdim=True)
        normalised = self.Y / torch.where(norms > 0, norms, 1.0)
        return rates(normalised, eps=(OFFICIAL_EPS,), cls=self.cls).sum(1)[..., 0]

    @cached_property
    def gradients(self) -> list[list[Tensor]]:
        """∇Rᶜ(Z|U) = β Σ_k Y_k (I + β Y_kᵀY_k)⁻¹ U_kᵀ by [CLS] form and ε, each ``(b, n, d)`` or a token less."""
        n, p = self.Y.shape[-2:]
        c, W, L = self.constants, side_by_side(self.U), self._factored[1]
        inverses = torch.linalg.inv(_systems(self.grams, c)) if L is None else torch.cholesky_inverse(L)
        found = []
        for form, row in enumerate(c.tolist()):
            found.append([])
            for e, beta in enumerate(row):
                X = beta * inverses[:, :, form, e]
                shrunk = self.Y @ X if p <= n else X @ self.Y
                kept = without(shrunk, self.cls) if form else shrunk
                found[-1].append(kept.transpose(1, 2).flatten(2) @ W.T)
        return found

    @cached_property
    def lengths(self) -> Tensor:
        """‖∇Rᶜ(Z|U)‖, ``(b, forms, len(eps))``."""
        rows = [[torch.linalg.vector_norm(a, dim=(1, 2)) for a in row] for row in self.gradients]
        return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def grams(A: Tensor, cls: str) -> Tensor:
    """The smaller of AᵀA and AAᵀ of A ``(..., n, q)`` with [CLS], then without it: ``(..., forms, s, s)``, s ≤ n, q.

    Without [CLS], AAᵀ has zeros where it was, which changes no log det(I + c AAᵀ).
    """
    n, q = A.shape[-2:]
    at = CLS[cls]
    if n <= q:
        gram = A @ A.mT
        if at is None:
            return gram[..., None, :, :]
        both = torch.stack([gram, gram], dim=-3)
        both[..., 1, at, :] = 0
        both[..., 1, :, at] = 0
        return both
    rest = without(A, cls)
    gram = rest.mT @ rest
    if at is None:
        return gram[..., None, :, :]
    one = A[..., at, :]  # added to the Gram matrix of the others, which loses nothing; taking it off that of all would
    return torch.stack([gram + one[..., :, None] * one[..., None, :], gram], dim=-3)


def _constants(n: int, q: int, eps: Sequence[float], cls: str, like: Tensor) -> Tensor:
    """q/(n ε²), ``(forms, len(eps))``: without [CLS] there is one token less."""
    tokens = [n] if cls == "none" else [n, n - 1]
    return torch.tensor([[q / (m * e * e) for e in eps] for m in tokens], dtype=like.dtype, device=like.device)


def _systems(gram: Tensor, c: Tensor) -> Tensor:
    """I + c G: ``(..., forms, eps, s, s)``."""
    M = c[:, :, None, None] * gram[..., :, None, :, :]
    M.diagonal(dim1=-2, dim2=-1).add_(1)
    return M


def _factored(A: Tensor, gram: Tensor, eps: Sequence[float], cls: str) -> tuple[Tensor, Tensor | None]:
    """Rates ``(..., forms, eps)`` and Cholesky factors; None for these if one of them is not what it should be."""
    n, q = A.shape[-2:]
    size, u = gram.shape[-1], torch.finfo(A.dtype).eps / 2
    c = _constants(n, q, eps, cls, A)
    M = _systems(gram, c)
    trace = M.diagonal(dim1=-2, dim2=-1).sum(-1)
    L, info = torch.linalg.cholesky_ex(M)
    pivots = L.diagonal(dim1=-2, dim2=-1)
    value = torch.log(pivots).sum(-1)
    # Rounding moves log det M by γ tr M at most, γ = 4 √(n + q) u (Higham and Mary 2019), as in srr's own rates.
    bound = 2 * math.sqrt(n + q) * u * trace
    factored = (info == 0) & (pivots.amin(-1) ** 2 > 8 * size * u)
    sound = factored & (bound <= math.sqrt(u) * value)
    if not bool(sound.all()):
        for form in range(len(c)):
            doubtful = ~sound[..., form, :].all(-1)
            if bool(doubtful.any()):
                s = torch.linalg.svdvals((without(A, cls) if form else A)[doubtful])
                value[..., form, :][doubtful] = torch.log1p(c[form, :, None] * s[..., None, :] ** 2).sum(-1) / 2
    return value, L if bool(factored.all()) else None
