"""Does a layer lower what it is meant to lower? The question as one call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table

import srr
from srr._arrays import namespace, require_tokens
from verify.arrays import to_numpy
from verify.counterexample import Array, Boundary, Build, Promises, Trial, attempt, boundaries, halves, simplified
from verify.ledger import HOLDS, HOLDS_UNDER, REFUTED, UNDECIDED, Verdict
from verify.promises import WORDS, Promise, promises_of
from verify.results import plain

TERMS = {"R": "rate", "Rc": "compression", "dR": "rate_reduction", "l0": "l0", "l1": "l1", "loss": "loss"}
"""Short names of the objective's terms."""
QUANTILES = (0.0, 0.05, 0.5, 0.95, 1.0)
BUDGET = 300
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
    boundaries : tuple of Boundary
        Where the same tokens, scaled, begin and cease to keep it.
    """

    half: str
    quantity: str
    verdict: Verdict
    counts: Mapping[str, int]
    witness: Trial | None = None
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
        K, d, p = self.objective.U.shape
        return plain(
            {
                "verdict": self.verdict,
                "layer": self.layer,
                "instances": self.instances,
                "objective": {"K": K, "d": d, "p": p, "eps": self.objective.eps, "lam": self.objective.lam},
                "parts": [_part_data(part) for part in self.parts],
                "quantiles": QUANTILES,
                "changes": self.changes,
            }
        )

    def __str__(self) -> str:
        console = Console(width=80, color_system=None, force_terminal=False)
        with console.capture() as captured:
            console.print(self)
        return "\n".join(line.rstrip() for line in captured.get().splitlines())

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from _rendered(self)


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

    Every descent is decided by exact arithmetic or an enclosure of the difference, for the floats that the layer
    returned. A rise that the rounding of the layer's own arithmetic explains is counted apart and refutes nothing.
    Besides the given instances, a search that shrinks goes through small tokens, and keeps the simplest that break a
    promise.

    Parameters
    ----------
    layer : Layer
        Anything with the pure methods ``compress`` and ``sparsify``.
    objective : SparseRateReduction
        U, ε and λ to measure with.
    instances : iterable of arrays
        Token sets ``(n, d)``, or batches of them ``(..., n, d)``, of the library, dtype and device of U.
    promises : callable
        Layer and objective to the `Promise`\\ s to judge; by default those of the layer's class, see `promises_of`.
    build : callable, optional
        Objective to a layer of this kind. With it the search also shrinks the bases and the precision; without it,
        the layer being tied to its U, only the tokens.
    budget : int
        Evaluations that the search may spend on each promise; 0 for none.

    Returns
    -------
    DescentReport

    Raises
    ------
    TypeError, ValueError
        No instance, or an instance that is no token set of dimension d; whatever the layer itself raises.

    Examples
    --------
    >>> mixture = srr.mixtures.sample(n=32, d=8, K=2, p=3, noise=0.1, seed=0)
    >>> objective = srr.SparseRateReduction(mixture.U, eps=0.5, lam=0.1)
    >>> layer = srr.layers.descent(mixture.U, eps=0.5, lam=0.1)
    >>> check_descent(layer, objective, mixture.draws(10)).verdict
    <Verdict.HOLDS: 'holds'>
    """
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
    parts = tuple(
        _part(layer, objective, goals, i, trials[i], sets, promises, build, budget) for i in range(len(goals))
    )
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
            raise ValueError(
                f"instances must have shape (..., n, {objective.U.shape[1]}), got {tuple(batch.shape)}"
            )
        stack = xp.reshape(batch, (-1, *batch.shape[-2:]))
        for i in range(stack.shape[0]):
            yield stack[i, ...]


def _record(changes: dict, objective: srr.SparseRateReduction, steps: Mapping[str, tuple]) -> None:
    Z, half = steps["compress"]
    values = [_terms(objective, tokens) for tokens in (Z, half, steps["layer"][1])]
    for name, (i, j) in {"compress": (0, 1), "sparsify": (1, 2), "layer": (0, 2)}.items():
        record = changes.setdefault(name, {term: [] for term in TERMS})
        for term in TERMS:
            record[term].append(values[j][term] - values[i][term])


def _terms(objective: srr.SparseRateReduction, Z: Array) -> dict[str, float]:
    if not np.isfinite(to_numpy(Z)).all():
        return dict.fromkeys(TERMS, float("nan"))
    terms = objective.terms(Z)
    return {short: float(getattr(terms, name)) for short, name in TERMS.items()}


