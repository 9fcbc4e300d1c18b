"""What a squared singular value of one class adds, in rationals and in balls."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from flint import arb, fmpq

from verify.case import Case

BITS = 256


def to_fmpq(x: float | Fraction) -> fmpq:
    """The same number."""
    return fmpq(*x.as_integer_ratio())


def shape(x: Any, share: Fraction, constant: Fraction) -> arb:
    """f(x) = log(1 + αx) − γ log(1 + αx/γ), enclosed."""
    x = arb(to_fmpq(x)) if isinstance(x, float | Fraction) else arb(x)
    t, g = arb(to_fmpq(constant)) * x, arb(to_fmpq(share))
    return (1 + t).log() - g * (1 + t / g).log()


def slope(x: Fraction, share: Fraction, constant: Fraction) -> Fraction:
    """f′(x), by the derivative of either logarithm."""
    return constant / (1 + constant * x) - constant / (1 + constant * x / share)


def curvature(x: Fraction, share: Fraction, constant: Fraction) -> Fraction:
    """f″(x), likewise."""
    return -((constant / (1 + constant * x)) ** 2) + constant**2 / share / (1 + constant * x / share) ** 2


def sign(x: arb) -> int | None:
    """1 or -1; None if the ball has zero in it."""
    return 1 if x > 0 else -1 if x < 0 else None


def drawn_share(case: Case) -> Fraction:
    """γ, the square of a rational number, so that x_T is rational."""
    most = case.integer("denominator of the root of the share", 2, 40)
    return Fraction(case.integer("numerator of the root of the share", 1, most - 1), most) ** 2
