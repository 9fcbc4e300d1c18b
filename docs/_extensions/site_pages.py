"""The pages of the ledger and of the derivations, written anew at every build from what they are."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import groupby
from pathlib import Path
from pkgutil import iter_modules
from types import FunctionType
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sphinx.application import Sphinx

import derivations
from derivations import catalogue
from derivations.article import formula
from derivations.plain import bounds, equation, premises, standing
from derivations.proof import Derivation
from derivations.render import LATEX, PLAIN, meanings
from verify.claims import THEMES, ledger
from verify.ledger import REFUTED, Claim, by_origin
from verify.notation import NOTATION
from verify.report.page import MARKS, place
from verify.report.page import standing as counted
from verify.results import Result, from_json


@dataclass(frozen=True)
class Written:
    """A derivation, and where it is written."""

    derivation: Derivation
    module: str
    line: int
    code: str


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_config_value("srr_check", True, "env")
    app.add_config_value("srr_results", "", "env")
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write(app: Sphinx) -> None:
    """A page for each theme of the ledger, one for each file of derivations, and what leads to them."""
    claims, template = tuple(ledger()), _templates(app).get_template
    themes = {theme: [c for c in claims if c.theme == theme] for theme in THEMES}
    subjects = {name: list(group) for name, group in groupby(written(), key=lambda w: w.module)}
    named: dict[str, dict[str, list[str]]] = {"proves": {}, "behind": {}}
    for claim in claims:
        for role, names in (("proves", claim.proof), ("behind", claim.derivations)):
            for name in names:
                named[role].setdefault(name, []).append(claim.slug)
    pages = {
        "ledger/index.md": template("ledger.md").render(themes=themes, claims=claims),
        "ledger/notation.md": template("notation.md").render(notation=NOTATION),
        "derivations/index.md": template("derivations.md").render(subjects=subjects),
    }
    for theme, chosen in themes.items():
        pages[f"ledger/{theme}.md"] = template("theme.md").render(theme=theme, claims=chosen)
    for name, chosen in subjects.items():
        pages[f"derivations/{name}.md"] = template("subject.md").render(module=name, written=chosen, **named)
    for name, text in pages.items():
        path = Path(app.srcdir) / name
        path.parent.mkdir(exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:  # what is the same is not read again
            path.write_text(text, encoding="utf-8")


def written() -> Iterator[Written]:
    """Every derivation of the catalogue, file by file, in the order in which they are written."""
    for name in sorted(info.name for info in iter_modules(derivations.__path__)):
        module = import_module(f"derivations.{name}")
        source = inspect.getsource(module)
        for statement in ast.parse(source).body:
            for node in ast.walk(statement) if isinstance(statement, ast.Assign) else ():
                found = getattr(module, node.id, None) if isinstance(node, ast.Name) else None
                if isinstance(found, Derivation) and isinstance(node.ctx, ast.Store):
                    yield Written(found, name, statement.lineno, ast.get_source_segment(source, statement) or "")


def computed_by(claim: Claim) -> list[str]:
    """The public functions and classes of srr that a check names, itself or in what it shares with others."""
    found: dict[str, None] = {}
    seen, todo = set(), [claim.check]
    while todo:
        function = todo.pop()
        if function in seen:
            continue
        seen.add(function)
        for thing in _named(function):
            if not isinstance(thing, FunctionType | type):
                continue
            if isinstance(thing, FunctionType) and thing.__module__.startswith("verify.claims."):
                todo.append(thing)
            elif thing.__module__.startswith("srr.") and thing.__name__ in _public(thing.__module__):
                found[f"{thing.__module__}.{thing.__name__}"] = None
    return sorted(found)


def _public(module: str) -> list[str]:
    return getattr(import_module(module), "__all__", [])


def _named(function: FunctionType) -> Iterator[Any]:
    """What the names in a function mean, dotted ones too."""
    for node in ast.walk(ast.parse(inspect.cleandoc("\n" + inspect.getsource(function)))):
        path = []
        while isinstance(node, ast.Attribute):
            path.append(node.attr)
            node = node.value
        if isinstance(node, ast.Name) and node.id in function.__globals__:
            thing = function.__globals__[node.id]
            for name in reversed(path):
                thing = getattr(thing, name, None)
            yield thing


def escaped(text: str) -> str:
    """Plain text as Markdown: its signs stay as they are, indices are subscripts, works of the arXiv are links."""
    signs = re.sub(r"([\\`*_{}\[\]<>#|$~&^!])", r"\\\1", text)
    signs = re.sub(r"([^\W\d_])\\_(max|min|[ijk]+|[A-Za-z0-9](?![a-z]))", r"\1{sub}`\2`", signs)
    return re.sub(r"arXiv\s(\d{4}\.\d{5})", r"[arXiv \1](https://arxiv.org/abs/\1)", signs)


def with_code(docstring: str) -> str:
    """A docstring as Markdown: what stands between backticks is code."""
    return "".join(part if i % 2 else escaped(part) for i, part in enumerate(re.split(r"(`+[^`]+`+)", docstring)))


def evidence(claim: Claim, found: Mapping[str, Result]) -> str:
    """What the last run found, if there was one; what stands behind the claim before any."""
    if claim.slug in found:
        result = found[claim.slug]
        said = "" if result.as_expected else f"not as expected, {result.verdict}: "
        return f"{said}{result.evidence or 'none'}, {counted(result)}"
    said = ["proved"] if claim.proof else []
    said += [f"{claim.instances} instances in each run"]
    said += [] if claim.witness is None else ["a stored counterexample"]
    return ", ".join(said)


def to_claims(slugs: Iterable[str]) -> str:
    """Links to claims."""
    return ", ".join(f"[{slug}](#claim-{slug})" for slug in slugs)


def to_derivations(names: Iterable[str]) -> str:
    """Links to derivations."""
    return "; ".join(f"[{escaped(catalogue()[name].title)}](#derivation-{name})" for name in names)


def to_objects(names: Iterable[str]) -> str:
    """Links to the reference."""
    return ", ".join(f"{{py:obj}}`{name.removeprefix('srr.')} <{name}>`" for name in names)


FILTERS: dict[str, Callable[..., Any]] = {
    "text": escaped,
    "with_code": with_code,
    "docstring": lambda module: inspect.getdoc(import_module(module)),
    "place": place,
    "premises": lambda claim: premises(catalogue()[name] for name in claim.proof),
    "computed_by": computed_by,
    "to_claims": to_claims,
    "to_derivations": to_derivations,
    "to_objects": to_objects,
    "relation": LATEX.relation,
    "found": lambda finding: escaped(finding.means if finding.accepted else f"not accepted: {finding.reason}"),
    "definitions": lambda d: ", ".join(f"{name} = {meaning}" for name, meaning in meanings(d.definitions, PLAIN)),
    "equations": lambda d: ", ".join(equation(rule, d) for rule in (*d.defined, *d.assumptions)),
    "ranges": lambda d: ", ".join(bounds(given, PLAIN) for given in d.ranges),
}


def _templates(app: Sphinx) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(app.confdir) / "_templates"),
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    results = Path(app.confdir) / app.config.srr_results
    run = from_json(results.read_text(encoding="utf-8")) if results.is_file() else None
    found = {result.slug: result for result in run.results} if run else {}
    environment.filters.update(FILTERS, evidence=partial(evidence, found=found))
    environment.globals.update(MARKS=MARKS, REFUTED=REFUTED, by_origin=by_origin, formula=formula, standing=standing)
    environment.globals.update(run=run, checked=app.config.srr_check)
    return environment
