"""What a run of the ledger found, as plain data, as JSON and as JUnit XML.

Everything here is frozen, deterministic under a seed, and free of clocks and paths.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from xml.etree import ElementTree

import cattrs
import numpy as np

from verify.arrays import Arrays, to_numpy
from verify.figure import Figure
from verify.ledger import ERROR, Claim, Evidence, Verdict

TIERS = {"quick": 1, "full": 20}
"""How many times a claim's ``instances`` each tier accepts."""


@dataclass(frozen=True)
class Settings:
    """What a run depends on; two runs with equal settings find the same."""

    tier: str = "quick"
    seed: int = 0
    arrays: Arrays = field(default_factory=Arrays)

    def __post_init__(self) -> None:
        if self.tier not in TIERS:
            raise ValueError(f"tier must be one of {', '.join(TIERS)}, got {self.tier!r}")
        if self.seed < 0:
            raise ValueError(f"seed must be >= 0, got {self.seed}")

    def instances(self, claim: Claim, *, until_refuted: bool = False) -> int:
        """How many instances of a claim to accept.

        With JAX a tenth: XLA compiles every operation for every new shape, about a second for each instance. But what
        must fail ends at the first that does, and may take as many as anywhere.
        """
        wanted = claim.instances * TIERS[self.tier]
        return math.ceil(wanted / 10) if self.arrays.library == "jax" and not until_refuted else wanted


@dataclass(frozen=True)
class Counts:
    """Of the instances drawn: how many were within the hypotheses, and what became of those."""

    held: int = 0
    failed: int = 0
    undecided: int = 0
    rejected: int = 0

    @property
    def accepted(self) -> int:
        return self.held + self.failed + self.undecided

    @property
    def share_rejected(self) -> float:
        drawn = self.accepted + self.rejected
        return self.rejected / drawn if drawn else 0.0


@dataclass(frozen=True)
class Witness:
    """An instance that refutes a claim: all its parameters, and what the check said of it.

    ``origin`` is ``pinned`` (stored with the claim), ``search`` (shrunk by hypothesis) or ``sample``.
    """

    params: dict[str, Any]
    origin: str
    certified: bool
    ratio: float | None
    data: dict[str, Any]


@dataclass(frozen=True)
class Side:
    """An instance beside a boundary: its parameters, where it lies, and whether its outcome is certified."""

    params: dict[str, Any]
    value: float
    certified: bool


@dataclass(frozen=True)
class Pair:
    """Two instances that differ in the parameter ``along`` alone: on one the claim holds, on the other it fails."""

    along: str
    held: Side
    failed: Side


@dataclass(frozen=True)
class Boundary:
    """The measured edge of a claim that holds under ``name < bound``.

    ``held_up_to`` is the largest value that held below every failure, ``failed_from`` the smallest failure, and
    ``pair`` the two sides between which bisection found the edge, if the check names a parameter to bisect along.
    """

    name: str
    bound: float
    inside: int
    outside: int
    failed_outside: int
    held_up_to: float | None
    failed_from: float | None
    pair: Pair | None = None


@dataclass(frozen=True)
class Twin:
    """The negative twin: what it is, what it had to be, what it was found to be."""

    says: str
    required: Verdict
    verdict: Verdict
    counts: Counts


@dataclass(frozen=True)
class Result:
    """The verdict on one claim, and everything it rests on."""

    slug: str
    verdict: Verdict
    expected: Verdict
    evidence: Evidence | None = None
    message: str = ""
    counts: Counts = field(default_factory=Counts)
    worst_ratio: float | None = None
    boundary: Boundary | None = None
    witness: Witness | None = None
    twin: Twin | None = None
    figures: tuple[Figure, ...] = ()

    @property
    def as_expected(self) -> bool:
        return self.verdict == self.expected

    @property
    def failure_bound(self) -> float | None:
        """The 95 % upper bound 3/N on the share of instances that fail, where none of N did.

        N counts the instances inside the condition, where there is one. A proof needs no such bound.
        """
        if self.evidence == Evidence.PROVED or self.verdict not in (Verdict.HOLDS, Verdict.HOLDS_UNDER):
            return None
        return 3 / (self.counts.held if self.boundary is None else self.boundary.inside)


