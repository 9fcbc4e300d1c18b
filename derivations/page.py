"""Derivations as sections of an HTML page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from derivations.article import formula
from derivations.mathml import mathml
from derivations.plain import bounds, equation
from derivations.proof import Derivation
from derivations.render import LATEX, PLAIN, meanings


def page(derivations: Sequence[Derivation]) -> str:
    """One HTML text with a section for each derivation; its id is ``derivation-`` and the name."""
    return _environment().get_template("page.html").render(sections=sections(derivations))


def sections(derivations: Sequence[Derivation]) -> Markup:
    """The sections alone, for a page that has more."""
    checked = [(d, list(zip(d.steps, d.check(), strict=True))) for d in derivations]
    return Markup(_environment().get_template("sections.html").render(sections=checked))


def prose(text: str) -> Markup:
    """Text in which what follows a letter and an underscore is a subscript."""
    return Markup(re.sub(r"([^\W\d_])_([A-Za-z0-9])", r"\1<sub>\2</sub>", str(escape(text))))


def with_uses(derivations: Iterable[Derivation]) -> list[Derivation]:
    """They and all that they use, each once, what is used first."""
    found: dict[str, Derivation] = {}
    for derivation in derivations:
        for one in (*with_uses(derivation.uses), derivation):
            found.setdefault(one.name, one)
    return list(found.values())


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(mathml=mathml, prose=prose, relation=LATEX.relation)
    plain = {"meanings": partial(meanings, style=PLAIN), "bounds": partial(bounds, style=PLAIN)}
    environment.globals.update(formula=formula, equation=equation, **plain)
    return environment