def _part(
    layer: srr.Layer,
    objective: srr.SparseRateReduction,
    goals: tuple[Promise, ...],
    index: int,
    trials: list[Trial],
    sets: list[Array],
    promises: Promises,
    build: Build | None,
    budget: int,
) -> Part:
    goal = goals[index]
    found = Counter(trial.judgement.word for trial in trials)
    counts = {word: found[word] for word in WORDS}
    broken = [trial for trial in trials if trial.judgement.broken]
    witness = min(broken, key=lambda trial: trial.complexity, default=None)
    if budget:
        witness = simplified(
            layer, objective, index, promises, sets[0], start=witness, build=build, budget=budget
        )
    if witness is None:
        verdict = UNDECIDED if counts["undecided"] else HOLDS
        return Part(goal.half, goal.quantity, verdict, counts)
    edges = boundaries(layer, objective, goal, list(islice(sets, SCALED)))
    inside = [trial for trial in trials if any(edge.inside(trial.tokens) for edge in edges)]
    conditional = bool(inside) and not any(trial.judgement.broken for trial in inside)
    return Part(goal.half, goal.quantity, HOLDS_UNDER if conditional else REFUTED, counts, witness, edges)


def _overall(verdicts: list[Verdict]) -> Verdict:
    return next((v for v in (REFUTED, UNDECIDED, HOLDS_UNDER) if v in verdicts), HOLDS)


# --- to be read -------------------------------------------------------------------------------------------------


def _part_data(part: Part) -> dict[str, Any]:
    data: dict[str, Any] = {
        "half": part.half,
        "quantity": part.quantity,
        "verdict": part.verdict,
        "counts": part.counts,
        "boundaries": [{"held": edge.held, "broke": edge.broke} for edge in part.boundaries],
    }
    if part.witness is not None:
        decision = part.witness.judgement.decision
        data["witness"] = {
            "tokens": part.witness.tokens,
            "before": part.witness.before,
            "after": part.witness.after,
            "U": part.witness.objective.U,
            "eps": part.witness.objective.eps,
            "lam": part.witness.objective.lam,
            "change": None if decision is None else [decision.lower, decision.upper],
            "method": None if decision is None else decision.method,
        }
    return data


def _rendered(report: DescentReport) -> RenderResult:
    K, d, p = report.objective.U.shape
    yield (
        f"{report.verdict}: {report.layer} on {report.instances} token sets, "
        f"K={K} d={d} p={p} eps={report.objective.eps:g} lam={report.objective.lam:g}"
    )
    table = Table(box=None, pad_edge=False)
    for heading in ("half", "must not raise"):
        table.add_column(heading)
    for heading in ("fell", "level", "rounding", "rose"):
        table.add_column(heading, justify="right")
    table.add_column("verdict")
    for part in report.parts:
        table.add_row(
            part.half,
            part.quantity,
            *(str(part.counts[word]) for word in ("fell", "level", "rounding")),
            str(part.counts["rose"] + part.counts["not finite"]),
            str(part.verdict),
        )
    yield table
    yield ""
    yield _changes_table(report)
    for part in report.parts:
        if part.witness is not None:
            yield ""
            yield _witness_text(part)
    if report.verdict == HOLDS:
        yield ""
        yield f"No rise in {report.instances}: with 95 % confidence less than {300 / report.instances:.2g} % do."


def _changes_table(report: DescentReport) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("half", "change of"):
        table.add_column(heading)
    for heading in ("least", "5 %", "median", "95 %", "most"):
        table.add_column(heading, justify="right")
    for half, terms in report.changes.items():
        for i, (term, quantiles) in enumerate(terms.items()):
            table.add_row(half if i == 0 else "", term, *(f"{q:+.4g}" for q in quantiles))
    return table


def _witness_text(part: Part) -> str:
    witness = part.witness
    assert witness is not None
    lines = [f"The {part.half} half-step raises {part.quantity}" if part.half != "layer" else f"The layer raises {part.quantity}"]
    decision = witness.judgement.decision
    if decision is None:
        lines[0] = lines[0].replace(f"raises {part.quantity}", "returns tokens that are not finite")
    else:
        lines[0] += f" from these tokens by {decision.midpoint:.6g} ({decision.method}):"
    with np.printoptions(precision=6, linewidth=76, suppress=True, threshold=60):
        lines.append("  " + str(to_numpy(witness.tokens)).replace("\n", "\n  "))
        if part.half != "compress":
            pass
    lines += [f"Scaled, the tokens of the instances show it {edge}." for edge in part.boundaries]
    return "\n".join(lines)
