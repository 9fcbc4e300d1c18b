"""The same steps in many arithmetics: rounded to a format after each step, summed in any order, or as exact balls.

Nothing of ``verify.bounded`` is in them but the formats' names.
"""

from dataclasses import dataclass

import numpy as np
from flint import arb, ctx
from scipy.special import erf

BITS = 300
DIGITS = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}
LEAST = {"float64": -1074, "float32": -149, "float16": -24, "bfloat16": -133}
TINY = {"float64": -1022, "float32": -126, "float16": -14, "bfloat16": -126}
LARGEST = {"float64": 2.0**1023 * (2 - 2**-52), "float32": 2.0**127 * (2 - 2**-23), "float16": 65504.0}
LARGEST["bfloat16"] = 2.0**127 * (2 - 2.0**-7)


def rounded(a, name):
    """To the nearest number of a format, ties to even, with subnormal numbers and overflow."""
    a = np.asarray(a, dtype=np.float64)
    exponent = np.maximum(np.frexp(a)[1] - DIGITS[name], LEAST[name])
    with np.errstate(over="ignore", invalid="ignore"):
        nearest = np.ldexp(np.rint(np.ldexp(a, -exponent)), exponent)
        return np.where(np.abs(nearest) > LARGEST[name], np.sign(a) * np.inf, np.where(np.isfinite(a), nearest, a))


@dataclass(frozen=True)
class Rounded:
    """Arithmetic of a format: each step rounded, sums in an order of their own, small numbers flushed or not."""

    name: str
    order: str = "forward"
    flush: bool = False

    def given(self, a):
        return np.asarray(a, dtype=np.float64)

    def number(self, x):
        return self._kept(np.asarray(float(x)))

    def _kept(self, a):
        a = rounded(a, self.name)
        return np.where(np.abs(a) < 2.0 ** TINY[self.name], 0.0, a) if self.flush else a

    def _each(self, f, *arrays):
        with np.errstate(all="ignore"):
            return self._kept(f(*(self._kept(a) for a in arrays)))

    def add(self, a, b):
        return self._each(np.add, a, b)

    def sub(self, a, b):
        return self._each(np.subtract, a, b)

    def mul(self, a, b):
        return self._each(np.multiply, a, b)

    def div(self, a, b):
        return self._each(np.divide, a, b)

    def term(self, a, b):
        """A product that is a term of a sum."""
        return self.mul(a, b)

    def sqrt(self, a):
        return self._each(np.sqrt, a)

    def exp(self, a):
        return self._each(np.exp, a)

    def log(self, a):
        return self._each(np.log, a)

    def erf(self, a):
        return self._each(erf, a)

    def relu(self, a):
        return np.maximum(a, 0)

    def largest(self, a):
        return np.max(a, axis=-1, keepdims=True)

    def total(self, a):
        """Over the last axis, which is kept."""
        a = {"forward": a, "backward": a[..., ::-1], "by size": np.take_along_axis(a, np.argsort(-np.abs(a)), -1)}.get(
            self.order, a
        )
        if self.order == "pairs":
            while a.shape[-1] > 1:
                odd = a[..., -1:] if a.shape[-1] % 2 else a[..., :0]
                a = np.concatenate([self.add(a[..., 0:-1:2], a[..., 1::2]), odd], axis=-1)
            return a
        whole = a[..., :1]
        for i in range(1, a.shape[-1]):
            whole = self.add(whole, a[..., i : i + 1])
        return whole


class Exact:
    """Balls of 300 bits, in arrays of objects."""

    def given(self, a):
        return np.vectorize(lambda x: arb(float(x)), otypes=[object])(a)

    def number(self, x):
        return self.given(float(x))

    def add(self, a, b):
        return a + b

    def sub(self, a, b):
        return a - b

    def mul(self, a, b):
        return a * b

    def term(self, a, b):
        return a * b

    def div(self, a, b):
        return a / b

    def _each(self, f, a):
        return np.vectorize(f, otypes=[object])(a)

    def sqrt(self, a):
        return self._each(arb.sqrt, a)

    def exp(self, a):
        return self._each(arb.exp, a)

    def log(self, a):
        return self._each(arb.log, a)

    def erf(self, a):
        return self._each(arb.erf, a)

    def relu(self, a):
        return self._each(lambda x: x.max(0), a)

    def largest(self, a):
        return self.given(np.max(np.vectorize(float)(a), axis=-1, keepdims=True))

    def total(self, a):
        return np.sum(a, axis=-1, keepdims=True)


def product(A, a, b):
    """a b, each entry a sum."""
    return A.total(A.term(a[..., :, None, :], np.swapaxes(b, -1, -2)[..., None, :, :]))[..., 0]


def precisely(f):
    """Calls with balls of `BITS` bits."""

    def run(*arguments):
        with ctx.workprec(BITS):
            return f(*arguments)

    return run


EXACT = Exact()
ORDERS = ("forward", "backward", "by size", "pairs")


def within(result, value, error):
    """Where a result is within a bound that is finite; true where the bound says nothing."""
    said = np.isfinite(error)
    if result.dtype == object:
        with ctx.workprec(BITS):
            flat = zip(result.ravel(), np.ravel(value), np.ravel(error), strict=True)
            held = [not np.isfinite(e) or not bool(abs(r - arb(float(v))) > arb(float(e))) for r, v, e in flat]
        return np.array(held).reshape(np.shape(value))
    with np.errstate(invalid="ignore"):
        return ~said | (np.abs(result - value) <= error)
