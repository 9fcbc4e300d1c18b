"""Other compressions with the same weights, on the tokens that the layer was given."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from srr import attention, curvature, layers

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


def steps(Z: Tensor, U: Tensor, *, eps: float, lam: float) -> Iterator[tuple[str, Tensor]]:
    """Tokens Z ``(b, n, d)`` after each of `STEPS`: those of theory, which knows no LayerNorm."""
    kappa = curvature.compression_step(U, Z.shape[-2], eps=eps)
    rules: dict[str, Callable[[], Tensor]] = {
        DERIVED: lambda: attention.derived_step(Z, U, eps=eps, step=kappa),
        EXACT: lambda: attention.exact_step(Z, U, eps=eps, step=kappa),
        DESCENT: lambda: layers.descent(U, eps=eps, lam=lam).compress(Z),
    }
    for name, rule in rules.items():
        yield name, torch.as_tensor(rule())
