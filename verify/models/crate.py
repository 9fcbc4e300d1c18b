"""CRATE for images in torch, as its published code computes it and under the names of its checkpoints."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Patches(nn.Module):
    """Images ``(b, c, H, W)`` to rows of pixels ``(b, n, s² c)``, the channels of a pixel side by side."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, images: Tensor) -> Tensor:
        b, c, H, W = images.shape
        s = self.size
        rows = images.reshape(b, c, H // s, s, W // s, s)
        return rows.permute(0, 2, 4, 3, 5, 1).reshape(b, (H // s) * (W // s), s * s * c)


class PreNorm(nn.Module):
    """A half behind its LayerNorm."""

    def __init__(self, dim: int, fn: nn.Module, *, norm_floor: float = 1e-5) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=norm_floor)
        self.fn = fn

    def forward(self, z: Tensor) -> Tensor:
        return self.fn(self.norm(z))


def attend(w: Tensor, heads: int, *, queries: Tensor | None = None, causal: bool = False) -> Tensor:
    """[softmax(p^−½ X_kY_kᵀ) Y_k]_k of projected tokens ``(b, n, K p)`` and queries, by default these themselves."""
    y, x = (a.unflatten(-1, (heads, -1)).transpose(1, 2) for a in (w, w if queries is None else queries))
    gram = y.shape[-1] ** -0.5 * x @ y.mT
    if causal:
        gram = gram.masked_fill(torch.ones_like(gram, dtype=torch.bool).triu(1), -torch.inf)
    return (torch.softmax(gram, dim=-1) @ y).transpose(1, 2).flatten(2)


class Attention(nn.Module):
    """[softmax(p^−½ Y_kY_kᵀ) Y_k]_k Wᵀ + b, Y_k = Z U_k."""

    def __init__(self, dim: int, heads: int, dim_head: int, *, bias: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.scale = dim_head**-0.5
        self.qkv = nn.Linear(dim, heads * dim_head, bias=False)
        identity = bias and heads == 1 and dim_head == dim
        self.to_out = nn.Identity() if identity else nn.Sequential(nn.Linear(heads * dim_head, dim, bias=bias))

    def forward(self, z: Tensor) -> Tensor:
        return self.to_out(attend(self.qkv(z), self.heads))


class Ista(nn.Module):
    """relu(Z + η (Z − Z Dᵀ) D − ηλ)."""

    def __init__(self, dim: int, *, step_size: float = 0.1, lambd: float = 0.1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(dim, dim))
        self.step_size = step_size
        self.lambd = lambd
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.kaiming_uniform_(self.weight)

    def forward(self, z: Tensor) -> Tensor:
        residual = z - z @ self.weight.T
        return F.relu(z + self.step_size * (residual @ self.weight) - self.step_size * self.lambd)


class Trunk(nn.Module):
    """The layers: Z + attention, then ISTA, which adds to nothing."""

    def __init__(
        self, dim: int, depth: int, heads: int, dim_head: int, *, step_size: float = 0.1, lambd: float = 0.1
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [
                    PreNorm(dim, Attention(dim, heads, dim_head)),
                    PreNorm(dim, Ista(dim, step_size=step_size, lambd=lambd)),
                ]
            )
            for _ in range(depth)
        )

    def forward(self, z: Tensor) -> Tensor:
        for compress, sparsify in self.layers:
            z = sparsify(compress(z) + z)
        return z


class Crate(nn.Module):
    """The whole network, images ``(b, c, H, W)`` to logits.

    Yu et al. 2023 (arXiv 2306.01129), ``model/crate.py`` of its code.
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
        dim_head: int | None = None,
        channels: int = 3,
        step_size: float = 0.1,
        lambd: float = 0.1,
    ) -> None:
        super().__init__()
        p = dim // heads if dim_head is None else dim_head
        pixels = channels * patch_size**2
        self.to_patch_embedding = nn.Sequential(
            Patches(patch_size), nn.LayerNorm(pixels), nn.Linear(pixels, dim), nn.LayerNorm(dim)
        )
        self.pos_embedding = nn.Parameter(torch.randn(1, (image_size // patch_size) ** 2 + 1, dim))
        self.cls_token = nn.Parameter(torch.randn(1, 1, dim))
        self.transformer = Trunk(dim, depth, heads, p, step_size=step_size, lambd=lambd)
        self.mlp_head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, num_classes))

    def forward(self, images: Tensor) -> Tensor:
        z = self.to_patch_embedding(images)
        z = torch.cat([self.cls_token.expand(len(z), -1, -1), z], dim=1)
        z = self.transformer(z + self.pos_embedding[:, : z.shape[1]])
        return self.mlp_head(z[:, 0])


def sides(patches: int, pixels: int) -> tuple[int, int, int]:
    """Image size, patch size and channels of square images: three channels if that fits, one if not."""
    for channels in (3, 1):
        patch = math.isqrt(pixels // channels)
        if channels * patch**2 == pixels:
            return math.isqrt(patches) * patch, patch, channels
    raise ValueError(f"to_patch_embedding must take square patches of one or three channels, got {pixels} numbers")
