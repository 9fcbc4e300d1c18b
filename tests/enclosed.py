"""Instances for the enclosures, random and adversarial, and whether the exact values are inside: all from a seed.

The exact values are determinants of rational matrices and Arb logarithms (``oracle``); nothing of ``srr`` is in them.
"""

from dataclasses import dataclass
from fractions import Fraction

import families
import numpy as np
import oracle
from flint import arb, ctx, fmpq

from srr import enclosure

KINDS = ("lost terms", "cancelling projection", "huge alpha", "no scale", "tall", *["family"] * 8)
STEPS = ("far", "near", "ulp", "copy", "permuted", "negated", "tiny")
BITS = 256
SIZES = (1, 2, 3, 4, 6)


@dataclass(frozen=True)
class Instance:
    """Everything that an enclosure may be asked about."""

    kind: str
    Z: np.ndarray
    after: np.ndarray
    U: np.ndarray
    Pi: np.ndarray
    D: np.ndarray
    eps: float | Fraction
    lam: float | Fraction


def draw(seed: int) -> Instance:
    """The instance of a seed."""
    rng = np.random.default_rng([seed, 20])
    kind = str(rng.choice(KINDS))
    n, d = (int(m) for m in rng.choice(SIZES, 2))
    eps = 10.0 ** rng.uniform(-6, 3)
    if kind == "family":
        tokens = families.Tokens(
            n=n,
            d=d,
            rank=int(rng.integers(1, min(n, d) + 1)),
            condition=10.0 ** rng.uniform(0, 15),
            scale=10.0 ** float(rng.choice((0, 0, 0, -3, 3, -150, 150))),
            seed=int(rng.integers(2**16)),
            defect=str(rng.choice(families.DEFECTS)),
        )
        Z = tokens.Z
    elif kind == "lost terms":  # squares that a sum beginning with one loses, one by one
        n, d = int(10.0 ** rng.uniform(2, 3.6)), 1
        Z = np.full((n, 1), 2.0**-26.6) * rng.uniform(0.5, 1, (n, 1))
        Z[0] = 1
        eps = rng.uniform(0.5, 2) / np.sqrt(n)
    elif kind == "cancelling projection":  # two coordinates nearly equal, their difference taken
        first = 1e8 * rng.random((n, 1))
        d = 2
        Z = np.hstack([first, first + rng.random((n, 1))])
        eps = 10.0 ** rng.uniform(-1, 1)
    elif kind == "huge alpha":
        Z, eps = rng.standard_normal((n, d)) * 10.0 ** rng.uniform(-40, 40), 10.0 ** rng.uniform(-160, -6)
    elif kind == "no scale":  # every entry of its own
        Z = rng.standard_normal((n, d)) * 10.0 ** rng.uniform(-140, 140, (n, d))
    else:
        n, d = int(rng.integers(20, 60)), int(rng.integers(1, 4))
        Z = rng.standard_normal((n, d)) * 10.0 ** rng.uniform(-8, 0, d)
    K, p = int(rng.integers(1, 4)), int(rng.integers(1, d + 1))
    if kind == "cancelling projection":
        U = np.array([[[1.0], [-1.0]]]) / np.sqrt(2)
    elif rng.random() < 0.5:
        U = np.linalg.qr(rng.standard_normal((K, d, p)))[0]
    else:
        widest = float(rng.choice((2, 2, 2, 150)))
        U = rng.standard_normal((K, d, p)) * 10.0 ** rng.uniform(-widest, widest, p)
    m = int(rng.integers(1, 5))
    D, lam = rng.standard_normal((d, m)), 10.0 ** rng.uniform(-3, 1)
    if rng.random() < 0.2:
        eps, lam = Fraction(eps) + Fraction(1, 3**40) * Fraction(eps), Fraction(1, 3)
    memberships = families.Tokens(n=n, d=d, rank=1, seed=seed)
    Pi = memberships.memberships(K, str(rng.choice(("soft", "hard", "empty class", "sharp"))))
    return Instance(kind, Z, _moved(Z, rng), U, Pi, D, eps, lam)


