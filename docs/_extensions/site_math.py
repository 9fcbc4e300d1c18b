"""Formulas as MathML: nothing is fetched, no script runs, and a page reads the same offline."""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

from derivations.mathml import mathml


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer("srr", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _inline(self: HTML5Translator, node: nodes.math) -> None:
    self.body.append(mathml(node.astext(), display="inline"))
    raise nodes.SkipNode


def _block(self: HTML5Translator, node: nodes.math_block) -> None:
    self.body.append(f'<div class="math" tabindex="0" role="group" aria-label="formula">{mathml(node.astext())}</div>')
    raise nodes.SkipNode
