"""Whether the ledger would notice: every public function of srr in wrong versions, one at a time.

A wrong version is made from outside, by changing what goes in or what comes out:

======================  ==============================================================================================
``factor 2``            twice the result, or twice one of several results
``sign``                its negative
``eps for eps^2``       √ε in the place of ε, so that ε stands where ε² should; likewise for the noise σ
``n + 1 for n``         ε √(1 + 1/n) in the place of ε, so that n + 1 stands in α and β
``twice the step``      a step size, or λ; or half a threshold, of which twice might be no threshold
``transposed``          Dᵀ for D, Wᵀ for W; or Zᵀ for Z where nothing else fixes the shape, and the result turned back
``wrong bases``         U with its features in reverse order
======================  ==============================================================================================

It is detected by a claim whose verdict is no longer the expected one; that the claim's check merely crashed does not
count, nor does a claim whose verdict changes as well when the right version is watched in the same way: whoever counts
multiplications counts those of the comparison too. A change that makes no difference to any result of the function, in
any of the claims that call it, is none; to raise an error is a difference.
"""

from __future__ import annotations

import importlib
import inspect
import math
import pkgutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

import srr
from verify.arrays import to_numpy
from verify.case import StaleWitness
from verify.examine import TWIN, examine
from verify.journal import Journal, resumed, version
from verify.ledger import ERROR, Claim, Ledger
from verify.results import Result, Settings
from verify.runner import versions

Function = Callable[..., Any]

EXEMPT = {"layers.crate_autoencoder": "it puts layers in a row", "layers.unroll": "it yields what layers return"}
"""Public functions in which there is no formula to get wrong, and why."""


@dataclass(frozen=True)
class Sabotage:
    """One wrong version of one public function or method."""

    function: str
    """As in ``rates.coding_rate`` or ``objective.SparseRateReduction.loss``."""
    fault: str


EQUIVALENT = {
    Sabotage("mixtures.Mixture.draws", "wrong bases"): "tokens are drawn from the law and not from the bases",
    Sabotage("redunet.class_subspaces", "sign"): "a basis and its negative span the same subspace",
}
"""Wrong versions that are right all the same, though their results differ, and why."""


@dataclass(frozen=True)
class Finding:
    """What became of a sabotage.

    Attributes
    ----------
    sabotage : Sabotage
    outcome : str
        ``"detected"``; ``"undetected"``; ``"not called"``, where none of the claims calls the function; or ``"no
        difference"``, where it is called and its results are the right ones all the same.
    claim : str or None
        The first claim whose verdict changed.
    said : str or None
        What that verdict is now; or why there is none.
    asked : int
        How many claims were asked: those that call the function, the quickest first.
    """

    sabotage: Sabotage
    outcome: str
    claim: str | None
    said: str | None
    asked: int


# --- what can be sabotaged --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Target:
    """A public function, or a method of a public class, and where it is found."""

    name: str
    function: Function
    owner: type | None = None


def targets() -> dict[str, Target]:
    """Every public function of srr, and every public method that a public class defines, by name."""
    found: dict[str, Target] = {}
    for name, thing in _public():
        if name in EXEMPT:
            continue
        if inspect.isfunction(thing):
            found[name] = Target(name, thing)
        elif inspect.isclass(thing):
            for method, function in vars(thing).items():
                if not method.startswith("_") and _defines(thing, function):
                    found[f"{name}.{method}"] = Target(f"{name}.{method}", function, thing)
    return found


def _defines(owner: type, function: Any) -> bool:
    """Whether it is a method written in the class, and neither abstract nor the default of a field."""
    written = getattr(function, "__qualname__", "").startswith(f"{owner.__qualname__}.")
    return inspect.isfunction(function) and written and not getattr(function, "__isabstractmethod__", False)


