"""Figures of claims: theory as lines, over what was measured as points.

Give a claim ``figure=function``, of no arguments, fixed seeds and less than a second, that computes and returns a
`Figure`; ``srr verify`` shows it with the claim, and ``srr show CLAIM --figure FILE.svg`` (.png, .pdf) writes it.
Claims of one theorem share a function. Curves are written out beside it, in NumPy: what srr computes are the points.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from textwrap import fill
from typing import Any
from xml.etree import ElementTree

from verify.output import require_writable, write_all

FORMATS = (".svg", ".png", ".pdf")
INK = "#000000"
"""Becomes the colour of the text around a figure in a page."""
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#7f7f7f")
"""Okabe and Ito's, those that can be told from a white and from a dark ground, and a grey."""
_DECIMALS = re.compile(r"-?\d+\.\d+")
OUTCOMES = {True: ("#009e73", "o"), False: ("#d55e00", "X")}
"""Colour and mark of what holds, and of what fails."""


@dataclass(frozen=True)
class _Series:
    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]

    def __post_init__(self) -> None:
        for axis in ("x", "y"):  # arrays are taken as well
            object.__setattr__(self, axis, tuple(map(float, getattr(self, axis))))


@dataclass(frozen=True)
class Curve(_Series):
    """A line that theory predicts: ``label`` says what it is, ``x`` and ``y`` are numbers."""


@dataclass(frozen=True)
class Points(_Series):
    """What was measured.

    Attributes
    ----------
    label : str
        What it is.
    x, y : tuple of float
    certified : bool
        Whether each of them is enclosed rigorously, or exact: their marks are filled, and the legend says so.
    holds : bool or None
        Whether they are instances on which the claim holds, or on which it fails; None for a plain measurement.
    joined : bool
        Whether a thin line joins them, in their order.
    """

    certified: bool = False
    holds: bool | None = None
    joined: bool = False


@dataclass(frozen=True)
class Figure:
    """Theory and measurement in one pair of axes.

    Attributes
    ----------
    title, x_label, y_label : str
        Plain text, κ and ε² as such.
    curves : tuple of Curve
    points : tuple of Points
    edges : tuple of (str, float)
        Bounds on x, drawn as vertical lines, and what they are.
    x_log, y_log : bool
        Whether the axis is logarithmic.
    y_ticks : tuple of (str, float)
        Names for values on the y axis, in place of numbers.
    caption : str
        How the points were found, and what is to be seen.

    Raises
    ------
    ValueError
        Nothing to draw; x and y of different lengths; a number that is not finite, or not positive on a
        logarithmic axis.

    Examples
    --------
    >>> x, y = (0.5, 1.0, 2.0), (0.25, 1.0, 4.0)
    >>> figure = Figure("Squares", "x", "x²", (Curve("theory", x, y),), (Points("measured", x, (0.2, 1.1, 4.1)),))
    """

    title: str
    x_label: str
    y_label: str
    curves: tuple[Curve, ...] = ()
    points: tuple[Points, ...] = ()
    edges: tuple[tuple[str, float], ...] = ()
    x_log: bool = False
    y_log: bool = False
    y_ticks: tuple[tuple[str, float], ...] = ()
    caption: str = ""

    def __post_init__(self) -> None:
        series = (*self.curves, *self.points)
        if not any(s.x for s in series):
            raise ValueError(f"figure {self.title!r} must have a curve or points, got none")
        for s in series:
            if len(s.x) != len(s.y):
                raise ValueError(f"{s.label!r} must have as many x as y, got {len(s.x)} and {len(s.y)}")
            for axis, values, log in (("x", s.x, self.x_log), ("y", s.y, self.y_log)):
                if wrong := [v for v in values if not math.isfinite(v) or (log and v <= 0)]:
                    rule = "finite and positive on a logarithmic axis" if log else "finite"
                    raise ValueError(f"{axis} of {s.label!r} must be {rule}, got {wrong[0]}")
        for label, x in self.edges:
            if not math.isfinite(x):
                raise ValueError(f"edge {label!r} must be finite, got {x}")


# --- files --------------------------------------------------------------------------------------------------


def require_figure(path: Path) -> None:
    """Tell, before there is anything to draw, that it cannot be written.

    Raises
    ------
    ValueError
        The name does not end in .svg, .png or .pdf, or no such file can be made.
    """
    if path.suffix not in FORMATS:
        raise ValueError(f"figure must be a file {', '.join(FORMATS)}, got {str(path)!r}")
    require_writable(path, "figure")


