"""Counterexamples: found by a search that shrinks, and replayed from their record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from verify.arrays import Arrays
from verify.case import Case, Condition, Driver, Rejected, Replay, Search, StaleWitness
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
    """The simplest refuting instance that at most ``budget`` evaluations find, and where it came from.

    Hypothesis draws and shrinks, derandomised; the simplest instance by `Case.complexity` is kept, beginning
    with ``start``, so the answer is never worse than a counterexample already at hand.
    """
    from hypothesis import HealthCheck, Phase, Verbosity, find, reject, settings
    from hypothesis.errors import NoSuchExample
    from hypothesis.strategies import composite

    best, origin, spent = start, "sample", 0

    @composite
    def trials(draw: Any) -> Trial | None:
        nonlocal spent
        spent += 1
        if spent > budget:
            raise _BudgetSpent
        try:
            return attempt(claim, Search(draw), arrays)
        except Rejected:
            reject()
        except Exception:  # an error is not a counterexample; sampling reports errors
            return None

    def found(trial: Trial | None) -> bool:
        nonlocal best, origin
        if trial is None or not refutes(trial):
            return False
        if trial.complexity < best.complexity:
            best, origin = trial, "search"
        return True

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
    return best, origin


def _no_local_constants() -> AbstractContextManager[Any]:
    # Hypothesis also tries the constants in the source files of whatever happens to be imported, and caches
    # them in the working directory: neither reproducible from one process to the next, nor asked for.
    from hypothesis.internal.conjecture import providers

    if not hasattr(providers, "_get_local_constants"):
        return nullcontext()
    return patch.object(providers, "_get_local_constants", lambda: providers.GLOBAL_CONSTANTS)


class _BudgetSpent(BaseException):
    """Ends a search. Not an Exception: hypothesis would take one for a counterexample."""
