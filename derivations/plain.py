"""Derivations as plain text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from derivations.expression import Expr
from derivations.normal import Rule
from derivations.proof import Derivation, Finding, Range
from derivations.render import PLAIN, Style, meanings, render

WIDTH = 80


def text(derivation: Derivation, findings: Sequence[Finding]) -> str:
    """The statement, what it assumes, and every step with the rule that accepted it."""
    lines = [derivation.title, f"  {derivation.name}: {standing(derivation, findings)}", ""]
    lines += _wrapped("Hypotheses: ", "; ".join(derivation.hypotheses) + ".")
    lines += _wrapped("Source: ", derivation.source + ".")
    if derivation.uses:
        lines += _wrapped("Uses: ", ", ".join(used.name for used in derivation.uses) + ".")
    if derivation.without_proof:
        lines += _wrapped("Used without proof: ", "; ".join(derivation.without_proof) + ".")
    lines += [f"  where {name} = {meaning}" for name, meaning in meanings(derivation.definitions, PLAIN)]
    lines += [f"  with {equation(rule, derivation)}" for rule in (*derivation.defined, *derivation.assumptions)]
    lines += [f"  for {bounds(given, PLAIN)}" for given in derivation.ranges]
    lines += ["", f"    {shown(derivation.left, derivation)}"]
    for step, finding in zip(derivation.steps, findings, strict=True):
        lines.append(f"  {PLAIN.relation(step.relation)} {shown(step.end, derivation)}")
        found = finding.means if finding.accepted else f"NOT ACCEPTED: {finding.reason}"
        lines += textwrap.wrap(
            f"{step.because} [{step.rule.name}; {found}]", WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 8
        )
    if derivation.remark:
        lines += ["", *_wrapped("", derivation.remark)]
    return "\n".join(lines)


def statement(derivation: Derivation) -> str:
    """The statement in one line."""
    left, right = (shown(side, derivation) for side in (derivation.left, derivation.right))
    return f"{left} {PLAIN.relation(derivation.relation)} {right}"


def premises(derivations: Iterable[Derivation]) -> list[str]:
    """What they take without proof, each once."""
    return list(dict.fromkeys(premise for d in derivations for premise in d.without_proof))


def standing(derivation: Derivation, findings: Sequence[Finding]) -> str:
    """How far the derivation reaches, in words."""
    if not all(finding.accepted for finding in findings):
        return "a step is not accepted"
    if not derivation.proves():
        return "it uses what is not proved"
    word = "a heuristic with what it drops" if derivation.relation == "~" else "proved"
    return f"{word}, {len(findings)} {'step' if len(findings) == 1 else 'steps'}, {'; '.join(derivation.reach)}"


def shown(a: Expr, derivation: Derivation) -> str:
    """``a`` in the names that the derivation defines."""
    return render(a, PLAIN, derivation.definitions)


def equation(rule: Rule, derivation: Derivation) -> str:
    """An equation that is taken as given."""
    return f"{shown(rule.left, derivation)} = {shown(rule.right, derivation)}"


def bounds(given: Range, style: Style) -> str:
    """low ≤ x ≤ high, a side left out where it is infinite."""
    ends = [c for c in (given.low, given.x, given.high) if not c.is_infinite]
    return f" {style.relation('<=')} ".join(map(style.scalar, ends))


def _wrapped(head: str, body: str) -> list[str]:
    return textwrap.wrap(head + body, WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
