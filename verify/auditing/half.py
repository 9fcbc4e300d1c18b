"""One half of one layer at work on a batch, beside its null controls and counterfactuals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from verify.auditing import coding, counterfactuals, direction, nulls
from verify.auditing.running import Key
from verify.auditing.terms import OF_BASES, Forms, Norm, Tokens, of_tokens, terms, views
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

    @property
    def named(self) -> str:
        """For messages: layers are counted from 1."""
        return f"layer {self.layer + 1} {self.half}"


def measure(half: Half, Z: Tensor, after: Tensor, forms: Forms) -> dict[Key, Tensor]:
    """Every term before, after, and its change; the lasso, the direction and size of the update.

    Z and ``after`` are ``(b, n, d)`` in the network's dtype. Each array is ``(b, views, forms, eps)``, without the last
    axis where no ε enters; the lasso has no views.
    """
    pairs = _views(half, Z, after, forms)
    found: dict[Key, Tensor] = {}
    old, new = (_terms((pair[i] for pair in pairs), half.U, forms) for i in (0, 1))
    for name in old:
        found |= {
            Key(name, "before"): old[name],
            Key(name, "after"): new[name],
            Key(name, "change"): new[name] - old[name],
        }
    if half.half == "compress":
        found |= _direction(half, pairs, {"": [b - a for a, b in pairs]}, forms)
        starts = [a for a, _ in pairs]
        top = {id(a): direction.largest_eigenvalues(a, half.U, eps=forms.eps, cls=forms.cls) for a in _distinct(starts)}
        found[Key(LARGEST, "value")] = _stacked(top[id(a)] for a in starts)
    if half.D is not None:
        found |= coding.measure(_seen(half, Z), half.D, after.to(half.U), lam=half.lam, cls=forms.cls)
    return found


def controls(half: Half, Z: Tensor, after: Tensor, noise: Tensor, forms: Forms) -> dict[Key, Tensor]:
    """What null controls and counterfactuals do to every term, and by how much the layer's own change exceeds it.

    ``noise`` is that of `nulls.noise`; shapes as in `measure`.
    """
    pairs = _views(half, Z, after, forms)
    starts, ends = [a for a, _ in pairs], [b for _, b in pairs]
    at_start, at_end = (_known(sets, forms) for sets in (starts, ends))
    old = _terms(starts, half.U, forms, at_start)
    new = _terms(ends, half.U, forms, at_end)
    own = {name: new[name] - old[name] for name in old}
    found: dict[Key, Tensor] = {}

    null_ends = _null_ends(half, Z, after, pairs, noise, forms)
    moved = {name: [b - a for a, b in zip(starts, null, strict=True)] for name, null in null_ends.items()}
    for name, null in null_ends.items():
        for quantity, value in _terms(null, half.U, forms).items():
            change = value - old[quantity]
            found[Key(quantity, "change", name)] = change
            found[Key(quantity, "margin", name)] = own[quantity] - change

    for name, U in half.bases.items():
        first, last = _terms(starts, U, forms, at_start), _terms(ends, U, forms, at_end)
        for quantity in OF_BASES:
            change, mine = last[quantity] - first[quantity], own[quantity]
            found[Key(quantity, "change", name)] = change
            if quantity in RELATIVE:
                change, mine = change / _nonzero(first[quantity]), mine / _nonzero(old[quantity])
            found[Key(quantity, "margin", name)] = mine - change

    if half.half == "compress":
        found |= _direction(half, pairs, moved, forms, margins=True)
        found |= _counterfactuals(half, Z, old, forms)
    if half.D is not None:
        dictionaries = half.dictionaries or {}
        found |= coding.controls(_seen(half, Z), half.D, after.to(half.U), dictionaries, lam=half.lam, cls=forms.cls)
    return found


def _seen(half: Half, Z: Tensor) -> Tensor:
    """The tokens behind N."""
    return (Z if half.norm is None else half.norm(Z)).to(half.U)


def _views(half: Half, Z: Tensor, after: Tensor, forms: Forms, adds: bool | None = None) -> list[tuple[Tensor, Tensor]]:
    pairs = views(Z, after, half.norm, half.adds if adds is None else adds, forms.tokens)
    made = {id(a): a.to(half.U) for pair in pairs for a in pair}  # the same tokens of two views stay the same tensor
    return [(made[id(a)], made[id(b)]) for a, b in pairs]


def _known(tokens: list[Tensor], forms: Forms) -> list[Tokens]:
    made = {id(Z): of_tokens(Z, forms) for Z in _distinct(tokens)}
    return [made[id(Z)] for Z in tokens]


def _null_ends(
    half: Half, Z: Tensor, after: Tensor, pairs: list[tuple[Tensor, Tensor]], noise: Tensor, forms: Forms
) -> dict[str, list[Tensor]]:
    # As large as the layer's update is in the same view; LayerNorm is that of the raw tokens.
    found: dict[str, list[Tensor]] = {name: [] for name in nulls.UPDATES}
    for view, (start, end) in zip(half.views(forms), pairs, strict=True):
        of, to = (start, end) if view == "operator" else (Z.to(half.U), after.to(half.U))
        made = nulls.updates(of, torch.linalg.vector_norm(to - of, dim=(1, 2)), noise.to(half.U))
        for name, update in made.items():
            null = of + update
            if view == "normed":
                null = half.norm(null.to(Z)).to(half.U)
            found[name].append(null)
    return found


def _terms(tokens: Iterable[Tensor], U: Tensor, forms: Forms, known: Iterable | None = None) -> dict[str, Tensor]:
    tokens = list(tokens)
    given = dict(zip(map(id, tokens), known or [None] * len(tokens), strict=False))
    made = {id(Z): terms(Z, U, forms, given[id(Z)]) for Z in _distinct(tokens)}
    rows = [made[id(Z)] for Z in tokens]
    return {name: _stacked(row[name] for row in rows) for name in rows[0]}


def _distinct(tokens: Iterable[Tensor]) -> list[Tensor]:
    """Each tensor once: two views may have the same start."""
    return list({id(Z): Z for Z in tokens}.values())


def _stacked(rows: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(rows), dim=1)


def _direction(
    half: Half,
    pairs: list[tuple[Tensor, Tensor]],
    updates: Mapping[str, list[Tensor]],
    forms: Forms,
    margins: bool = False,
) -> dict[Key, Tensor]:
    """Cosines with −∇Rᶜ: of updates with the layer's, and, for margins, of the layer's update with other bases'."""
    found: dict[Key, list[Tensor]] = {}
    slopes: dict[tuple[int, str], list[list[Tensor]]] = {}

    def slope(tokens: Tensor, name: str, U: Tensor) -> list[list[Tensor]]:
        key = id(tokens), name
        if key not in slopes:
            slopes[key] = direction.gradients(tokens, U, eps=forms.eps, cls=forms.cls)
        return slopes[key]

    for v, (start, end) in enumerate(pairs):
        gradient = slope(start, "", half.U)
        every = {name: update[v] for name, update in updates.items()}
        if not margins:
            size = direction.steps(gradient, end - start, half.U, eps=forms.eps, cls=forms.cls)
            found.setdefault(Key(STEP, "value"), []).append(size)
            cosine = direction.cosines(gradient, every, forms.cls)[""]
            found.setdefault(Key(COSINE, "value"), []).append(cosine)
            continue
        by_control = direction.cosines(gradient, {"": end - start} | every, forms.cls)
        own = by_control.pop("")
        for name, U in half.bases.items():
            other = slope(start, name, U)
            by_control |= {name: direction.cosines(other, {"": end - start}, forms.cls)[""]}
        for name, cosine in by_control.items():
            found.setdefault(Key(COSINE, "value", name), []).append(cosine)
            found.setdefault(Key(COSINE, "margin", name), []).append(own - cosine)
    return {key: _stacked(rows) for key, rows in found.items()}


def _counterfactuals(half: Half, Z: Tensor, old: Mapping[str, Tensor], forms: Forms) -> dict[Key, Tensor]:
    found: dict[Key, Tensor] = {}
    tokens, seen = Z.to(half.U), _seen(half, Z)

    def change(end: Tensor, forms: Forms) -> Tensor:
        ends = [b for _, b in _views(half, Z, end.to(Z), forms, adds=True)]
        return _terms(ends, half.U, forms)["Rc"]

    for name, end in counterfactuals.tied(tokens, seen, half.U).items():
        found[Key("Rc", "change", name)] = change(end, forms) - old["Rc"]
    by_step: dict[str, list[Tensor]] = {}
    for i, eps in enumerate(forms.eps):
        alone = Forms((eps,), forms.lam, forms.cls, forms.tokens)
        with measuring():
            ends = list(counterfactuals.steps(tokens, half.U, eps=eps, lam=forms.lam))
        for name, end in ends:
            by_step.setdefault(name, []).append(change(end, alone)[..., 0] - old["Rc"][..., i])
    return found | {Key("Rc", "change", name): torch.stack(rows, dim=-1) for name, rows in by_step.items()}


def _nonzero(a: Tensor) -> Tensor:
    return torch.where(a != 0, a, 1.0)
