"""Running the ledger in parallel: the same results whatever the number of processes."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from verify.examine import examine, failure
from verify.ledger import Claim, Ledger
from verify.results import Result, Run, Settings
from verify.workers import Done, run_jobs

TIMEOUT = {"quick": 120.0, "full": 3600.0}
"""Seconds that one claim may take in each tier, with NumPy; ten times as many with the others."""


def run(
    ledger: Ledger,
    settings: Settings,
    *,
    claims: Sequence[Claim] | None = None,
    jobs: int = 1,
    timeout: float | None = None,
    on_done: Callable[[Result, float], None] | None = None,
) -> Run:
    """Judge claims in ``jobs`` processes.

    A check that raises, hangs or ends its process gets the verdict ERROR, and the others theirs.

    Parameters
    ----------
    claims
        Which of the ledger's claims; all of them when None.
    timeout
        Seconds that one claim may take; `default_timeout` when None.
    on_done
        Told of each result, and the seconds it took, as they come.

    Returns
    -------
    Run
        In the order of the ledger.
    """
    chosen = list(ledger if claims is None else claims)
    by_slug = {c.slug: c for c in chosen}
    found: dict[str, Result] = {}
    for done in run_jobs(
        judge_by_name,
        (ledger.modules, settings),
        [c.slug for c in chosen],
        workers=jobs,
        timeout=default_timeout(settings) if timeout is None else timeout,
    ):
        result = _result(by_slug[done.job], done)
        found[result.slug] = result
        if on_done is not None:
            on_done(result, done.seconds)
    return Run(settings, tuple(found[c.slug] for c in chosen), versions(settings.arrays.library))


def default_timeout(settings: Settings) -> float:
    """Seconds that one claim may take: it takes far fewer, unless it hangs."""
    return TIMEOUT[settings.tier] * (1 if settings.arrays.library == "numpy" else 10)


def versions(library: str) -> dict[str, str]:
    """What the numbers of a run depend on, by name."""
    found = {"Python": platform.python_version()}
    for name in dict.fromkeys(("srr", "numpy", "scipy", "python-flint", "hypothesis", library)):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def judge_by_name(modules: tuple[str, ...], settings: Settings, slug: str) -> Result:
    """The verdict on the claim of this name: what a process is asked, since a check cannot be pickled."""
    result = examine(_ledger(modules)[slug], settings)
    settings.arrays.forget()
    return result


@cache
def _ledger(modules: tuple[str, ...]) -> Ledger:
    return Ledger.load(*modules)


def _result(claim: Claim, done: Done) -> Result:
    return done.value if done.problem is None else failure(claim, done.problem)
