"""What does a ReduNet, built forward without back-propagation, add to classifiers that need no layers?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

import numpy as np

import srr
from srr import curvature
from srr.redunet import class_subspaces, construct, nearest_subspace, on_sphere, operators, soft_memberships
from verify.experiments import ranges
from verify.experiments.experiment import Experiment, Row
from verify.extras import require
from verify.figure import Figure, Points

CLASSIFIERS = ("redunet", "estimated", "subspace", "affine", "logistic")
"""The nearest subspace of ReduNet's features, the memberships that its next layer would estimate, the nearest subspace
of the tokens, the nearest affine subspace (means and principal directions of the classes), logistic regression."""
ENERGY, RUIN = 0.95, -0.1


@dataclass(frozen=True)
class Parameters:
    """Tokens, and the network.

    Attributes
    ----------
    data : tuple of str
        "mixture" of subspaces, or "digits", scikit-learn's 8 x 8 images.
    samples : tuple of int
        Labelled tokens of each class.
    d, K, p : int
        Of the mixture; p is also the dimension of the subspaces that are fitted to the features, at most the samples.
    noise : float
    coherence : {"orthogonal", "random"}
    held_out : int
        Tokens to classify.
    rule : {"network", "gradient", "official"}
        The papers' layer, which estimates memberships also of the tokens it is built from; the one that keeps their
        labels; the code's.
    layers : int
    steps : tuple of float
        η, for each of which a network is built; 0 for the step up to which ascent is safe, `curvature.sphere_step`.
    eps, sharpness : float
        Of the network.
    draws : int
        Sets of labelled tokens that are averaged over.
    seed : int
    """

    data: tuple[str, ...] = ("mixture", "digits")
    samples: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    d: int = 24
    K: int = 4
    p: int = 4
    noise: float = 0.1
    coherence: Literal["orthogonal", "random"] = "random"
    held_out: int = 300
    rule: Literal["network", "gradient", "official"] = "network"
    layers: int = 30
    steps: tuple[float, ...] = (0.5, 0.0)
    eps: float = 0.5
    sharpness: float = 500.0
    draws: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        ranges.known(self, data=("mixture", "digits"))
        ranges.above(self, 0, "eps")
        ranges.least(self, 0, "noise", "steps", "sharpness")
        if "mixture" in self.data:
            ranges.least(self, 2, "K")
            ranges.room(self, apart=self.coherence == "orthogonal")


def run(given: Parameters) -> Iterator[Row]:
    """A row for each kind of data, step and number of samples, averaged over draws.

    "rank" is how many directions hold 95 % of the energy of a class of the labelled features, the mean over classes,
    "rank at 0" that of the tokens; "sharp" is the mean of the largest estimated membership of a token held out, "crowd"
    the share of these tokens that the most popular class gets.
    """
    for data, step, samples in product(given.data, given.steps, given.samples):
        each = [_measured(given, data, step, samples, given.seed + draw) for draw in range(given.draws)]
        means = {name: float(np.mean([one[name] for one in each])) for name in each[0]}
        yield {"data": data, "step": step or "safe", "samples": samples, "draws": given.draws, **means}


def total(given: Parameters) -> int:
    """How many rows."""
    return len(given.data) * len(given.steps) * len(given.samples)


def _measured(given: Parameters, data: str, step: float, samples: int, seed: int) -> dict[str, float]:
    X, labels, Y, true = _drawn(given, data, samples, seed)
    Pi, p = np.eye(labels.max() + 1)[labels], min(given.p, samples)
    Z, held_out = built(given, X, Pi, Y, step)
    estimated = soft_memberships(held_out, operators(Z, Pi, eps=given.eps)[1], sharpness=given.sharpness)
    guesses = {
        "redunet": nearest_subspace(held_out, class_subspaces(Z, Pi, p)),
        "estimated": estimated.argmax(axis=1),
        "subspace": nearest_subspace(Y, class_subspaces(X, Pi, p)),
        "affine": _nearest_affine(X, labels, Y, p),
        "logistic": _logistic(X, labels, Y),
    }
    return {
        **{name: float(np.mean(guess == true)) for name, guess in guesses.items()},
        "reduction at 0": float(srr.rate_reduction(X, Pi=Pi, eps=given.eps)),
        "reduction": float(srr.rate_reduction(Z, Pi=Pi, eps=given.eps)),
        "rank at 0": rank(X, labels),
        "rank": rank(Z, labels),
        "sharp": float(estimated.max(axis=1).mean()),
        "crowd": float(np.bincount(estimated.argmax(axis=1)).max() / len(Y)),
    }


def built(
    given: Parameters, X: np.ndarray, Pi: np.ndarray, Y: np.ndarray, step: float
) -> tuple[np.ndarray, np.ndarray]:
    """The features of labelled tokens X and of tokens held out Y behind the network that is built from the former."""
    eta = step or curvature.sphere_step(len(X), X.shape[1], eps=given.eps)
    network = {"rule": given.rule, "eps": given.eps, "eta": eta, "sharpness": given.sharpness}
    for layer, features in construct(X, Pi, layers=given.layers, **network):
        X, for_any = features, layer if given.rule != "gradient" else replace(layer, rule="network")
        Y = for_any(Y)
    return X, Y


def rank(Z: np.ndarray, labels: np.ndarray) -> float:
    """The mean over classes of how many directions hold 95 % of their energy."""
    ranks = []
    for k in np.unique(labels):
        energy = np.cumsum(np.linalg.svd(Z[labels == k], compute_uv=False) ** 2)
        ranks.append(1 + int(np.searchsorted(energy, ENERGY * energy[-1])))
    return float(np.mean(ranks))


def _drawn(
    given: Parameters, data: str, samples: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Labelled tokens and their labels, tokens held out and theirs; all on the sphere."""
    if data == "mixture":
        sizes = {"d": given.d, "K": given.K, "p": given.p, "noise": given.noise, "coherence": given.coherence}
        mixture = srr.mixtures.sample(n=given.K * samples, seed=seed, **sizes)
        other = srr.mixtures.sample(n=given.held_out, seed=seed, **sizes).draw(1)
        return on_sphere(mixture.Z), mixture.labels, on_sphere(other.Z), other.labels
    require("sklearn", "data digits")
    from sklearn.datasets import load_digits

    images, digit = load_digits(return_X_y=True)
    order = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed))).permutation(len(images))
    chosen = np.concatenate([[i for i in order if digit[i] == k][:samples] for k in range(10)])
    left = np.setdiff1d(order, chosen, assume_unique=True)[: given.held_out]
    return on_sphere(images[chosen]), digit[chosen], on_sphere(images[left]), digit[left]


