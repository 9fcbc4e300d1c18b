"""From a network and data to an audit, batch by batch: memory grows with neither the data nor the depth of controls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from srr._arrays import choice, count, nonnegative, positive
from verify.auditing import certified, half, nulls, store
from verify.auditing.network import Network, untrained
from verify.auditing.rates import CLS
from verify.auditing.result import Audit, Form, HalfFound
from verify.auditing.running import Key, Running, Spread
from verify.auditing.terms import VIEWS, Forms, Tokens
from verify.capture import capture, refuse_compiled
from verify.files import Rows
from verify.layouts import Layout, Tap

BLOCK_BYTES = 2**20
"""Tokens measured at a time on a CPU: what a core's cache holds beside what is computed of them."""

Batches = Any
"""Inputs: one array or tensor, a sample a row, or an iterable of batches of them (or of tuples that begin with one)."""


def audit(
    model: nn.Module,
    data: Batches,
    *,
    layout: Layout | str | None = None,
    constants: Mapping[str, Any] | None = None,
    eps: float | Iterable[float] = (0.1, 0.5, 1.0),
    lam: float = 0.1,
    cls: Literal["first", "last", "none"] = "first",
    tokens: Iterable[str] = VIEWS,
    twin: nn.Module | bool = True,
    controls: int | None = None,
    certify: int = 0,
    batch: int = 8,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
    name: str = "",
    resume: Path | None = None,
    progress: Callable[[int], None] = lambda samples: None,
) -> Audit:
    """What each half of each layer of a network does to each term of the sparse rate reduction, beside null controls.

    Parameters
    ----------
    model : Module
        In torch, on any device; it is run in evaluation mode and left as it was.
    data : array, tensor or iterable
        Its inputs: one array, a sample a row, or an iterable of batches, each a tensor or a tuple that begins with one.
        It is read once.
    layout : Layout or str, optional
        Where its layers keep their bases and show their tokens; by default the known layout that its weights fit.
    constants : mapping, optional
        What the layout asks for and the network does not tell, such as ``{"heads": 6}``.
    eps, lam : float
        Precisions ε > 0, one or several, and λ ≥ 0 of the sparse rate reduction.
    cls : {"first", "last", "none"}
        Which token is [CLS]: everything is measured with it and without it.
    tokens : iterable of str
        Which tokens are measured: ``"raw"``, ``"normed"``, ``"operator"`` (``verify.auditing.terms``).
    twin : Module or bool
        An untrained network of the same architecture, audited beside it on the same data; True makes one from the
        model (`auditing.network.untrained`), False leaves it out.
    controls : int, optional
        On how many samples, the first, null controls and counterfactuals are tried; on all by default.
    certify : int
        On how many samples, the first, the signs of changes are decided in exact and ball arithmetic.
    batch : int
        Samples at a time, if ``data`` is one array.
    dtype : torch.dtype
        In which rates are computed: float64, or float32 where speed counts more than the last three digits.
    seed : int
        Of everything random: controls and twin.
    name : str
        Of the network, for reports.
    resume : Path, optional
        A file in which the state is kept while this runs; if it is there, this goes on from it.
    progress : callable
        Told the number of samples of each batch that is done.

    Returns
    -------
    Audit

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind, shape or value; a sample that is not finite, or whose tokens are not; weights
        that do not fit the layout; a file that another audit left.
    CaptureError
        The network cannot be watched (`verify.capture`).
    """
    forms = _forms(eps, lam, cls, tokens)
    limit = None if controls is None else count(controls, "controls", 0)
    count(certify, "certify", 0)
    count(batch, "batch")
    count(seed, "seed", 0)
    if dtype not in (torch.float64, torch.float32):
        raise ValueError(f"dtype must be torch.float64 or torch.float32, got {dtype}")
    refuse_compiled(model)
    models = [model, *([untrained(model, seed=seed) if twin is True else twin] if twin is not False else [])]
    subjects = [
        _Subject(Network.of(each, layout, constants or {}), forms, dtype, seed, certify if i == 0 else 0)
        for i, each in enumerate(models)
    ]
    done, kept = 0, None
    if resume is not None:
        kept = store.State(resume, _identity(forms, seed, certify, limit, dtype, models))
        done, loaded = kept.load(len(subjects))
        for subject, runnings in zip(subjects, loaded, strict=True):
            subject.runnings[:] = runnings or subject.runnings
        progress(done)
    seen = 0
    for inputs in _batches(data, batch):
        seen += len(inputs)
        if seen <= done:
            continue
        if seen - len(inputs) < done:
            raise ValueError(f"the batches must be those of the audit that {resume} is of, got others")
        controlled = len(inputs) if limit is None else max(0, min(len(inputs), limit - done))
        for subject in subjects:
            subject.take(inputs, first=done, controlled=controlled)
        done = seen
        progress(len(inputs))
        if kept is not None:
            kept.save(done, [subject.runnings for subject in subjects])
    if not done:
        raise ValueError("data must have at least one sample, got none")
    if resume is not None:
        resume.unlink(missing_ok=True)
    tried = done if limit is None else min(limit, done)
    found: Audit | None = None
    for i, subject in reversed(list(enumerate(subjects))):
        found = Audit(
            name=name if i == 0 else f"{name}, untrained".strip(", "),
            samples=done,
            controlled=tried,
            certified=min(certify, done) if i == 0 else 0,
            forms=forms,
            seed=seed,
            shape=subject.shape,
            halves=subject.found(),
            weights=subject.network.weights(dtype),
            twin=found,
        )
    assert found is not None
    return found


