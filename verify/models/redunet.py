"""ReduNet on vectors in torch, as the published code computes it and under the names of its checkpoints."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ReduLayer(nn.Module):
    """(z + η (E z − Σ_k γ_k π_k C_k z)) over its norm, π = softmax_k(−λ‖C_k z‖)."""

    gam: nn.Parameter
    E: nn.Module
    Cs: nn.ModuleList

    def __init__(self, *, eta: float = 0.5, lmbda: float = 500.0) -> None:
        super().__init__()
        self.eta = eta
        self.lmbda = lmbda

    def forward(self, z: Tensor) -> Tensor:
        compressed = torch.stack([C(z) for C in self.Cs])
        sizes = torch.linalg.vector_norm(compressed.flatten(2), dim=-1).clamp_min(1e-8)
        weights = self.gam[:, None] * torch.softmax(-self.lmbda * sizes, dim=0)
        weights = weights.reshape(*weights.shape, *[1] * (z.ndim - 1))
        return normalised(z + self.eta * (self.E(z) - (weights * compressed).sum(dim=0)))


class Vector(ReduLayer):
    """E and C_k as matrices."""

    def __init__(self, dim: int, classes: int, *, eta: float = 0.5, lmbda: float = 500.0) -> None:
        super().__init__(eta=eta, lmbda=lmbda)
        self.gam = nn.Parameter(torch.full((classes,), 1 / classes))
        self.E = nn.Linear(dim, dim, bias=False)
        self.Cs = nn.ModuleList(nn.Linear(dim, dim, bias=False) for _ in range(classes))


class ReduNet(nn.Sequential):
    """Samples ``(m, d)`` of unit norm to features. Chan et al. 2022 (arXiv 2105.10446), ``redunet`` of its code."""

    def __init__(self, *, dim: int, classes: int, depth: int, eta: float = 0.5, lmbda: float = 500.0) -> None:
        super().__init__(*(Vector(dim, classes, eta=eta, lmbda=lmbda) for _ in range(depth)))


def normalised(z: Tensor) -> Tensor:
    """Each sample over its norm, or over 1e-8 if that is larger."""
    norm = torch.linalg.vector_norm(z.flatten(1), dim=1).clamp_min(1e-8)
    return z / norm.reshape(-1, *[1] * (z.ndim - 1))
