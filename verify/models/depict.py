"""The attention of DEPICT's decoder in torch, as the published code computes it and under its names."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from verify.models.crate import PreNorm, attend


class TiedAttention(nn.Module):
    """s [softmax(p^−½ Y_kY_kᵀ) Y_k]_k [U_1, …, U_K]ᵀ, the bases used both ways and s learned, of either sign."""

    def __init__(self, dim: int, heads: int, dim_head: int) -> None:
        super().__init__()
        self.heads = heads
        self.proj = nn.Parameter(dim**-0.5 * torch.randn(heads * dim_head, dim))
        self.step_size = nn.Parameter(torch.randn(1))

    def forward(self, z: Tensor) -> Tensor:
        return self.step_size * (attend(z @ self.proj.mT, self.heads) @ self.proj)


class Depict(nn.Module):
    """Z + attention(N(Z)), layer after layer, and nothing else; self-attention alone.

    Wen and Li 2024 (arXiv 2411.03033), ``model/dec_blocks.py`` of the code of DEPICT.
    """

    def __init__(self, *, dim: int, depth: int, heads: int, dim_head: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(PreNorm(dim, TiedAttention(dim, heads, dim_head)) for _ in range(depth))

    def forward(self, z: Tensor) -> Tensor:
        for layer in self.layers:
            z = layer(z) + z
        return z
