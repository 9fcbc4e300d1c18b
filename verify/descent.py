"""Does a layer lower what it is meant to lower? The question as one call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from rich.console import Console, ConsoleOptions, RenderResult

import srr
from srr._arrays import count, namespace, require_tokens
from srr.layer import require_layer
from verify.arrays import to_numpy
from verify.counterexample import (
    Array,
    Boundary,
    Build,
    Promises,
    Subject,
    Trial,
    boundaries,
    halves,
    simplified,
)
from verify.ledger import HOLDS, HOLDS_UNDER, REFUTED, UNDECIDED, Verdict
from verify.promises import WORDS, Promise, promises_of
from verify.trace import TERMS, terms

QUANTILES = (0.0, 0.05, 0.5, 0.95, 1.0)
BUDGET = 200
"""Evaluations that the search for a smallest counterexample may spend, for each promise."""
SCALED = 8
"""Token sets that are scaled up and down to find where a broken promise is kept."""


@dataclass(frozen=True, eq=False)
class Part:
    """What became of one promise.

    Attributes
    ----------
    half, quantity : str
        The half-step, and what it promises not to raise.
    verdict : Verdict
        ``holds``, ``refuted``, ``undecided``; or ``holds under``, if it was kept on every instance within
        ``boundaries`` and there were such.
    counts : mapping
        How often the quantity fell, stayed level, rose by no more than rounding explains, rose, and so on.
    witness : Trial or None
        The simplest counterexample found.
    reproduces : bool
        Whether the layer returned the same on the witness again. One that does not is no function of its tokens,
        and is not refuted by what it may keep next time: the verdict is ``undecided`` if it then did.
    boundaries : tuple of Boundary
        Where the same tokens, scaled, begin and cease to keep it.
    """

    half: str
    quantity: str
    verdict: Verdict
    counts: Mapping[str, int]
    witness: Trial | None = None
    reproduces: bool = True
    boundaries: tuple[Boundary, ...] = ()


@dataclass(frozen=True, eq=False)
class DescentReport:
    """What `check_descent` found; prints as a table of 80 columns.

    Attributes
    ----------
    verdict : Verdict
        The worst of the parts' verdicts.
    layer : str
        Its class.
    objective : SparseRateReduction
    instances : int
        Token sets tried.
    parts : tuple of Part
    changes : mapping
        Half to term to the least, 5 %, median, 95 % and largest change of that term, in floating point.
    """

    verdict: Verdict
    layer: str
    objective: srr.SparseRateReduction
    instances: int
    parts: tuple[Part, ...]
    changes: Mapping[str, Mapping[str, tuple[float, ...]]]

    def to_dict(self) -> dict[str, Any]:
        """As JSON data."""
        from verify import descent_text

        return descent_text.data(self)

    def __str__(self) -> str:
        console = Console(width=80, color_system=None, force_terminal=False)
        with console.capture() as captured:
            console.print(self)
        return "\n".join(line.rstrip() for line in captured.get().splitlines())

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from verify import descent_text

        yield from descent_text.rendered(self)


def check_descent(
    layer: srr.Layer,
    objective: srr.SparseRateReduction,
    instances: Iterable[Array],
    *,
    promises: Promises = promises_of,
    build: Build | None = None,
    budget: int = BUDGET,
) -> DescentReport:
    """Whether each half of a layer, and the whole of it, lowers what it promises to lower.

    Every descent is decided by exact arithmetic or an enclosure of the difference, for the floats that the
    layer returned. A rise that the rounding of the layer's own arithmetic explains is counted apart and
    refutes nothing. Besides the given instances, a search goes through small tokens, steered towards those on which
    a promise is closest to being broken, then uphill from the best of both; what it finds, it shrinks, and keeps the
    simplest tokens that break the promise.

    Parameters
    ----------
    layer : Layer
        Anything with the pure methods ``compress`` and ``sparsify``.
    objective : SparseRateReduction
        U, ε and λ to measure with.
    instances : iterable of arrays
        Token sets ``(n, d)``, or batches of them ``(..., n, d)``, of the library, dtype and device of U.
    promises : callable
        Layer and objective to each `Promise` to judge; by default those of the layer's class (`promises_of`).
    build : callable, optional
        Objective to a layer of this kind. With it the search also shrinks the bases and the precision;
        without it, the layer being tied to its U, only the tokens.
    budget : int
        Evaluations that the search may spend on each promise: as many on small tokens, on the way uphill, and on
        making what was found simpler; 0 for none.

    Returns
    -------
    DescentReport

    Raises
    ------
    TypeError, ValueError
        No instance, or an instance that is no token set of dimension d; an argument of the wrong kind; a half of
        the layer that writes into its argument or returns another shape, dtype or library. And whatever the
        layer itself raises.

    Examples
    --------
    >>> mixture = srr.mixtures.sample(n=32, d=8, K=2, p=3, noise=0.1, seed=0)
    >>> objective = srr.SparseRateReduction(mixture.U, eps=0.5, lam=0.1)
    >>> layer = srr.layers.descent(mixture.U, eps=0.5, lam=0.1)
    >>> check_descent(layer, objective, mixture.draws(10)).verdict
    <Verdict.HOLDS: 'holds'>
    """
    require_layer(layer, "layer")
    if not isinstance(objective, srr.SparseRateReduction):
        raise TypeError(f"objective must be a SparseRateReduction, got {type(objective).__name__}")
    if not isinstance(instances, Iterable):
        raise TypeError(f"instances must be an iterable of arrays, got {type(instances).__name__}")
    subject = Subject(layer, objective, promises, build, count(budget, "budget", least=0))
    goals = promises(layer, objective)
    sets: list[Array] = []
    trials: list[list[Trial]] = [[] for _ in goals]
    changes: dict[str, dict[str, list[float]]] = {}
    for Z in _token_sets(instances, objective):
        sets.append(Z)
        steps = halves(layer, Z)
        _record(changes, objective, steps)
        for goal, record in zip(goals, trials, strict=True):
            before, after = steps[goal.half]
            record.append(Trial(objective, Z, before, after, goal.judge(before, after)))
    if not sets:
        raise ValueError("instances must hold at least one token set, got none")
    parts = tuple(_part(subject, i, goal, trials[i], sets) for i, goal in enumerate(goals))
    return DescentReport(
        verdict=_overall([part.verdict for part in parts]),
        layer=type(layer).__name__,
        objective=objective,
        instances=len(sets),
        parts=parts,
        changes={
            half: {term: tuple(np.quantile(values, QUANTILES).tolist()) for term, values in terms.items()}
            for half, terms in changes.items()
        },
    )


def _token_sets(instances: Iterable[Array], objective: srr.SparseRateReduction) -> Iterator[Array]:
    for batch in instances:
        xp = namespace(instances=batch, U=objective.U)
        require_tokens(batch, "instances")
        if batch.shape[-1] != objective.U.shape[1]:
            raise ValueError(f"instances must have shape (..., n, {objective.U.shape[1]}), got {tuple(batch.shape)}")
        stack = xp.reshape(batch, (-1, *batch.shape[-2:]))
        for i in range(stack.shape[0]):
            yield stack[i, ...]


def _record(changes: dict, objective: srr.SparseRateReduction, steps: Mapping[str, tuple]) -> None:
    first, second, whole = steps
    Z, half = steps[first]
    values = [terms(objective, tokens) for tokens in (Z, half, steps[whole][1])]
    for name, (i, j) in {first: (0, 1), second: (1, 2), whole: (0, 2)}.items():
        record = changes.setdefault(name, {term: [] for term in TERMS})
        for term in TERMS:
            record[term].append(values[j][term] - values[i][term])


def _part(subject: Subject, index: int, goal: Promise, trials: list[Trial], sets: list[Array]) -> Part:
    found = Counter(trial.judgement.word for trial in trials)
    counts = {word: found[word] for word in WORDS}
    broken = [trial for trial in trials if trial.judgement.broken]
    witness = min(broken, key=lambda trial: len(trial.tokens), default=None)
    if subject.budget:
        witness = simplified(subject, index, sets[0], witness, trials)
    if witness is None:
        verdict = UNDECIDED if counts["undecided"] or counts["no input"] else HOLDS
        return Part(goal.half, goal.quantity, verdict, counts)
    again = subject.attempt(index, witness.tokens, witness.objective)
    if not again.judgement.broken:
        return Part(goal.half, goal.quantity, UNDECIDED, counts, witness, reproduces=False)
    reproduces = np.array_equal(to_numpy(again.after), to_numpy(witness.after), equal_nan=True)
    edges = boundaries(subject.layer, subject.objective, goal, list(islice(sets, SCALED)))
    inside = [t for t in (*trials, witness) if any(e.inside(t.tokens, t.objective) for e in edges)]
    conditional = bool(inside) and not any(t.judgement.broken for t in inside)
    verdict = HOLDS_UNDER if conditional else REFUTED
    return Part(goal.half, goal.quantity, verdict, counts, witness, reproduces, edges)


def _overall(verdicts: list[Verdict]) -> Verdict:
    return next((v for v in (REFUTED, UNDECIDED, HOLDS_UNDER) if v in verdicts), HOLDS)
