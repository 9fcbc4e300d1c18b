"""A figure for every theorem with something to plot; what theory draws is not drawn by what it is held against."""

import inspect
import sys
from fractions import Fraction
from functools import cache
from types import ModuleType

import numpy as np
import pytest

import verify.claims
from srr.layer import Layer
from verify.decide import Decision
from verify.figure import inline
from verify.ledger import HOLDS_UNDER, REFUTED

LEDGER = verify.claims.ledger()
DRAWN = [claim for claim in LEDGER if claim.figure is not None]
FIGURES = {f"{f.__module__.rpartition('.')[2]}.{f.__name__}": f for f in (claim.figure for claim in DRAWN)}

WITHOUT = {
    "rates.monotone": "a sign, of a rate that other figures draw over the scale",
    "rates.maximum-entropy": "a list of distributions, with nothing between them",
    "layers.layernorm-makes-infeasible": "a sign",
    "alpha.more-atoms": "two minima of which theory knows neither",
    "cbsa.pooled-representatives-keep-the-constraint": "two rates, equal where tokens are constant within pools",
    "redunet.linear-lifting-adds-no-dimension": "a rank",
}
"""Theorems without a figure, and why there is nothing to draw."""
OF_CODE = ("code", "plain")
"""Themes that hold functions against formulas that other themes draw."""
BOUNDS = ("directions.room",)
"""Figures of two bounds, in exact arithmetic, with nothing measured between them."""
GIVEN = {
    ("rates.circle", "naming a ball of the best cover"): "how many balls cover a circle, which srr does not count",
    ("compression.longest_token", "Gram matrix"): "what is held against the softmax of srr, a product in NumPy",
    ("mcr2.regularised_ends", "start, 1.2 × the smaller root"): "where the ascent by srr is made to start",
}
"""Series of points that srr does not compute, and what they are."""

MEASURING = ("verify.decide", "verify.derivatives", "verify.multiplications")


def test_every_bound_limit_and_step_size_has_a_figure():
    theorems = [
        claim for claim in LEDGER if claim.relation != "=" and claim.expect != REFUTED and claim.theme not in OF_CODE
    ]
    # A conditional claim shows where its instances lie on both sides of its bound, also without a figure of its own.
    bare = {claim.slug for claim in theorems if claim.figure is None and claim.expect != HOLDS_UNDER}
    assert bare == {*WITHOUT}
    assert all(WITHOUT.values())


@cache
def drawn(name):
    return FIGURES[name]()


@pytest.mark.parametrize("name", FIGURES)
def test_bytes_are_the_same_each_time_and_few(name):
    figure = drawn(name)
    assert figure.points, "a figure shows what was measured"
    assert figure.caption
    assert figure.caption.endswith(".")
    assert figure.x_label
    assert figure.y_label
    one, two = (inline(each, "f1") for each in (figure, FIGURES[name]()))
    assert one == two
    assert len(one.encode()) < 15_000


@pytest.mark.parametrize("name", [name for name in FIGURES if name not in BOUNDS])
def test_theory_is_not_computed_by_what_is_measured(name, monkeypatch):
    """With all of srr slightly wrong every series of points moves that it computes, and no curve does."""
    right = drawn(name)
    spoil(sys.modules[FIGURES[name].__module__], monkeypatch)
    wrong = FIGURES[name]()
    assert [(c.label, c.y) for c in wrong.curves] == [(c.label, c.y) for c in right.curves]
    still = [p.label for p, moved in zip(right.points, wrong.points, strict=True) if p.y == moved.y]
    assert still == [label for figure, label in GIVEN if figure == name]


def test_points_that_srr_does_not_compute_are_in_figures_that_there_are():
    assert {figure for figure, _ in GIVEN} <= FIGURES.keys() - {*BOUNDS}


def spoil(module, monkeypatch):
    """Make every function of srr that the module knows, and of what verify measures with, slightly wrong."""
    monkeypatch.setattr(Layer, "__call__", wrongly(Layer.__call__))
    for name, value in list(vars(module).items()):
        if isinstance(value, ModuleType):
            if value.__name__.partition(".")[0] == "srr" or value.__name__ in MEASURING:
                monkeypatch.setattr(module, name, Wrong(value))
        elif inspect.isfunction(value) and (
            value.__module__.partition(".")[0] == "srr" or value.__module__ in MEASURING
        ):
            monkeypatch.setattr(module, name, wrongly(value))
        elif inspect.isclass(value) and value.__module__.partition(".")[0] == "srr":
            for method, f in inspect.getmembers(value, inspect.isfunction):
                if not method.startswith("_"):
                    monkeypatch.setattr(value, method, wrongly(f))


class Wrong:
    """A module whose functions are."""

    def __init__(self, module):
        self.module = module

    def __getattr__(self, name):
        value = getattr(self.module, name)
        if isinstance(value, ModuleType):
            return Wrong(value)
        return wrongly(value) if inspect.isfunction(value) else value


def wrongly(f):
    return lambda *args, **options: shifted(f(*args, **options))


def shifted(value):
    """Numbers a little off, no two by the same share: a ratio of them is off as well."""
    if isinstance(value, tuple):
        return type(value)(*map(shifted, value)) if hasattr(value, "_fields") else tuple(map(shifted, value))
    if isinstance(value, bool) or not isinstance(value, (int, float, Fraction, Decision, np.ndarray, np.generic)):
        return value
    if isinstance(value, Decision):
        return Decision(value.sign, shifted(value.lower), shifted(value.upper), value.method)
    if isinstance(value, Fraction):
        return value * Fraction(1001, 1000)
    array = np.asarray(value)
    if array.dtype.kind != "f":
        return value + 1
    return (array * (1 + 1e-3 * np.cos(np.arange(array.size).reshape(array.shape))))[()]
