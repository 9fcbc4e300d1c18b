"""CRATE for text in torch: causal attention, then ISTA, under the names of the published code."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from verify.models.crate import Ista, attend


class CausalAttention(nn.Module):
    """[softmax(mask(p^−½ Y_kY_kᵀ)) Y_k]_k Wᵀ + b."""

    def __init__(self, dim: int, heads: int, block_size: int | None) -> None:
        super().__init__()
        self.n_head = heads
        self.c_attn = nn.Linear(dim, dim, bias=False)
        self.c_proj = nn.Linear(dim, dim)
        if block_size is not None:  # the mask, which the published code keeps among its tensors
            self.register_buffer("bias", torch.ones(block_size, block_size).tril()[None, None])

    def forward(self, z: Tensor) -> Tensor:
        return self.c_proj(attend(self.c_attn(z), self.n_head, causal=True))


class Block(nn.Module):
    """Z + attention(N(Z)), then ISTA of what that gives, normalised."""

    def __init__(self, dim: int, heads: int, block_size: int | None, ista: nn.Module) -> None:
        super().__init__()
        self.prenorm_1 = nn.LayerNorm(dim)
        self.attn = CausalAttention(dim, heads, block_size)
        self.prenorm_2 = nn.LayerNorm(dim)
        self.ista = ista

    def forward(self, z: Tensor) -> Tensor:
        return self.ista(self.prenorm_2(z + self.attn(self.prenorm_1(z))))


class Language(nn.Module):
    """Tokens ``(b, n)`` to logits ``(b, n, vocabulary)``: embeddings, blocks, and the embedding again.

    A last LayerNorm comes before the logits if there is one among ``blocks``' surroundings: ``last_norm``.
    """

    def __init__(self, *, vocabulary: int, block_size: int, dim: int, blocks: list[nn.Module], last_norm: bool) -> None:
        super().__init__()
        parts = {"wte": nn.Embedding(vocabulary, dim), "wpe": nn.Embedding(block_size, dim), "h": nn.ModuleList(blocks)}
        if last_norm:
            parts["ln_f"] = nn.LayerNorm(dim)
        self.transformer = nn.ModuleDict(parts)
        self.lm_head = nn.Linear(dim, vocabulary, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
        for name, weight in self.named_parameters():
            if name.endswith("c_proj.weight"):
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * len(blocks)))
        self.lm_head.weight = self.transformer["wte"].weight

    def forward(self, tokens: Tensor) -> Tensor:
        places = torch.arange(tokens.shape[1], device=tokens.device)
        z = self.transformer["wte"](tokens) + self.transformer["wpe"](places)
        for block in self.transformer["h"]:
            z = block(z)
        if "ln_f" in self.transformer:
            z = self.transformer["ln_f"](z)
        return self.lm_head(z)


class CrateGpt(Language):
    """``model/crate_gpt.py`` of the code of Yu et al. 2023 (arXiv 2306.01129)."""

    def __init__(
        self,
        *,
        vocabulary: int,
        block_size: int,
        dim: int,
        depth: int,
        heads: int,
        step_size: float = 0.1,
        lambd: float = 0.1,
        mask: bool = True,
    ) -> None:
        blocks: list[nn.Module] = [
            Block(dim, heads, block_size if mask else None, Ista(dim, step_size=step_size, lambd=lambd))
            for _ in range(depth)
        ]
        super().__init__(vocabulary=vocabulary, block_size=block_size, dim=dim, blocks=blocks, last_norm=False)
