"""One half of one layer at work on a batch, beside its null controls and counterfactuals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from srr import curvature
from verify.auditing import coding, counterfactuals, direction, nulls
from verify.auditing.running import Key
from verify.auditing.terms import OF_BASES, Forms, Norm, Tokens, ends, starts, terms
from verify.promises import measuring

COSINE, STEP, LARGEST = "cosine with -grad Rc", "step in units of 2/L_c", "lambda_max(beta Y Y^T)"
RELATIVE = ("Rc", "official Rc")
"""Terms whose change under other bases is compared with the layer's as a share of where each starts."""


@dataclass(frozen=True, eq=False)
class Half:
    """One half of one layer of a network, and what its controls need. Tensors are in the dtype of the measures.

    Attributes
    ----------
    layer : int
    half : str
        ``"compress"`` or ``"sparsify"``.
    norm : callable or None
        N, what it does to its tokens first, in the network's dtype.
    adds : bool
        Whether it adds to its tokens.
    U : Tensor, shape (K, d, p)
    bases : mapping
        In place of U, by the names of `nulls.BASES`.
    D : Tensor or None
        Dictionary, if the half gives a code in it.
    dictionaries : mapping
        In place of D.
    lam : float
        λ of its lasso.
    """

    layer: int
    half: str
    norm: Norm | None
    adds: bool
    U: Tensor
    bases: Mapping[str, Tensor]
    D: Tensor | None = None
    dictionaries: Mapping[str, Tensor] | None = None
    lam: float = 0.0

    def views(self, forms: Forms) -> tuple[str, ...]:
        """The names of the views of its tokens."""
        return forms.tokens if self.norm is not None else ("raw",)

    @cached_property
    def overlap(self) -> float:
        """λ_max(Σ_k U_k U_kᵀ)."""
        return float(curvature.overlap(self.U))

    @cached_property
    def sizes(self) -> counterfactuals.Sizes:
        """Of the steps that theory would take."""
        return counterfactuals.Sizes.of(self.U)

    @property
    def named(self) -> str:
        """For messages: layers are counted from 1."""
        return f"layer {self.layer + 1} {self.half}"


@dataclass(frozen=True, eq=False)
class Step:
    """What a half did to a batch.

    Attributes
    ----------
    half : Half
    Z, after : Tensor, shape (b, n, d)
        The tokens before and after, in the network's dtype.
    start, end : Tokens
        The same in the dtype of the measures: the end of one half is the start of the next.
    """

    half: Half
    Z: Tensor
    after: Tensor
    start: Tokens
    end: Tokens

    @property
    def forms(self) -> Forms:
        """What is measured of them."""
        return self.start.forms

    @cached_property
    def seen(self) -> Tensor:
        """N(Z), in the network's dtype."""
        return self.Z if self.half.norm is None else self.half.norm(self.Z)

    @cached_property
    def starts(self) -> list[Tokens]:
        """The tokens before the half, by view."""
        return self._tokens(starts(self.Z, self.seen, self.views), {id(self.Z): self.start})

    @cached_property
    def ends(self) -> list[Tokens]:
        """Those after it."""
        return self._tokens(self.after_it(self.after), {id(self.after): self.end})

    @property
    def views(self) -> tuple[str, ...]:
        """Their names."""
        return self.half.views(self.forms)

    def after_it(self, after: Tensor, adds: bool | None = None) -> list[Tensor]:
        """The tokens ``after``, by view, had the half given these."""
        half = self.half
        return ends(self.Z, self.seen, after, half.norm, half.adds if adds is None else adds, self.views)

    def _tokens(self, by_view: list[Tensor], known: dict[int, Tokens]) -> list[Tokens]:
        for Z in by_view:  # those of two views may be the same
            if id(Z) not in known:
                known[id(Z)] = Tokens(Z.to(self.half.U), self.forms)
        return [known[id(Z)] for Z in by_view]


def measure(step: Step) -> dict[Key, Tensor]:
    """Every term before, after, and its change; the lasso, the direction and size of the update.

    Each array is ``(b, views, forms, eps)``, without the last axis where no ε enters; the lasso has no views.
    """
    half, found = step.half, {}
    old, new = (_terms(tokens, half.U) for tokens in (step.starts, step.ends))
    for name in old:
        found |= {
            Key(name, "before"): old[name],
            Key(name, "after"): new[name],
            Key(name, "change"): new[name] - old[name],
        }
    if half.half == "compress":
        found |= _direction(step)
    if half.D is not None:
        found |= coding.measure(step.seen.to(half.U), half.D, step.end.Z, lam=half.lam, cls=step.forms.cls)
    return found


