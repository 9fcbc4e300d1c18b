"""Where an update points: beside the gradient of Rᶜ, and in units of the longest safe step along it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from verify.auditing.rates import Heads, without

Gradients = Sequence[Sequence[Tensor]]
"""∇Rᶜ as `Heads.gradients` has it, by [CLS] form and ε."""


def cosines(gradients: Gradients, updates: Mapping[str, Tensor], cls: str) -> dict[str, Tensor]:
    """Cosines ``(b, forms, eps)`` of updates ``(b, n, d)`` with −∇Rᶜ; 0 where one of the two is zero."""
    found: dict[str, list[Tensor]] = {name: [] for name in updates}
    for form, row in enumerate(gradients):
        lengths = [_length(gradient) for gradient in row]
        for name, update in updates.items():
            kept = without(update, cls) if form else update
            length = _length(kept)
            found[name].append(
                torch.stack(
                    [-_inner(g, kept) / _nonzero(own * length) for g, own in zip(row, lengths, strict=True)], dim=-1
                )
            )
    return {name: torch.stack(rows, dim=-2) for name, rows in found.items()}


def steps(heads: Heads, update: Tensor, overlap: float) -> Tensor:
    """κ L_c/2, ``(b, forms, eps)``, κ the step along −∇Rᶜ that is nearest to the update: below 1 it would be safe.

    ``overlap`` is λ_max(Σ_k U_k U_kᵀ), `srr.curvature.overlap`.
    """
    rows = []
    for form, row in enumerate(heads.gradients):
        kept = without(update, heads.cls) if form else update
        half_L = [overlap * heads.Y.shape[-1] / (kept.shape[-2] * e * e) / 2 for e in heads.eps]
        along = [-_inner(g, kept) / _nonzero(_inner(g, g)) for g in row]
        rows.append(torch.stack([a * L for a, L in zip(along, half_L, strict=True)], dim=-1))
    return torch.stack(rows, dim=-2)


def largest_eigenvalues(heads: Heads) -> Tensor:
    """max_k λ_max(β Y_kᵀY_k), ``(b, forms, eps)``: below 1 the Neumann series of the gradient converges."""
    top = torch.linalg.eigvalsh(heads.grams)[..., -1].amax(1)
    return top[..., None] * heads.constants


def _inner(a: Tensor, b: Tensor) -> Tensor:
    return (a.flatten(1)[:, None] @ b.flatten(1)[..., None])[:, 0, 0]


def _length(a: Tensor) -> Tensor:
    return torch.linalg.vector_norm(a, dim=(1, 2))


def _nonzero(a: Tensor) -> Tensor:
    return torch.where(a > 0, a, math.inf)
