"""Names in docstrings: each means what it means in the module that the docstring is in."""

from __future__ import annotations

import re
from functools import reduce
from importlib import import_module
from types import ModuleType
from typing import Any

from docutils import nodes
from docutils.parsers.rst.states import Inliner
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.nodes import make_refnode

logger = logging.getLogger(__name__)

SCOPES = ("srr", "srr.layers", "verify", "derivations")
"""Where a name is looked up that the module itself, and the packages it is in, do not have."""


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("missing-reference", resolve)
    app.connect("doctree-read", require_no_quotation)
    Inliner.dispatch["|"] = _bar
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def resolve(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element) -> nodes.Element | None:
    """Where a name leads that Sphinx does not find: to an object, a claim or a derivation."""
    name, module = node["reftarget"], node.get("py:module") or ""
    parts = module.split(".")
    packages = [".".join(parts[:end]) for end in range(len(parts), 0, -1)]
    for scope in filter(None, (*packages, *SCOPES)):
        for home in _homes(scope, name):
            if entry := env.domains.python_domain.objects.get(home):
                return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, content, home)
    for label in (f"claim-{name}", f"derivation-{name}"):
        if label in env.domains.standard_domain.anonlabels:
            page, target = env.domains.standard_domain.anonlabels[label]
            return make_refnode(app.builder, node["refdoc"], page, target, content)
    return None


def _homes(scope: str, name: str) -> list[str]:
    """The full names under which an object may be documented: its own, or that of the class whose field it is."""
    *path, last = name.removeprefix(f"{scope}.").split(".")
    try:
        owner = reduce(getattr, path, import_module(scope))
    except AttributeError:
        return []
    if not hasattr(owner, last) and last not in getattr(owner, "__dataclass_fields__", ()):
        return []
    own = _full_name(getattr(owner, last, None)) or f"{_full_name(owner)}.{last}"
    return [own, _full_name(owner)] if isinstance(owner, type) else [own]


def _full_name(thing: Any) -> str:
    """By the module in which it is written; empty for data, which do not say."""
    if isinstance(thing, ModuleType):
        return thing.__name__
    return f"{thing.__module__}.{thing.__qualname__}" if hasattr(thing, "__qualname__") else ""


def _bar(inliner: Inliner, match: re.Match[str], lineno: int) -> tuple[str, list[nodes.Node], str, list[nodes.Node]]:
    """A bar is a bar, as in |x|: no docstring substitutes anything."""
    end = match.end("start")
    return match.string[:end], [], match.string[end:], []


def require_no_quotation(app: Sphinx, tree: nodes.document) -> None:
    """Indented text in a docstring is meant as it stands: the line before it must end with two colons."""
    for quotation in tree.findall(nodes.block_quote):
        if not quotation.next_node(nodes.list_item):
            logger.warning("indented text would run together: %.60r", quotation.astext(), location=quotation)
