"""GPT-2 in torch, under the names of the transformers library."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from verify.models.vit import attend


class Transposed(nn.Module):
    """Z W + b: a linear map whose matrix is stored as ``(inputs, outputs)``."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.02 * torch.randn(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, z: Tensor) -> Tensor:
        return z @ self.weight + self.bias


class Attention(nn.Module):
    """[softmax(mask(p^−½ Q_kK_kᵀ)) V_k]_k W + b."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.num_heads = heads
        self.c_attn = Transposed(dim, 3 * dim)
        self.c_proj = Transposed(dim, dim)

    def forward(self, z: Tensor) -> Tensor:
        return self.c_proj(attend(*self.c_attn(z).chunk(3, dim=-1), self.num_heads, causal=True))


class Mlp(nn.Module):
    """GELU(Z W₁ + b₁) W₂ + b₂, GELU by its approximation with tanh."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.c_fc = Transposed(dim, hidden)
        self.c_proj = Transposed(hidden, dim)

    def forward(self, z: Tensor) -> Tensor:
        return self.c_proj(F.gelu(self.c_fc(z), approximate="tanh"))


class Block(nn.Module):
    """Z + attention(N(Z)), then Z + MLP(N(Z))."""

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(dim)
        self.attn = Attention(dim, heads)
        self.ln_2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, hidden)

    def forward(self, z: Tensor) -> Tensor:
        z = z + self.attn(self.ln_1(z))
        return z + self.mlp(self.ln_2(z))


class Gpt2(nn.Module):
    """Tokens ``(b, n)`` to features ``(b, n, d)``. Radford et al. 2019."""

    def __init__(
        self, *, vocabulary: int, places: int, dim: int, depth: int, heads: int, hidden: int | None = None
    ) -> None:
        super().__init__()
        self.wte = nn.Embedding(vocabulary, dim)
        self.wpe = nn.Embedding(places, dim)
        hidden = 4 * dim if hidden is None else hidden
        self.h = nn.ModuleList(Block(dim, heads, hidden) for _ in range(depth))
        self.ln_f = nn.LayerNorm(dim)

    def forward(self, tokens: Tensor) -> Tensor:
        z = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1], device=tokens.device))
        for block in self.h:
            z = block(z)
        return self.ln_f(z)