@dataclass(frozen=True)
class Run:
    """A run of the ledger, and the versions of what it ran on."""

    settings: Settings
    results: tuple[Result, ...]
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def as_expected(self) -> bool:
        return all(r.as_expected for r in self.results)

    def tally(self) -> dict[Verdict, int]:
        """How many claims got each verdict, every verdict named."""
        return {v: sum(r.verdict == v for r in self.results) for v in Verdict}

    def __getitem__(self, slug: str) -> Result:
        for r in self.results:
            if r.slug == slug:
                return r
        raise KeyError(slug)


# --- plain data -------------------------------------------------------------------------------------------


LARGEST_SHOWN = 256
"""Arrays with more entries than this are described, not listed."""


def plain(value: Any) -> Any:
    """``value`` as JSON data: arrays as lists, numbers JSON has no word for as ``"nan"`` and ``"inf"``."""
    match value:
        case None | bool() | str():
            return str(value) if isinstance(value, str) else value
        case Mapping():
            return {str(k): plain(v) for k, v in value.items()}
        case tuple() | list():
            return [plain(v) for v in value]
        case int():
            return int(value)
        case float():
            return float(value) if math.isfinite(value) else repr(float(value))
        case np.generic():
            return plain(value.item())
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        if math.prod(value.shape) > LARGEST_SHOWN:
            return f"{value.dtype} array of shape {tuple(value.shape)}"
        return plain(to_numpy(value).tolist())
    return str(value)


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    converter.register_unstructure_hook(float, plain)
    converter.register_structure_hook(float, lambda value, _: float(value))
    return converter


def to_json(run: Run) -> str:
    """The run as JSON text, the same bytes for the same run."""
    document = {"format": 1, **plain(asdict(run))}
    for entry, result in zip(document["results"], run.results, strict=True):
        entry["as_expected"] = result.as_expected
    return json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def from_json(text: str) -> Run:
    """The run that `to_json` wrote.

    Raises
    ------
    ValueError
        Not the text of a run.
    """
    try:
        document = json.loads(text)
        if document.pop("format") != 1:
            raise ValueError("format must be 1")
        for entry in document["results"]:
            entry.pop("as_expected")
        return _converter().structure(document, Run)
    except Exception as error:  # whatever shape the file has
        raise ValueError(f"results must be a file that `srr verify` wrote: {error}") from error


def to_junit(run: Run, seconds: Mapping[str, float] | None = None) -> str:
    """The run as JUnit XML: a claim is a test case, a verdict other than the expected one a failure."""
    seconds = seconds or {}
    suite = ElementTree.Element(
        "testsuite",
        name="srr verify",
        tests=str(len(run.results)),
        failures=str(sum(not r.as_expected and r.verdict != ERROR for r in run.results)),
        errors=str(sum(r.verdict == ERROR for r in run.results)),
        time=f"{sum(seconds.values()):.3f}",
    )
    for r in run.results:
        theme, _, name = r.slug.partition(".")
        case = ElementTree.SubElement(
            suite, "testcase", classname=theme, name=name, time=f"{seconds.get(r.slug, 0.0):.3f}"
        )
        if not r.as_expected:
            kind = "error" if r.verdict == ERROR else "failure"
            said = _printable(f"expected {r.expected}, found {r.verdict}. {r.message}".strip())
            ElementTree.SubElement(case, kind, message=said.splitlines()[0]).text = said
    ElementTree.indent(suite)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suite, encoding="unicode") + "\n"


def _printable(text: str) -> str:
    # XML 1.0 has no way to write most control characters.
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)
