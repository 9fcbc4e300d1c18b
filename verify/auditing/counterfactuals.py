"""Other compressions with the same weights, on the tokens that the layer was given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from srr import attention, curvature, rates

PLUS, MINUS = "tied, +", "tied, -"
DERIVED, EXACT, DESCENT = "derived step", "exact step", "descent layer"
TIED, STEPS = (PLUS, MINUS), (DERIVED, EXACT, DESCENT)
SAID = {
    PLUS: "the output matrix tied to the bases, Z + MSSA",
    MINUS: "the same with the other sign, Z - MSSA",
    DERIVED: "the attention step as derived, of size 1/L_c",
    EXACT: "the exact gradient step, of size 1/L_c",
    DESCENT: "the first half of the descent layer",
}
"""Each counterfactual in words."""


def tied(Z: Tensor, seen: Tensor, U: Tensor) -> dict[str, Tensor]:
    """Z ± [softmax(p^−½ Y_kY_kᵀ) Y_k]_k [U_1, …, U_K]ᵀ, the heads Y_k those of the tokens ``seen``, Z behind its N.

    The attention of the layer with its free output matrix replaced by the bases, as in theory, but for the factor β.
    """
    attended = attention.mssa_official(seen, U).to(Z.dtype)
    return {PLUS: Z + attended, MINUS: Z - attended}


class Sizes(NamedTuple):
    """How long the steps of theory are, for one token and ε = 1: they grow with n ε²."""

    compression: float
    """1/L_c, `srr.curvature.compression_step`."""
    loss: float
    """1/(L_c + α/8), `srr.curvature.loss_step`."""

    @classmethod
    def of(cls, U: Tensor) -> Sizes:
        """From an eigenvalue of the bases."""
        return cls(float(curvature.compression_step(U, 1, eps=1.0)), float(curvature.loss_step(U, 1, eps=1.0)))


def steps(Z: Tensor, U: Tensor, sizes: Sizes, *, eps: float) -> Iterator[tuple[str, Tensor]]:
    """Tokens Z ``(b, n, d)`` after each of `STEPS`: those of theory, which knows no LayerNorm."""
    unit = Z.shape[-2] * eps**2
    yield DERIVED, torch.as_tensor(attention.derived_step(Z, U, eps=eps, step=unit * sizes.compression))
    gradient = torch.as_tensor(rates.subspace_coding_rate_and_gradient(Z, U, eps=eps)[1])
    yield EXACT, Z - unit * sizes.compression * gradient
    yield DESCENT, Z - unit * sizes.loss * (gradient - torch.as_tensor(rates.coding_rate_and_gradient(Z, eps=eps)[1]))
