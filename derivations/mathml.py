"""LaTeX as MathML."""

from __future__ import annotations

import unicodedata
from xml.etree import ElementTree

from markupsafe import Markup

Element = ElementTree.Element

UNKNOWN = {
    r"\arg": "arg",
    r"\|": "‖",
    r"\lVert": "‖",
    r"\rVert": "‖",
    r"\langle": "⟨",
    r"\rangle": "⟩",
}
"""Commands that latex2mathml leaves as they are, everywhere or after ``\\big``."""

BRACKETS = frozenset("()[]{}⟨⟩")
"""Operators that browsers take for what they are: fences that grow, opening or closing."""

LETTERS = {"script": "SCRIPT", "double-struck": "DOUBLE-STRUCK", "bold": "BOLD"}
"""Alphabets of which browsers no longer know the attribute: their letters are characters of their own."""


def mathml(latex: str, display: str = "block") -> Markup:
    """LaTeX as presentation MathML for an HTML page: ``"block"``, on a line of its own, or ``"inline"``."""
    from latex2mathml.converter import convert

    root = ElementTree.fromstring(convert(latex, display=display))
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.text = UNKNOWN.get(element.text or "", element.text)
        if element.text and (alphabet := LETTERS.get(element.attrib.get("mathvariant", ""))):
            element.text = "".join(_letter(alphabet, letter) for letter in element.text)
            del element.attrib["mathvariant"]
        if element.tag == "mo" and element.text in BRACKETS and element.attrib.get("stretchy") == "true":
            element.attrib.clear()
        element.attrib.pop("fence", None)  # says nothing to a browser
    _simplify(root)
    return Markup(ElementTree.tostring(root, encoding="unicode").replace(" />", "/>"))


def _letter(alphabet: str, letter: str) -> str:
    said = unicodedata.name(letter).replace("LATIN ", "").replace("LETTER ", "")
    for name in (f"MATHEMATICAL {alphabet} {said}", f"{alphabet} {said}"):  # ℒ and ℝ came before the others
        try:
            return unicodedata.lookup(name)
        except KeyError:
            continue
    return letter


def _simplify(element: Element) -> None:
    # No row around a single thing, and names in one piece, which are read aloud as words.
    for child in element:
        _simplify(child)
    if element.tag == "mrow":
        _join(element)
    for place, child in enumerate(element):
        if child.tag == "mrow" and len(child) == 1 and not child.attrib:
            element[place] = child[0]


def _join(row: Element) -> None:
    joined: list[Element] = []
    for child in row:
        style = child.attrib.get("mathvariant")
        named = style == "monospace" or (style == "normal" and child.tag == "mi")
        if named and joined and joined[-1].attrib.get("mathvariant") == style and (child.text or "").strip():
            joined[-1].text = f"{joined[-1].text}{child.text}"
        else:
            joined.append(child)
    row[:] = joined
    for child in row:
        style = child.attrib.get("mathvariant")
        if style == "monospace":
            child.tag, child.attrib = "mi", {"class": "code"}
        elif style == "normal" and len(child.text or "") > 1:  # upright as it is
            child.attrib = {}
