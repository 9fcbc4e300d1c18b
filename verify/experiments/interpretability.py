"""Are representations at an optimum of the sparse rate reduction sparse, in orthogonal subspaces, and on the axes?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.optimize import minimize

import srr
from srr import layers
from verify.experiments import ranges
from verify.experiments.experiment import Experiment, Row
from verify.figure import Curve, Figure, Points

TOKENS, BASES = ("mixture", "control"), ("rotated", "axes")
WORTH, REACHED = 0.05, 1e-6
"""A change of a share by less is no change; the relative distance within which a loss counts as the least."""


@dataclass(frozen=True)
class Parameters:
    """What is optimised, and from where.

    Attributes
    ----------
    tokens : tuple of str
        "mixture" of the subspaces; "control", a Gaussian with exactly the second moment of that mixture.
    bases : tuple of str
        "rotated": mutually orthogonal subspaces in any position; "axes": spanned by p coordinate axes each.
    lam : tuple of float
        Weight of the l1 norm.
    n, K, p : int
        Tokens, and subspaces of dimension p that fill the d = K p dimensions.
    noise : float
        Of the mixture.
    eps : float
    layers : int
        Of the provably monotone layer, to the optimum.
    seed : int
    """

    tokens: tuple[str, ...] = TOKENS
    bases: tuple[str, ...] = BASES
    lam: tuple[float, ...] = (0.001, 0.01, 0.03)
    n: int = 48
    K: int = 4
    p: int = 3
    noise: float = 0.1
    eps: float = 0.5
    layers: int = 1500
    seed: int = 0

    def __post_init__(self) -> None:
        ranges.known(self, tokens=TOKENS, bases=BASES)
        ranges.above(self, 0, "eps")
        ranges.least(self, 0, "lam", "noise")


def run(given: Parameters) -> Iterator[Row]:
    """A row for each kind of tokens and bases, and λ; "… at 0" is before, the same name alone after.

    "nonzero": share of entries that are not zero. "inside": mean over tokens of the largest share of ‖z‖² in one of the
    subspaces. "aligned": mean of the largest share in one coordinate. Tokens that are zero are left out of both.
    "moved": the last layer's change of the tokens, relative. "least": the least loss of all, by theory. "minor" and
    "principal": for one subspace, K = 1, that is free to turn, the share of the U of largest R − Rᶜ in the p least and
    in the p first principal directions of Z at 0.
    """
    for kind, bases in product(given.tokens, given.bases):
        U, Z = drawn(given, kind, bases)
        minor, principal = best_single_subspace(Z, given.p, eps=given.eps, seed=given.seed)
        for lam in given.lam:
            end, moved = converged(Z, U, eps=given.eps, lam=lam, layers=given.layers)
            objective = srr.SparseRateReduction(U, given.eps, lam)
            before, after = measured(objective, Z), measured(objective, end)
            yield {
                "tokens": kind,
                "bases": bases,
                "lam": lam,
                **{f"{name} at 0": value for name, value in before.items()},
                **after,
                "least": -optimum(given.n, given.K * given.p, given.p, eps=given.eps, lam=lam)[0],
                "moved": moved,
                "minor": minor,
                "principal": principal,
            }


def total(given: Parameters) -> int:
    """How many rows."""
    return len(given.tokens) * len(given.bases) * len(given.lam)


def drawn(given: Parameters, kind: str, bases: str) -> tuple[np.ndarray, np.ndarray]:
    """Bases and tokens of about unit norm."""
    d = given.K * given.p
    drawn = srr.mixtures.sample(n=given.n, d=d, K=given.K, p=given.p, noise=given.noise, seed=given.seed)
    U, Z = drawn.U, drawn.Z / np.sqrt(given.p)
    if bases == "axes":
        turn = np.concatenate(list(U), axis=1)  # orthogonal: its columns become the axes
        U, Z = np.stack(np.split(np.eye(d), given.K, axis=1)), Z @ turn
    return U, control(Z, seed=given.seed) if kind == "control" else Z


def control(Z: np.ndarray, *, seed: int) -> np.ndarray:
    """Gaussian tokens G, whitened and coloured to the second moment of Z: G (GᵀG)^−½ (ZᵀZ)^½."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(1,))))
    left, _, right = np.linalg.svd(rng.standard_normal(Z.shape), full_matrices=False)
    _, size, turn = np.linalg.svd(Z, full_matrices=False)
    coloured: np.ndarray = left @ right @ (turn.T * size) @ turn
    return coloured


