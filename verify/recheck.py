"""A certificate checked anew, by exact and ball arithmetic alone: no float of the bounds that made it is trusted.

Nothing of ``srr`` is called here. Statements are recomputed from the numbers in the file with python-flint, in integers
and Arb balls, and their exact parts with Python's own fractions.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from fractions import Fraction

import numpy as np
from flint import arb, arb_mat, ctx, fmpq

from verify import check_exact, rationals
from verify.certificate import QUANTITIES, SUBJECT, Certificate, Numbers, Statement
from verify.rationals import Ratio

PRECISIONS = (128, 256, 512, 1024, 2048, 4096)
"""Bits of the balls, in the order tried."""
LARGEST_SIDE = 512
"""Of a determinant: a second or two each."""
LARGEST_ARRAY = 2**22
DIGITS = 4000


def recheck(certificate: Certificate) -> tuple[str, ...]:
    """For each statement ``""`` if it is confirmed, else why it is not.

    Raises
    ------
    ValueError
        What the file holds is no certificate: an array that is not what its hash or shape says, a name without an
        array, a number that is none.
    """
    if certificate.subject != SUBJECT:
        raise ValueError("subject must be the sentence that every certificate has")
    arrays = {name: _array(name, numbers) for name, numbers in certificate.arrays.items()}
    for name in ("input", "half", "output", "U"):
        if name not in arrays:
            raise ValueError(f"arrays must hold {name}")
    n, d = _two(arrays["input"], "input")
    if arrays["U"].ndim != 3 or arrays["U"].shape[1] != d or arrays["U"].shape[2] > d:
        raise ValueError(f"U must have shape (K, {d}, p) with p <= {d}, got {arrays['U'].shape}")
    if min(n, d) > LARGEST_SIDE:
        raise ValueError(f"tokens must have a side of at most {LARGEST_SIDE} to be checked, got {n} x {d}")
    eps = _ratio(certificate.eps, "eps")
    if not eps > 0:
        raise ValueError(f"eps must be > 0, got {certificate.eps}")
    if not certificate.statements:
        raise ValueError("statements must hold at least one statement, got none")
    for statement in certificate.statements:
        _require_well_formed(statement, arrays, (n, d))
    document = asdict(certificate)
    return tuple(
        _objection(statement, arrays, eps, document | {"statement": raw})
        for statement, raw in zip(certificate.statements, document["statements"], strict=True)
    )


# --- form ---------------------------------------------------------------------------------------------------------


def _array(name: str, numbers: Numbers) -> np.ndarray:
    size = 1
    for m in numbers.shape:
        size *= max(m, 0)
    values = numbers.values.split()
    if not numbers.shape or not 0 < size <= LARGEST_ARRAY or size != len(values):
        raise ValueError(f"{name} must have as many values as its shape says, got {len(values)}")
    try:
        array = np.array([float.fromhex(x) for x in values]).reshape(numbers.shape)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{name} must hold hexadecimal floats: {error}") from error
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite")
    if hashlib.sha256(array.astype("<f8").tobytes()).hexdigest() != numbers.sha256:
        raise ValueError(f"{name} must have the hash that is given with it")
    return array


def _two(array: np.ndarray, name: str) -> tuple[int, int]:
    if array.ndim != 2:
        raise ValueError(f"{name} must have two axes, got shape {array.shape}")
    return array.shape


def _ratio(text: str, name: str) -> fmpq:
    numerator, slash, denominator = text.partition("/")
    if not slash or not denominator.isdigit() or not numerator.removeprefix("-").isdigit() or len(text) > DIGITS:
        raise ValueError(f"{name} must be a ratio p/q, got {text[:40]!r}")
    if int(denominator) == 0:
        raise ValueError(f"{name} must be a ratio p/q, got {text[:40]!r}")
    return fmpq(int(numerator), int(denominator))


PLACES = {
    "compress": (("input",), "half"),
    "sparsify": (("half", "normed"), "output"),
    "layer": (("input",), "output"),
}


def _require_well_formed(statement: Statement, arrays: dict[str, np.ndarray], shape: tuple[int, int]) -> None:
    if statement.quantity not in QUANTITIES:
        raise ValueError(f"quantity must be one of {', '.join(QUANTITIES)}, got {statement.quantity[:40]!r}")
    starts, end = PLACES.get(statement.half, ((), ""))
    if statement.before not in starts or statement.after != end:
        raise ValueError(f"half must be one of {', '.join(PLACES)}, with its arrays, got {statement.half[:40]!r}")
    for name in (statement.before, statement.after):
        if name not in arrays or arrays[name].shape != shape:
            raise ValueError(f"{name} must be an array of shape {shape}")
    weighted = "lam" in QUANTITIES[statement.quantity].values()
    if weighted != (statement.lam is not None) or (statement.lam is not None and _ratio(statement.lam, "lam") < 0):
        raise ValueError("lam must be a ratio p/q >= 0 where the quantity has it, and null elsewhere")
    if "residual" in QUANTITIES[statement.quantity] and ("D" not in arrays or arrays["D"].shape != (shape[1],) * 2):
        raise ValueError(f"D must be an array of shape ({shape[1]}, {shape[1]})")
    if statement.sign not in (-1, 0, 1, None):
        raise ValueError(f"sign must be -1, 0, 1 or null, got {statement.sign}")


# --- content ------------------------------------------------------------------------------------------------------


def _objection(statement: Statement, arrays: dict[str, np.ndarray], eps: fmpq, document: dict) -> str:
    if statement.exact is not None:
        try:
            exact = Fraction(int(eps.p), int(eps.q))
            if not check_exact.confirmed(document["statement"], document["arrays"], exact):
                return "the rational numbers are not those of the arrays, or their order is not the sign"
        except (ValueError, ZeroDivisionError) as error:
            return f"the exact part cannot be checked: {error}"
    rational, ratios = _terms(statement, arrays, eps)
    for bits in PRECISIONS:
        with ctx.workprec(bits):
            value = arb(rational)
            for r in ratios:
                value += r.weight * (arb_mat(r.after).det() / arb_mat(r.before).det()).log() / 2
            found = _judged(statement, value, exact=not ratios)
        if found is not None:
            return found
    if statement.sign == 0 and rational == 0 and _equal(ratios):
        return "" if _around_zero(statement) else "the change is zero, which is not between the bounds"
    return f"{PRECISIONS[-1]} bits do not confirm it"


def _terms(statement: Statement, arrays: dict[str, np.ndarray], eps: fmpq) -> tuple[fmpq, list[Ratio]]:
    old, new = arrays[statement.before], arrays[statement.after]
    rational, ratios = fmpq(0), []
    for term, weight in QUANTITIES[statement.quantity].items():
        w = _ratio(statement.lam, "lam") if weight == "lam" and statement.lam else fmpq(weight)
        if term == "l1":
            rational += w * rationals.l1(old, new)
        elif term == "residual":
            rational += w * rationals.half_squared_residual(old, arrays["D"], old, new)
        else:
            part = (
                rationals.coding_rate(old, new, eps)
                if term == "R"
                else rationals.subspace_coding_rate(old, new, arrays["U"], eps)
            )
            ratios += [Ratio(w * r.weight, r.before, r.after) for r in part if r.before != r.after]
    return rational, ratios


def _judged(statement: Statement, value: arb, *, exact: bool) -> str | None:
    """The objection that a ball raises, ``""`` for none, None if it is too large to tell."""
    if not value.is_finite():
        return None
    if not exact:
        sign = 1 if value > 0 else -1 if value < 0 else None
        if sign is None and statement.sign is not None:
            return None
    else:
        sign = (value > 0) - (value < 0)
    if statement.sign is not None and sign != statement.sign:
        return "the sign is another"
    lower = -arb("inf") if statement.lower is None else arb(statement.lower)
    upper = arb("inf") if statement.upper is None else arb(statement.upper)
    if value < lower or value > upper:
        return "the change is not between the bounds"
    return "" if value >= lower and value <= upper else None


def _around_zero(statement: Statement) -> bool:
    return (statement.lower is None or statement.lower <= 0) and (statement.upper is None or statement.upper >= 0)


def _equal(ratios: list[Ratio]) -> bool:
    """Whether the product of det(after)^w equals that of det(before)^w; the weights are 1 and -1."""
    product = fmpq(1)
    for r in ratios:
        product *= fmpq(int(r.after.det()), int(r.before.det())) ** int(r.weight.p)
    return bool(product == 1)