@dataclass(eq=False)
class _Subject:
    """One network, and what has been found of its halves: measures, controls and certified signs apart."""

    network: Network
    forms: Forms
    dtype: torch.dtype
    seed: int
    certify: int

    def __post_init__(self) -> None:
        self.halves = self.network.halves(dtype=self.dtype, seed=self.seed, lam=self.forms.lam)
        self.runnings = [[Running.empty() for _ in range(3)] for _ in self.halves]
        self.shape = (0, 0)
        self.watched = False

    def take(self, inputs: Tensor, *, first: int, controlled: int) -> None:
        """Run the network on a batch and fold in what its halves did; ``first`` samples came before."""
        passed = self._tokens(self.network.model, inputs, first)
        for part, before, after in self.halves:
            _require_pair(passed[before], passed[after], len(inputs), self.forms, part.named)
            self.shape = tuple(passed[before].shape[1:])
        found: list[tuple[list[dict[Key, Tensor]], list[dict[Key, Tensor]]]] = [([], []) for _ in self.halves]
        with torch.no_grad():
            for block in _blocks(len(inputs), controlled, passed.values()):
                noise: dict[tuple[int, ...], Tensor] = {}
                for step, (measured, tried) in zip(self._steps(passed, block), found, strict=True):
                    measured.append(half.measure(step))
                    if block.stop <= controlled:
                        size, n, d = shape = tuple(step.Z.shape)
                        if shape not in noise:
                            at = first + block.start
                            noise[shape] = nulls.noise(at, size, n, d, seed=self.seed, like=step.start.Z)
                        tried.append(half.controls(step, noise[shape]))
            for (part, before, after), (measures, controls, signs), parts in zip(
                self.halves, self.runnings, found, strict=True
            ):
                for running, blocks in zip((measures, controls), parts, strict=True):
                    if blocks:
                        running.add({key: torch.cat([block[key] for block in blocks]) for key in blocks[0]})
                for i in range(max(0, min(len(inputs), self.certify - first))):
                    signs.add(certified.signs(part, passed[before][i], passed[after][i], self.forms))

    def _steps(self, passed: Mapping[Tap, Tensor], block: slice) -> Iterator[half.Step]:
        at, end = None, None
        for part, before, after in self.halves:
            Z, ended = passed[before][block], passed[after][block]
            start = end if end is not None and before == at else Tokens(Z.to(part.U), self.forms)
            at, end = after, Tokens(ended.to(part.U), self.forms)
            yield half.Step(part, Z, ended, start, end)

    def _tokens(self, model: nn.Module, inputs: Tensor, first: int) -> dict[Tap, Tensor]:
        weights = next(iter(model.parameters()), None)
        if weights is not None:
            inputs = inputs.to(weights.device, weights.dtype if inputs.is_floating_point() else inputs.dtype)
        passed = capture(model, lambda: model(inputs), self.network.taps, replay=not self.watched)
        self.watched = True  # once is enough: a submodule that gives something else for its input does so each time
        for tap, a in passed.items():
            _require_finite(a, f"the {tap}", first)
        return {tap: a.to(self.network.dtype or a.dtype) for tap, a in passed.items()}

    def found(self) -> tuple[HalfFound, ...]:
        """Everything, by name and form."""
        result = []
        for (part, _, _), runnings in zip(self.halves, self.runnings, strict=True):
            numbers: dict[tuple[Key, Form], Spread] = {}
            for running in runnings:
                for key, (shape, spreads) in running.spreads().items():
                    forms = _forms_of(key, shape, part.views(self.forms), self.forms)
                    numbers |= {(key, form): spread for form, spread in zip(forms, spreads, strict=True)}
            result.append(HalfFound(part.layer, part.half, numbers))
        return tuple(result)


