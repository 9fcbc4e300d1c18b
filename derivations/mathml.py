"""LaTeX as MathML."""

from __future__ import annotations

import re

from markupsafe import Markup

UNKNOWN = {
    r"\arg": "arg",
    r"\|": "‖",
    r"\lVert": "‖",
    r"\rVert": "‖",
    r"\langle": "⟨",
    r"\rangle": "⟩",
}
"""Commands that latex2mathml leaves as they are, everywhere or after ``\\big``."""


def mathml(latex: str, display: str = "block") -> Markup:
    """LaTeX as presentation MathML: ``"block"``, on a line of its own, or ``"inline"``."""
    from latex2mathml.converter import convert

    converted = convert(latex, display=display)
    return Markup(re.sub(r">(\\\W|\\[a-zA-Z]+)<", lambda m: f">{UNKNOWN.get(m[1], m[1])}<", converted))
