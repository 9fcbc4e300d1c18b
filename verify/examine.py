"""From instances to a verdict: the rules of the ledger, for one claim at a time.

- **holds**: every accepted instance holds.
- **refuted**: an instance fails; the simplest counterexample that a search finds is kept.
- **holds under** a condition: every instance inside it holds, and some outside fail.
- **undecided**: nothing fails, and some instance could not be decided.
- **error**: the check raised, rejected everything, or its negative twin did not come out as it must: a check
  that cannot tell a wrong statement from a right one has no say.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from functools import cache

from verify.arrays import Arrays
from verify.boundary import bisected, boundary, strip
from verify.case import Rejected, Sample, StaleWitness
from verify.figure import Figure
from verify.hunt import hunt
from verify.ledger import ERROR, HOLDS, HOLDS_UNDER, REFUTED, UNDECIDED, Claim, Evidence, Verdict
from verify.outcome import worst
from verify.results import TIERS, Counts, Pair, Result, Settings, Twin, Witness, plain
from verify.witness import Trial, attempt, replay, smallest

ATTEMPTS = 20
"""Draws per accepted instance before the hypotheses count as rejecting too much."""

TWIN = "the twin must be"
"""How the message of a twin that did not come out as it must begins."""

BUDGET = 250
"""Evaluations that the search for a simplest counterexample may spend, per multiple of the quick tier."""

HUNT = 60
"""Evaluations that the search for a counterexample may spend where no sample is one, per multiple of the quick tier."""


def examine(claim: Claim, settings: Settings, *, search: bool = True) -> Result:
    """The verdict on one claim. Whatever the check does short of ending the process, there is one.

    Without ``search`` the counterexample shown, if any, is a sampled one and not the simplest that is found, and
    nothing is drawn.
    """
    try:
        return _examine(claim, settings, search)
    except Exception as error:
        return failure(claim, describe(error))


def failure(claim: Claim, message: str) -> Result:
    """An ERROR verdict that says why."""
    return Result(slug=claim.slug, verdict=ERROR, expected=claim.expect, message=message)


def describe(error: BaseException) -> str:
    """An exception in one line, with the place in a check, or in srr, that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    text = " ".join(str(error).split()) or "no message"
    where = f" (line {frames[-1].lineno} of {frames[-1].name})" if frames else ""
    return f"{type(error).__name__}: {text}{where}"


def _examine(claim: Claim, settings: Settings, search: bool) -> Result:
    pinned = _pinned(claim, settings)
    trials, rejected = _sample(claim, settings)
    if not trials:
        return failure(claim, f"the hypotheses rejected all of {rejected} instances")
    verdict, message = judge(trials if pinned is None else [*trials, pinned])
    hunted = _hunt(claim, settings, trials) if search and verdict in (HOLDS, HOLDS_UNDER) else None
    if hunted is not None:
        trials.append(hunted)
        verdict, message = (
            REFUTED,
            f"no sample fails; a search of {HUNT * TIERS[settings.tier]} instances found one that does",
        )
    if verdict == ERROR:
        return failure(claim, message)
    pair = None
    if search and verdict == HOLDS_UNDER:
        pair = bisected(claim, Arrays(dtype=settings.arrays.dtype), trials if pinned is None else [*trials, pinned])
    witness = _witness(claim, settings, trials, verdict, pinned, search)
    twin = _twin(claim, settings)
    if twin.verdict != twin.required:
        message = f"{TWIN} {twin.required} and is {twin.verdict} ({claim.twin}); the claim itself came out {verdict}"
        verdict = ERROR
    if unproved := [name for name in claim.proof if not proves(name)]:
        verdict, message = ERROR, f"a derivation named as its proof proves nothing: {', '.join(unproved)}"
    return Result(
        slug=claim.slug,
        verdict=verdict,
        expected=claim.expect,
        evidence=_evidence(claim, verdict, trials, witness),
        message=message,
        counts=_counts(trials, rejected),
        worst_ratio=_worst_ratio(verdict, trials),
        boundary=boundary(trials, pair),
        witness=witness,
        twin=twin,
        figures=_figures(claim, verdict, trials, pair) if search else (),
    )


def _pinned(claim: Claim, settings: Settings) -> Trial | None:
    if claim.witness is None:
        return None
    trial = replay(claim, claim.witness, settings.arrays)
    if not trial.failed:
        raise StaleWitness("the stored witness no longer refutes the claim")
    if claim.expect == HOLDS_UNDER and trial.inside:
        raise StaleWitness("the stored witness must lie outside the condition, and lies inside")
    return trial


def _sample(
    claim: Claim, settings: Settings, *, twin: bool = False, until_refuted: bool = False
) -> tuple[list[Trial], int]:
    wanted = settings.instances(claim, until_refuted=until_refuted)
    trials: list[Trial] = []
    rejected = 0
    for index in range(wanted * ATTEMPTS):
        try:
            driver = Sample(settings.seed, claim.slug, index, twin=twin)
            trials.append(attempt(claim, driver, settings.arrays, twin=twin))
        except Rejected:
            rejected += 1
            continue
        if len(trials) == wanted or (until_refuted and trials[-1].failed and trials[-1].inside):
            break
    return trials, rejected


