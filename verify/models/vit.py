"""The ordinary vision transformer in torch, under the names of timm."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from verify.models.crate_mae import PatchEmbedding
from verify.models.tost import Mlp


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int, *, causal: bool = False) -> Tensor:
    """[softmax(p^−½ Q_kK_kᵀ) V_k]_k of projected tokens ``(b, n, K p)``, head beside head."""
    q, k, v = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (query, key, value))
    gram = q.shape[-1] ** -0.5 * q @ k.mT
    if causal:
        gram = gram.masked_fill(torch.ones_like(gram, dtype=torch.bool).triu(1), -torch.inf)
    return (torch.softmax(gram, dim=-1) @ v).transpose(1, 2).flatten(2)


class Attention(nn.Module):
    """[softmax(p^−½ Q_kK_kᵀ) V_k]_k Wᵀ + b, rows of query, key and value in one matrix."""

    def __init__(self, dim: int, heads: int, *, qkv_bias: bool) -> None:
        super().__init__()
        self.num_heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)

    def forward(self, z: Tensor) -> Tensor:
        return self.proj(attend(*self.qkv(z).chunk(3, dim=-1), self.num_heads))


class LayerScale(nn.Module):
    """γ times each token, entry by entry."""

    def __init__(self, dim: int, value: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), value))

    def forward(self, z: Tensor) -> Tensor:
        return self.gamma * z


class Block(nn.Module):
    """Z + γ₁ attention(N(Z)), then Z + γ₂ MLP(N(Z))."""

    def __init__(self, dim: int, heads: int, hidden: int, *, qkv_bias: bool, scale: float | None) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, heads, qkv_bias=qkv_bias)
        self.ls1 = nn.Identity() if scale is None else LayerScale(dim, scale)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim, hidden)
        self.ls2 = nn.Identity() if scale is None else LayerScale(dim, scale)

    def forward(self, z: Tensor) -> Tensor:
        z = z + self.ls1(self.attn(self.norm1(z)))
        return z + self.ls2(self.mlp(self.norm2(z)))


class Vit(nn.Module):
    """The whole network, images ``(b, c, H, W)`` to logits, or to the class token if there are no classes.

    Dosovitskiy et al. 2021 (arXiv 2010.11929).
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
        hidden: int | None = None,
        channels: int = 3,
        qkv_bias: bool = True,
        scale: float | None = None,
    ) -> None:
        super().__init__()
        self.patch_embed = PatchEmbedding(channels, patch_size, dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, (image_size // patch_size) ** 2 + 1, dim))
        hidden = 4 * dim if hidden is None else hidden
        self.blocks = nn.Sequential(*(Block(dim, heads, hidden, qkv_bias=qkv_bias, scale=scale) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, num_classes) if num_classes else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        z = self.patch_embed(images)
        z = torch.cat([self.cls_token.expand(len(z), -1, -1), z], dim=1)
        return self.head(self.norm(self.blocks(z + self.pos_embed))[:, 0])
