"""Derivations: statements proved in steps, each accepted by a mechanical check and by nothing else.

A step leads from one expression to the next by a relation: ``=``, ``<=``, ``>=``, or ``~`` for a heuristic move, which
must say what it drops. Its rule, one of those in `derivations.checks`, decides whether it is accepted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import sympy

from derivations.existence import missing
from derivations.expression import Expr, Matrix, Scalar, matrices, sums, symbols
from derivations.normal import Rule
from derivations.render import PLAIN, render
from derivations.words import size

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


@dataclass(frozen=True)
class Range:
    """low ≤ x ≤ high, which a step takes as given."""

    x: sympy.Symbol
    low: sympy.Expr
    high: sympy.Expr


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

    @property
    def ranges(self) -> tuple[Range, ...]:
        """The ranges of parameters it takes as given."""
        ...

    @property
    def mentions(self) -> tuple[Expr, ...]:
        """What must have a value for it to hold, beside the two sides."""
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
    premises : tuple of str
        Facts from outside, in words, that its text uses without proof. Its formulas do without them.
    """

    name: str
    title: str
    hypotheses: tuple[str, ...]
    source: str
    steps: tuple[Step, ...]
    uses: tuple[Derivation, ...] = ()
    definitions: tuple[tuple[str, Expr], ...] = ()
    remark: str = ""
    premises: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.steps:
            raise ValueError(f"{self.name}: a derivation must have a step")
        self._require_definitions()
        self._require_names()
        for step, following in zip(self.steps, self.steps[1:], strict=False):
            if step.end != following.start:
                raise ValueError(f"{self.name}: every step must start where the one before ends")
        relations = {step.relation for step in self.steps}
        if {"<=", ">="} <= relations or ("~" in relations and relations & {"<=", ">="}):
            raise ValueError(f"{self.name}: the steps must have one direction, got {' '.join(sorted(relations))}")

    def _require_definitions(self) -> None:
        """A matrix that rules define is of the proof alone: no statement names it, nothing else is said of it."""
        once: dict[Matrix, tuple[tuple[Matrix, ...], tuple[Expr, ...]]] = {}
        for rule in self.defined:
            for A in rule.defines:
                if once.setdefault(A, (rule.defines, rule.of)) != (rule.defines, rule.of):
                    raise ValueError(f"{self.name}: {A.name} is defined twice")
                if A in matrices(self.left) | matrices(self.right):
                    raise ValueError(f"{self.name}: the statement must not name {A.name}, which a rule defines")
                if any(A in matrices(r.left) | matrices(r.right) for r in self.assumptions):
                    raise ValueError(f"{self.name}: nothing may be assumed of {A.name}, which a rule defines")
                if any(A in matrices(part) for other in self.defined for part in other.of):
                    raise ValueError(f"{self.name}: nothing may be defined from {A.name}, which a rule defines")

    def _require_names(self) -> None:
        """A name means one matrix or family, and one number; a sum is over all members of its families."""
        sides = (side for r in self.assumptions for side in (r.left, r.right))
        shown = (self.left, *(step.end for step in self.steps), *sides)
        named = {replace(A, index="_" if A.index else "") for a in shown for A in matrices(a)}
        totals = {total for a in shown for total in sums(a)}
        counts = {A.count for A in named if A.index} | {total.count for total in totals}
        sizes = {size(of) for of in counts.union(*(A.shape for A in named)) if isinstance(of, str)}
        numbers = map(str, sizes.union(*map(symbols, shown)))
        kinds = [A.name for A in named], [*(A.name for A in named if not A.index), *numbers]
        twice = next((name for names in kinds for name in names if names.count(name) > 1), "")
        if twice:
            raise ValueError(f"{self.name}: {twice} must be the name of one thing")
        for total in totals:
            other = {A.count for A in matrices(total.arg) if A.index == total.index} - {total.count}
            if other:
                raise ValueError(
                    f"{self.name}: a sum over {total.index} must be over all {min(other)} members, got {total.count}"
                )

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

    @property
    def ranges(self) -> tuple[Range, ...]:
        """The ranges of parameters that its steps, and what they rely on, take as given."""
        return tuple(dict.fromkeys(given for step in self.steps for given in step.rule.ranges))

    @property
    def without_proof(self) -> tuple[str, ...]:
        """The premises, its own and those of all that it uses."""
        inherited = (premise for used in self.uses for premise in used.without_proof)
        return tuple(dict.fromkeys((*inherited, *self.premises)))

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

    @property
    def reach(self) -> tuple[str, ...]:
        """How far its steps reach: what each finding means, once."""
        return tuple(dict.fromkeys(finding.means for finding in self.check()))

    def check(self) -> tuple[Finding, ...]:
        """What the check of every step found, and whether what it mentions exists where the statement has a value."""
        return self._findings

    def _found(self, step: Step) -> Finding:
        found = step.check()
        if not found.accepted:
            return found
        stated = (self.left, self.right, *(side for r in self.assumptions for side in (r.left, r.right)))
        squares = {A: rule.right for rule in self.defined for A in rule.defines if rule.left == A @ A}
        absent = missing((step.start, step.end, *step.rule.mentions), stated, squares)
        if absent is None:
            return found
        shown = Scalar(1 / absent.value) if isinstance(absent, Scalar) else absent
        return replace(found, accepted=False, reason=f"nothing shows that there is {render(shown, PLAIN)}")

    def proves(self) -> bool:
        """Whether every step is accepted, here and in all that it uses."""
        return self._proves

    @cached_property
    def _findings(self) -> tuple[Finding, ...]:  # asked for at every use as a lemma
        return tuple(map(self._found, self.steps))

    @cached_property
    def _proves(self) -> bool:
        return all(finding.accepted for finding in self.check()) and all(used.proves() for used in self.uses)


def chain(start: Expr, *steps: tuple[str, Expr, Check, str]) -> tuple[Step, ...]:
    """Steps (relation, end, rule, because), each starting where the one before ends."""
    made = []
    for relation, end, rule, because in steps:
        made.append(Step(start, relation, end, rule, because))
        start = end
    return tuple(made)
