"""CRATE-α for images in torch, as its published port to torch computes it and under the names of its checkpoints."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from verify.models.crate import Attention, PreNorm


class OvercompleteIsta(nn.Module):
    """A² D̂ᵀ of two ISTA steps from zero, A¹ = relu(η Z D − ηλ), A² = relu(A¹ + η (Z − A¹ Dᵀ) D − ηλ)."""

    def __init__(self, dim: int, atoms: int, *, eta: float = 0.1, lmbda: float = 0.1) -> None:
        super().__init__()
        self.D = nn.Parameter(torch.empty(dim, atoms))
        self.D1 = nn.Parameter(torch.empty(dim, atoms))
        nn.init.kaiming_uniform_(self.D)
        nn.init.kaiming_uniform_(self.D1)
        self.eta = eta
        self.lmbda = lmbda

    def forward(self, z: Tensor) -> Tensor:
        return two_steps(z, self.D, self.eta, self.lmbda) @ self.D1.mT


def two_steps(z: Tensor, D: Tensor, eta: float, lam: float) -> Tensor:
    """The code after two ISTA steps from zero on the lasso of z ``(b, n, d)`` in D ``(d, m)``."""
    code = F.relu(eta * (z @ D) - eta * lam)
    return F.relu(code + eta * ((z - code @ D.mT) @ D) - eta * lam)


class Trunk(nn.Module):
    """The layers: both halves add to their tokens."""

    def __init__(self, dim: int, depth: int, heads: int, atoms: int, *, eta: float, lmbda: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [
                    PreNorm(dim, Attention(dim, heads, dim // heads, bias=False), norm_floor=1e-6),
                    PreNorm(dim, OvercompleteIsta(dim, atoms, eta=eta, lmbda=lmbda), norm_floor=1e-6),
                ]
            )
            for _ in range(depth)
        )

    def forward(self, z: Tensor) -> Tensor:
        for compress, sparsify in self.layers:
            z = compress(z) + z
            z = sparsify(z) + z
        return z


class CrateAlpha(nn.Module):
    """The whole network, images ``(b, c, H, W)`` to logits.

    Yang et al. 2024 (arXiv 2405.20299), ``torch_inference`` of its code. The last LayerNorm has torch's floor 1e-5,
    where the network that was trained, in JAX, has 1e-6 as in the layers.
    """

    def __init__(
        self,
        *,
        image_size: int,
        patch_size: int,
        num_classes: int,
        dim: int,
        depth: int,
        heads: int,
        atoms: int | None = None,
        channels: int = 3,
        eta: float = 0.1,
        lmbda: float = 0.1,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, dim, patch_size, patch_size)
        self.pos_embedding = nn.Parameter(torch.randn(1, (image_size // patch_size) ** 2 + 1, dim))
        self.cls_token = nn.Parameter(torch.randn(1, 1, dim))
        self.transformer = Trunk(dim, depth, heads, 4 * dim if atoms is None else atoms, eta=eta, lmbda=lmbda)
        self.mlp_head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, num_classes))

    def forward(self, images: Tensor) -> Tensor:
        z = self.conv1(images).flatten(2).mT
        z = torch.cat([self.cls_token.expand(len(z), -1, -1), z], dim=1)
        return self.mlp_head(self.transformer(z + self.pos_embedding)[:, 0])
