"""The second half against its own problem: the lasso of its tokens in its dictionary."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from verify.auditing.rates import without
from verify.auditing.running import Key

LASSO, RESIDUAL = "lasso", "residual of X = A D^T"
RELU, ZERO = "relu of the start", "zero code"
"""Codes that cost nothing, beside the tokens themselves."""


def lasso_values(X: Tensor, D: Tensor, A: Tensor, *, lam: float, cls: str) -> Tensor:
    """λ‖A‖₁ + ½‖X − A Dᵀ‖² of codes A ``(b, n, m)`` of tokens X ``(b, n, d)``, ``(b, forms)``: with [CLS], without."""
    by_token = lam * A.abs().sum(-1) + ((X - A @ D.mT) ** 2).sum(-1) / 2
    return _over_tokens(by_token, cls)


def measure(
    X: Tensor, D: Tensor, A: Tensor, others: Mapping[str, Tensor], *, lam: float, cls: str
) -> dict[Key, Tensor]:
    """What a code A of tokens X is worth beside what it started from and what costs nothing, ``(b, forms)`` each.

    The half starts from its own tokens. Its change of the lasso is told from there, from relu of them and from the zero
    code; and the same changes with dictionaries that are not the layer's, ``others``.
    """

    def value(dictionary: Tensor, code: Tensor) -> Tensor:
        return lasso_values(X, dictionary, code, lam=lam, cls=cls)

    after, before = value(D, A), value(D, X)
    squares = _over_tokens((X**2).sum(-1), cls)
    left = _over_tokens(((X - A @ D.mT) ** 2).sum(-1), cls)
    found = {
        Key(LASSO, "before"): before,
        Key(LASSO, "after"): after,
        Key(LASSO, "change"): after - before,
        Key(LASSO, "change", RELU): after - value(D, X.clamp(min=0)),
        Key(LASSO, "change", ZERO): after - squares / 2,
        Key(RESIDUAL, "value"): (left / torch.where(squares > 0, squares, 1.0)).sqrt(),
    }
    for name, other in others.items():
        start = value(other, X)
        change = value(other, A) - start
        found[Key(LASSO, "change", name)] = change
        found[Key(LASSO, "margin", name)] = (after - before) / _nonzero(before) - change / _nonzero(start)
    return found


def _over_tokens(by_token: Tensor, cls: str) -> Tensor:
    kinds = [by_token] if cls == "none" else [by_token, without(by_token[..., None], cls)[..., 0]]
    return torch.stack([kind.sum(-1) for kind in kinds], dim=-1)


def _nonzero(a: Tensor) -> Tensor:
    return torch.where(a != 0, a, 1.0)
