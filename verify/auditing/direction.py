"""Where an update points: beside the gradient of Rᶜ, and in units of the longest safe step along it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from verify.auditing.rates import Heads, over_tokens, without


def cosines(heads: Heads, updates: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Cosines ``(b, forms, eps)`` of updates ``(b, n, d)`` with −∇Rᶜ; 0 where one of the two is zero."""
    found = {}
    for name, update in updates.items():
        along = [
            [_inner(gradient, without(update, heads.cls) if form else update) for gradient in row]
            for form, row in enumerate(heads.gradients)
        ]
        inner = torch.stack([torch.stack(row, dim=-1) for row in along], dim=-2)
        found[name] = -inner / _nonzero(heads.lengths * _lengths(update, heads.cls))
    return found


def steps(heads: Heads, update: Tensor, cosine: Tensor, overlap: float) -> Tensor:
    """κ L_c/2, ``(b, forms, eps)``, κ the step along −∇Rᶜ that is nearest to the update: below 1 it would be safe.

    ``cosine`` is that of the update with −∇Rᶜ, and ``overlap`` is λ_max(Σ_k U_k U_kᵀ), `srr.curvature.overlap`.
    """
    return cosine * (_lengths(update, heads.cls) / _nonzero(heads.lengths)) * (overlap / 2 * heads.constants)


def largest_eigenvalues(heads: Heads) -> Tensor:
    """max_k λ_max(β Y_kᵀY_k), ``(b, forms, eps)``: below 1 the Neumann series of the gradient converges."""
    top = torch.linalg.eigvalsh(heads.grams)[..., -1].amax(1)
    return top[..., None] * heads.constants


def _inner(a: Tensor, b: Tensor) -> Tensor:
    return (a.flatten(1)[:, None] @ b.flatten(1)[..., None])[:, 0, 0]


def _lengths(update: Tensor, cls: str) -> Tensor:
    return over_tokens((update * update).sum(-1), cls).sqrt()[..., None]


def _nonzero(a: Tensor) -> Tensor:
    return torch.where(a > 0, a, math.inf)
