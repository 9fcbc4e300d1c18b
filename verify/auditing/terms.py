"""Every term of the sparse rate reduction, of each sample of a batch, in all the forms that are mixed up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from verify.auditing.rates import Heads, over_tokens, rates

RATES = ("R", "Rc", "dR", "SRR", "lam|Z|_1 - R", "official Rc")
"""Quantities that involve a rate."""
OF_BASES = ("Rc", "dR", "SRR", "official Rc")
"""Terms that change with the bases."""
VIEWS = ("raw", "normed", "operator")
"""Which tokens are measured: see `ends`."""


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


@dataclass(frozen=True, eq=False)
class Tokens:
    """A batch of token sets, and what is computed of them, once, whichever views, halves and controls ask for it.

    Attributes
    ----------
    Z : Tensor, shape (b, n, d)
    forms : Forms
    """

    Z: Tensor
    forms: Forms
    _onto: dict[int, Heads] = field(default_factory=dict, repr=False)

    @cached_property
    def R(self) -> Tensor:
        """R, ``(b, forms, eps)``."""
        return rates(self.Z, eps=self.forms.eps, cls=self.forms.cls)

    @cached_property
    def l1(self) -> Tensor:
        """‖Z‖₁, ``(b, forms)``."""
        return over_tokens(self._sizes.sum(-1), self.forms.cls)

    @cached_property
    def nonzero(self) -> Tensor:
        """The share of entries that are not zero, ``(b, forms)``."""
        n, d = self.Z.shape[-2:]
        entries = [n * d] if self.forms.cls == "none" else [n * d, (n - 1) * d]
        return over_tokens(self._sizes.sign().sum(-1), self.forms.cls) / torch.tensor(entries).to(self.Z)

    @cached_property
    def _sizes(self) -> Tensor:
        return self.Z.abs()

    def onto(self, U: Tensor) -> Heads:
        """Their projections onto subspaces."""
        if id(U) not in self._onto:  # which holds U, so that no other tensor gets its place
            self._onto[id(U)] = Heads.of(self.Z, U, eps=self.forms.eps, which=self.forms.cls)
        return self._onto[id(U)]


def terms(tokens: Tokens, U: Tensor) -> dict[str, Tensor]:
    """Every term of tokens with bases U ``(K, d, p)``.

    Returns
    -------
    dict of str to Tensor
        R, Rᶜ(Z|U), ΔR, SRR = ΔR − λ‖Z‖₁ and λ‖Z‖₁ − R, each ``(b, forms, eps)``; the official measure, ‖Z‖₁ and the
        share of entries that are not zero, each ``(b, forms)``. The forms are with [CLS], then without it.
    """
    R, heads = tokens.R, tokens.onto(U)
    price = tokens.forms.lam * tokens.l1[..., None]
    return {
        "R": R,
        "Rc": heads.Rc,
        "dR": R - heads.Rc,
        "SRR": R - heads.Rc - price,
        "lam|Z|_1 - R": price - R,
        "official Rc": heads.official,
        "|Z|_1": tokens.l1,
        "nonzero": tokens.nonzero,
    }


Norm = Callable[[Tensor], Tensor]


def starts(Z: Tensor, seen: Tensor, names: Sequence[str]) -> list[Tensor]:
    """The tokens before a half as each view has them: Z itself, or N(Z) that it has ``seen``; see `ends`."""
    return [Z if name == "raw" else seen for name in names]


def ends(Z: Tensor, seen: Tensor, after: Tensor, norm: Norm | None, adds: bool, names: Sequence[str]) -> list[Tensor]:
    """The tokens after a half as each view has them.

    raw
        Z and Z⁺, as the network carries them.
    normed
        N(Z) and N(Z⁺), N what the half does to its tokens first.
    operator
        N(Z) and N(Z) + (Z⁺ − Z), or Z⁺ itself if the half adds to nothing: what the half would do if its skip
        carried the tokens that its operator sees.

    Without an N there is the first alone.
    """
    by_view = {
        "raw": lambda: after,
        "normed": lambda: after if norm is None else norm(after),
        "operator": lambda: seen + (after - Z) if adds else after,
    }
    return [by_view[name]() for name in names]
