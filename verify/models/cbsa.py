"""The layers of CBSA for images in torch, computed as in the published code and under its names."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from verify.models.crate import Ista, PreNorm
from verify.models.crate_mae import side_of

GRID = 8


class ContractAndBroadcast(nn.Module):
    """[s_k A_kᵀ softmax(p^−½ Q_kQ_kᵀ) Q_k]_k Wᵀ + b, Q_k = A Y_k + t_k A_k Y_k.

    A averages over a grid of the image, and A_k = softmax(p^−½ (A Y_k) Y_kᵀ). The grid takes the first n − 1 tokens,
    though it is the class token that comes first.
    """

    def __init__(self, dim: int, heads: int, dim_head: int) -> None:
        super().__init__()
        self.heads = heads
        self.proj = nn.Linear(dim, heads * dim_head, bias=False)
        self.step_x = nn.Parameter(torch.randn(heads, 1, 1))
        self.step_rep = nn.Parameter(torch.randn(heads, 1, 1))
        self.to_out = nn.Linear(heads * dim_head, dim)

    def forward(self, z: Tensor) -> Tensor:
        w = self.proj(z)
        side = side_of(w.shape[1] - 1)
        pooled = F.adaptive_avg_pool2d(w[:, :-1].mT.unflatten(2, (side, side)), GRID).flatten(2).mT
        y, q = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (w, pooled))
        scale = y.shape[-1] ** -0.5
        contraction = torch.softmax(scale * q @ y.mT, dim=-1)
        q = q + self.step_rep * (contraction @ y)
        compressed = torch.softmax(scale * q @ q.mT, dim=-1) @ q
        spread = self.step_x * (contraction.mT @ compressed)
        return self.to_out(spread.transpose(1, 2).flatten(2))


class Trunk(nn.Module):
    """The layers: Z + CBSA, then ISTA, which adds to nothing."""

    def __init__(self, dim: int, depth: int, heads: int, dim_head: int, *, step_size: float, lambd: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [
                    PreNorm(dim, ContractAndBroadcast(dim, heads, dim_head)),
                    PreNorm(dim, Ista(dim, step_size=step_size, lambd=lambd)),
                ]
            )
            for _ in range(depth)
        )

    def forward(self, z: Tensor) -> Tensor:
        for compress, sparsify in self.layers:
            z = sparsify(compress(z) + z)
        return z


class Cbsa(nn.Module):
    """The layers alone, tokens ``(b, n, d)`` to tokens, n − 1 a square.

    Wen et al. 2025 (arXiv 2509.16875), ``CBSA_image_classification`` of its code.
    """

    def __init__(
        self, *, dim: int, depth: int, heads: int, dim_head: int, step_size: float = 0.1, lambd: float = 0.1
    ) -> None:
        super().__init__()
        self.transformer = Trunk(dim, depth, heads, dim_head, step_size=step_size, lambd=lambd)

    def forward(self, z: Tensor) -> Tensor:
        return self.transformer(z)


class Stem(nn.Module):
    """Images ``(b, c, H, W)`` to tokens, by convolutions that halve the sides, each behind the last one's GELU."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        steps: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            convolution = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
            steps += [nn.Sequential(convolution, nn.BatchNorm2d(outputs)), nn.GELU()]
        self.proj = nn.Sequential(*steps[:-1])

    def forward(self, images: Tensor) -> Tensor:
        return self.proj(images).flatten(2).mT


class CbsaImages(Cbsa):
    """The whole network, images to logits, by the class token.

    Parameters
    ----------
    widths : tuple of int
        Channels of the image, and of what each convolution of the stem gives: ``(3, d/8, d/4, d/2, d)`` for patches
        of 16 pixels, ``(3, d/4, d/2, d)`` for those of 8.
    places : int
        Patches and the class token.
    num_classes : int
    **layers
        As in `Cbsa`.
    """

    def __init__(self, *, widths: tuple[int, ...], places: int, num_classes: int, dim: int, **layers: Any) -> None:
        super().__init__(dim=dim, **layers)
        self.to_patch_embedding = Stem(widths)
        self.pos_embedding = nn.Parameter(torch.randn(1, places, dim))
        self.cls_token = nn.Parameter(torch.randn(1, 1, dim))
        self.mlp_head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, num_classes))

    def forward(self, images: Tensor) -> Tensor:
        z = self.to_patch_embedding(images)
        z = torch.cat([self.cls_token.expand(len(z), -1, -1), z], dim=1)
        return self.mlp_head(self.transformer(z + self.pos_embedding[:, : z.shape[1]])[:, 0])