def _nearest_affine(X: np.ndarray, labels: np.ndarray, Y: np.ndarray, p: int) -> np.ndarray:
    """The class whose mean and p principal directions, at most one fewer than its samples, leave least of a token."""
    left = []
    for k in range(labels.max() + 1):
        mine = X[labels == k]
        away = Y - mine.mean(axis=0)
        V = np.linalg.svd(mine - mine.mean(axis=0), full_matrices=False)[2][: min(p, len(mine) - 1)]
        left.append(np.sum((away - away @ V.T @ V) ** 2, axis=1))
    found: np.ndarray = np.argmin(left, axis=0)
    return found


def _logistic(X: np.ndarray, labels: np.ndarray, Y: np.ndarray) -> np.ndarray:
    require("sklearn", "logistic regression")
    from sklearn.linear_model import LogisticRegression

    found: np.ndarray = LogisticRegression(C=10.0, max_iter=1000).fit(X, labels).predict(Y)
    return found


def figure(rows: Sequence[Row]) -> Figure:
    """Accuracy over the samples of a class, for the last kind of data: a line for each classifier and step."""
    data = rows[-1]["data"]
    mine = [row for row in rows if row["data"] == data]
    points = []
    for step in dict.fromkeys(row["step"] for row in mine):
        lines = [row for row in mine if row["step"] == step]
        samples = tuple(float(row["samples"]) for row in lines)
        said = "safe step" if step == "safe" else f"η = {step:g}"
        points.append(Points(f"behind ReduNet, {said}", samples, tuple(row["redunet"] for row in lines), joined=True))
    for name, said in (
        ("subspace", "nearest subspace"),
        ("affine", "nearest affine subspace"),
        ("logistic", "logistic"),
    ):
        points.append(Points(said, samples, tuple(row[name] for row in lines), joined=True))
    return Figure(
        title=f"ReduNet and what needs no layers: {data}",
        x_label="labelled tokens of each class",
        y_label="accuracy on tokens held out",
        points=tuple(points),
        x_log=True,
        caption=f"Mean over {mine[0]['draws']} draws of the labelled tokens. ReduNet is built forward from them, "
        "without training; its features go to the nearest subspace.",
    )


def verdict(rows: Sequence[Row]) -> str:
    """Whether the same classifier is better behind the layers than without them, and where they ruin it."""
    said = []
    for data, step in dict.fromkeys((row["data"], row["step"]) for row in rows):
        mine = [row for row in rows if (row["data"], row["step"]) == (data, step)]
        gains = {row["samples"]: row["redunet"] - row["subspace"] for row in mine}
        ruined = [samples for samples, gain in gains.items() if gain < RUIN]
        helped = [samples for samples, gain in gains.items() if gain > 0]
        crowded = max(mine, key=lambda row: row["crowd"])
        last = mine[-1]
        said.append(
            f"{data}, {'safe step' if step == 'safe' else f'step {step:g}'}: the layers change the accuracy of the "
            f"nearest subspace by {min(gains.values()):+.3f} to {max(gains.values()):+.3f}, to the better with "
            f"{_listed(helped)} labelled tokens a class, and ruin it with {_listed(ruined)}; with {last['samples']} "
            f"the rank of a class goes from {last['rank at 0']:.3g} to {last['rank']:.3g}; the largest membership is "
            f"{last['sharp']:.3f} on average and no class is given more than {crowded['crowd']:.0%} of the tokens"
        )
    return ". ".join(said) + "."


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers)) or "no number of"


REDUNET = Experiment(
    name="redunet",
    title="ReduNet without back-propagation",
    question="Does a ReduNet built forward from few labelled tokens classify better than what needs no layers?",
    source="Chan et al. 2022 (arXiv 2105.10446)",
    parameters=Parameters,
    full={"samples": (1, 2, 4, 8, 16, 32, 64, 100), "layers": 200, "draws": 10, "held_out": 700},
    total=total,
    run=run,
    columns=(
        "data",
        "step",
        "samples",
        *CLASSIFIERS,
        "rank at 0",
        "rank",
        "crowd",
    ),
    figure=figure,
    verdict=verdict,
    grid=("data", "steps", "samples"),
)
