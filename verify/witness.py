"""Counterexamples: found by a search that shrinks, and replayed from their record."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from verify.arrays import Arrays
from verify.case import SIMPLE, Case, Condition, Driver, Rejected, Replay, Search, StaleWitness
from verify.climb import rounded, simpler_tokens
from verify.ledger import Claim
from verify.outcome import Outcome


@dataclass(frozen=True)
class Trial:
    """One accepted instance and what the check said of it."""

    params: dict[str, Any]
    complexity: tuple[int, ...]
    outcome: Outcome
    where: Condition | None

    @property
    def inside(self) -> bool:
        """Within the claim's condition; a claim without one holds everywhere it is stated."""
        return self.where is None or self.where.inside

    @property
    def failed(self) -> bool:
        return self.outcome.holds is False

    @property
    def climbs(self) -> bool:
        """Whether its margin can lead a search to a counterexample of the claim."""
        return self.inside and self.outcome.margin is not None and math.isfinite(self.outcome.margin)


def attempt(claim: Claim, driver: Driver, arrays: Arrays, *, twin: bool = False) -> Trial:
    """Judge one instance.

    Raises
    ------
    Rejected
        It is outside the claim's hypotheses.
    """
    case = Case(driver, arrays, twin=twin)
    outcome = claim.check(case)
    if not isinstance(outcome, Outcome):
        raise TypeError(f"the check of {claim.slug} must return an Outcome, got {type(outcome).__name__}")
    return Trial(case.params, case.complexity, outcome, case.where)


def replay(claim: Claim, params: Mapping[str, Any], arrays: Arrays) -> Trial:
    """Judge a recorded instance again.

    Raises
    ------
    StaleWitness
        The check no longer asks for just these parameters, or now rejects them.
    """
    driver = Replay(params)
    try:
        trial = attempt(claim, driver, arrays)
    except Rejected:
        raise StaleWitness("the record is outside the hypotheses") from None
    driver.require_all_used()
    return trial


def smallest(
    claim: Claim, arrays: Arrays, *, refutes: Callable[[Trial], bool], budget: int, start: Trial
) -> tuple[Trial, str]:
    """The simplest refuting instance, by `Case.complexity`, that is found, and where it came from.

    Hypothesis draws and shrinks, derandomised, in at most ``budget`` evaluations. It knows nothing of
    ``start``, a counterexample already at hand, and may miss rare ones; so what is best so far is then
    simplified one parameter at a time, in as many evaluations again.
    """
    best, origin = start, "sample"

    def found(trial: Trial) -> bool:
        nonlocal best, origin
        refuted = refutes(trial)
        if refuted and trial.complexity < best.complexity:
            best, origin = trial, "search"
        return refuted

    drawn(claim, arrays, found, budget=budget)
    simpler = _simplify(claim, arrays, best, refutes=refutes, budget=budget)
    return simpler, origin if simpler is best else "search"


def drawn(claim: Claim, arrays: Arrays, found: Callable[[Trial], bool], *, budget: int, climb: bool = False) -> None:
    """Let hypothesis draw instances, derandomised, until ``budget`` is spent, and shrink one that is ``found``.

    With ``climb`` it steers by the margin of what it has seen, and does not shrink.
    """
    from hypothesis import HealthCheck, Phase, Verbosity, find, reject, settings, target
    from hypothesis.errors import NoSuchExample
    from hypothesis.strategies import composite

    if budget == 0:
        return
    spent = 0

    @composite
    def trials(draw: Any) -> Trial | None:
        nonlocal spent
        spent += 1
        try:
            return attempt(claim, Search(draw), arrays)
        except Rejected:
            reject()
        except Exception:  # an error is not a counterexample; sampling reports errors
            return None

    def judged(trial: Trial | None) -> bool:
        refuted = trial is not None and found(trial)
        if spent >= budget:  # here and not while drawing, which hypothesis would find inconsistent
            raise _BudgetSpent
        if climb and trial is not None and trial.climbs:
            target(trial.outcome.margin)
        return refuted

    with suppress(NoSuchExample, _BudgetSpent), _no_local_constants():
        find(
            trials(),
            judged,
            settings=settings(
                max_examples=budget,
                derandomize=True,
                database=None,
                deadline=None,
                verbosity=Verbosity.quiet,
                phases=(Phase.generate, Phase.target if climb else Phase.shrink),
                suppress_health_check=list(HealthCheck),
            ),
        )


def _simplify(claim: Claim, arrays: Arrays, best: Trial, *, refutes: Callable[[Trial], bool], budget: int) -> Trial:
    """Put the simplest number that still refutes in the place of each parameter, until none gets simpler."""
    improved = True
    while improved:
        improved = False
        for name in tuple(best.params):
            for changes in _simpler(name, best.params):  # a check may draw less once something is simpler
                if budget == 0:
                    return best
                budget -= 1
                with suppress(Exception):  # out of range, or outside the hypotheses
                    trial = attempt(claim, Replay({**best.params, **changes}), arrays)
                    if refutes(trial) and trial.complexity < best.complexity:
                        best, improved = trial, True
                        break
    return best


def _simpler(name: str, params: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Simpler values to try in the place of one parameter, the simplest first."""
    value = params.get(name)
    if isinstance(value, list):  # tokens; options are never lists
        for rows in simpler_tokens(value):
            if len(rows) == len(value):
                yield {name: rows}
            elif params.get("n") == len(value):  # what counts them, if anything does
                yield {name: rows, "n": len(rows)}
    elif isinstance(value, float):
        yield from ({name: x} for x in dict.fromkeys((*SIMPLE, *(rounded(value, digits) for digits in (1, 2, 3)))))
    elif isinstance(value, int) and not isinstance(value, bool):
        yield from ({name: x} for x in dict.fromkeys((*range(8), value // 2, value - 1)))


def _no_local_constants() -> AbstractContextManager[Any]:
    # Hypothesis also tries the constants in the source files of whatever happens to be imported, and caches
    # them in the working directory: neither is reproducible from one process to the next.
    from hypothesis.internal.conjecture import providers

    if not hasattr(providers, "_get_local_constants"):
        return nullcontext()
    return patch.object(providers, "_get_local_constants", lambda: providers.GLOBAL_CONSTANTS)


class _BudgetSpent(BaseException):
    """Ends a search. Not an Exception: hypothesis would take one for a counterexample."""
