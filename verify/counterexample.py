"""The smallest tokens on which a layer breaks a promise, and the token scale at which it begins to."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace

import srr
from srr._arrays import detached, like, namespace, quiet, require_shape
from srr.layer import order_of
from verify.climb import STARTS, Found, climbed, simpler_tokens
from verify.decide import as_float64
from verify.promises import Judgement, Promise

Array = Any
Build = Callable[[srr.SparseRateReduction], srr.Layer]
Promises = Callable[[srr.Layer, srr.SparseRateReduction], tuple[Promise, ...]]

SCALES = (1.0, 2.0, 0.5, 4.0, 0.25, 10.0, 0.1, 100.0, 0.01)
PRECISIONS = (1.0, 0.5, 2.0, 0.1, 10.0)
DECADES = tuple(10.0**k for k in range(-8, 9))
"""Values of `stretch` at which a promise is tried before its boundary is bisected."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A layer, what it is measured with, what is asked of it, and what the search may do.

    ``build``, if not None, makes a layer of the same kind for another objective; ``budget`` is the number of
    evaluations for each promise.
    """

    layer: srr.Layer
    objective: srr.SparseRateReduction
    promises: Promises
    build: Build | None
    budget: int

    def attempt(self, index: int, Z: Array, objective: srr.SparseRateReduction | None = None) -> Trial:
        """Promise ``index`` on tokens; with another objective, that of the layer built for it."""
        layer, goal = self._of(objective)
        return attempt(layer, goal, self.promises(layer, goal)[index], Z)

    def promise(self, index: int, objective: srr.SparseRateReduction | None = None) -> Promise:
        """Promise ``index``; with another objective, that of the layer built for it."""
        return self.promises(*self._of(objective))[index]

    def _of(self, objective: srr.SparseRateReduction | None) -> tuple[srr.Layer, srr.SparseRateReduction]:
        if objective is None or objective is self.objective:
            return self.layer, self.objective
        assert self.build is not None
        return self.build(objective), objective


@dataclass(frozen=True, eq=False)
class Trial:
    """A layer on tokens, and what became of one promise there."""

    objective: srr.SparseRateReduction
    tokens: Array
    """The layer's input, ``(n, d)``."""
    before: Array
    """Of the half-step that the promise is about."""
    after: Array
    judgement: Judgement

    @property
    def complexity(self) -> tuple[float, ...]:
        """Smaller is simpler: sizes, then how many entries are not zero, their digits, their size."""
        entries = [x for x in as_float64(self.tokens, "tokens").ravel().tolist() if x]
        K, d, p = self.objective.U.shape
        digits, size = sum(len(f"{x:.17g}") for x in entries), sum(map(abs, entries))
        return len(self.tokens), K * d * p, len(entries), digits, size


def halves(layer: srr.Layer, Z: Array) -> dict[str, tuple[Array, Array]]:
    """The tokens before and after each half-step and the whole layer."""
    with quiet():  # what overflows is judged by what comes out
        first, second = order_of(layer)
        half = _applied(layer, first, Z)
        after = _applied(layer, second, half)
    return {first: (Z, half), second: (half, after), "layer": (Z, after)}


def _applied(layer: srr.Layer, half: str, Z: Array) -> Array:
    xp = array_namespace(Z)
    given = xp.asarray(detached(Z), copy=True)
    result = getattr(layer, half)(Z)
    name = f"the result of {half}"
    namespace(**{name: result}, tokens=Z)
    require_shape(result, Z.shape, name)
    now = detached(Z)
    if not bool(xp.all((now == given) | (given != given))):
        raise ValueError(f"{half} must leave its argument as it is, and wrote into it")
    return result


def attempt(layer: srr.Layer, objective: srr.SparseRateReduction, promise: Promise, Z: Array) -> Trial:
    """One promise on one token set."""
    before, after = halves(layer, Z)[promise.half]
    return Trial(objective, Z, before, after, promise.judge(before, after))