def judge(trials: Sequence[Trial]) -> tuple[Verdict, str]:
    """The verdict on accepted instances, and what is to be said about it."""
    named = {(t.where.name, t.where.bound) for t in trials if t.where is not None}
    if len(named) > 1:
        return ERROR, f"a claim has one condition with one bound, got {', '.join(map(str, sorted(named)))}"
    inside = [t for t in trials if t.inside]
    outside = [t for t in trials if not t.inside]
    if not inside:
        return ERROR, "no instance met the condition"
    if any(t.failed for t in inside):
        return REFUTED, ""
    if any(t.failed for t in outside):
        undecided = any(t.outcome.holds is None for t in inside)
        return (UNDECIDED, "") if undecided else (HOLDS_UNDER, "")
    if any(t.outcome.holds is None for t in trials):
        return UNDECIDED, ""
    return HOLDS, "no instance outside the condition failed" if named else ""


def _witness(
    claim: Claim, settings: Settings, trials: Sequence[Trial], verdict: Verdict, pinned: Trial | None, search: bool
) -> Witness | None:
    """A counterexample to the claim, or for `HOLDS_UNDER` one to the claim without its condition."""
    if verdict not in (REFUTED, HOLDS_UNDER):
        return None
    inside = verdict == REFUTED

    def refutes(trial: Trial) -> bool:
        return trial.failed and trial.inside == inside

    if pinned is not None and refutes(pinned):
        trial, origin = pinned, "pinned"
    else:
        # The most certain evidence first: a certified counterexample is worth more than a simpler one.
        start = min(filter(refutes, trials), key=lambda t: (not t.outcome.certified, t.complexity))
        trial, origin = _search(claim, settings, start, refutes) if search else (start, "sample")
    return Witness(
        params=plain(trial.params),
        origin=origin,
        certified=trial.outcome.certified,
        ratio=trial.outcome.ratio,
        data=plain(trial.outcome.data),
    )


def _search(claim: Claim, settings: Settings, start: Trial, refutes: Callable[[Trial], bool]) -> tuple[Trial, str]:
    """The simplest counterexample as certain as ``start``: searched with NumPy, which takes a fraction of the
    time of a GPU or of JAX, and confirmed on the arrays of the run."""

    def as_certain(trial: Trial) -> bool:
        return refutes(trial) and trial.outcome.certified >= start.outcome.certified

    host = Arrays(dtype=settings.arrays.dtype)
    budget = BUDGET * TIERS[settings.tier]
    trial, origin = smallest(claim, host, refutes=as_certain, budget=budget, start=start)
    if settings.arrays.library != host.library and trial is not start:
        trial = replay(claim, trial.params, settings.arrays)
        if not as_certain(trial):
            return start, "sample"
    return trial, origin


def _figures(claim: Claim, verdict: Verdict, trials: Sequence[Trial], pair: Pair | None) -> tuple[Figure, ...]:
    """Its own, and that of its boundary."""
    figures = [] if claim.figure is None else [_drawn(claim.figure)]
    if not all(isinstance(figure, Figure) for figure in figures):
        raise TypeError(f"the figure of {claim.slug} must be a Figure, got {type(figures[0]).__name__}")
    return (*figures, strip(trials, pair)) if verdict == HOLDS_UNDER else (*figures,)


@cache
def _drawn(figure: Callable[[], Figure]) -> Figure:
    """What several claims of one theorem show is computed once."""
    return figure()


def _hunt(claim: Claim, settings: Settings, trials: Sequence[Trial]) -> Trial | None:
    """A failure inside the condition that sampling missed, found with NumPy and confirmed on the run's arrays."""
    host = Arrays(dtype=settings.arrays.dtype)
    budget = HUNT * TIERS[settings.tier]
    found = hunt(claim, host, trials, refutes=lambda trial: trial.failed and trial.inside, budget=budget)
    if found is not None and settings.arrays.library != host.library:
        try:
            found = replay(claim, found.params, settings.arrays)
        except StaleWitness:  # outside the hypotheses, by their rounding
            return None
    return found if found is not None and found.failed and found.inside else None


def _twin(claim: Claim, settings: Settings) -> Twin:
    must_hold = claim.expect == REFUTED
    trials, rejected = _sample(claim, settings, twin=True, until_refuted=not must_hold)
    verdict = judge(trials)[0] if trials else ERROR
    return Twin(
        says=claim.twin,
        required=HOLDS if must_hold else REFUTED,
        verdict=verdict,
        counts=_counts(trials, rejected),
    )


def proves(name: str) -> bool:
    """Whether there is a derivation of this name, and every step of it, and of what it uses, is accepted."""
    from derivations import catalogue

    derivation = catalogue().get(name)
    return derivation is not None and derivation.relation != "~" and derivation.proves()


def _evidence(claim: Claim, verdict: Verdict, trials: Sequence[Trial], witness: Witness | None) -> Evidence | None:
    if verdict in (ERROR, UNDECIDED):
        return None
    if claim.proof and verdict in (HOLDS, HOLDS_UNDER):
        return Evidence.PROVED
    if verdict == REFUTED:  # one certified counterexample is enough, whatever the others rest on
        certified = witness is not None and witness.certified
    else:
        certified = all(t.outcome.certified for t in trials) and (witness is None or witness.certified)
    return Evidence.CERTIFIED if certified else Evidence.CHECKED


def _counts(trials: Sequence[Trial], rejected: int) -> Counts:
    return Counts(
        held=sum(t.outcome.holds is True for t in trials),
        failed=sum(t.failed for t in trials),
        undecided=sum(t.outcome.holds is None for t in trials),
        rejected=rejected,
    )


def _worst_ratio(verdict: Verdict, trials: Sequence[Trial]) -> float | None:
    """The largest ratio over the instances that the verdict is about: those inside its condition."""
    about = [t for t in trials if t.inside or verdict != HOLDS_UNDER]
    return worst([t.outcome.ratio for t in about if t.outcome.ratio is not None])
