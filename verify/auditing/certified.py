"""The sign of what a half did to a term, decided on the floats that the network computed."""

from __future__ import annotations

import torch
from torch import Tensor

from verify import decide
from verify.auditing.coding import LASSO
from verify.auditing.half import Half
from verify.auditing.running import Key
from verify.auditing.terms import Forms


def signs(half: Half, Z: Tensor, after: Tensor, forms: Forms) -> dict[Key, Tensor]:
    """Of one sample ``(n, d)``, raw and with [CLS]: signs of the changes of Rᶜ and λ‖Z‖₁ − R, or of the lasso.

    Each ``(1, 1, 1, eps)``, the lasso ``(1, 1)``: −1, 0 or 1, and, as "undecided", whether no precision tried has told.
    """
    found: dict[Key, Tensor] = {}
    if half.half == "compress":
        decisions = [decide.subspace_rate_change(Z, after, half.U, eps=eps) for eps in forms.eps]
        found |= _recorded("Rc", decisions)
    else:
        decisions = [decide.sparse_rate_change(Z, after, eps=eps, lam=forms.lam) for eps in forms.eps]
        found |= _recorded("lam|Z|_1 - R", decisions)
    if half.D is not None:
        X = Z if half.norm is None else half.norm(Z[None])[0]
        found |= _recorded(LASSO, [decide.lasso_change(X, half.D, X, after, lam=half.lam)])
    return found


def _recorded(quantity: str, decisions: list[decide.Decision]) -> dict[Key, Tensor]:
    shape = (1, 1) if quantity == LASSO else (1, 1, 1, len(decisions))
    signs = torch.tensor([d.sign or 0 for d in decisions], dtype=torch.float64).reshape(shape)
    open_ = torch.tensor([d.sign is None for d in decisions], dtype=torch.float64).reshape(shape)
    return {Key(quantity, "certified"): signs, Key(quantity, "undecided"): open_}