def converged(Z: np.ndarray, U: np.ndarray, *, eps: float, lam: float, layers: int) -> tuple[np.ndarray, float]:
    """The tokens after so many monotone layers, and how far the last one moved them, relative to their norm."""
    layer, before = _layer(U, eps, lam), Z
    for _ in range(layers):
        before, Z = Z, layer(Z)
    return Z, float(np.linalg.norm(Z - before) / max(float(np.linalg.norm(Z)), 1e-300))


def _layer(U: np.ndarray, eps: float, lam: float) -> srr.Layer:
    return layers.descent(U, eps=eps, lam=lam)


def optimum(n: int, d: int, p: int, *, eps: float, lam: float) -> tuple[float, float]:
    """The largest R − Rᶜ − λ‖Z‖₁ of n ≥ d tokens, for mutually orthogonal subspaces that fill d dimensions, and where.

    There one token lies on each coordinate axis, all of the length that is the second number, and all others are zero:
    whatever the tokens were, and the subspaces are.

    Notes
    -----
    For h(s) = ½ log((1 + αs²)/(1 + βs²)) and the singular values s_i of Z, R − Rᶜ ≤ Σ h(s_i): the eigenvalues of the
    blocks U_kᵀZᵀZU_k are majorised by the s_i² (pinching), and log(1 + βx) is concave. The entries' ‖Z‖₁ is at least
    the nuclear norm Σ s_i. So the value is at most d times the largest h(s) − λs, whose stationary points have
    λ(1 + αs²)(1 + βs²) = (α − β)s. It is attained since tokens of equal size on all axes have ZᵀZ = s²I.
    """
    alpha, beta = d / (n * eps**2), p / (n * eps**2)
    roots = np.roots([lam * alpha * beta, 0.0, lam * (alpha + beta), beta - alpha, lam])
    lengths = [0.0, *(float(s.real) for s in roots if abs(s.imag) < 1e-9 * abs(s) and s.real > 0)]
    gains = [(math.log1p(alpha * s * s) - math.log1p(beta * s * s)) / 2 - lam * s for s in lengths]
    best = max(range(len(gains)), key=gains.__getitem__)
    return d * gains[best], lengths[best]


def measured(objective: srr.SparseRateReduction, Z: np.ndarray) -> dict[str, float]:
    """Shares, the rate reduction and the loss."""
    sizes = np.sum(Z * Z, axis=1)
    seen = sizes > 1e-12
    shares = np.sum((Z[seen] @ objective.U) ** 2, axis=2) / sizes[seen]
    aligned = np.max(Z[seen] ** 2, axis=1) / sizes[seen]
    terms = objective.terms(Z)
    return {
        "nonzero": float(np.mean(Z != 0)),
        "inside": float(shares.max(axis=0).mean()) if seen.any() else 0.0,
        "aligned": float(aligned.mean()) if seen.any() else 0.0,
        "zero tokens": float(np.mean(~seen)),
        "dR": float(terms.rate_reduction),
        "loss": float(terms.loss),
    }


def best_single_subspace(Z: np.ndarray, p: int, *, eps: float, seed: int) -> tuple[float, float]:
    """The U that makes R(Z) − R(ZU) largest, by L-BFGS: its share in the p minor and in the p principal directions.

    Exactly: R(ZU) = ½ log det(I + β UᵀZᵀZU) lies between its values at the p least and at the p first principal
    directions, for every orthonormal U (the separation theorem of Poincaré). So R − Rᶜ is largest at the minor ones.
    """
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(2,))))

    def rate(x: np.ndarray) -> float:
        U = np.linalg.qr(x.reshape(Z.shape[1], p))[0]
        return float(srr.coding_rate(Z @ U, eps=eps))

    found = minimize(rate, rng.standard_normal(Z.shape[1] * p), method="L-BFGS-B")
    U = np.linalg.qr(found.x.reshape(-1, p))[0]
    directions = np.linalg.svd(Z)[2]
    least, first = directions[-p:], directions[:p]
    return float(np.sum((least @ U) ** 2) / p), float(np.sum((first @ U) ** 2) / p)