def _public() -> Iterator[tuple[str, Any]]:
    stems = sorted(info.name for info in pkgutil.iter_modules(srr.__path__) if not info.name.startswith("_"))
    seen: list[Any] = []
    for stem in sorted(stems, key=lambda stem: stem != "layers"):  # a layer is called by where all of them are
        module = importlib.import_module(f"srr.{stem}")
        for name in module.__all__:
            thing = getattr(module, name)
            if callable(thing) and not any(thing is other for other in seen):
                seen.append(thing)
                yield f"{stem}.{name}", thing


def sabotages() -> list[Sabotage]:
    """Every wrong version of every target, but for those that are right all the same."""
    found = (Sabotage(name, fault) for name, target in targets().items() for fault in _faults(target))
    return [each for each in found if each not in EQUIVALENT]


# --- wrong versions ---------------------------------------------------------------------------------------------


def _faults(target: Target) -> dict[str, Function]:
    """The wrong versions of a function, by what is wrong with them."""
    function, signature = target.function, inspect.signature(target.function)
    found: dict[str, Function] = {}
    for place in _numbers(signature):
        where = "" if place is None else f" in result {place}"
        found[f"factor 2{where}"] = _on_result(function, place, 2)
        found[f"sign{where}"] = _on_result(function, place, -1)
    for fault, change in _changes(target, signature).items():
        found[fault] = _on_arguments(function, signature, change)
    arrays = [name for name, given in signature.parameters.items() if str(given.annotation).startswith("Array")]
    if arrays == ["Z"] and not target.owner:
        found["Z transposed"] = _of_transposed_tokens(function)
    return found


def _numbers(signature: inspect.Signature) -> list[Any]:
    """Which results are numbers: None for the only one, or the places or fields of several."""
    returned = str(signature.return_annotation)
    numeric = ("Array", "Scalar", "float", "int", "Enclosure")
    if returned.startswith("tuple["):
        parts = returned[len("tuple[") : returned.index("]")].split(", ")
        return [place for place, part in enumerate(parts) if part in numeric]
    if returned == "Terms":
        return list(srr.objective.Terms._fields)
    if returned == "Mixture":
        return ["Z"]
    return [None] if returned.split(" |")[0] in numeric else []


def _on_result(function: Function, place: Any, factor: int) -> Function:
    @wraps(function)
    def wrong(*args: Any, **kwargs: Any) -> Any:
        return _scaled(function(*args, **kwargs), place, factor)

    return wrong


def _scaled(result: Any, place: Any, factor: int) -> Any:
    if result is None:
        return None
    if hasattr(result, "_replace"):  # a NamedTuple, where only its value is asked of it
        field = result._fields[0] if place is None else place
        return result._replace(**{field: factor * getattr(result, field)})
    if isinstance(result, tuple):
        return tuple(factor * part if i == place else part for i, part in enumerate(result))
    if is_dataclass(result):
        return replace(result, **{place: factor * getattr(result, place)})
    return factor * result


