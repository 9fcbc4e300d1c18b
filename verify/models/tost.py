"""Blocks of ToST for images in torch, as the published code computes them and under the names of its checkpoints."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Mlp(nn.Module):
    """GELU(Z W₁ᵀ + b₁) W₂ᵀ + b₂."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, z: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(z)))


class AttentionTssa(nn.Module):
    """−[Diag(π_k) Y_k Diag(1/(1 + v_k))]_k Wᵀ + b, Y_k = Z U_k + b_k.

    π = softmax_k(t_k Σ_i (Y_k)²_ji / Σ_j' (Y_k)²_j'i), v_k the mean square of Y_k under π_k.
    """

    def __init__(self, dim: int, heads: int, *, qkv_bias: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.temp = nn.Parameter(torch.ones(heads, 1))
        self.qkv = nn.Linear(dim, dim, bias=qkv_bias)
        self.to_out = nn.Sequential(nn.Linear(dim, dim))

    def forward(self, z: Tensor) -> Tensor:
        y = self.qkv(z).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        shares = F.normalize(y, dim=-2).square().sum(dim=-1)
        pi = torch.softmax(self.temp * shares, dim=1)
        v = (pi / (pi.sum(dim=-1, keepdim=True) + 1e-8))[..., None, :] @ y.square()
        return self.to_out(-(pi[..., None] * y / (1 + v)).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Z + γ₁ attention(N(Z)), then Z + γ₂ MLP(N(Z))."""

    def __init__(self, dim: int, heads: int, hidden: int, *, qkv_bias: bool = True, norm_floor: float = 1e-6) -> None:
        super().__init__()
        self.gamma1 = nn.Parameter(torch.ones(dim))
        self.gamma2 = nn.Parameter(torch.ones(dim))
        self.norm1 = nn.LayerNorm(dim, eps=norm_floor)
        self.attn = AttentionTssa(dim, heads, qkv_bias=qkv_bias)
        self.norm2 = nn.LayerNorm(dim, eps=norm_floor)
        self.mlp = Mlp(dim, hidden)

    def forward(self, z: Tensor) -> Tensor:
        z = z + self.gamma1 * self.attn(self.norm1(z))
        return z + self.gamma2 * self.mlp(self.norm2(z))


class Tost(nn.Module):
    """The blocks alone, tokens ``(b, n, d)`` to tokens. The stem, the class attention and the head are not there.

    Wu et al. 2024 (arXiv 2412.17810), ``tost_vision`` of its code.
    """

    def __init__(self, *, dim: int, depth: int, heads: int, hidden: int | None = None, qkv_bias: bool = True) -> None:
        super().__init__()
        hidden = 4 * dim if hidden is None else hidden
        self.blocks = nn.Sequential(*(Block(dim, heads, hidden, qkv_bias=qkv_bias) for _ in range(depth)))

    def forward(self, z: Tensor) -> Tensor:
        return self.blocks(z)
