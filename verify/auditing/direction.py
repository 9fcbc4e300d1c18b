"""Where an update points: beside the gradient of Rᶜ, and in units of the longest safe step along it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from srr import curvature
from srr._heads import side_by_side
from verify.auditing.rates import heads, without


def gradients(Z: Tensor, U: Tensor, *, eps: Sequence[float], cls: str) -> list[list[Tensor]]:
    """∇Rᶜ(Z|U) = β Σ_k Y_k (I + β Y_kᵀY_k)⁻¹ U_kᵀ by [CLS] form and ε, each ``(b, n, d)`` or a token less."""
    kinds = [Z] if cls == "none" else [Z, without(Z, cls)]
    W = side_by_side(U)
    found = []
    for tokens in kinds:
        Y = heads(tokens, U)
        gram, row = Y.mT @ Y, []
        for e in eps:
            beta = U.shape[-1] / (tokens.shape[-2] * e * e)
            M = beta * gram
            M.diagonal(dim1=-2, dim2=-1).add_(1)
            L, info = torch.linalg.cholesky_ex(M)
            shrunk = Y @ (torch.linalg.inv(M) if bool(info.any()) else torch.cholesky_inverse(L))
            row.append(beta * shrunk.transpose(1, 2).flatten(2) @ W.T)
        found.append(row)
    return found


def cosines(descent: Sequence[Sequence[Tensor]], updates: Mapping[str, Tensor], cls: str) -> dict[str, Tensor]:
    """Cosines ``(b, forms, eps)`` of updates ``(b, n, d)`` with −∇Rᶜ, given ∇Rᶜ as `gradients` has it; 0 for none."""
    found = {}
    for name, update in updates.items():
        kinds = [update] if cls == "none" else [update, without(update, cls)]
        found[name] = torch.stack(
            [
                torch.stack([_cosine(-gradient, kind) for gradient in row], dim=-1)
                for row, kind in zip(descent, kinds, strict=True)
            ],
            dim=-2,
        )
    return found


def steps(gradient: Sequence[Sequence[Tensor]], update: Tensor, U: Tensor, *, eps: Sequence[float], cls: str) -> Tensor:
    """κ L_c/2, ``(b, forms, eps)``, κ the step along −∇Rᶜ that is nearest to the update: below 1 it would be safe."""
    kinds = [update] if cls == "none" else [update, without(update, cls)]
    overlap = float(curvature.overlap(U))
    rows = []
    for row, kind in zip(gradient, kinds, strict=True):
        half_L = [overlap * U.shape[-1] / (kind.shape[-2] * e * e) / 2 for e in eps]
        rows.append(torch.stack([_along(-g, kind) * L for g, L in zip(row, half_L, strict=True)], dim=-1))
    return torch.stack(rows, dim=-2)


def largest_eigenvalues(Z: Tensor, U: Tensor, *, eps: Sequence[float], cls: str) -> Tensor:
    """max_k λ_max(β Y_kᵀY_k), ``(b, forms, eps)``: below 1 the Neumann series of the gradient converges."""
    kinds = [Z] if cls == "none" else [Z, without(Z, cls)]
    rows = []
    for tokens in kinds:
        Y = heads(tokens, U)
        top = torch.linalg.matrix_norm(Y.mT @ Y, ord=2).amax(1)
        rows.append(torch.stack([top * (U.shape[-1] / (tokens.shape[-2] * e * e)) for e in eps], dim=-1))
    return torch.stack(rows, dim=-2)


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    norms = torch.linalg.vector_norm(a, dim=(1, 2)) * torch.linalg.vector_norm(b, dim=(1, 2))
    return (a * b).sum((1, 2)) / torch.where(norms > 0, norms, math.inf)


def _along(direction: Tensor, update: Tensor) -> Tensor:
    square = (direction**2).sum((1, 2))
    return (direction * update).sum((1, 2)) / torch.where(square > 0, square, math.inf)