def simplified(
    subject: Subject, index: int, reference: Array, start: Trial | None, near: Iterable[Trial] = ()
) -> Trial | None:
    """The simplest trial found that breaks promise ``index``, tokens beside ``reference``.

    Hypothesis draws a few tokens, small integers times a simple scale; with ``build``, bases and precision
    too. It steers towards tokens on which the quantity falls least; if none of those breaks the promise, and
    no trial ``near`` has, the tokens are moved uphill from there. If ``start`` broke the promise, its own tokens
    with fewer rows and digits are tried as well, and it is the answer when nothing simpler is found.
    """
    from hypothesis import strategies as st

    scales = (*SCALES, *_size_of(reference))

    def drawn(draw: Any) -> Trial:
        goal = subject.objective if subject.build is None else _small_objective(draw, subject.objective)
        n, d = draw(st.integers(1, 4)), goal.U.shape[1]
        integers = draw(st.lists(st.integers(-3, 3), min_size=n * d, max_size=n * d))
        Z = draw(st.sampled_from(scales)) * np.reshape(np.array(integers, dtype=np.float64), (n, d))
        return subject.attempt(index, _beside(Z, reference), goal)

    def reduced(draw: Any) -> Trial:
        assert start is not None
        Z = as_float64(start.tokens, "tokens")
        rows = draw(st.lists(st.integers(0, len(Z) - 1), min_size=1, max_size=len(Z), unique=True))
        digits = draw(st.integers(1, 17))
        rounded = np.array([float(f"{x:.{digits}g}") for x in Z[sorted(rows)].ravel()])
        return subject.attempt(index, _beside(rounded.reshape(len(rows), -1), reference))

    seen = list(near)
    best = _search(subject, index, drawn, start, subject.budget, seen)
    if start is not None and (best is start or subject.build is None):
        best = _search(subject, index, reduced, best, subject.budget // 2, [])
    if best is None and (found := _climbed(subject, index, seen)) is not None:
        alone = _climbed(subject, index, list(_single(subject, index, found)))
        best = _plainer(subject, index, alone or found)
    return best


def _height(subject: Subject, index: int, trial: Trial) -> float:
    """The change of the promised quantity, as a share of what both token sets have of it: from -1 to 1."""
    decision, zero = trial.judgement.decision, 0 * trial.before
    if decision is None or not decision.sign:
        return -1.0
    promise = subject.promise(index, trial.objective)
    had = sum(abs(promise.change(zero, Z).midpoint) for Z in (trial.before, trial.after))
    return max(min(decision.midpoint / had, 1.0), -1.0) if had > 0 else -1.0


def _climbed(subject: Subject, index: int, seen: Iterable[Trial]) -> Trial | None:
    """Uphill from the best of the small token sets seen, moving their entries at the length that they have together.

    Without that, a share of a logarithm is made small by ever longer tokens. A slope takes as many evaluations as there
    are entries, so sets of more than an eighth of the budget are no start.
    """
    small = [trial for trial in seen if 8 * math.prod(trial.tokens.shape) <= subject.budget]
    heights = [(_height(subject, index, trial), trial) for trial in small]
    left = subject.budget
    for _, start in heapq.nlargest(STARTS, heights, key=lambda pair: pair[0]):
        here = as_float64(start.tokens, "tokens")
        if not (length := float(np.linalg.norm(here))):
            continue

        def at(point: np.ndarray, start: Trial = start, length: float = length) -> float:
            try:
                tokens = _beside(point.reshape(start.tokens.shape) * (length / np.linalg.norm(point)), start.tokens)
                trial = subject.attempt(index, tokens, start.objective)
            except Exception:  # the layer does not take these tokens
                return -math.inf
            if trial.judgement.broken:
                raise Found(trial)
            return _height(subject, index, trial)

        if (found := climbed(at, here.ravel() / length, budget=(left + 1) // 2)) is not None:
            return found
        left -= (left + 1) // 2
    return None


def _single(subject: Subject, index: int, found: Trial) -> Iterator[Trial]:
    """Single tokens near those found: each of a few, and their sum."""
    Z = as_float64(found.tokens, "tokens")
    for token in (Z.sum(axis=0), *Z[:4]):
        with suppress(Exception):  # the layer takes no single token
            yield subject.attempt(index, _beside(token[None], found.tokens), found.objective)


def _plainer(subject: Subject, index: int, best: Trial) -> Trial:
    """Fewer and simpler numbers in the place of the tokens, one change at a time, until none is simpler."""
    budget, improved = subject.budget, True
    while improved:
        improved = False
        for rows in simpler_tokens(as_float64(best.tokens, "tokens").tolist()):
            if budget == 0:
                return best
            budget -= 1
            with suppress(Exception):  # the layer does not take these tokens
                trial = subject.attempt(index, _beside(np.array(rows), best.tokens), best.objective)
                if trial.judgement.broken and trial.complexity < best.complexity:
                    best, improved = trial, True
                    break
    return best


def _search(
    subject: Subject,
    index: int,
    make: Callable[[Any], Trial],
    best: Trial | None,
    budget: int,
    seen: list[Trial],
) -> Trial | None:
    from hypothesis import HealthCheck, Phase, Verbosity, find, reject, settings, target
    from hypothesis.errors import Flaky, NoSuchExample, Unsatisfiable
    from hypothesis.strategies import composite

    spent = 0

    @composite
    def trials(draw: Any) -> Trial:
        try:
            return make(draw)
        except Exception:  # whatever kind of error the layer has for tokens that it does not take
            reject()

    def broken(trial: Trial) -> bool:
        nonlocal best, spent
        spent += 1
        if spent > budget:
            raise _BudgetSpent
        if trial.judgement.broken and (best is None or trial.complexity < best.complexity):
            best = trial
        if best is None:
            seen.append(trial)
            target(_height(subject, index, trial))
        return trial.judgement.broken

    quiet = settings(
        max_examples=budget,
        derandomize=True,
        database=None,
        deadline=None,
        verbosity=Verbosity.quiet,
        phases=(Phase.generate, Phase.target, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    with suppress(NoSuchExample, Unsatisfiable, Flaky, _BudgetSpent):
        find(trials(), broken, settings=quiet)
    return best


class _BudgetSpent(BaseException):
    """Ends a search. Not an Exception: hypothesis would take one for a counterexample."""


def _small_objective(draw: Any, objective: srr.SparseRateReduction) -> srr.SparseRateReduction:
    from hypothesis import strategies as st

    K, p = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    d = draw(st.integers(p, 3))
    rotation = np.eye(d)
    if d > 1 and draw(st.booleans()):
        rotation[:2, :2] = [[0.6, -0.8], [0.8, 0.6]]
    axes = st.lists(st.integers(0, d - 1), min_size=p, max_size=p, unique=True)
    bases = [np.eye(d)[:, draw(axes)] for _ in range(K)]
    bases[-1] = rotation @ bases[-1]
    eps = draw(st.sampled_from((objective.eps, *PRECISIONS)))
    return srr.SparseRateReduction(_beside(np.stack(bases), objective.U), eps, objective.lam)


def _beside(a: np.ndarray, reference: Array) -> Array:
    return array_namespace(reference).asarray(a, **like(reference))


def _size_of(Z: Array) -> tuple[float, ...]:
    size = float(np.linalg.norm(as_float64(Z, "Z"))) / math.sqrt(len(Z))
    return (float(f"{size:.1g}"),) if size > 0 and math.isfinite(size) else ()


# --- the boundary along the token scale ---------------------------------------------------------------------


@dataclass(frozen=True)
class Boundary:
    """Where a promise begins or ceases to be kept as the same tokens grow.

    ``held`` and ``broke`` are values of `stretch`: the promise was kept on every token set tried from 0 to
    ``held`` (or from ``held`` on, if it is the larger) and broken on some at ``broke``.
    """

    held: float
    broke: float

    @property
    def below(self) -> bool:
        """Whether the promise is kept by small tokens."""
        return self.held < self.broke

    def inside(self, Z: Array, objective: srr.SparseRateReduction) -> bool:
        """Whether tokens lie where the promise was kept."""
        size = stretch(Z, objective)
        return size <= self.held if self.below else size >= self.held

    def __str__(self) -> str:
        kept, broken = ("up to", "from") if self.below else ("from", "up to")
        return f"kept {kept} {self.held:.3g} and broken {broken} {self.broke:.3g}"


def stretch(Z: Array, objective: srr.SparseRateReduction) -> float:
    """max_k λ_max(β Y_kᵀY_k), Y_k = Z U_k: how far a head's Gram matrix is from negligible beside I.

    The size that matters to attention: below 1 the Neumann series behind it converges (N23 eq. 67).
    """
    U, n = as_float64(objective.U, "U"), Z.shape[0]
    beta = U.shape[2] / (n * objective.eps**2)
    return beta * float(np.max(np.linalg.norm(as_float64(Z, "Z") @ U, 2, axis=(1, 2)))) ** 2


def boundaries(
    layer: srr.Layer, objective: srr.SparseRateReduction, promise: Promise, tokens: list[Array]
) -> tuple[Boundary, ...]:
    """Where the promise begins and ceases to hold on ``tokens``, all scaled to one `stretch`; to 1 %."""
    stretched = [(Z, size) for Z in tokens if (size := stretch(Z, objective)) > 0]

    def kept(size: float) -> bool:
        for Z, own in stretched:
            trial = attempt(layer, objective, promise, Z * math.sqrt(size / own))
            if trial.judgement.broken or trial.judgement.word == "undecided":
                return False
        return True

    return tuple(_bisected(kept, [kept(size) for size in DECADES])) if stretched else ()


def _bisected(kept: Callable[[float], bool], verdicts: list[bool]) -> Iterator[Boundary]:
    if all(verdicts) or not any(verdicts):
        return
    first, last = verdicts.index(False), len(verdicts) - 1 - verdicts[::-1].index(False)
    ends = []
    if first > 0:
        ends.append((DECADES[first - 1], DECADES[first]))
    if last < len(verdicts) - 1:
        ends.append((DECADES[last + 1], DECADES[last]))
    for held, broke in ends:
        while abs(math.log(broke / held)) > 0.01:
            middle = math.sqrt(held * broke)
            held, broke = (middle, broke) if kept(middle) else (held, middle)
        yield Boundary(held, broke)