def write(figures: Sequence[Figure], path: Path) -> None:
    """Draw figures, one below the other, and write the file, whole or not at all; the same bytes each time."""
    with style(text="path"):
        write_all([(path, saved(_drawn(figures, words=True), path.suffix))])


def saved(drawing: Any, suffix: str) -> bytes:
    """A matplotlib figure as the bytes of a file; no clock in them."""
    content = BytesIO()
    metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(suffix)
    drawing.savefig(content, format=suffix[1:], metadata=metadata, dpi=150)
    return content.getvalue()


# --- in a page ----------------------------------------------------------------------------------------------


def inline(figure: Figure, name: str) -> str:
    """As an ``<svg>`` to stand in an HTML page: without title and caption, which the page shows as text.

    Ink, ground and font are those of the page. Every id begins with ``name``, which is unique in the page.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    with style(text="none"):
        content = BytesIO()  # savefig would draw it twice
        FigureCanvasSVG(_drawn([figure], words=False)).print_svg(content, metadata={"Date": None})
        return embedded(content.getvalue(), name, figure.title)


def embedded(svg: bytes, name: str, label: str) -> str:
    """The bytes of an SVG that was drawn in the page's `style`, as `inline` gives them; ``label`` is read aloud."""
    root = ElementTree.fromstring(svg)
    for parent in list(root.iter()):
        for child in list(parent):
            child.tail = None
            if _bare(child.tag) in ("metadata", "style", "clipPath"):  # a style would be one of the whole page
                parent.remove(child)
    for element in root.iter():
        element.tag = _bare(element.tag)
        element.attrib = {_bare(key): value for key, value in element.attrib.items() if key != "clip-path"}
        if element.tag != "text":
            element.text = None
    small = ElementTree.Element("svg", {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": label, **_ROOT})
    marks = ElementTree.SubElement(small, "defs")
    shapes: dict[str, str] = {}
    names: dict[str, str] = {}
    for mark in (path for defs in root.iter("defs") for path in defs):
        shape = _path(mark.attrib["d"], 2)
        if shape not in shapes:
            shapes[shape] = f"{name}-{len(shapes)}"
            ElementTree.SubElement(marks, "path", {"id": shapes[shape], "d": shape})
        names[f"#{mark.attrib['id']}"] = shapes[shape]
    for style, elements in _runs(root):
        group = ElementTree.SubElement(small, "g", {"style": style} if style else {})
        for element in elements:
            element.attrib.pop("id", None)
            if "href" in element.attrib:
                element.attrib["href"] = f"#{names[element.attrib['href']]}"
            for place in ("x", "y", "transform"):
                if place in element.attrib:
                    element.attrib[place] = _rounded(element.attrib[place], 1)
            if "d" in element.attrib:
                element.attrib["d"] = _path(element.attrib["d"], 1)
            if element.tag == "path" and style.startswith("fill: none") and len(group):
                group[0].attrib["d"] += element.attrib["d"]
            else:
                group.append(element)
    text = ElementTree.tostring(small, encoding="unicode")
    return text.replace(INK, "currentColor").replace(" />", "/>")


_ROOT = {"fill": "currentColor", "font-family": "system-ui, sans-serif", "font-size": "9px"}
"""What all of a figure in a page shares."""
_SAID = ("font-size: 9px", "stroke-dashoffset: 0")
"""Styles that go without saying in it."""


def _runs(root: ElementTree.Element) -> list[tuple[str, list[ElementTree.Element]]]:
    """What is drawn, without the groups it is nested in: each run of one style with the style, in order.

    Within an axis, and within a legend, nothing lies above anything else, and one style is one run.
    """
    runs: list[tuple[str, list[ElementTree.Element]]] = []

    def visit(element: ElementTree.Element, start: int | None) -> None:
        for child in element:
            if child.tag == "g":
                apart = start is None and child.attrib.get("id", "").startswith(("matplotlib.axis", "legend"))
                visit(child, len(runs) if apart else start)
            elif child.tag != "defs":
                style = _style(child)
                if child.tag == "path" and style == "fill: none":
                    continue  # a ground that is not there
                since = max(len(runs) - 1, 0) if start is None else start
                found = next((members for other, members in runs[since:] if other == style), None)
                if found is None:
                    runs.append((style, [child]))
                else:
                    found.append(child)

    visit(root, None)
    return runs


def _style(element: ElementTree.Element) -> str:
    """Its style without what is the figure's own, taken off it."""
    if element.attrib.get("transform", "").startswith("rotate(-0 "):
        del element.attrib["transform"]
    said = element.attrib.pop("style", "").split("; ")
    return "; ".join(s for s in said if s not in _SAID and not s.startswith("font-family"))


def _rounded(numbers: str, decimals: int) -> str:
    return _DECIMALS.sub(lambda number: f"{round(float(number[0]), decimals):g}", numbers)


def _path(d: str, decimals: int) -> str:
    """A path in as few characters as say the same: a tenth of a point is enough, a hundredth for a mark."""
    d = re.sub(r"\s*([A-Za-z])\s*", r"\1", _rounded(d, decimals)).strip()
    return d.replace("L", " ") if set(re.findall("[A-Za-z]", d)) == {"M", "L"} else d


def _bare(name: str) -> str:
    return name.rpartition("}")[2]


# --- the drawing --------------------------------------------------------------------------------------------


def style(*, text: str) -> Any:
    """How all figures look: ``text`` as paths in a file, and as text (``"none"``) in a page."""
    import matplotlib

    return matplotlib.rc_context(
        {
            "svg.hashsalt": "srr",
            "svg.fonttype": text,
            "font.family": ["DejaVu Sans"],
            "font.size": 9,
            "text.parse_math": False,
            "text.color": INK,
            "axes.edgecolor": INK,
            "axes.labelcolor": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "axes.facecolor": "none",
            "figure.facecolor": "none" if text == "none" else "white",
            "savefig.facecolor": "auto",
        }
    )


def _drawn(figures: Sequence[Figure], *, words: bool) -> Any:
    from matplotlib import figure as matplotlib_figure  # without pyplot: no window, no global state

    drawing = matplotlib_figure.Figure(figsize=(7, 3.4 * len(figures)), layout="constrained")
    for figure, axes in zip(figures, drawing.subplots(len(figures), 1, squeeze=False)[:, 0], strict=True):
        _draw(figure, axes)
        if words:
            axes.set_title(fill(figure.title, 60))
            axes.set_xlabel("\n".join([figure.x_label, *([fill(figure.caption, 68)] if figure.caption else [])]))
    return drawing


def _draw(figure: Figure, axes: Any) -> None:
    axes.set(xlabel=figure.x_label, ylabel=figure.y_label)
    axes.set_xscale("log" if figure.x_log else "linear")
    axes.set_yscale("log" if figure.y_log else "linear")
    for i, curve in enumerate(figure.curves):
        axes.plot(curve.x, curve.y, "-", color=_colour(i), label=curve.label, linewidth=1.4, zorder=2)
    for i, points in enumerate(figure.points):
        colour, mark = OUTCOMES.get(points.holds, (_colour(i), "o"))
        (line,) = axes.plot(points.x, points.y, mark, color=colour, markersize=4.5, markeredgewidth=0.9, zorder=3)
        line.set_label(points.label + (", certified" if points.certified else ""))
        if not points.certified:
            line.set_markerfacecolor("none")
        if points.joined:
            line.set(linestyle="-", linewidth=0.7)
    for i, (label, x) in enumerate(figure.edges):
        axes.axvline(x, color=INK, linestyle=("--", ":", "-.")[i % 3], linewidth=0.9, label=label, zorder=1)
    if figure.y_ticks:
        axes.set_yticks([y for _, y in figure.y_ticks], [name for name, _ in figure.y_ticks])
    for axis, log in ((axes.xaxis, figure.x_log), (axes.yaxis, figure.y_log)):
        if log:
            axis.set_major_formatter(lambda value, _: power(value))
            axis.minorticks_off()
    axes.grid(alpha=0.3, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8)


def _colour(index: int) -> str:
    # Curves and points count apart: what theory says of a measurement has its colour.
    return COLOURS[index % len(COLOURS)]


def power(value: float) -> str:
    """10⁻³ and the like, which matplotlib would write in TeX; other values as numbers."""
    exponent = math.log10(value)
    if -3 < exponent < 4 or not math.isclose(exponent, round(exponent), abs_tol=1e-9):
        return f"{value:g}"
    return "10" + str(round(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
