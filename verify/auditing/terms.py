"""Every term of the sparse rate reduction, of each sample of a batch, in all the forms that are mixed up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from verify.auditing.rates import heads, official_rates, rates, subspace_rates, without

RATES = ("R", "Rc", "dR", "SRR", "lam|Z|_1 - R", "official Rc")
"""Quantities that involve a rate."""
FALLING = ("Rc", "official Rc", "lam|Z|_1 - R", "nonzero", "|Z|_1")
"""What a layer is meant to lower; the other terms it is meant to raise."""
OF_BASES = ("Rc", "dR", "SRR", "official Rc")
"""Terms that change with the bases."""
OFFICIAL_EPS = 0.1
"""ε of the official measure, in whose code ``eps=0.01`` stands for ε²."""
VIEWS = ("raw", "normed", "operator")
"""Which tokens are measured: see `views`."""


@dataclass(frozen=True)
class Forms:
    """What is measured of tokens.

    Attributes
    ----------
    eps : tuple of float
        Precisions ε.
    lam : float
        λ of the sparse rate reduction.
    cls : {"first", "last", "none"}
        Which token is [CLS]; with one, everything is measured with it and without it.
    tokens : tuple of str
        Of `VIEWS`.
    """

    eps: tuple[float, ...] = (0.1, 0.5, 1.0)
    lam: float = 0.1
    cls: str = "first"
    tokens: tuple[str, ...] = VIEWS


class Tokens(NamedTuple):
    """What of a token set does not depend on bases: each ``(b, forms, …)``."""

    R: Tensor
    l1: Tensor
    nonzero: Tensor


def of_tokens(Z: Tensor, forms: Forms) -> Tokens:
    """R ``(b, forms, eps)``, ‖Z‖₁ and the share of entries that are not zero ``(b, forms)`` of Z ``(b, n, d)``."""
    size = Z.abs()
    kinds = [Z] if forms.cls == "none" else [Z, without(Z, forms.cls)]
    sizes = [size] if forms.cls == "none" else [size, without(size, forms.cls)]
    return Tokens(
        rates(Z, eps=forms.eps, cls=forms.cls),
        torch.stack([a.sum((-2, -1)) for a in sizes], dim=-1),
        torch.stack([(a != 0).to(Z.dtype).mean((-2, -1)) for a in kinds], dim=-1),
    )


def terms(Z: Tensor, U: Tensor, forms: Forms, known: Tokens | None = None) -> dict[str, Tensor]:
    """Every term of tokens Z ``(b, n, d)`` with bases U ``(K, d, p)``.

    Parameters
    ----------
    Z, U : Tensor
    forms : Forms
    known : Tokens, optional
        `of_tokens` of Z, if it has been computed.

    Returns
    -------
    dict of str to Tensor
        R, Rᶜ(Z|U), ΔR, SRR = ΔR − λ‖Z‖₁ and λ‖Z‖₁ − R, each ``(b, forms, eps)``; the official measure, ‖Z‖₁ and the
        share of entries that are not zero, each ``(b, forms)``. The forms are with [CLS], then without it.
    """
    R, l1, nonzero = of_tokens(Z, forms) if known is None else known
    Y = heads(Z, U)
    Rc = subspace_rates(Y, eps=forms.eps, cls=forms.cls)
    price = forms.lam * l1[..., None]
    return {
        "R": R,
        "Rc": Rc,
        "dR": R - Rc,
        "SRR": R - Rc - price,
        "lam|Z|_1 - R": price - R,
        "official Rc": official_rates(Y, eps=OFFICIAL_EPS, cls=forms.cls),
        "|Z|_1": l1,
        "nonzero": nonzero,
    }


Norm = Callable[[Tensor], Tensor]


def views(
    start: Tensor, end: Tensor, norm: Norm | None, adds: bool, names: Sequence[str]
) -> list[tuple[Tensor, Tensor]]:
    """The tokens before and after a half as each view has them.

    raw
        Z and Z⁺, as the network carries them.
    normed
        N(Z) and N(Z⁺), N what the half does to its tokens first.
    operator
        N(Z) and N(Z) + (Z⁺ − Z), or Z⁺ itself if the half adds to nothing: what the half would do if its skip
        carried the tokens that its operator sees.

    Without an N there is the first alone.
    """
    if norm is None:
        return [(start, end)]
    normed = norm(start) if set(names) & {"normed", "operator"} else start
    pairs = {
        "raw": lambda: (start, end),
        "normed": lambda: (normed, norm(end)),
        "operator": lambda: (normed, normed + (end - start) if adds else end),
    }
    return [pairs[name]() for name in names]
