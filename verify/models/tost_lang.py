"""ToST for text in torch, as the published code computes it and under the names of its checkpoints."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from verify.models.crate_gpt import Language


class CausalTssa(nn.Module):
    """TSSA with every sum over tokens taken up to the token at hand, and a bias on the shares."""

    def __init__(self, dim: int, heads: int, block_size: int) -> None:
        super().__init__()
        self.n_head = heads
        self.temp = nn.Parameter(torch.ones(heads, 1))
        self.denom_bias = nn.Parameter(torch.zeros(heads, block_size, 1))
        self.c_attn = nn.Linear(dim, dim)
        self.c_proj = nn.Linear(dim, dim)

    def forward(self, z: Tensor) -> Tensor:
        y = self.c_attn(z).unflatten(-1, (self.n_head, -1)).transpose(1, 2)
        square = y.square()
        shares = square / square.cumsum(dim=-2).clamp_min(1e-12) + self.denom_bias[:, : z.shape[1]]
        pi = torch.softmax(self.temp * shares.sum(dim=-1), dim=1)[..., None]
        v = (pi * square).cumsum(dim=-2) / (pi.cumsum(dim=-2) + 1e-8)
        return self.c_proj(-(pi * y / (1 + v)).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """GELU(Z W₁ᵀ + b₁) W₂ᵀ + b₂."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(dim, hidden)
        self.c_proj = nn.Linear(hidden, dim)

    def forward(self, z: Tensor) -> Tensor:
        return self.c_proj(F.gelu(self.c_fc(z)))


class Block(nn.Module):
    """Z + γ₁ attention(N(Z)), then Z + γ₂ MLP(N(Z))."""

    def __init__(self, dim: int, heads: int, block_size: int, hidden: int) -> None:
        super().__init__()
        self.gamma1 = nn.Parameter(torch.ones(dim))
        self.gamma2 = nn.Parameter(torch.ones(dim))
        self.ln_1 = nn.LayerNorm(dim)
        self.attn = CausalTssa(dim, heads, block_size)
        self.ln_2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, hidden)

    def forward(self, z: Tensor) -> Tensor:
        z = z + self.gamma1 * self.attn(self.ln_1(z))
        return z + self.gamma2 * self.mlp(self.ln_2(z))


class TostLanguage(Language):
    """Wu et al. 2024 (arXiv 2412.17810), ``tost_lang`` of its code."""

    def __init__(
        self, *, vocabulary: int, block_size: int, dim: int, depth: int, heads: int, hidden: int | None = None
    ) -> None:
        hidden = 4 * dim if hidden is None else hidden
        blocks: list[nn.Module] = [Block(dim, heads, block_size, hidden) for _ in range(depth)]
        super().__init__(vocabulary=vocabulary, block_size=block_size, dim=dim, blocks=blocks, last_norm=True)
