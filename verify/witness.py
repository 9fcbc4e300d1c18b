"""Counterexamples: found by a search that shrinks, and replayed from their record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from verify.arrays import Arrays
from verify.case import SIMPLE, Case, Condition, Driver, Rejected, Replay, Search, StaleWitness
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
    from hypothesis import HealthCheck, Phase, Verbosity, find, reject, settings
    from hypothesis.errors import NoSuchExample
    from hypothesis.strategies import composite

    best, origin, spent = start, "sample", 0

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

    def found(trial: Trial | None) -> bool:
        nonlocal best, origin
        refuted = trial is not None and refutes(trial)
        if refuted and trial.complexity < best.complexity:
            best, origin = trial, "search"
        if spent >= budget:  # here and not while drawing, which hypothesis would find inconsistent
            raise _BudgetSpent
        return refuted

    with suppress(NoSuchExample, _BudgetSpent), _no_local_constants():
        find(
            trials(),
            found,
            settings=settings(
                max_examples=budget,
                derandomize=True,
                database=None,
                deadline=None,
                verbosity=Verbosity.quiet,
                phases=(Phase.generate, Phase.shrink),
                suppress_health_check=list(HealthCheck),
            ),
        )
    simpler = _simplify(claim, arrays, best, refutes=refutes, budget=budget)
    return simpler, origin if simpler is best else "search"


def _simplify(claim: Claim, arrays: Arrays, best: Trial, *, refutes: Callable[[Trial], bool], budget: int) -> Trial:
    """Put the simplest number that still refutes in the place of each parameter, until none gets simpler."""
    improved = True
    while improved:
        improved = False
        for name in tuple(best.params):
            for value in _simpler(best.params.get(name)):  # a check may draw less once something is simpler
                if budget == 0:
                    return best
                budget -= 1
                with suppress(Exception):  # out of range, or outside the hypotheses
                    trial = attempt(claim, Replay({**best.params, name: value}), arrays)
                    if refutes(trial) and trial.complexity < best.complexity:
                        best, improved = trial, True
                        break
    return best


def _simpler(value: Any) -> Iterator[Any]:
    """Simpler values to try in its place, the simplest first."""
    if isinstance(value, bool | str) or value is None:
        return
    if isinstance(value, int):
        yield from dict.fromkeys((*range(8), value // 2, value - 1))
    elif isinstance(value, float):
        yield from dict.fromkeys((*SIMPLE, *(float(f"{value:.{digits}g}") for digits in (1, 2, 3))))


def _no_local_constants() -> AbstractContextManager[Any]:
    # Hypothesis also tries the constants in the source files of whatever happens to be imported, and caches
    # them in the working directory: neither is reproducible from one process to the next.
    from hypothesis.internal.conjecture import providers

    if not hasattr(providers, "_get_local_constants"):
        return nullcontext()
    return patch.object(providers, "_get_local_constants", lambda: providers.GLOBAL_CONSTANTS)


class _BudgetSpent(BaseException):
    """Ends a search. Not an Exception: hypothesis would take one for a counterexample."""