def figure(rows: Sequence[Row]) -> Figure:
    """The shares inside one subspace and along one axis, before and after, of the first λ: a line for each setting."""
    places = tuple(f"{row['tokens']}, {row['bases']}, λ = {row['lam']:g}" for row in rows)
    heights = tuple(float(len(rows) - i) for i in range(len(rows)))
    return Figure(
        title="Before and at the optimum of the sparse rate reduction",
        x_label="share",
        y_label="",
        points=(
            Points("inside one subspace, before", [r["inside at 0"] for r in rows], heights),
            Points("inside one subspace, after", [r["inside"] for r in rows], heights),
            Points("along one axis, after", [r["aligned"] for r in rows], heights),
            Points("entries not zero, after", [r["nonzero"] for r in rows], heights),
        ),
        curves=(Curve("everything", (1.0, 1.0), (heights[-1], heights[0])),),
        y_ticks=tuple(zip(places, heights, strict=True)),
        caption="Means over tokens. Mixture: tokens of the subspaces; control: a Gaussian of equal second moment.",
    )


def verdict(rows: Sequence[Row]) -> str:
    """What the optimum did to each of the four properties, on mixtures and on their controls."""
    said = []
    names = (("nonzero", "entries not zero"), ("inside", "share in one subspace"), ("aligned", "share on one axis"))
    for kind, bases in dict.fromkeys((row["tokens"], row["bases"]) for row in rows):
        mine = [row for row in rows if (row["tokens"], row["bases"]) == (kind, bases)]
        parts = []
        for name, words in names:
            changes = [row[name] - row[f"{name} at 0"] for row in mine]
            word = "rises" if min(changes) > WORTH else "falls" if max(changes) < -WORTH else "has no one direction"
            parts.append(
                f"{words} {word} ({mine[0][f'{name} at 0']:.2f} to " + ", ".join(f"{r[name]:.2f}" for r in mine) + ")"
            )
        said.append(f"{kind}, {bases}: " + ", ".join(parts))
    minor = min(row["minor"] for row in rows)
    principal = max(row["principal"] for row in rows)
    if minor > 0.99:
        pca = "For K = 1 the best subspace is that of the minor directions, the opposite of PCA"
    elif min(row["principal"] for row in rows) > 0.99:
        pca = "For K = 1 the best subspace is that of PCA"
    else:
        pca = f"For K = 1 the best subspace is {minor:.2f} in the minor, at most {principal:.2f} in the principal one"
    reached = sum(row["loss"] - row["least"] <= REACHED * (1 + abs(row["least"])) for row in rows)
    ends = f"{reached} of {len(rows)} end at the least loss of all, one token on each axis and all others zero"
    return ". ".join(said) + f". {ends}. {pca}."


INTERPRETABILITY = Experiment(
    name="interpretability",
    title="Representations at an optimum",
    question="Are representations at an optimum of the sparse rate reduction sparse, in orthogonal subspaces, on axes?",
    source="Yu et al. 2023 (arXiv 2306.01129), eq. 1 and figure 1",
    parameters=Parameters,
    full={"lam": (0.0003, 0.001, 0.003, 0.01, 0.03), "n": 192, "p": 6, "layers": 20000},
    total=total,
    run=run,
    columns=(
        *("tokens", "bases", "lam", "nonzero", "inside at 0", "inside", "aligned at 0", "aligned"),
        *("loss", "least", "minor"),
    ),
    figure=figure,
    verdict=verdict,
    grid=("tokens", "bases", "lam"),
)
