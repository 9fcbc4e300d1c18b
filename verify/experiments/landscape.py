"""How often do random starts reach the optima of MCR² that theory gives, constrained and regularised?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from scipy.optimize import minimize

import srr
from srr import mcr2
from srr._scalars import alpha
from srr.mcr2 import Optimum
from verify.experiments import ranges
from verify.experiments.experiment import Experiment, Row
from verify.figure import Curve, Figure, Points

PROBLEMS = ("sphere", "regularised")
NEAR, SEEN = 1e-5, 1e-3
"""Relative distance within which an optimum counts as reached; share of a squared singular value that is seen."""


@dataclass(frozen=True)
class Parameters:
    """What is maximised, and from where.

    Attributes
    ----------
    problems : tuple of str
        "sphere": ΔR(Z|Π) of tokens of norm one. "regularised": ΔR(Z|Π) − ½ λ‖Z‖².
    eps : tuple of float
        Precisions of the first.
    lam : tuple of float
        λ of the second, in units of λ_max = α (1 − √γ)/(1 + √γ), γ the share of the largest class; 1 is its endpoint.
    regularised_eps : float
        Precision of the second.
    scales : tuple of float
        Of the entries of the starts of the second.
    sizes : tuple of int
        Tokens of each class.
    d : int
    starts : int
        Gaussian; L-BFGS takes each uphill.
    seed : int
    """

    problems: tuple[str, ...] = PROBLEMS
    eps: tuple[float, ...] = (0.1, 0.3, 1.0, 2.0)
    lam: tuple[float, ...] = (0.1, 0.5, 0.9, 0.99, 1.0)
    regularised_eps: float = 0.5
    scales: tuple[float, ...] = (0.1, 1.0)
    sizes: tuple[int, ...] = (12, 8)
    d: int = 6
    starts: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        ranges.known(self, problems=PROBLEMS)
        ranges.above(self, 0, "eps", "lam", "regularised_eps")
        if len(self.sizes) < 2:
            raise ValueError(f"sizes must be of two classes or more, got {self.sizes}")
        if "sphere" in self.problems:
            ranges.least(self, len(self.sizes), "d")


def run(given: Parameters) -> Iterator[Row]:
    """A row for each problem, and precision, or λ and scale of the starts.

    "reached" counts starts that end within 10⁻⁵ of the maximum of theory, relative to it; "local" those that end so
    near to one of the local maxima of theory, in which class k has r_k equal singular values; "vanished" those that
    end at tokens of zero. "equal" is the largest spread of the singular values of a class, at the best end.
    """
    for problem in given.problems:
        if problem == "sphere":
            for eps in given.eps:
                yield _row(given, problem, eps, 0.0, 0.0, 1.0, unconstrained_ranks(given.sizes, given.d, eps))
            continue
        eps, root = given.regularised_eps, np.sqrt(max(given.sizes) / sum(given.sizes))
        largest = alpha(given.d, sum(given.sizes), eps) * (1 - root) / (1 + root)
        for share in given.lam:
            theory = mcr2.regularised_optimum(given.sizes, given.d, eps=eps, lam=share * largest)
            for scale in given.scales:
                yield _row(given, problem, eps, share, share * largest, scale, theory)


def unconstrained_ranks(sizes: Sequence[int], d: int, eps: float) -> Optimum:
    """The best of `mcr2.optimum` over all ways to share d dimensions among the classes."""
    cuts = combinations(range(1, d), len(sizes) - 1)
    shares = [tuple(np.diff((0, *cut, d)).tolist()) for cut in cuts]
    return max((mcr2.optimum(sizes, share, d, eps=eps) for share in shares), key=lambda found: found.value)


def local_maxima(sizes: Sequence[int], d: int, *, eps: float, lam: float | None) -> list[float]:
    """The values of all orthogonal classes with r_k equal singular values, Σ r_k ≤ d: of energy n_k, or best for λ."""
    constant, gains = alpha(d, sum(sizes), eps), []
    for size in sizes:
        share, ranks = size / sum(sizes), range(0 if lam else 1, min(size, d) + 1)
        if lam is None:
            gains.append({r: r * mcr2.shape(size / r, share, constant) / 2 for r in ranks})
        else:
            points = mcr2.stationary_points(share, constant, lam)
            x = points[1] if points else 0.0
            gains.append({r: r * (mcr2.shape(x, share, constant) - lam * x) / 2 for r in ranks})
    fitting = (ranks for ranks in product(*gains) if sum(ranks) <= d)
    return [sum(gain[r] for gain, r in zip(gains, ranks, strict=True)) for ranks in fitting]


def _row(given: Parameters, problem: str, eps: float, share: float, lam: float, scale: float, theory: Optimum) -> Row:
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(given.seed)))
    Pi = np.repeat(np.eye(len(given.sizes)), given.sizes, axis=0)
    ends = []
    for _ in range(given.starts):
        start = scale * rng.standard_normal((len(Pi), given.d))
        ends.append(ascend(start, Pi, eps=eps, lam=lam, sphere=problem == "sphere"))
    values = [value for value, _ in ends]
    best, Z = max(ends, key=lambda end: end[0])
    squares = [np.linalg.svd(Z[Pi[:, k] > 0], compute_uv=False) ** 2 for k in range(len(given.sizes))]
    seen = [x[x > SEEN * max(1.0, x[0])] for x in squares]
    near = NEAR * max(theory.value, NEAR)
    maxima = local_maxima(given.sizes, given.d, eps=eps, lam=None if problem == "sphere" else lam)
    return {
        "problem": problem,
        "eps": eps,
        "lam": share,
        "scale": scale,
        "theory": float(theory.value),
        "best": best,
        "reached": int(np.sum(np.abs(np.array(values) - theory.value) <= near)),
        "local": int(np.sum(np.min(np.abs(np.subtract.outer(values, maxima)), axis=1) <= near)),
        "above": int(np.sum(np.array(values) > theory.value + near)),
        "vanished": sum(float(np.linalg.norm(end)) < NEAR for _, end in ends),
        "starts": given.starts,
        "ranks": " + ".join(str(len(x)) for x in seen),
        "ranks theory": " + ".join(map(str, theory.ranks)),
        "equal": max((float(x[0] / x[-1] - 1) for x in seen if len(x)), default=0.0),
    }


def total(given: Parameters) -> int:
    """How many rows."""
    rows = {"sphere": len(given.eps), "regularised": len(given.lam) * len(given.scales)}
    return sum(rows.get(problem, 0) for problem in given.problems)


def ascend(start: np.ndarray, Pi: np.ndarray, *, eps: float, lam: float, sphere: bool) -> tuple[float, np.ndarray]:
    """Where L-BFGS ends, with the value there; on the sphere the tokens are rows over their norms."""

    def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
        X = x.reshape(start.shape)
        norms = np.linalg.norm(X, axis=1, keepdims=True) if sphere else np.ones((len(X), 1))
        Z = X / norms
        value, slope = mcr2.regularised_and_gradient(Z, Pi, eps=eps, lam=lam)
        if sphere:
            slope = slope - np.sum(slope * Z, axis=1, keepdims=True) * Z
        return -float(value), -(slope / norms).ravel()

    options = {"maxiter": 2000, "maxfun": 4000, "gtol": 1e-8, "ftol": 1e-14}
    found = minimize(objective, start.ravel(), jac=True, method="L-BFGS-B", options=options)
    Z = found.x.reshape(start.shape)
    return -float(found.fun), srr.redunet.on_sphere(Z) if sphere else Z


def figure(rows: Sequence[Row]) -> Figure:
    """The best end of the regularised problem beside theory, over λ; of the other, over ε."""
    mine = [row for row in rows if row["problem"] == "regularised"] or list(rows)
    over = "lam" if mine[0]["problem"] == "regularised" else "eps"
    places = tuple(dict.fromkeys(row[over] for row in mine))
    theory = {row[over]: row["theory"] for row in mine}
    points = []
    for scale in dict.fromkeys(row["scale"] for row in mine):
        line = [row for row in mine if row["scale"] == scale]
        points.append(
            Points(
                f"best of the starts of scale {scale:g}",
                [r[over] for r in line],
                [r["best"] for r in line],
                joined=True,
            )
        )
    regularised = over == "lam"
    return Figure(
        title="The maximum of theory, and where ascent from random starts ends",
        x_label="λ / λ_max" if regularised else "precision ε",
        y_label="ΔR − ½ λ‖Z‖², nats" if regularised else "ΔR, nats",
        curves=(Curve("maximum of theory", places, [theory[place] for place in places]),),
        points=tuple(points),
        edges=(("λ_max", 1.0),) if regularised else (),
        caption=f"{mine[0]['starts']} Gaussian starts for each point, by L-BFGS; "
        f"{sum(row['reached'] for row in mine)} of {sum(row['starts'] for row in mine)} reach the maximum, "
        f"{sum(row['local'] for row in mine)} a local maximum of theory.",
    )


def verdict(rows: Sequence[Row]) -> str:
    """Whether the maximum of theory is the largest that was found, and how many starts reach it."""
    said = []
    for problem in dict.fromkeys(row["problem"] for row in rows):
        mine = [row for row in rows if row["problem"] == problem]
        starts, reached, local = (sum(row[name] for row in mine) for name in ("starts", "reached", "local"))
        above = sum(row["above"] for row in mine)
        never = [row for row in mine if not row["reached"]]
        differ = [row for row in mine if row["reached"] and row["ranks"] != row["ranks theory"]]
        name = "eps" if problem == "sphere" else "lam"
        text = f"{problem}: {reached} of {starts} starts reach the maximum of theory, {above} exceed it, {local} end "
        text += "at one of its local maxima"
        if never:
            text += f"; none reaches it at {name} = " + ", ".join(dict.fromkeys(f"{row[name]:g}" for row in never))
        if differ:
            text += f"; the ranks at the maximum differ from theory in {len(differ)} rows"
        if vanished := sum(row["vanished"] for row in mine):
            text += f"; {vanished} starts vanish"
        said.append(text)
    return ". ".join(said) + "."


LANDSCAPE = Experiment(
    name="landscape",
    title="The landscape of MCR²",
    question="Are the optima of the rate reduction those of theory, and do random starts reach them?",
    source="Yu et al. 2020 (arXiv 2006.08558), theorem 1; Wang et al. 2024 (arXiv 2406.01909), theorem 3.1",
    parameters=Parameters,
    full={"sizes": (40, 30, 20), "d": 12, "starts": 100, "lam": (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.99, 1.0)},
    total=total,
    run=run,
    columns=(
        *("problem", "eps", "lam", "scale", "theory", "best", "reached", "local", "starts"),
        *("ranks", "ranks theory"),
    ),
    figure=figure,
    verdict=verdict,
    grid=("problems",),
)
