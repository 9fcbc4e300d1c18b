"""The decoder of DEPICT in torch, as the published code computes it and under its names."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from verify.models.crate import PreNorm, attend


class TiedAttention(nn.Module):
    """s [softmax(p^−½ X_kY_kᵀ) Y_k]_k [U_1, …, U_K]ᵀ, the bases used both ways and s learned, of either sign.

    X_k = Q U_k of queries, where there are some, and Y_k = Z U_k of the tokens that they attend to.
    """

    def __init__(self, dim: int, heads: int, dim_head: int) -> None:
        super().__init__()
        self.heads = heads
        self.proj = nn.Parameter(dim**-0.5 * torch.randn(heads * dim_head, dim))
        self.step_size = nn.Parameter(torch.randn(1))

    def forward(self, z: Tensor, query: Tensor | None = None) -> Tensor:
        w = z @ self.proj.mT
        asking = w if query is None else query @ self.proj.mT
        return self.step_size * (attend(w, self.heads, queries=asking) @ self.proj)


class Block(PreNorm):
    """Attention behind a LayerNorm of the tokens; queries are as they come."""

    def forward(self, z: Tensor, query: Tensor | None = None) -> Tensor:
        return self.fn(self.norm(z), query=query)


class Depict(nn.Module):
    """Z + attention(N(Z)), layer after layer, and nothing else; or, of queries, Q + attention(N(Z), Q).

    Wen and Li 2024 (arXiv 2411.03033), ``model/dec_blocks.py`` of the code of DEPICT.
    """

    def __init__(self, *, dim: int, depth: int, heads: int, dim_head: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Block(dim, TiedAttention(dim, heads, dim_head)) for _ in range(depth))

    def forward(self, z: Tensor, query: Tensor | None = None) -> Tensor:
        if query is None:
            for layer in self.layers:
                z = layer(z) + z
            return z
        for layer in self.layers:
            query = layer(z, query=query) + query
        return query


class DepictDecoder(nn.Module):
    """Tokens ``(b, n, d)`` of an image's patches to masks ``(b, classes, H, W)`` of them, by cross-attention.

    The tokens attend to one another, then learned queries, one for each class, to the tokens; a mask is the cosine of
    each token with its query. Wen and Li 2024 (arXiv 2411.03033), ``model/decoder.py`` of the code of DEPICT in the
    mode ``ca``.
    """

    def __init__(
        self,
        *,
        classes: int,
        dim: int,
        depth: int,
        heads: int,
        patch_size: int = 16,
        dim_head: int = 100,
        cross_depth: int = 3,
        cross_dim_head: int = 50,
    ) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.cls_emb = nn.Parameter(0.02 * torch.randn(1, classes, dim))
        self.snet = Depict(dim=dim, depth=depth, heads=heads, dim_head=dim_head)
        self.cnet = Depict(dim=dim, depth=cross_depth, heads=heads, dim_head=cross_dim_head)
        self.snorm = nn.LayerNorm(dim)
        self.cnorm = nn.LayerNorm(dim)
        self.mask_norm = nn.LayerNorm(classes)

    def forward(self, z: Tensor, im_size: tuple[int, int] | None = None) -> Tensor:
        """Of an image of height and width ``im_size`` in pixels, by default one row of patches."""
        z = self.snorm(self.snet(z))
        classes = self.cnorm(self.cnet(z, query=self.cls_emb.expand(len(z), -1, -1)))
        masks = self.mask_norm(_unit(z) @ _unit(classes).mT)
        rows = 1 if im_size is None else im_size[0] // self.patch_size
        return masks.mT.unflatten(-1, (rows, -1))


def _unit(z: Tensor) -> Tensor:
    return z / torch.linalg.vector_norm(z, dim=-1, keepdim=True)
