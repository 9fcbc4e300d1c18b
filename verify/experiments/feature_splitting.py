"""Does the splitting of the features of a cluster stop at the dimension of its subspace?"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from verify import sparse_autoencoder
from verify.experiments import ranges
from verify.experiments.experiment import Experiment, Row
from verify.extras import require
from verify.figure import Curve, Figure, Points

METHODS = ("dictionary", "autoencoder")
KINDS = ("gaussian", "laplace", "one-sided", "sparse", "single")
"""Of coefficients of unit variance, or of mean square 1 if one-sided: standard normal; Laplace; exponential; normal and
each there with probability 1/p; normal, exactly one of the p there."""
ACTIVE, FAIR, INSIDE, APART = 1e-3, 0.1, 0.9, 0.95


@dataclass(frozen=True)
class Parameters:
    """What is drawn, and how wide the dictionaries are.

    Attributes
    ----------
    methods : tuple of str
        "dictionary": scikit-learn's mini-batch dictionary learning with signed codes; "autoencoder": a sparse
        autoencoder of rectified units.
    coefficients : tuple of str
        Of gaussian, laplace, one-sided, sparse, single.
    widths : tuple of int
        Features for each subspace that the dictionary has room for.
    K, p, d : int
        Mutually orthogonal subspaces, their dimension, that of the tokens.
    n : int
        Tokens to learn from; as many others to count on.
    lam : float
        Weight of the code's l1 norm beside half the squared error.
    epochs, steps : int
        Of dictionary learning, over the tokens; of the autoencoder, of 256 tokens each.
    seed : int
    """

    methods: tuple[str, ...] = METHODS
    coefficients: tuple[str, ...] = ("gaussian", "laplace", "single")
    widths: tuple[int, ...] = (4, 8, 16)
    K: int = 2
    p: int = 4
    d: int = 8
    n: int = 4096
    lam: float = 0.1
    epochs: int = 4
    steps: int = 6000
    seed: int = 0

    def __post_init__(self) -> None:
        ranges.known(self, methods=METHODS, coefficients=KINDS)
        ranges.least(self, 0, "lam")
        ranges.room(self, apart=True)


def run(given: Parameters) -> Iterator[Row]:
    """A row for each method, law of coefficients and width.

    A feature is *live* if it is active on at least 0.1 % of the tokens and carries at least a tenth of its fair share
    of the whole ‖code‖₁. It is *of* a subspace if that keeps 90 % of the square of its direction. Of features less than
    18° apart (|cos| > 0.95; cos for the autoencoder, whose codes have no sign) only one is counted.
    """
    for kind in given.coefficients:
        rng = _generator(given.seed, KINDS.index(kind))
        U = np.linalg.qr(rng.standard_normal((given.d, given.K * given.p)))[0].T.reshape(given.K, given.p, given.d)
        learn, count = (tokens(kind, given.n, U, rng) for _ in range(2))
        for method, width in product(given.methods, given.widths):
            code, W, again = _learned(method, learn, count, given.K * width, given)
            features = distinct(code, W, U, signed=method == "dictionary")
            error = float(np.sum((count - again) ** 2))
            yield {
                "method": method,
                "coefficients": kind,
                "p": given.p,
                "width": width,
                "features": sum(features) / given.K,
                "least": min(features),
                "most": max(features),
                "active": float(np.count_nonzero(code)) / given.n,
                "error": error / float(np.sum(count**2)),
                "loss": (error / 2 + given.lam * float(np.abs(code).sum())) / given.n,
            }


def total(given: Parameters) -> int:
    """How many rows."""
    return len(given.methods) * len(given.coefficients) * len(given.widths)


def tokens(kind: str, n: int, U: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """n tokens, each in one of the subspaces with bases in the rows of U ``(K, p, d)``."""
    K, p, _ = U.shape
    labels = rng.integers(K, size=n)
    if kind == "gaussian":
        a = rng.standard_normal((n, p))
    elif kind == "laplace":
        a = rng.laplace(scale=np.sqrt(1 / 2), size=(n, p))
    elif kind == "one-sided":
        a = rng.exponential(np.sqrt(1 / 2), size=(n, p))
    elif kind == "sparse":
        a = rng.standard_normal((n, p)) * (rng.random((n, p)) < 1 / p) * np.sqrt(p)
    else:
        a = rng.standard_normal((n, 1)) * np.eye(p)[rng.integers(p, size=n)] * np.sqrt(p)
    return np.einsum("np,npd->nd", a, U[labels])


def distinct(code: np.ndarray, W: np.ndarray, U: np.ndarray, *, signed: bool) -> list[int]:
    """How many distinct live features each subspace has: rows of W ``(m, d)``, with codes ``(n, m)``."""
    W = W / np.linalg.norm(W, axis=1, keepdims=True)
    mass = np.abs(code).sum(axis=0)
    live = (np.mean(code != 0, axis=0) >= ACTIVE) & (mass >= FAIR * mass.mean()) & (mass > 0)
    inside = np.sum((W @ np.swapaxes(U, 1, 2)) ** 2, axis=-1) >= INSIDE
    found = []
    for k in range(len(U)):
        kept: list[np.ndarray] = []
        for i in sorted(np.flatnonzero(live & inside[k]), key=lambda i: -mass[i]):
            near = [W[i] @ other for other in kept]
            if not any(abs(c) > APART if signed else c > APART for c in near):
                kept.append(W[i])
        found.append(len(kept))
    return found


def figure(rows: Sequence[Row]) -> Figure:
    """Features of a subspace over the room for them: a line for each law of coefficients, of the first method."""
    method = rows[0]["method"]
    mine = [row for row in rows if row["method"] == method]
    p, widths = mine[0]["p"], sorted({row["width"] for row in mine})
    stop = bound(mine[0])
    points = []
    for kind in dict.fromkeys(row["coefficients"] for row in mine):
        line = [row for row in mine if row["coefficients"] == kind]
        points.append(Points(kind, [r["width"] for r in line], [r["features"] for r in line], joined=True))
    return Figure(
        title="Features of a subspace in wider and wider dictionaries",
        x_label="room: features of the dictionary per subspace",
        y_label="distinct live features per subspace",
        curves=(
            Curve(f"conjecture: stops at {stop}", widths, [min(w, stop) for w in widths]),
            Curve("all the room is used", widths, widths),
        ),
        points=tuple(points),
        caption=f"Subspaces of dimension p = {p}; {method}; "
        "a line for each law of the coefficients. Directions within 18° count once.",
    )


def bound(row: Row) -> int:
    """Where splitting should stop: at p features, or at 2p where features have one sign and coefficients two."""
    return int(row["p"] * (1 if row["method"] == "dictionary" or row["coefficients"] == "one-sided" else 2))


def verdict(rows: Sequence[Row]) -> str:
    """For which coefficients the widest dictionary has more features than conjectured, and whether it pays."""
    said = []
    for method in dict.fromkeys(row["method"] for row in rows):
        mine = [row for row in rows if row["method"] == method]
        widest = [row for row in mine if row["width"] == max(r["width"] for r in mine)]
        beyond = [row for row in widest if row["most"] > bound(row)]
        within = [row["coefficients"] for row in widest if row["most"] <= bound(row)]
        counts = ", ".join(f"{row['coefficients']} {row['features']:g} > {bound(row)}" for row in beyond)
        pays = ", ".join(row["coefficients"] for row in beyond if row["loss"] < _enough(row, mine))
        parts = [f"goes on beyond the dimension ({counts}), with a lower loss for {pays or 'none'}"] if beyond else []
        parts += [f"stops for {', '.join(within)}"] if within else []
        said.append(f"{method}: splitting {'; '.join(parts)}")
    return ". ".join(said) + "."


def _enough(row: Row, rows: Sequence[Row]) -> float:
    """The loss of the narrowest dictionary with room for as many features as the conjecture allows."""
    same = [other for other in rows if other["coefficients"] == row["coefficients"] and other["width"] >= bound(row)]
    return float(min(same, key=lambda other: other["width"])["loss"])


def _learned(
    method: str, learn: np.ndarray, count: np.ndarray, m: int, given: Parameters
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes of the tokens to count on, the features, and what they make of the codes."""
    if method == "autoencoder":
        model = sparse_autoencoder.train(learn, m, lam=given.lam, steps=given.steps, rate=1e-2, seed=given.seed)
        code = model.code(count)
        return code, model.decode, model.decoded(code)
    require("sklearn", "method dictionary")
    from sklearn.decomposition import MiniBatchDictionaryLearning
    from sklearn.exceptions import ConvergenceWarning

    learner = MiniBatchDictionaryLearning(
        n_components=m,
        alpha=given.lam,
        batch_size=256,
        max_iter=given.epochs,
        tol=0,
        max_no_improvement=None,
        fit_algorithm="cd",
        transform_algorithm="lasso_cd",
        transform_alpha=given.lam,
        random_state=given.seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of coordinate descent; the loss shows what it costs
        code = learner.fit(learn).transform(count)
    return code, learner.components_, code @ learner.components_


def _generator(seed: int, stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(stream,))))


FEATURE_SPLITTING = Experiment(
    name="feature-splitting",
    title="Feature splitting",
    question="Does the splitting of the features of a cluster stop at the dimension of its subspace?",
    source="conjecture; feature splitting: Bricken et al. 2023, Towards Monosemanticity",
    parameters=Parameters,
    full={
        "coefficients": KINDS,
        "widths": (1, 2, 4, 8, 16, 32, 64),
        "K": 4,
        "d": 16,
        "n": 16384,
        "epochs": 10,
        "steps": 30000,
    },
    total=total,
    run=run,
    columns=("method", "coefficients", "p", "width", "features", "least", "most", "active", "error", "loss"),
    figure=figure,
    verdict=verdict,
    grid=("coefficients", "methods", "widths"),
)
