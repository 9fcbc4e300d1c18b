"""Derivations as a LaTeX article that compiles with pdflatex, sources as its references."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from derivations.expression import Expr
from derivations.plain import bounds
from derivations.proof import Derivation, Finding
from derivations.render import LATEX, SIGNS, meanings, render

_COMMANDS = {"\\": r"\textbackslash{}", "^": r"\^{}", "~": r"$\sim$"}


def article(derivations: Sequence[Derivation]) -> str:
    """The article; every step is checked while it is written."""
    sources = list(dict.fromkeys(work for work, _ in map(_source, derivations) if work))
    return _template().render(
        sections=[(d, list(zip(d.steps, d.check(), strict=True)), _citation(d, sources)) for d in derivations],
        sources=sources,
    )


def formula(a: Expr, derivation: Derivation) -> str:
    """``a`` in LaTeX, in the names that the derivation defines."""
    return render(a, LATEX, derivation.definitions)


def prose(text: str) -> str:
    """Plain text as LaTeX: signs of mathematics become math, what LaTeX would read as a command does not."""
    text = re.sub(r"[\\{}$&#%_^~]", lambda m: _COMMANDS.get(m[0], "\\" + m[0]), text)
    text = re.sub(r"([A-Za-zα-ωΑ-Ω])\\_([A-Za-z0-9])", r"\1$_{\2}$", text.replace("⁻¹", r"$^{-1}$"))
    return "".join(f"${SIGNS[c]}$" if c in SIGNS else c for c in text).replace("$$", "")


def _source(derivation: Derivation) -> tuple[str, str]:
    """The work and the place in it; no work, where the source is not given as "Name year (where), place"."""
    work, bracket, place = derivation.source.partition(")")
    return (work + bracket, place.lstrip(",; ")) if bracket else ("", derivation.source)


def _citation(derivation: Derivation, sources: list[str]) -> str:
    work, place = _source(derivation)
    if not work:
        return prose(place)
    key = f"source{sources.index(work)}"
    return rf"\cite[{prose(place)}]{{{key}}}" if place else rf"\cite{{{key}}}"


def _checked(finding: Finding) -> str:
    return prose(finding.means if finding.accepted else f"NOT ACCEPTED: {finding.reason}")


def _template() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        autoescape=False,
        variable_start_string="<<",
        variable_end_string=">>",
        block_start_string="<%",
        block_end_string="%>",
        comment_start_string="<#",
        comment_end_string="#>",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(prose=prose, relation=LATEX.relation, sign=LATEX.sign, checked=_checked)
    latex = {"meanings": partial(meanings, style=LATEX), "bounds": partial(bounds, style=LATEX)}
    environment.globals.update(formula=formula, **latex)
    return environment.get_template("article.tex")