def controls(step: Step, noise: Tensor) -> dict[Key, Tensor]:
    """What null controls and counterfactuals do to every term, and by how much the layer's own change exceeds it.

    ``noise`` is that of `nulls.noise`; shapes as in `measure`.
    """
    half = step.half
    old, new = (_terms(tokens, half.U) for tokens in (step.starts, step.ends))
    own = {name: new[name] - old[name] for name in old}
    found: dict[Key, Tensor] = {}

    null_ends = _null_ends(step, noise)
    for name, null in null_ends.items():
        for quantity, value in _terms([Tokens(Z, step.forms) for Z in null], half.U).items():
            change = value - old[quantity]
            found[Key(quantity, "change", name)] = change
            found[Key(quantity, "margin", name)] = own[quantity] - change

    for name, U in half.bases.items():
        first, last = (_terms(tokens, U) for tokens in (step.starts, step.ends))
        for quantity in OF_BASES:
            change, mine = last[quantity] - first[quantity], own[quantity]
            found[Key(quantity, "change", name)] = change
            if quantity in RELATIVE:
                change, mine = change / _nonzero(first[quantity]), mine / _nonzero(old[quantity])
            found[Key(quantity, "margin", name)] = mine - change

    if half.half == "compress":
        found |= _direction_margins(step, null_ends)
        found |= _counterfactuals(step, old["Rc"])
    if half.D is not None:
        X, dictionaries = step.seen.to(half.U), half.dictionaries or {}
        found |= coding.controls(X, half.D, step.end.Z, dictionaries, lam=half.lam, cls=step.forms.cls)
    return found


def _null_ends(step: Step, noise: Tensor) -> dict[str, list[Tensor]]:
    # As large as the layer's update is in the same view; LayerNorm is that of the raw tokens.
    found: dict[str, list[Tensor]] = {name: [] for name in nulls.UPDATES}
    for view, start, end in zip(step.views, step.starts, step.ends, strict=True):
        of, to = (start.Z, end.Z) if view == "operator" else (step.start.Z, step.end.Z)
        made = nulls.updates(of, torch.linalg.vector_norm(to - of, dim=(1, 2)), noise)
        for name, update in made.items():
            null = of + update
            if view == "normed" and step.half.norm is not None:
                null = step.half.norm(null.to(step.Z)).to(of)
            found[name].append(null)
    return found


def _terms(by_view: Sequence[Tokens], U: Tensor) -> dict[str, Tensor]:
    rows = [terms(tokens, U) for tokens in by_view]
    return {name: _stacked(row[name] for row in rows) for name in rows[0]}


def _stacked(rows: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(rows), dim=1)


def _direction(step: Step) -> dict[Key, Tensor]:
    """Of the update: its cosine with −∇Rᶜ, its size; and whether the Neumann series of the gradient converges."""
    heads = [start.onto(step.half.U) for start in step.starts]
    updates = [end.Z - start.Z for start, end in zip(step.starts, step.ends, strict=True)]
    found = [direction.cosines(Y, {"": update})[""] for Y, update in zip(heads, updates, strict=True)]
    each = zip(heads, updates, found, strict=True)
    top = {id(Y): direction.largest_eigenvalues(Y) for Y in heads}
    return {
        Key(COSINE, "value"): _stacked(found),
        Key(STEP, "value"): _stacked(direction.steps(*parts, step.half.overlap) for parts in each),
        Key(LARGEST, "value"): _stacked(top[id(Y)] for Y in heads),
    }


def _direction_margins(step: Step, null_ends: Mapping[str, Sequence[Tensor]]) -> dict[Key, Tensor]:
    """Cosines with −∇Rᶜ of null updates, and of the layer's update with that of other bases; and the margins."""
    found: dict[Key, list[Tensor]] = {}
    for v, (start, end) in enumerate(zip(step.starts, step.ends, strict=True)):
        update = end.Z - start.Z
        nulls_ = {name: null[v] - start.Z for name, null in null_ends.items()}
        by_control = direction.cosines(start.onto(step.half.U), {"": update} | nulls_)
        own = by_control.pop("")
        for name, U in step.half.bases.items():
            by_control |= {name: direction.cosines(start.onto(U), {"": update})[""]}
        for name, cosine in by_control.items():
            found.setdefault(Key(COSINE, "value", name), []).append(cosine)
            found.setdefault(Key(COSINE, "margin", name), []).append(own - cosine)
    return {key: _stacked(rows) for key, rows in found.items()}


def _counterfactuals(step: Step, old: Tensor) -> dict[Key, Tensor]:
    """By how much other compressions with the same weights change Rᶜ, which was ``old``."""
    half, forms, found = step.half, step.forms, {}

    def compressed(after: Tensor, forms: Forms) -> Tensor:
        by_view = [Tokens(Z.to(half.U), forms) for Z in step.after_it(after.to(step.Z), adds=True)]
        return _stacked(tokens.onto(half.U).Rc for tokens in by_view)

    for name, after in counterfactuals.tied(step.start.Z, step.seen.to(half.U), half.U).items():
        found[Key("Rc", "change", name)] = compressed(after, forms) - old
    by_step: dict[str, list[Tensor]] = {}
    for i, eps in enumerate(forms.eps):
        with measuring():
            steps = list(counterfactuals.steps(step.start.Z, half.U, half.sizes, eps=eps))
        for name, after in steps:
            by_step.setdefault(name, []).append(compressed(after, replace(forms, eps=(eps,)))[..., 0] - old[..., i])
    return found | {Key("Rc", "change", name): torch.stack(rows, dim=-1) for name, rows in by_step.items()}


def _nonzero(a: Tensor) -> Tensor:
    return torch.where(a != 0, a, 1.0)