def _forms_of(key: Key, shape: tuple[int, ...], views: tuple[str, ...], forms: Forms) -> list[Form]:
    """What stands where in an array ``(views, [CLS], eps)``, ``(views, [CLS])`` or ``([CLS],)``."""
    cls: tuple[bool | None, ...] = (None,) if forms.cls == "none" else (True, False)
    if key.what in ("certified", "undecided"):
        views, cls = ("raw",), cls[:1]
    if len(shape) == 3:
        return [Form(v, c, e) for v in views for c in cls for e in forms.eps]
    if len(shape) == 2:
        return [Form(v, c, None) for v in views for c in cls]
    return [Form(None, c, None) for c in cls]


def _forms(eps: float | Iterable[float], lam: float, cls: str, tokens: Iterable[str]) -> Forms:
    given = tuple(eps) if isinstance(eps, Iterable) else (eps,)
    if not given:
        raise ValueError("eps must be one number or several, got none")
    if len(set(given)) < len(given):
        raise ValueError(f"eps must be different numbers, got {given}")
    views = tuple(choice(view, VIEWS, "tokens") for view in ([tokens] if isinstance(tokens, str) else tokens))
    if not views or len(set(views)) < len(views):
        raise ValueError(f"tokens must be different ones of {', '.join(VIEWS)}, got {views}")
    precisions = tuple(positive(e, "eps") for e in given)
    return Forms(precisions, nonnegative(lam, "lam"), choice(cls, tuple(CLS), "cls"), views)


def _batches(data: Batches, size: int) -> Iterator[Tensor]:
    whole = torch.from_numpy(data) if _is_numpy(data) else data if isinstance(data, Tensor | Rows) else None
    if whole is not None:
        parts: Iterable[Any] = (whole[i : i + size] for i in range(0, len(whole), size))
    else:
        parts = data
    first = 0
    for part in parts:
        inputs = part[0] if isinstance(part, tuple | list) else part
        inputs = torch.from_numpy(inputs) if _is_numpy(inputs) else inputs
        if not isinstance(inputs, Tensor) or inputs.ndim < 1:
            raise TypeError(f"data must give tensors, a sample a row, got {type(inputs).__name__}")
        if inputs.is_floating_point():
            _require_finite(inputs, "data", first)
        first += len(inputs)
        yield inputs


def _is_numpy(a: Any) -> bool:
    return type(a).__module__ == "numpy" and hasattr(a, "__array_interface__")


def _blocks(samples: int, controlled: int, tokens: Iterable[Tensor]) -> Iterator[slice]:
    """The samples of a batch, as many at a time as a core's cache holds, those with controls first; on a GPU all."""
    largest = max(tokens, key=lambda Z: Z[0].numel())
    fitting = BLOCK_BYTES // (8 * largest[0].numel()) if largest.device.type == "cpu" else samples
    for low, high in ((0, controlled), (controlled, samples)):
        for i in range(low, high, max(1, fitting)):
            yield slice(i, min(i + max(1, fitting), high))


def _require_finite(a: Tensor, name: str, first: int) -> None:
    if bool(torch.isfinite(a.sum())):  # one pass; a finite set may still sum to infinity
        return
    good = torch.isfinite(a).flatten(1).all(1) if a.ndim > 1 else torch.isfinite(a)
    if not bool(good.all()):
        raise ValueError(
            f"{name} must be finite, got numbers that are not in sample {first + int((~good).nonzero()[0])}"
        )


def _require_pair(Z: Tensor, after: Tensor, samples: int, forms: Forms, named: str) -> None:
    if Z.ndim != 3 or Z.shape != after.shape or len(Z) != samples:
        raise ValueError(
            f"the tokens of {named} must be (b, n, d), b = {samples} samples, before and after, "
            f"got {tuple(Z.shape)} and {tuple(after.shape)}"
        )
    if Z.shape[1] < 2 and forms.cls != "none":
        raise ValueError(f'cls must be "none" where there is one token, as in {named}, got {forms.cls!r}')


def _identity(
    forms: Forms, seed: int, certify: int, controls: int | None, dtype: torch.dtype, models: list[nn.Module]
) -> str:
    from hashlib import sha256

    digest = sha256(repr((forms, seed, certify, controls, str(dtype))).encode())
    for model in models:
        for name, a in model.state_dict().items():
            digest.update(name.encode())
            digest.update(a.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
