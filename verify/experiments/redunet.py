"""What does a ReduNet, built forward without back-propagation, add to classifiers that need no layers?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

import srr
from srr.redunet import class_subspaces, construct, nearest_subspace, on_sphere, operators, soft_memberships
from verify.experiments.experiment import Experiment, Row
from verify.figure import Figure, Points

CLASSIFIERS = ("redunet", "estimated", "subspace", "affine", "logistic")
"""The nearest subspace of ReduNet's features, the memberships that its next layer would estimate, the nearest subspace of
the tokens, the nearest affine subspace (means and principal directions of the classes), logistic regression."""
ENERGY = 0.95


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
    eps, eta, sharpness : float
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
    eps: float = 0.5
    eta: float = 0.5
    sharpness: float = 500.0
    draws: int = 2
    seed: int = 0


def run(given: Parameters) -> Iterator[Row]:
    """A row for each kind of data and number of samples, averaged over draws.

    "rank" is how many directions hold 95 % of the energy of a class of the labelled features, the mean over classes,
    "rank at 0" that of the tokens; "sharp" is the mean of the largest estimated membership of a token held out, "crowd"
    the share of these tokens that the most popular class gets.
    """
    for data in given.data:
        for samples in given.samples:
            each = [_measured(given, data, samples, given.seed + draw) for draw in range(given.draws)]
            means = {name: float(np.mean([one[name] for one in each])) for name in each[0]}
            yield {"data": data, "samples": samples, "draws": given.draws, **means}


def total(given: Parameters) -> int:
    """How many rows."""
    return len(given.data) * len(given.samples)


def _measured(given: Parameters, data: str, samples: int, seed: int) -> dict[str, float]:
    X, labels, Y, true = _drawn(given, data, samples, seed)
    Pi, p = np.eye(labels.max() + 1)[labels], min(given.p, samples)
    Z, held_out = X, Y
    network = {"rule": given.rule, "eps": given.eps, "eta": given.eta, "sharpness": given.sharpness}
    for layer, features in construct(X, Pi, layers=given.layers, **network):  # type: ignore[arg-type]
        Z, for_any = features, layer if given.rule != "gradient" else replace(layer, rule="network")
        held_out = for_any(held_out)
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
        mixture = srr.mixtures.sample(n=given.K * samples, seed=seed, **sizes)  # type: ignore[arg-type]
        other = srr.mixtures.sample(n=given.held_out, seed=seed, **sizes).draw(1)  # type: ignore[arg-type]
        return on_sphere(mixture.Z), mixture.labels, on_sphere(other.Z), other.labels
    if data != "digits":
        raise ValueError(f"data must be of mixture, digits, got {data!r}")
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise ValueError("data digits needs scikit-learn: pip install 'srr[data]'") from None
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
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        raise ValueError("logistic regression needs scikit-learn: pip install 'srr[data]'") from None
    found: np.ndarray = LogisticRegression(C=10.0, max_iter=1000).fit(X, labels).predict(Y)
    return found


def figure(rows: Sequence[Row]) -> Figure:
    """Accuracy over the samples of a class, for the last kind of data: a line for each classifier."""
    data = rows[-1]["data"]
    mine = [row for row in rows if row["data"] == data]
    names = {
        "redunet": "ReduNet, nearest subspace",
        "estimated": "ReduNet, memberships",
        "subspace": "nearest subspace",
        "affine": "nearest affine subspace",
        "logistic": "logistic regression",
    }
    samples = tuple(float(row["samples"]) for row in mine)
    return Figure(
        title=f"ReduNet and what needs no layers: {data}",
        x_label="labelled tokens of each class",
        y_label="accuracy on tokens held out",
        points=tuple(Points(names[name], samples, tuple(row[name] for row in mine), joined=True) for name in CLASSIFIERS),
        x_log=True,
        caption=f"Mean over {mine[0]['draws']} draws of the labelled tokens; ReduNet is built forward from them, without "
        "training.",
    )


def verdict(rows: Sequence[Row]) -> str:
    """Whether the layers classify better than the same classifier without them, and than the others."""
    said = []
    for data in dict.fromkeys(row["data"] for row in rows):
        mine = [row for row in rows if row["data"] == data]
        gains = [row["redunet"] - row["subspace"] for row in mine]
        best = sum(row["redunet"] >= max(row[name] for name in CLASSIFIERS) for row in mine)
        last = mine[-1]
        crowded = [row["samples"] for row in mine if row["crowd"] > 2 * min(row["crowd"] for row in mine)]
        word = "better" if min(gains) >= 0 < max(gains) else "worse" if max(gains) <= 0 > min(gains) else "no better"
        if min(gains) < 0 < max(gains):
            word = "sometimes better, sometimes worse"
        said.append(
            f"{data}: the nearest subspace classifies {word} behind ReduNet than without it ({min(gains):+.3f} to "
            f"{max(gains):+.3f}); ReduNet is the best of all for {best} of {len(mine)} numbers of samples; with "
            f"{last['samples']} the rank of a class goes from {last['rank at 0']:.3g} to {last['rank']:.3g} and the "
            f"largest membership is {last['sharp']:.3f} on average"
            + (f"; memberships crowd into one class with {', '.join(map(str, crowded))}" if crowded else "")
        )
    return ". ".join(said) + "."


REDUNET = Experiment(
    name="redunet",
    title="ReduNet without back-propagation",
    question="Does a ReduNet built forward from few labelled tokens classify better than what needs no layers?",
    source="Chan et al. 2022 (arXiv 2105.10446)",
    parameters=Parameters,
    full={"samples": (1, 2, 4, 8, 16, 32, 64, 100), "layers": 200, "draws": 10, "held_out": 700},
    total=total,
    run=run,
    columns=("data", "samples", *CLASSIFIERS, "reduction at 0", "reduction", "rank at 0", "rank", "sharp", "crowd"),
    figure=figure,
    verdict=verdict,
)
