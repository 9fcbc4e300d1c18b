"""The cross-check of a network, of whatever library: what its operators are fed, and how each is judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from verify.arrays import in_float64
from verify.bounded import Precision, exact
from verify.comparison import Finding, found_on, tokens
from verify.forms import KINDS, Form
from verify.layouts.description import heads_of
from verify.layouts.layout import Layout, Operator, State, Tap
from verify.matching import Example, Match, match

TOKENS = 6
"""Tokens of a set that operators are fed."""
LONGEST = 37
"""Of the longest set that the network is fed: more than one class token and a square, and no square of pools."""

LOUDER = 1e4
"""What LayerNorms are multiplied by in one more run, so that large tokens reach the places behind them too."""

Seen = Mapping[Tap, np.ndarray]
"""What passed the taps in one run, in float64."""


def operators_of(
    plan: Layout, state: State, given: Mapping[str, Any], found: Mapping[str, Any]
) -> tuple[Operator, ...]:
    """The operators of a network, with the constants that are given, and those of the found that its layout has.

    Raises
    ------
    ValueError
        Their kinds are unknown, or their heads do not fit.
    """
    constants = {name: value for name, value in found.items() if plan.constants is None or name in plan.constants}
    constants |= given
    operators = plan.operators(state, **constants)
    for operator in operators:
        if operator.kind not in KINDS:
            raise ValueError(f"layout must have operators of known kinds, got {operator.kind} in {plan.name}")
        projection = operator.weights.get("projection", operator.weights.get("value"))
        if projection is not None and "heads" in operator.constants:
            heads_of(projection, int(operator.constants["heads"]))  # where heads that do not fit are named
    return operators


def fed(
    plan: Layout, state: State, operators: Sequence[Operator], seed: int, *, trunk: bool = False
) -> list[np.ndarray]:
    """What to run the network on: what its layout says; of its trunk, or if it says nothing, tokens of every size.

    A fault between operators may show in some alone.
    """
    given = None if trunk else plan.inputs(state, seed)
    if given is not None:
        return list(given)
    alone = [operator for operator in operators if stands_alone(operator)]
    first = next((operator for operator in alone if operator.kind != "layer_norm"), alone[0])
    # no more tokens than the network has places for, if its sheet tells them
    places = LONGEST if plan.names is None else plan.names.sizes(state).get("n", LONGEST)
    sets = tokens(first.kind, first.weights, n=TOKENS, longest=min(LONGEST, places), seed=seed)
    return [reads[0] for reads in sets]


def judged(
    operators: Sequence[Operator],
    runs: Sequence[Seen],
    alone: Callable[..., np.ndarray | None],
    loud: Seen,
    *,
    seed: int,
    progress: Callable[[str, int], None],
) -> Iterator[Finding]:
    """Each operator by what it was seen to do, and by what it does where it can be called by itself.

    Parameters
    ----------
    operators, runs
    alone : callable
        ``alone(operator, *reads)``: what it makes of tokens by itself; None if it cannot be called.
    loud : mapping
        What was seen with LayerNorms `LOUDER`, which tells nothing of these.
    seed
    progress : callable
        Called with the name of each operator, and how many there are.
    """
    last: dict[str, Form] = {}
    runs, louds = ([seen for seen in all_ if not _overflows(seen)] for all_ in (runs, [loud]))
    for operator in operators:
        examples = [_example(operator, seen) for seen in runs]
        if stands_alone(operator):
            longest = max(example.reads[0].shape[-2] for example in examples)
            sets = tokens(operator.kind, operator.weights, n=TOKENS, longest=longest, seed=seed)
            results = ((reads, alone(operator, *reads)) for reads in sets)
            examples += [Example(reads, result) for reads, result in results if result is not None]
        found = _matched(operator, examples, last.get(operator.kind))
        if found.passes and operator.kind != "layer_norm" and not stands_alone(operator):
            examples += [_example(operator, seen) for seen in louds]
            found = _matched(operator, examples, found.form)
        last[operator.kind] = found.form
        progress(operator.name, len(operators))
        yield found_on(operator.name, found, examples)


def _matched(operator: Operator, examples: Sequence[Example], first: Form | None) -> Match:
    return match(operator.kind, examples, operator.weights, operator.constants, wanted=operator.form, first=first)


def _example(operator: Operator, seen: Seen) -> Example:
    return Example(tuple(seen[tap] for tap in operator.reads), seen[operator.gives])


def _overflows(seen: Seen) -> bool:
    """Whether something is no number in a run with tokens far out: all that comes behind may be none either."""
    return Example(tuple(seen.values()), np.zeros(0)).overflows


def stands_alone(operator: Operator) -> bool:
    """Whether it is one submodule at work, which can be called by itself."""
    return operator.gives.side == "output" and all(
        (tap.module, tap.side) == (operator.gives.module, "input") for tap in operator.reads
    )


def taps_of(operators: Sequence[Operator]) -> tuple[Tap, ...]:
    """Where operators can be seen at work."""
    return tuple(dict.fromkeys(tap for operator in operators for tap in (*operator.reads, operator.gives)))


def within(operators: Sequence[Operator], findings: Sequence[Finding], seen: Seen, p: Precision) -> dict[str, bool]:
    """Operator to whether what it gave in a precision is within the bound on rounding there of what it was found to be.

    A departure that is no rounding is told once, by the form that was found.
    """
    found = {}
    for operator, finding in zip(operators, findings, strict=True):
        reads = tuple(exact(seen[tap], p) for tap in operator.reads)
        weights = {name: in_float64(a) for name, a in operator.weights.items()}
        wanted = finding.match.form(*reads, weights=weights, constants=finding.match.constants)
        found[operator.name] = bool((np.abs(seen[operator.gives] - wanted.value) <= wanted.error).all())
    return found


def not_judged(state: State, plan: Layout, operators: Sequence[Operator]) -> tuple[str, ...]:
    """The parts with weights that no operator is in, each by the shortest name that says so."""
    sign = "/" if any("/" in name for name in state) else "."
    places = {tap.module for tap in taps_of(operators)} - {"", plan.trunk}
    judged = {operator.name for operator in operators}
    judged |= {name for name in state if any(name.startswith(f"{place}{sign}") for place in places)}
    found = {}
    for name in (name for name in state if name not in judged):
        parts = name.split(sign)
        starts = [sign.join(parts[:k]) for k in range(1, len(parts) + 1)]
        found[next((s for s in starts if not any(f"{j}{sign}".startswith(f"{s}{sign}") for j in judged)), name)] = True
    return tuple(found)
