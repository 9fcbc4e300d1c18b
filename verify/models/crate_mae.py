"""CRATE-MAE in torch: an encoder of CRATE's layers and a decoder that undoes them, under its checkpoints' names."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from verify.models.crate import Attention, Patches, PreNorm, Trunk


class Linear(nn.Module):
    """Z Aᵀ: what the decoder has where the encoder has ISTA."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(dim, dim))
        nn.init.kaiming_uniform_(self.weight)

    def forward(self, z: Tensor) -> Tensor:
        return z @ self.weight.mT


class DecoderBlock(nn.Module):
    """Y = A N(Z), then Y − attention(N(Y))."""

    def __init__(self, dim: int, heads: int, dim_head: int) -> None:
        super().__init__()
        pair = nn.ModuleList([PreNorm(dim, Linear(dim)), PreNorm(dim, Attention(dim, heads, dim_head))])
        self.layers = nn.ModuleList([pair])

    def forward(self, z: Tensor) -> Tensor:
        for linear, attention in self.layers:
            z = linear(z)
            z = z - attention(z)
        return z


class PatchEmbedding(nn.Module):
    """Images ``(b, c, H, W)`` to tokens ``(b, n, d)``, by a convolution whose stride is its size."""

    def __init__(self, channels: int, patch_size: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, dim, patch_size, patch_size)

    def forward(self, images: Tensor) -> Tensor:
        return self.proj(images).flatten(2).mT


class CrateMae(nn.Module):
    """Images ``(b, c, H, W)`` to the pixels of their patches, some of them hidden.

    Pai et al. 2024 (arXiv 2404.02446), ``model/crate_ae`` of its code. Hidden patches are replaced before the encoder,
    which sees all of them; ``pos_embed`` and ``decoder_embed`` are there and not used.
    """

    def __init__(
        self,
        *,
        image_size: int,
        patch_size: int,
        dim: int,
        depth: int,
        heads: int,
        decoder_depth: int | None = None,
        channels: int = 3,
        step_size: float = 0.1,
        lambd: float = 0.5,
    ) -> None:
        super().__init__()
        side, p = image_size // patch_size, dim // heads
        decoder_depth = depth if decoder_depth is None else decoder_depth
        self.patches = Patches(patch_size)
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, dim))
        self.pos_embed = nn.Parameter(positions(side, dim), requires_grad=False)
        self.mask_token = nn.Parameter(0.02 * torch.randn(1, 1, dim))
        self.decoder_pos_embed = nn.Parameter(positions(side, dim), requires_grad=False)
        self.patch_embed = PatchEmbedding(channels, patch_size, dim)
        self.blocks = nn.Sequential(*(Trunk(dim, 1, heads, p, step_size=step_size, lambd=lambd) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.decoder_embed = nn.Linear(dim, dim)
        self.decoder_blocks = nn.Sequential(*(DecoderBlock(dim, heads, p) for _ in range(decoder_depth)))
        self.decoder_norm = nn.LayerNorm(dim, eps=1e-6)
        self.decoder_pred = nn.Linear(dim, channels * patch_size**2)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.xavier_uniform_(self.patch_embed.proj.weight.flatten(1))

    def encode(self, images: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Tokens ``(b, n + 1, d)``, the class token first; ``hidden`` is ``(b, n)``, true where a patch is not seen."""
        z = self.patch_embed(images)
        if hidden is not None:
            z = torch.where(hidden[..., None], self.mask_token, z)
        z = torch.cat([self.cls_token.expand(len(z), -1, -1), z], dim=1)
        return self.norm(self.blocks(z + self.decoder_pos_embed))

    def forward(self, images: Tensor, hidden: Tensor | None = None) -> Tensor:
        z = self.decoder_blocks(self.encode(images, hidden))
        return self.decoder_pred(self.decoder_norm(z))[:, 1:]

    def loss(self, images: Tensor, hidden: Tensor) -> Tensor:
        """Mean squared error of the pixels of hidden patches."""
        error = (self(images, hidden) - self.patches(images)).square().mean(dim=-1)
        return (error * hidden).sum() / hidden.sum()


def positions(side: int, dim: int) -> Tensor:
    """Sines and cosines of the column, then of the row, of each patch of a square; zeros for the class token.

    Returns
    -------
    Tensor, shape (1, side² + 1, dim)
    """
    if dim % 4:
        raise ValueError(f"dim must be a multiple of 4, got {dim}")
    rates = 10000.0 ** (-torch.arange(dim // 4, dtype=torch.float64, device="cpu") / (dim // 4))
    angles = torch.arange(side, dtype=torch.float64, device="cpu")[:, None] * rates
    line = torch.cat([angles.sin(), angles.cos()], dim=-1)
    column, row = line.expand(side, -1, -1), line[:, None].expand(-1, side, -1)
    grid = torch.cat([column, row], dim=-1).reshape(side**2, dim)
    table = torch.cat([torch.zeros(1, dim, dtype=torch.float64, device="cpu"), grid])[None].float()
    return table.to(torch.get_default_device())


def side_of(patches: int) -> int:
    """Of a square of patches."""
    side = math.isqrt(patches)
    if side**2 != patches:
        raise ValueError(f"the patches must form a square, got {patches}")
    return side
