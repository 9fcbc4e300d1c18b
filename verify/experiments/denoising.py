"""Is compression denoising? The compression gradient beside the score and the posterior mean, over eight decades."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

import srr
from srr import attention
from verify.experiments import ranges
from verify.experiments.experiment import Experiment, Row, spread
from verify.figure import Curve, Figure, Points
from verify.subspaces import own_part

POINTS, ENTIRELY = 0.5, 1e9
"""A cosine below which a direction does not point to the nearest subspace; an SNR beyond which all is rounding."""


@dataclass(frozen=True)
class Parameters:
    """What is drawn, and the constants of the rate.

    Attributes
    ----------
    gammas : tuple of float
        γ = p/(n ε²), the constant of each head in Rᶜ; β in the ledger.
    tokens : tuple of int
        Tokens of each subspace: below p the regime of transformers, above p the classical one.
    beside : tuple of int
        Dimensions that none of the subspaces has: 0 for a complete family.
    K, p : int
        Mutually orthogonal subspaces and their dimension.
    noise : float
        σ, of z = U_s a + σ w with standard normal a and w.
    seed : int
    """

    gammas: tuple[float, ...] = tuple(10.0**e for e in range(-4, 5))
    tokens: tuple[int, ...] = (4, 8, 64)
    beside: tuple[int, ...] = (0, 16)
    K: int = 4
    p: int = 16
    noise: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        ranges.above(self, 0, "gammas", "noise")
        ranges.least(self, 2, "K")


def run(given: Parameters) -> Iterator[Row]:
    """A row for each number of tokens, dimensions beside the subspaces, and γ.

    "gradient" and "score" are mean cosines of −∇Rᶜ and ∇log q with the direction to the nearest subspace; "shrinks"
    that of −∇Rᶜ with −z. The SNR is ‖U_sU_sᵀ z‖ / ‖(I − U_sU_sᵀ) z‖ over all tokens; "step" is after the exact step
    1/γ, "mean" after the posterior mean, at most 10⁹. "theory" is the cosine in the window 1/λ ≪ γ ≪ 1/(nσ²), λ the
    spectrum of a class.
    """
    for each in given.tokens:
        for beside in given.beside:
            n, d = given.K * each, given.K * given.p + beside
            drawn = srr.mixtures.sample(n=n, d=d, K=given.K, p=given.p, noise=given.noise, seed=given.seed)
            Z, U, labels = drawn.Z, drawn.U, drawn.labels
            model = srr.denoising.SubspaceMixture(U, np.ones((given.K, given.p)), np.ones(given.K))
            nearest = own_part(Z, U, labels) - Z
            score = _mean_cosine(model.score(Z, noise=given.noise), nearest)
            mean = min(_snr(model.posterior_mean(Z, noise=given.noise), U, labels), ENTIRELY)
            for gamma in given.gammas:
                eps = sqrt(given.p / (n * gamma))
                step = attention.exact_step(Z, U, eps=eps, step=1 / gamma)
                yield {
                    "tokens": each,
                    "beside": beside,
                    "p": given.p,
                    "K": given.K,
                    "noise": given.noise,
                    "gamma": gamma,
                    "gradient": _mean_cosine(step - Z, nearest),
                    "theory": cosine(each, beside, given.K, given.p),
                    "shrinks": _mean_cosine(step - Z, -Z),
                    "score": score,
                    "SNR": _snr(Z, U, labels),
                    "SNR step": _snr(step, U, labels),
                    "SNR theory": _snr(Z, U, labels) * gain(each, beside, given.K, given.p),
                    "SNR mean": mean,
                }


def total(given: Parameters) -> int:
    """How many rows."""
    return len(given.tokens) * len(given.beside) * len(given.gammas)


def cosine(tokens: int, beside: int, K: int, p: int) -> float:
    """√((K−1)(p−N_k)₊ / ((K−1)p + d − Kp)): the gradient sees the part of the noise that no class has tokens along."""
    return sqrt((K - 1) * max(p - tokens, 0) / ((K - 1) * p + beside))


def gain(tokens: int, beside: int, K: int, p: int) -> float:
    """By how much a step 1/γ then raises the SNR: it takes away just that part."""
    kept = 1 - cosine(tokens, beside, K, p) ** 2
    return 1 / sqrt(kept)


def _snr(Z: np.ndarray, U: np.ndarray, labels: np.ndarray) -> float:
    signal = own_part(Z, U, labels)
    return float(np.linalg.norm(signal) / np.linalg.norm(Z - signal))


def _mean_cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.mean(np.sum(a * b, axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))))


def figure(rows: Sequence[Row]) -> Figure:
    """The cosine of the gradient over γ: a line for each number of tokens, of the first number of dimensions beside."""
    shown = [row for row in rows if row["beside"] == rows[0]["beside"]]
    gammas = sorted({row["gamma"] for row in shown})
    curves, points = [], []
    for tokens in spread(list(dict.fromkeys(row["tokens"] for row in shown)), 4):
        mine = [row for row in shown if row["tokens"] == tokens]
        said = f"{tokens} tokens per subspace"
        curves.append(Curve(f"theory, {said}", (gammas[0], gammas[-1]), (mine[0]["theory"],) * 2))
        points.append(Points(f"−∇Rᶜ, {said}", [r["gamma"] for r in mine], [r["gradient"] for r in mine], joined=True))
    points.append(Points("score", gammas, [shown[0]["score"]] * len(gammas), joined=True))
    first = shown[0]
    return Figure(
        title="Does the compression gradient point to the nearest subspace?",
        x_label="γ = p/(nε²)",
        y_label="mean cosine with that direction",
        curves=tuple(curves),
        points=tuple(points),
        x_log=True,
        caption=f"{first['K']} subspaces of dimension {first['p']}, noise {first['noise']:g}. Theory: "
        "√((K−1)(p−N_k)₊/(d−p)), in the window between the spectra of signal and noise.",
    )


def verdict(rows: Sequence[Row]) -> str:
    """Where the gradient points to the nearest subspace, how far that is the value of theory, and what it buys."""
    said = []
    for tokens in dict.fromkeys(row["tokens"] for row in rows):
        mine = [row for row in rows if row["tokens"] == tokens]
        towards = [row["gamma"] for row in mine if row["gradient"] >= POINTS]
        best = max(mine, key=lambda row: row["gradient"])
        window = (
            f"points to the nearest subspace for gamma from {min(towards):g} to {max(towards):g}"
            if towards
            else ("never points to the nearest subspace")
        )
        raised = max(row["SNR step"] / row["SNR"] for row in mine)
        ideal, clean = max(row["SNR mean"] / row["SNR"] for row in mine), max(row["SNR mean"] for row in mine)
        said.append(
            f"{tokens} tokens for {mine[0]['p']} dimensions: -grad Rc {window} (cosine at most {best['gradient']:.3f}, "
            f"theory {max(row['theory'] for row in mine):.3f}); a step raises the SNR at most {raised:.3g} times, the "
            f"posterior mean {f'{ideal:.3g} times' if clean < ENTIRELY else 'as far as rounding lets it'}"
        )
    lowest = min(row["score"] for row in rows)
    return ". ".join(said) + f". The score {'always points' if lowest >= POINTS else 'does not always point'} there."


DENOISING = Experiment(
    name="denoising",
    title="Is compression denoising?",
    question="Does the compression gradient point to the nearest subspace, as the score does, and raise the SNR?",
    source="Pai et al. 2024 (arXiv 2404.02446), Yu et al. 2024 (arXiv 2311.13110), the theorem on the gradient of Rc",
    parameters=Parameters,
    full={
        "gammas": tuple(10.0 ** (e / 4) for e in range(-16, 17)),
        "tokens": (1, 4, 8, 12, 16, 64, 256),
        "K": 12,
        "p": 64,
    },
    total=total,
    run=run,
    columns=(
        "tokens",
        "beside",
        "gamma",
        "gradient",
        "theory",
        "shrinks",
        "score",
        "SNR",
        "SNR step",
        "SNR theory",
        "SNR mean",
    ),
    figure=figure,
    verdict=verdict,
    grid=("tokens", "beside", "gammas"),
)