def _moved(Z, rng):
    match str(rng.choice(STEPS)):
        case "far":
            return Z * rng.uniform(0.5, 1.5, Z.shape)
        case "near":
            return Z * (1 + 10.0 ** rng.uniform(-12, -1) * rng.standard_normal(Z.shape))
        case "ulp":
            after = Z.copy()
            after[-1, -1] = np.nextafter(Z[-1, -1], np.inf)
            return after
        case "copy":
            return Z.copy()
        case "permuted":
            return Z[::-1].copy()
        case "negated":
            return -Z
        case _:
            return Z + np.max(np.abs(Z)) * 10.0 ** rng.uniform(-15, -3) * rng.standard_normal(Z.shape)


def comparisons(instance: Instance):
    """Name, enclosure and exact value (an Arb ball much smaller than any float's spacing) of every quantity."""
    i = instance
    Z, after, Pi, D = (oracle.matrix(a) for a in (i.Z, i.after, i.Pi, i.D))
    U = [oracle.matrix(basis) for basis in i.U]
    code = i.Z @ i.D
    code_after = code + 1e-3 * np.sign(code)
    R = [oracle.rate(oracle.coding_determinants(A, eps=i.eps)) for A in (Z, after)]
    Rc = [oracle.rate(oracle.subspace_determinants(A, U, eps=i.eps)) for A in (Z, after)]
    Rpi = [oracle.rate(oracle.partition_determinants(A, Pi, eps=i.eps)) for A in (Z, after)]
    lam = oracle.rational(i.lam)
    norms = [_l1(A) for A in (Z, after)]
    lassos = [_lasso(Z, D, lam, oracle.matrix(A)) for A in (code, code_after)]
    with ctx.workprec(BITS):
        losses = [c - r + arb(lam * a) for c, r, a in zip(Rc, R, norms, strict=True)]
    values = {"eps": i.eps}
    yield "R", enclosure.coding_rate(i.Z, **values), R[0]
    yield "Rc", enclosure.subspace_coding_rate(i.Z, i.U, **values), Rc[0]
    yield "Rpi", enclosure.partition_coding_rate(i.Z, i.Pi, **values), Rpi[0]
    yield "l1", enclosure.l1(i.Z), norms[0]
    yield "loss", enclosure.loss(i.Z, i.U, **values, lam=i.lam), losses[0]
    yield "lasso", enclosure.lasso(i.Z, i.D, code, lam=i.lam), lassos[0]
    pair = (i.Z, i.after)
    with ctx.workprec(BITS):
        yield "change of R", enclosure.coding_rate_change(*pair, **values), R[1] - R[0]
        yield "change of Rc", enclosure.subspace_coding_rate_change(*pair, i.U, **values), Rc[1] - Rc[0]
        yield "change of Rpi", enclosure.partition_coding_rate_change(*pair, i.Pi, **values), Rpi[1] - Rpi[0]
        yield "change of l1", enclosure.l1_change(*pair), norms[1] - norms[0]
        yield "change of loss", enclosure.loss_change(*pair, i.U, **values, lam=i.lam), losses[1] - losses[0]
        yield (
            "change of lasso",
            enclosure.lasso_change(i.Z, i.D, code, code_after, lam=i.lam),
            lassos[1] - lassos[0],
        )


def _l1(A):
    return sum((abs(x) for x in A.entries()), fmpq(0))


def _lasso(Z, D, lam, A):
    residual = (Z - A * D.transpose()).entries()
    return lam * _l1(A) + sum((r * r for r in residual), fmpq(0)) / 2


def holds(found, exact) -> bool:
    """Whether the exact value, or a part of its ball, is inside. Balls of 256 bits are far below a float's spacing."""
    with ctx.workprec(BITS):
        exact = arb(exact)
        return not (exact < arb(float(found.lower)) or exact > arb(float(found.upper)))


def failures(seeds, *, progress=lambda done: None):
    """(seed, kind, name) of whatever is not inside, and how many were compared."""
    failed, compared = [], 0
    for seed in seeds:
        instance = draw(seed)
        for name, found, exact in comparisons(instance):
            compared += 1
            if not holds(found, exact):
                failed.append((seed, instance.kind, name))
        progress(seed)
    return failed, compared
