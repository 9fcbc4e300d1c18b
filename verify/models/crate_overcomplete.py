"""CRATE for text with more atoms than dimensions, in torch, under the names of the published code."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from verify.models.crate_alpha import two_steps
from verify.models.crate_gpt import Block, Language


class TiedOvercompleteIsta(nn.Module):
    """A² Dᵀ of two ISTA steps from zero, with ``weight`` Dᵀ ``(m, d)``."""

    def __init__(self, dim: int, atoms: int, *, step_size: float = 0.1, lambd: float = 0.1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(atoms, dim))
        nn.init.kaiming_uniform_(self.weight)
        self.step_size = step_size
        self.lambd = lambd

    def forward(self, z: Tensor) -> Tensor:
        return two_steps(z, self.weight.mT, self.step_size, self.lambd) @ self.weight


class CrateOvercomplete(Language):
    """``crate_overcomplete.py`` of the repository crate-lm."""

    def __init__(
        self,
        *,
        vocabulary: int,
        block_size: int,
        dim: int,
        depth: int,
        heads: int,
        atoms: int | None = None,
        step_size: float = 0.1,
        lambd: float = 0.1,
    ) -> None:
        atoms = 4 * dim if atoms is None else atoms
        blocks: list[nn.Module] = [
            Block(dim, heads, None, TiedOvercompleteIsta(dim, atoms, step_size=step_size, lambd=lambd))
            for _ in range(depth)
        ]
        super().__init__(vocabulary=vocabulary, block_size=block_size, dim=dim, blocks=blocks, last_norm=True)
