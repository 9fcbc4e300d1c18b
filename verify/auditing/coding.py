"""The second half against its own problem: the lasso of its tokens in its dictionary."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from verify.auditing.rates import over_tokens
from verify.auditing.running import Key

LASSO, RESIDUAL = "lasso", "residual of X = A D^T"
RELU, ZERO = "relu of the start", "zero code"
"""Codes that cost nothing, beside the tokens themselves."""


def lasso_values(X: Tensor, D: Tensor, A: Tensor, *, lam: float, cls: str) -> Tensor:
    """λ‖A‖₁ + ½‖X − A Dᵀ‖² of codes A ``(b, n, m)`` of tokens X ``(b, n, d)``, ``(b, forms)``: with [CLS], without."""
    return over_tokens(lam * A.abs().sum(-1) + _squares(X - A @ D.mT) / 2, cls)


def measure(X: Tensor, D: Tensor, A: Tensor, *, lam: float, cls: str) -> dict[Key, Tensor]:
    """What a code A of tokens X is worth beside what it started from and what costs nothing, ``(b, forms)`` each.

    The half starts from its own tokens. Its change of the lasso is told from there, from relu of them and from the zero
    code.
    """
    before, relu = (lasso_values(X, D, code, lam=lam, cls=cls) for code in (X, X.clamp(min=0)))
    left = _squares(X - A @ D.mT)
    after = over_tokens(lam * A.abs().sum(-1) + left / 2, cls)
    squares = over_tokens(_squares(X), cls)
    return {
        Key(LASSO, "before"): before,
        Key(LASSO, "after"): after,
        Key(LASSO, "change"): after - before,
        Key(LASSO, "change", RELU): after - relu,
        Key(LASSO, "change", ZERO): after - squares / 2,
        Key(RESIDUAL, "value"): (over_tokens(left, cls) / _nonzero(squares)).sqrt(),
    }


def controls(
    X: Tensor, D: Tensor, A: Tensor, others: Mapping[str, Tensor], *, lam: float, cls: str
) -> dict[Key, Tensor]:
    """The same change with dictionaries that are not the layer's, and by how much the layer's exceeds it, as shares."""

    def change(dictionary: Tensor) -> tuple[Tensor, Tensor]:
        before, after = (lasso_values(X, dictionary, code, lam=lam, cls=cls) for code in (X, A))
        return after - before, (after - before) / _nonzero(before)

    own, found = change(D)[1], {}
    for name, other in others.items():
        found[Key(LASSO, "change", name)], share = change(other)
        found[Key(LASSO, "margin", name)] = own - share
    return found


def _squares(X: Tensor) -> Tensor:
    return (X * X).sum(-1)


def _nonzero(a: Tensor) -> Tensor:
    return torch.where(a != 0, a, 1.0)
