"""Derivations: statements proved in steps, each accepted by a mechanical check and by nothing else.

A step leads from one expression to the next by a relation: ``=``, ``<=``, ``>=``, or ``~`` for a heuristic move, which
must say what it drops. Its rule, one of those in `derivations.checks`, decides whether it is accepted.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from derivations.expression import Expr, Matrix, matrices
from derivations.normal import Rule

RELATIONS = ("=", "<=", ">=", "~")


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes
    ----------
    accepted : bool
    means : str
        ``"general sizes"``, ``"exact algebra"``, or the sizes and the bound on the probability of a false acceptance.
    reason : str
        Why it was not accepted; empty if it was.
    """

    accepted: bool
    means: str
    reason: str = ""


class Check(Protocol):
    """A rule by which a step may be taken."""

    @property
    def name(self) -> str:
        """The rule, as a reader would call it."""
        ...

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rewriting rules it uses."""
        ...

    @property
    def assumptions(self) -> tuple[Rule, ...]:
        """The equations it takes as given."""
        ...

    def __call__(self, a: Expr, relation: str, b: Expr) -> Finding:
        """Whether ``a relation b`` follows by this rule."""
        ...


@dataclass(frozen=True)
class Step:
    """One step of a derivation."""

    start: Expr
    relation: str
    end: Expr
    rule: Check
    because: str

    def check(self) -> Finding:
        """Whether the step is accepted."""
        if self.relation not in RELATIONS:
            raise ValueError(f"relation must be one of {', '.join(RELATIONS)}, got {self.relation!r}")
        return self.rule(self.start, self.relation, self.end)


@dataclass(frozen=True)
class Derivation:
    """A statement with its proof.

    Attributes
    ----------
    name : str
        What it is found by, for instance ``"gradient-of-the-coding-rate"``.
    title : str
        The statement in words.
    hypotheses : tuple of str
        What the statement assumes, in words; formally they are declared by its matrices and rules.
    source : str
        Paper and equation.
    steps : tuple of Step
        From the left side of the statement to the right one.
    uses : tuple of Derivation
        Those whose statements its rules rely on.
    definitions : tuple of (str, Expr)
        Names used in the text and what they stand for.
    remark : str
        What the statement means, or where the literature differs.
    """

    name: str
    title: str
    hypotheses: tuple[str, ...]
    source: str
    steps: tuple[Step, ...]
    uses: tuple[Derivation, ...] = ()
    definitions: tuple[tuple[str, Expr], ...] = ()
    remark: str = ""

    def __post_init__(self) -> None:
        if not self.steps:
            raise ValueError(f"{self.name}: a derivation must have a step")
        self._require_definitions()
        for step, following in zip(self.steps, self.steps[1:], strict=False):
            if step.end != following.start:
                raise ValueError(f"{self.name}: every step must start where the one before ends")
        relations = {step.relation for step in self.steps}
        if {"<=", ">="} <= relations or ("~" in relations and relations & {"<=", ">="}):
            raise ValueError(f"{self.name}: the steps must have one direction, got {' '.join(sorted(relations))}")

    def _require_definitions(self) -> None:
        """A matrix that a rule defines is of the proof alone: no statement names it, nothing is assumed of it."""
        once: dict[Matrix, Rule] = {}
        for rule in self.defined:
            for A in rule.defines:
                if rule.left == A @ A and once.setdefault(A, rule) != rule:
                    raise ValueError(f"{self.name}: {A.name} is defined twice")
                if A in matrices(self.left) | matrices(self.right):
                    raise ValueError(f"{self.name}: the statement must not name {A.name}, which a rule defines")
                if any(A in matrices(r.left) | matrices(r.right) for r in self.assumptions):
                    raise ValueError(f"{self.name}: nothing may be assumed of {A.name}, which a rule defines")

    @property
    def left(self) -> Expr:
        """The left side of the statement."""
        return self.steps[0].start

    @property
    def right(self) -> Expr:
        """The right side of the statement."""
        return self.steps[-1].end

    @property
    def relation(self) -> str:
        """The relation of the statement."""
        return next((step.relation for step in self.steps if step.relation != "="), "=")

    @property
    def assumptions(self) -> tuple[Rule, ...]:
        """The equations that its steps, and what they rely on, take as given."""
        return tuple(dict.fromkeys(rule for step in self.steps for rule in step.rule.assumptions))

    def restricts(self, X: Matrix) -> bool:
        """Whether an assumption says something of X, perhaps through matrices that the statement does not name."""
        named = matrices(self.left) | matrices(self.right)
        reached: frozenset[Matrix] = frozenset({X})
        for _ in self.assumptions:
            for rule in self.assumptions:
                mentioned = matrices(rule.left) | matrices(rule.right)
                if mentioned & reached:
                    reached |= mentioned - named
        return any((matrices(rule.left) | matrices(rule.right)) & reached for rule in self.assumptions)

    @property
    def defined(self) -> tuple[Rule, ...]:
        """The equations that define matrices of the proof alone."""
        return tuple(dict.fromkeys(rule for step in self.steps for rule in step.rule.rules if rule.defines))

    def check(self) -> tuple[Finding, ...]:
        """What the check of every step found."""
        return tuple(step.check() for step in self.steps)

    def proves(self) -> bool:
        """Whether every step is accepted, here and in all that it uses."""
        return self._proves

    @cached_property
    def _proves(self) -> bool:  # asked for at every use as a lemma
        return all(finding.accepted for finding in self.check()) and all(used.proves() for used in self.uses)


def chain(start: Expr, *steps: tuple[str, Expr, Check, str]) -> tuple[Step, ...]:
    """Steps (relation, end, rule, because), each starting where the one before ends."""
    made = []
    for relation, end, rule, because in steps:
        made.append(Step(start, relation, end, rule, because))
        start = end
    return tuple(made)
