"""What does an implementation compute, operator by operator, and where does it part from the theory?"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console, ConsoleOptions, RenderResult

from verify import called
from verify.arrays import in_float64
from verify.bounded import Precision
from verify.forms import KINDS, Named
from verify.matching import Example, Match, match

if TYPE_CHECKING:
    from torch import nn

    from verify.layouts.layout import Layout

__all__ = ["CrossCheck", "Finding", "Subject", "crosscheck", "tokens"]


@dataclass(frozen=True, eq=False)
class Subject:
    """An operator to check, in any array library: a function, what it is meant to be, and its weights.

    Parameters
    ----------
    function : callable
        Takes arrays and gives one: a torch Module, which is called in evaluation mode, tensors of its dtype on its
        device; a function of any library arrays like its weights, or NumPy float64 if it has none.
    kind : str
        A name in `verify.forms.KINDS`.
    weights, constants : mapping
        By the names that forms of this kind have for them.
    name : str
        What to call it in the report.
    inputs : sequence of tuple of array, optional
        What to feed it, as arrays of any library; by default tokens of many sizes (`tokens`).
    precision : str
        What it computes in: its rounding is judged by that. By default the dtype of what it takes.
    form : str
        The slug of the form that it should be; empty if any will do.
    like : array, optional
        An array of the library, dtype and device that the function takes, where that is another.
    """

    function: Callable[..., Any]
    kind: str
    weights: Mapping[str, Any]
    constants: Mapping[str, float] = field(default_factory=dict)
    name: str = "operator"
    inputs: Sequence[tuple[np.ndarray, ...]] | None = None
    precision: str = ""
    form: str = ""
    like: Any = None


@dataclass(frozen=True, eq=False)
class Finding:
    """One operator, what it was found to compute, on how many examples, and on how many more it overflowed."""

    operator: str
    match: Match
    examples: int
    overflows: int = 0

    def lines(self) -> tuple[str, ...]:
        """In words."""
        precision = self.match.precision
        low = [f"judged by rounding in {precision}"] if precision != "float64" else []
        far = "gives no finite numbers for tokens far out, of sizes up to 1e6, and is not judged there"
        return (*words(self.match), *low, *([far] if self.overflows else []))


def found_on(name: str, found: Match, examples: Sequence[Example]) -> Finding:
    """A match as a finding."""
    lost = sum(example.overflows for example in examples)
    return Finding(name, found, len(examples) - lost, lost)


@dataclass(frozen=True, eq=False)
class CrossCheck:
    """What a cross-check found; prints as text of 80 columns.

    Attributes
    ----------
    target : str
    layout : str or None
    findings : tuple of Finding
        In the order in which the operators come.
    own_precision : mapping
        For a network that is not in float64: operator to whether what it gives in its own precision is within the
        bound on rounding there of the form that it was found to be.
    not_judged : tuple of str
        Parts of the network that have weights and belong to no operator, such as the embedding and the head.
    """

    target: str
    layout: str | None
    findings: tuple[Finding, ...]
    own_precision: Mapping[str, bool] = field(default_factory=dict)
    not_judged: tuple[str, ...] = ()

    @property
    def passes(self) -> bool:
        """Whether every operator is the form that it should be, or any known one, in its own precision too."""
        return all(finding.match.passes for finding in self.findings) and all(self.own_precision.values())

    def to_dict(self) -> dict[str, Any]:
        """As JSON data."""
        return {
            "target": self.target,
            "layout": self.layout,
            "passes": self.passes,
            "operators": [_data(finding) for finding in self.findings],
            "own_precision": dict(self.own_precision),
            "not_judged": list(self.not_judged),
        }

    def __str__(self) -> str:
        console = Console(width=80, color_system=None, force_terminal=False)
        with console.capture() as captured:
            console.print(self)
        return "\n".join(line.rstrip() for line in captured.get().splitlines())

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from verify import comparison_text

        yield from comparison_text.rendered(self)


def crosscheck(
    target: nn.Module | tuple[Callable[..., Any], Any] | Mapping[str, Any] | Subject | Iterable[Subject],
    *,
    layout: Layout | str | None = None,
    constants: Mapping[str, float] | None = None,
    inputs: Any = None,
    seed: int = 0,
    progress: Callable[[str, int], None] = lambda said, total: None,
) -> CrossCheck:
    """Compare every operator of an implementation with every known form of it.

    A network is judged in evaluation mode, by its forward pass, and from the tokens that enter its trunk to those that
    leave it.

    Parameters
    ----------
    target : torch Module, JAX function and parameters, state dict, Subject or iterable of Subject
        A network, whose operators are found by its layout: in torch, or in JAX as a pair of a Flax module or a function
        ``f(params, x)`` and its parameters, or as a module of ``flax.nnx``; the weights of one, of torch or of JAX,
        which are put into srr's own network of that layout, so that what is told is how far its forms are from the
        theory's with these weights; or operators one by one, functions of any array library.
    layout : Layout or str, optional
        Of the network; by default the one that its state dict fits.
    constants : mapping, optional
        What the layout asks for and the network does not say, such as ``heads``.
    inputs : tensor, optional
        What the network's trunk is run on, ``(b, n, d)``; by default `tokens`, drawn from ``seed``, and of a network
        for text numbers of words. In JAX what the network itself takes; its trunk, if it is a module, is run on
        `tokens` as well.
    seed : int
    progress : callable, optional
        Called with the name of each operator that is done, and how many there are.

    Notes
    -----
    The parts of a network in JAX are seen where they are Flax modules, at their places ``blocks/0/attend``. In a plain
    function tag what goes into the operators and what comes out, ``jax.ad_checkpoint.checkpoint_name(z, "output of
    blocks/0/attend")``: of what is passed on as it is, one of its names is enough.

    Returns
    -------
    CrossCheck

    Raises
    ------
    CaptureError
        The network cannot be watched: it is compiled, shares its submodules, takes their weights without calling them,
        changes its inputs, or gives another result each time.
    TypeError, ValueError
        An argument of the wrong kind; no layout fits.
    """
    if isinstance(target, Subject):
        target = (target,)
    given = {"constants": dict(constants or {}), "inputs": inputs, "seed": seed, "progress": progress}
    if is_jax(target):
        from verify import comparison_jax

        return comparison_jax.network(target, layout=layout, **given)
    if isinstance(target, Mapping):
        from verify.layouts import chosen

        target, layout = chosen(layout, target).build(target, **(constants or {})), None
    if isinstance(target, Iterable) and not hasattr(target, "state_dict"):
        subjects = tuple(target)
        findings = tuple(_checked(subject, seed, len(subjects), progress) for subject in subjects)
        if not findings:
            raise ValueError("target must have at least one operator, got none")
        return CrossCheck("operators", None, findings)
    from verify import comparison_torch

    return comparison_torch.network(target, layout=layout, **given)


def is_jax(target: Any) -> bool:
    """Whether it is a network in JAX: a function or module with its parameters, or a module that has them."""
    if isinstance(target, tuple) and len(target) == 2:
        return callable(target[0]) and not hasattr(target[0], "state_dict")
    nnx = sys.modules.get("flax.nnx")
    return nnx is not None and isinstance(target, nnx.Module)


def tokens(
    kind: str, weights: Mapping[str, Any], *, n: int = 6, longest: int = 37, seed: int = 0, reach: float = 1e6
) -> tuple[tuple[np.ndarray, ...], ...]:
    """Tokens for an operator that tell forms apart, and where something is cut off.

    They are of unit size, small, large, one far out, alike, one alone, of all sizes up to ``reach``, many.

    Parameters
    ----------
    kind : str
    weights : mapping
        Of the operator; they tell the dimension.
    n : int
        Tokens of a set.
    longest : int
        Tokens of the last set.
    seed : int
    reach : float
        Of the largest tokens; no set has them if it is below 100.

    Returns
    -------
    tuple of tuple of array, shape (2, n, d)
        What the operator reads, one tuple for each call: samples ``(2n, d)`` for a ReduNet layer, spectra of signals
        ``(n, C, *size, 2)`` for a shift-invariant one, for CBSA a square of tokens and one more, and for
        cross-attention tokens and the queries that attend to them, which are those of the next set.
    """
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
    if kind == "redunet_fourier":
        return tuple((_spectra(m, weights["E"], rng),) for m in (n, 1))
    d = _dimension(kind, weights)
    if kind == "cbsa":
        n, longest = (math.isqrt(m - 1) ** 2 + 1 for m in (n, longest))
    unit = rng.standard_normal((2, n, d))
    outlier = unit.copy()
    outlier[:, 0] *= 30
    sets = [unit, 1e-2 * rng.standard_normal((2, n, d)), 4 * rng.standard_normal((2, n, d)), outlier]
    if kind not in ("cbsa", "tssa", "coding_rate"):
        sets += [np.repeat(unit[:, :1], n, axis=1), unit[:, :1]]
    if reach >= 100 and kind != "coding_rate":
        sets.append(unit * np.geomspace(1, reach, n)[:, None])
    sets.append(rng.standard_normal((2, longest, d)))
    if kind == "cross_attention":
        return tuple(zip(sets, [*sets[1:], sets[0]], strict=True))
    if kind == "redunet":
        sets = [(a / np.linalg.norm(a, axis=-1, keepdims=True)).reshape(-1, d) for a in (unit, outlier)]
    return tuple((a,) for a in sets)


def _spectra(m: int, E: Any, rng: np.random.Generator) -> np.ndarray:
    """Of real signals on the sphere, for matrices ``(*size, C, C)``, complex or pairs; pairs themselves."""
    *size, channels, _ = E.shape if "complex" in str(E.dtype) else E.shape[:-1]
    axes = tuple(range(2, 2 + len(size)))
    v = np.fft.fftn(rng.standard_normal((m, channels, *size)), axes=axes, norm="ortho")
    v /= np.sqrt(np.sum(np.abs(v) ** 2, axis=(1, *axes), keepdims=True))
    return np.stack([v.real, v.imag], axis=-1)


def _dimension(kind: str, weights: Mapping[str, Any]) -> int:
    sizes = {"projection": 1, "D": 0, "scale": 0, "A": 1, "E": 0, "query": 1, "fc1": 1}
    for name, axis in sizes.items():
        if name in weights and (name != "scale" or kind == "layer_norm"):
            return int(weights[name].shape[axis])
    raise ValueError(f"inputs must be given for {kind}, whose weights do not tell its dimension")


def _checked(subject: Subject, seed: int, total: int, progress: Callable[[str, int], None]) -> Finding:
    if not isinstance(subject, Subject):
        raise TypeError(f"target must be Subjects, got one {type(subject).__name__}")
    found = found_of(subject, seed)
    progress(subject.name, total)
    return found


def found_of(subject: Subject, seed: int) -> Finding:
    """What one operator is found to compute."""
    like = called.taken_by(subject.function, subject.weights) if subject.like is None else subject.like
    taken = called.precision_of(like)
    inputs = subject.inputs
    if inputs is None:
        reach = 1e6 if taken.largest > 1e30 else 0  # squares of what comes of it must not overflow
        drawn = tokens(subject.kind, subject.weights, seed=seed, reach=reach)
        inputs = [tuple(taken.rounded(a) for a in reads) for reads in drawn]
    examples = [_example(subject, reads, like) for reads in inputs]
    precision: str | Precision = subject.precision or taken
    found = match(subject.kind, examples, subject.weights, subject.constants, wanted=subject.form, precision=precision)
    return found_on(subject.name, found, examples)


def _example(subject: Subject, reads: Iterable[Any], like: Any) -> Example:
    fed = [called.beside(in_float64(a), like) for a in reads]
    given = tuple(in_float64(a) for a in fed)  # copies, as it was given them: it may write to them
    try:
        result = called.called(subject.function, fed)
        result = result if hasattr(result, "dtype") else np.asarray(result)
    except Exception as error:
        library = type(like).__module__.partition(".")[0]
        what = f"arrays {' and '.join(str(a.shape) for a in given)} of {library} in {called.precision_of(like).name}"
        raise ValueError(
            f"function of {subject.name} must take {what}, or others by like=, and give an array; "
            f"got {type(error).__name__}: {error}"
        ) from error
    dtype = str(result.dtype).removeprefix("torch.")
    if not any(kind in dtype for kind in ("float", "int", "bool")):
        raise ValueError(f"{subject.name} must give real numbers, got {dtype}")
    return Example(given, in_float64(result))


def said(form: Named) -> str:
    """A form and where it is from."""
    return f"{form.name} [{form.source}]" if form.source else form.name


def words(found: Match) -> tuple[str, ...]:
    """A match in words, line by line."""
    title, nearest = KINDS[found.kind].title, said(found.nearest)
    shown = {name: value for name, value in found.constants.items() if name not in ("heads", "causal")}
    numbers = ", ".join(f"{name}={value:g}" for name, value in shown.items())
    lines = [title + (f" ({numbers})" if numbers else "")]
    match found.verdict:
        case "known":
            lines.append(f"is {nearest}")
        case "other":
            lines.append(f"is {nearest}")
            lines.append(f"and not {said(found.wanted)}")
        case "departs":
            lines.append(f"is {nearest}, except:")
            lines.extend(f"  {departure}" for departure in found.departures)
        case "undecided":
            lines.append(f"may be {nearest}; rounding in {found.precision} explains more forms than that")
        case "unknown":
            lines.append(f"is no known form; the nearest is {nearest}")
    if found.difference is not None:
        where = ", ".join(map(str, found.difference.index))
        lines.append(
            f"size of the effect: {found.difference.share:.2g} of its norm; first at [{where}]: "
            f"{found.difference.got:.9g}, not {found.difference.wanted:.9g} ± {found.difference.bound:.1g}"
        )
    theory = KINDS[found.kind].theory
    if KINDS[found.kind].remark and theory is not found.nearest:
        lines.append(KINDS[found.kind].remark)
    if found.theory and found.effect is not None and theory is not found.nearest:
        lines.append(f"differs by {found.effect:.2g} of its norm from {said(theory)}:")
        lines.extend(f"  {difference}" for difference in found.theory)
    if found.alike:
        lines.append("not told apart by these inputs: " + "; ".join(found.alike))
    return tuple(lines)


def _data(finding: Finding) -> dict[str, Any]:
    found = finding.match
    gap = found.difference
    return {
        "operator": finding.operator,
        "kind": found.kind,
        "verdict": found.verdict,
        "wanted": None if found.wanted is None else found.wanted.slug,
        "form": found.nearest.slug,
        "name": found.nearest.name,
        "source": found.nearest.source,
        "departures": list(found.departures),
        "precision": found.precision,
        "constants": dict(found.constants),
        "difference": None
        if gap is None
        else {"index": list(gap.index), "got": gap.got, "wanted": gap.wanted, "bound": gap.bound, "share": gap.share},
        "alike": list(found.alike),
        "theory": list(found.theory),
        "effect": found.effect,
        "examples": finding.examples,
        "overflows": finding.overflows,
    }
