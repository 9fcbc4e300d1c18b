"""The ledger: claims of the literature as data, each with the check that judges it.

A claim is written where its check is::

    @claim(
        "rates.sylvester",
        title="The rate from either Gram matrix",
        statement=r"\\log\\det(I_n+\\alpha ZZ^\\top) = \\log\\det(I_d+\\alpha Z^\\top Z)",
        source="N23 eq. 7",
        relation="=",
        hypotheses="any Z",
        expect=HOLDS,
        twin="alpha with n and d exchanged",
    )
    def sylvester(case: Case) -> Outcome:
        ...

The decorated name *is* the `Claim`. A `Ledger` gathers the claims of the modules it is given; there is no
global registry.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import MappingProxyType
from typing import Any

from verify.case import Case
from verify.figure import Figure
from verify.names import nearest
from verify.outcome import Outcome

__all__ = [
    "ERROR",
    "HOLDS",
    "HOLDS_UNDER",
    "REFUTED",
    "UNDECIDED",
    "Case",
    "Claim",
    "Evidence",
    "Ledger",
    "Outcome",
    "Verdict",
    "claim",
]


class Verdict(StrEnum):
    """What became of a claim."""

    HOLDS = "holds"
    HOLDS_UNDER = "holds under"
    REFUTED = "refuted"
    UNDECIDED = "undecided"
    ERROR = "error"


HOLDS, HOLDS_UNDER, REFUTED, UNDECIDED, ERROR = Verdict


class Evidence(StrEnum):
    """What a verdict rests on, the weakest over the instances that it rests on."""

    PROVED = "proved"
    CERTIFIED = "certified"
    CHECKED = "checked"


RELATIONS = ("=", "<=", "<", "tight", "limit", "monotone")

ASKED_HERE = "asked here"
"""How the source of a claim begins that no work states: a question of this ledger."""

_SLUG = re.compile(r"[a-z][a-z0-9]*\.[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Claim:
    """A statement and the check that judges it on one instance. Made by `claim`."""

    slug: str
    title: str
    statement: str
    source: str
    relation: str
    hypotheses: str
    expect: Verdict
    twin: str
    check: Callable[[Case], Outcome] = field(repr=False)
    uses: tuple[str, ...] = ()
    instances: int = 200
    witness: Mapping[str, Any] | None = None
    proof: tuple[str, ...] = ()
    derivations: tuple[str, ...] = ()
    figure: Callable[[], Figure] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not _SLUG.fullmatch(self.slug):
            raise ValueError(f"slug must be theme.kebab-case, got {self.slug!r}")
        for name in ("title", "statement", "source", "hypotheses", "twin"):
            if not getattr(self, name).strip():
                raise ValueError(f"{name} of {self.slug} must say something, got {getattr(self, name)!r}")
        if self.relation not in RELATIONS:
            raise ValueError(f"relation of {self.slug} must be one of {RELATIONS}, got {self.relation!r}")
        if self.expect not in (HOLDS, HOLDS_UNDER, REFUTED, UNDECIDED):
            raise ValueError(f"expect of {self.slug} must be a verdict other than error, got {self.expect!r}")
        if self.proof and self.expect not in (HOLDS, HOLDS_UNDER):
            raise ValueError(f"proof of {self.slug} must be of a claim that is expected to hold, got {self.proof}")
        if twice := [name for name in self.derivations if name in self.proof]:
            raise ValueError(f"derivations of {self.slug} must not be in its proof too, got {', '.join(twice)}")
        if self.instances < 1:
            raise ValueError(f"instances of {self.slug} must be >= 1, got {self.instances}")

    def __call__(self, case: Case) -> Outcome:
        """Judge one instance."""
        return self.check(case)

    @property
    def theme(self) -> str:
        """The part of the slug before the dot."""
        return self.slug.partition(".")[0]

    @property
    def asked_here(self) -> bool:
        """Whether it is a question of this ledger, and no statement of the literature."""
        return self.source.startswith(ASKED_HERE)

    @property
    def note(self) -> str:
        """Why it is true or false, and how it is checked: the docstring of the check."""
        return inspect.getdoc(self.check) or ""

    @property
    def paragraphs(self) -> list[str]:
        """The note by paragraphs, each in one line, to be wrapped anew; one with indented lines stays as it is."""
        return [
            text if re.search(r"\n\s", text) else " ".join(text.split())
            for text in re.split(r"\n\s*\n", self.note)
            if text.strip()
        ]

    @property
    def code(self) -> str:
        """The check, as written."""
        return inspect.getsource(self.check)

    @property
    def file(self) -> Path:
        """The file that holds the check."""
        return Path(self.check.__code__.co_filename)

    @property
    def line(self) -> int:
        """The line on which the claim begins."""
        return self.check.__code__.co_firstlineno


def claim(
    slug: str,
    *,
    title: str,
    statement: str,
    source: str,
    relation: str,
    hypotheses: str,
    expect: Verdict,
    twin: str,
    uses: tuple[str, ...] = (),
    instances: int = 200,
    witness: Mapping[str, Any] | None = None,
    proof: tuple[str, ...] = (),
    derivations: tuple[str, ...] = (),
    figure: Callable[[], Figure] | None = None,
) -> Callable[[Callable[[Case], Outcome]], Claim]:
    """Make the decorated check a `Claim`.

    Parameters
    ----------
    slug
        Permanent name, ``theme.kebab-case``.
    title
        One line in plain words.
    statement
        The statement, in LaTeX, in the papers' notation.
    source
        Paper and equation or theorem number; ``asked here``, and why, for what no work states.
    relation
        ``=``, ``<=``, ``<``, ``tight``, ``limit`` or ``monotone``.
    hypotheses
        In words, what the check draws and assumes.
    expect
        The verdict that this ledger stands by. A false statement of the literature stays, as REFUTED.
    twin
        In words, the negative twin: what ``case.wrong(right, wrong)`` changes. Beside an expected HOLDS,
        HOLDS_UNDER or UNDECIDED it is a wrong statement, and must be refuted; beside an expected REFUTED it
        is the true statement, and must hold. Either way the check is seen to pass and to fail.
    uses
        Slugs of the claims that this one rests on.
    instances
        How many instances the quick tier accepts; the full tier takes 20 times as many.
    witness
        Parameters of a counterexample, as ``srr verify`` reports them. It is replayed first in every run, and
        one that no longer refutes is an error. For HOLDS_UNDER it lies outside the condition.
    proof
        Names of the derivations (`derivations.catalogue`) that together prove the statement, under its
        hypotheses. They are checked in every run; a step that is not accepted is an error.
    derivations
        Names of those that stand behind it and do not prove it: a part, a special case, a formula that it uses, or
        the right formula beside a false one.
    figure
        Of no arguments, to the `Figure` that shows the claim: computed in every run, in less than a second, under
        seeds of its own. One that raises is an error.

    Returns
    -------
    callable
        The decorator.
    """

    def decorate(check: Callable[[Case], Outcome]) -> Claim:
        return Claim(
            slug=slug,
            title=title,
            statement=statement,
            source=source,
            relation=relation,
            hypotheses=hypotheses,
            expect=expect,
            twin=twin,
            check=check,
            uses=tuple(uses),
            instances=instances,
            witness=None if witness is None else MappingProxyType(dict(witness)),
            proof=tuple(proof),
            derivations=tuple(derivations),
            figure=figure,
        )

    return decorate


def by_origin(claims: Iterable[Claim]) -> str:
    """How many claims are of the literature, and how many were asked here, in words."""
    asked = [c.asked_here for c in claims]
    return f"{asked.count(False)} of the literature, {asked.count(True)} asked here"


@dataclass(frozen=True)
class Ledger:
    """Claims in the order in which they are written, and the modules they come from.

    Raises
    ------
    ValueError
        A slug given twice; a ``uses`` that names no claim, or a false one beneath a true one; a circle of ``uses``;
        ``derivations`` that do not exist.
    """

    modules: tuple[str, ...]
    claims: tuple[Claim, ...]

    @classmethod
    def load(cls, *modules: str) -> Ledger:
        """The claims that are written in these modules, by import name."""
        loaded = [importlib.import_module(name) for name in modules]
        return cls(
            modules=modules,
            claims=tuple(
                value
                for module in loaded
                for value in vars(module).values()
                if isinstance(value, Claim) and value.check.__module__ == module.__name__
            ),
        )

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for c in self.claims:
            if c.slug in seen:
                raise ValueError(f"slug must be unique, got {c.slug} twice")
            seen.add(c.slug)
        for c in self.claims:
            if unknown := [u for u in c.uses if u not in seen]:
                raise ValueError(f"uses of {c.slug} must name claims, got {', '.join(unknown)}")
            if c.expect in (HOLDS, HOLDS_UNDER) and (false := [u for u in c.uses if self[u].expect == REFUTED]):
                raise ValueError(f"uses of {c.slug} must name claims that hold, as it does, got {', '.join(false)}")
        self._require_derivations()
        try:
            TopologicalSorter({c.slug: c.uses for c in self.claims}).prepare()
        except CycleError as error:
            raise ValueError(f"uses must have no circle, got {' -> '.join(error.args[1])}") from None

    def _require_derivations(self) -> None:
        if not any(c.derivations for c in self.claims):
            return
        from derivations import catalogue

        for c in self.claims:
            if unknown := [name for name in c.derivations if name not in catalogue()]:
                raise ValueError(f"derivations of {c.slug} must be ones that exist, got {', '.join(unknown)}")

    def __iter__(self) -> Iterator[Claim]:
        return iter(self.claims)

    def __len__(self) -> int:
        return len(self.claims)

    def __getitem__(self, slug: str) -> Claim:
        for c in self.claims:
            if c.slug == slug:
                return c
        raise KeyError(slug)

    def select(self, patterns: Iterable[str]) -> tuple[Claim, ...]:
        """The claims whose slug or theme matches a pattern (``rates``, ``rates.*``, ``*.sylvester``).

        Raises
        ------
        ValueError
            A pattern that matches no claim.
        """
        chosen: set[str] = set()
        for pattern in patterns:
            hits = {c.slug for c in self.claims if fnmatchcase(c.slug, pattern) or fnmatchcase(c.theme, pattern)}
            if not hits:
                themes = dict.fromkeys(c.theme for c in self.claims)
                near = nearest(pattern.strip("*"), [*themes, *(c.slug for c in self.claims)])
                rule = f"select must match a claim or a theme ({', '.join(themes)})"
                raise ValueError(f"{rule}, got {pattern!r}{near or '; see `srr list`'}")
            chosen |= hits
        return tuple(c for c in self.claims if c.slug in chosen)