def _on_arguments(function: Function, signature: inspect.Signature, change: Function) -> Function:
    @wraps(function)
    def wrong(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        change(bound.arguments)
        return function(*bound.args, **bound.kwargs)

    return wrong


def _of_transposed_tokens(function: Function) -> Function:
    def turned(a: Any) -> Any:
        return a.swapaxes(-1, -2) if getattr(a, "ndim", 0) > 1 else a

    @wraps(function)
    def wrong(Z: Any, *args: Any, **kwargs: Any) -> Any:
        result = function(turned(Z), *args, **kwargs)
        return tuple(map(turned, result)) if type(result) is tuple else turned(result)

    return wrong


def _changes(target: Target, signature: inspect.Signature) -> dict[str, Function]:
    names = set(signature.parameters)
    of_self = _settings_of(target.owner) if "self" in names else set()
    found: dict[str, Function] = {}
    if "eps" in names | of_self:
        found["eps for eps^2"] = _changed("eps", lambda eps, _: None if eps is None else math.sqrt(eps))
        if "n" in names:
            found["n + 1 for n"] = _changed("n", lambda n, _: n + 1)
        elif "Z" in names:
            found["n + 1 for n"] = _changed("eps", _with_one_token_more)
    if "noise" in names and "X" in names:
        found["noise for noise^2"] = _changed("noise", lambda noise, _: math.sqrt(noise))
    for step in ("step", "lam", "kappa", "eta", "tau"):
        if step in names | of_self:
            found[f"twice the {step}"] = _changed(step, lambda value, _: None if value is None else 2 * value)
    if "threshold" in names | of_self:
        found["half the threshold"] = _changed("threshold", lambda value, _: None if value is None else value / 2)
    for matrix in ("D", "output"):
        if matrix in names | of_self:
            found[f"{matrix} transposed"] = _changed(matrix, lambda a, _: _transposed(a))
    if "U" in names | of_self:
        found["wrong bases"] = _changed("U", lambda U, _: None if U is None else U[:, ::-1, :])
    return found


def _settings_of(owner: type | None) -> set[str]:
    if owner is None or not is_dataclass(owner):
        return set()
    own = {field.name for field in fields(owner)}
    return own | {"U", "eps", "lam"} if "objective" in own else own


def _changed(name: str, change: Function) -> Function:
    """In the arguments, or in the object of which the function is a method, or in that object's objective."""

    def apply(given: dict[str, Any]) -> None:
        if name in given:
            given[name] = change(given[name], given)
        elif hasattr(given["self"], name):
            given["self"] = replace(given["self"], **{name: change(getattr(given["self"], name), given)})
        else:
            objective = given["self"].objective
            new = replace(objective, **{name: change(getattr(objective, name), given)})
            given["self"] = replace(given["self"], objective=new)

    return apply


def _with_one_token_more(eps: float | None, given: dict[str, Any]) -> float | None:
    if eps is None:
        return None
    Z = given["Z"] if given["Z"] is not None else given["parts"][0]
    n = Z.shape[-2] if hasattr(Z, "shape") else Z.n
    return eps * math.sqrt(1 + 1 / n)


def _transposed(a: Any) -> Any:
    return a.T if a is not None and a.ndim == 2 and a.shape[0] == a.shape[1] else a


def _watched(right: Function, wrong: Function, noticed: Callable[[], None]) -> Function:
    """The wrong version, which tells of a result that is not the right one, or of an error in its place."""

    @wraps(right)
    def watched(*args: Any, **kwargs: Any) -> Any:
        expected = right(*args, **kwargs)
        try:
            result = wrong(*args, **kwargs)
        except Exception:
            noticed()
            raise
        if not _same(expected, result):
            noticed()
        return result

    return watched


def _same(a: Any, b: Any) -> bool:
    """Equal to rounding."""
    if a is None or b is None:
        return a is b
    if is_dataclass(a):
        return all(_same(getattr(a, field.name), getattr(b, field.name)) for field in fields(a))
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    if hasattr(a, "shape") or isinstance(a, float):
        right, found = to_numpy(a), to_numpy(b)
        within = 1e-6 * float(np.max(np.abs(right), initial=0.0))
        return right.shape == found.shape and bool(np.allclose(right, found, rtol=0, atol=within, equal_nan=True))
    return bool(a == b)


@contextmanager
def sabotaged(target: Target, wrong: Function) -> Iterator[None]:
    """Put a wrong version in the place of a function, wherever srr and verify hold it."""
    with ExitStack() as stack:
        if target.owner is not None:
            stack.enter_context(patch.object(target.owner, target.function.__name__, wrong))
        for module in list(sys.modules.values()):
            if getattr(module, "__name__", "").partition(".")[0] in ("srr", "verify"):
                for name, value in list(vars(module).items()):
                    if value is target.function:
                        stack.enter_context(patch.object(module, name, wrong))
        yield


# --- whether a claim notices ------------------------------------------------------------------------------------


def run(
    ledger: Ledger,
    settings: Settings,
    *,
    claims: Sequence[Claim] | None = None,
    chosen: Sequence[Sabotage] | None = None,
    jobs: int = 1,
    timeout: float = 600.0,
    keep: Path | None = None,
    on_done: Callable[[str, bool], None] = lambda said, kept: None,
) -> list[Finding]:
    """Sabotage in ``jobs`` processes, and ask the claims that call what is sabotaged.

    A sabotage that cannot be judged in ``timeout`` seconds, or that ends its process, counts as undetected.

    Parameters
    ----------
    claims
        The claims that may be asked; all of the ledger's when None.
    chosen
        All of `sabotages` when None.
    keep
        A file that keeps what is done, so that a run that was interrupted goes on from there.
    on_done
        Told of each step, and whether it takes no time: it was kept from an earlier run, or no claim is to be asked.

    Returns
    -------
    list of Finding
        In the order of ``chosen``.
    """
    journal = None if keep is None else Journal(keep, version(settings, versions(settings.arrays.library)))
    chosen = sabotages() if chosen is None else chosen
    context = (ledger.modules, settings)
    callers: dict[str, list[tuple[float, str]]] = {}
    slugs = [claim.slug for claim in (ledger if claims is None else claims)]
    for done, kept in resumed(
        journal, called_by, context, slugs, returns=tuple[str, ...], workers=jobs, timeout=timeout
    ):
        if done.problem is not None:
            raise RuntimeError(f"{done.job}: {done.problem}")
        on_done(f"what {done.job} calls", kept)
        for name in done.value:
            callers.setdefault(name, []).append((done.seconds, done.job))
    found = {each: Finding(each, "not called", None, None, 0) for each in chosen if each.function not in callers}
    for each in found:
        on_done(f"{each.function}: {each.fault}", True)
    called = (each for each in chosen if each not in found)
    tasks = [(each, tuple(slug for _, slug in sorted(callers[each.function]))) for each in called]
    for done, kept in resumed(journal, detect, context, tasks, returns=Finding, workers=jobs, timeout=timeout):
        each, asked = done.job
        on_done(f"{each.function}: {each.fault}", kept)
        found[each] = done.value or Finding(each, "undetected", None, done.problem, len(asked))
    return [found[each] for each in chosen]


def called_by(modules: tuple[str, ...], settings: Settings, slug: str) -> tuple[str, ...]:
    """The public functions of srr that one claim calls, by name."""
    called: set[str] = set()

    def noticed(target: Target) -> Function:
        @wraps(target.function)
        def passed_on(*args: Any, **kwargs: Any) -> Any:
            called.add(target.name)
            return target.function(*args, **kwargs)

        return passed_on

    claim = Ledger.load(*modules)[slug]
    with ExitStack() as stack:
        for target in targets().values():
            stack.enter_context(sabotaged(target, noticed(target)))
        examine(claim, settings, search=False)
    return tuple(sorted(called))


def detect(modules: tuple[str, ...], settings: Settings, task: tuple[Sabotage, Iterable[str]]) -> Finding:
    """Ask claims, one after the other, until one changes its verdict."""
    sabotage, slugs = task
    target = targets()[sabotage.function]
    claims = [Ledger.load(*modules)[slug] for slug in slugs]
    differences: list[None] = []

    def judged(claim: Claim, version: Function, noticed: Callable[[], None]) -> Result:
        with sabotaged(target, _watched(target.function, version, noticed)):
            return examine(claim, settings, search=False)

    wrong = _faults(target)[sabotage.fault]
    for asked, claim in enumerate(claims, 1):
        result = judged(claim, wrong, lambda: differences.append(None))
        if result.as_expected or crashed(result):
            continue
        if judged(claim, target.function, lambda: None).as_expected:
            return Finding(sabotage, "detected", claim.slug, str(result.verdict), asked)
    return Finding(sabotage, "undetected" if differences else "no difference", None, None, len(claims))


def crashed(result: Result) -> bool:
    """Whether an exception is all that a claim came to."""
    said = (TWIN, StaleWitness.__name__)  # the twin did not come out as it must, or a witness no longer refutes
    return result.verdict == ERROR and not (result.message or "").startswith(said)
