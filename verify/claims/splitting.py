"""Features of dictionaries that grow: whether there is an end to their splitting, and at what number."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace

from srr import prox
from verify.arrays import to_numpy
from verify.case import Case
from verify.claims._instances import norm, rotation
from verify.claims._steps import coarseness
from verify.experiments import feature_splitting
from verify.figures import splitting as figures
from verify.ledger import HOLDS, REFUTED, Outcome, claim
from verify.outcome import all_of, at_most, equal

LASSO = r"F_D(x)=\min_a\lambda\|a\|_1+\tfrac12\|x-Da\|^2"
GAUSSIAN = {"n": 2, "p": 2, "lam": 0.1, "coefficients": "gaussian", "seed": 1, "features of it": 0, "features": "axes"}
"""Two tokens of a plane, and its axes for features."""
SPLITTING = "Bricken et al. 2023, Towards Monosemanticity, on feature splitting"


def _lengths(X: Any) -> np.ndarray:
    return np.linalg.norm(to_numpy(X), axis=1)


def _floor(X: Any, lam: float) -> float:
    # Σ h(‖x‖), h(t) = λt − λ²/2 from t = λ on and t²/2 below: the lasso of tokens that have a feature along each.
    t = _lengths(X)
    return float(np.sum(np.where(t >= lam, lam * t - lam**2 / 2, t**2 / 2)))


def _unit(D: np.ndarray) -> np.ndarray:
    return D / np.linalg.norm(D, axis=0)


def _terms(X: Any, D: Any, code: Any) -> float:
    # The sum of what a lasso adds up, in units of its rounding.
    return (norm(X) + norm(code) * norm(D)) ** 2 * coarseness(X)


def _tokens(case: Case, kind: str, n: int, p: int) -> tuple[Any, Any]:
    # n tokens of one subspace of dimension p in p + 1, and its axes: the coefficients' own directions.
    rng = case.rng()
    U = rotation(rng, p + 1)[:p]
    return case.asarray(feature_splitting.tokens(kind, n, U[None], rng)), case.asarray(U.T)


@claim(
    "splitting.feature-of-its-own",
    title="No dictionary, however wide, codes a token for less than one that has the token's own direction",
    statement=LASSO + r"\ge\min_{s\ge0}\lambda s+\tfrac12(\|x\|-s)^2,\qquad\text{equal if }x/\|x\|\text{ is in }D",
    source="derived; the lasso of sparse autoencoders and of dictionary learning",
    relation="tight",
    hypotheses="any dictionary of unit features, any tokens, codes of both signs or of one",
    expect=HOLDS,
    twin="features twice as long",
    instances=60,
    figure=figures.lasso_by_width,
)
def feature_of_its_own(case: Case) -> Outcome:
    """True: ‖Da‖ ≤ ‖a‖₁, so that the lasso is at least λ‖y‖ + ½‖x − y‖² at y = Da, which is least along x. It is equal
    only if all features in use lie along x, the norm being strictly convex: while some token longer than λ has no
    feature along it, one more lowers the loss.
    """
    n, d, m = case.integer("n", 1, 4), case.integer("d", 1, 4), case.integer("m", 1, 8)
    lam, scale, rng = case.log_uniform("lam", 0.01, 1.0), case.log_uniform("scale", 0.1, 10.0), case.rng()
    one_sign = case.choice("codes", ("of both signs", "of one")) == "of one"
    X = case.asarray(scale * case.entries("X", rng.standard_normal((n, d))))
    lengths = _lengths(X)
    case.assume(lengths.min() > 0)
    D = case.wrong(1.0, 2.0) * _unit(rng.standard_normal((d, m)))
    own = case.asarray(np.concatenate([D, (to_numpy(X) / lengths[:, None]).T], axis=1))
    D = case.asarray(D)
    code = prox.fista(X, D, lam=lam, iterations=100, nonnegative=one_sign)
    along = np.concatenate([np.zeros((n, m)), np.diag(np.maximum(lengths - lam, 0))], axis=1)
    least, size = _floor(X, lam), n * (d + m)
    return all_of(
        at_most(least, prox.lasso(X, D, code, lam=lam), size=size, scale=_terms(X, D, code)),
        equal(prox.lasso(X, own, case.asarray(along), lam=lam), least, size=size, scale=_terms(X, own, along)),
    )


@claim(
    "splitting.one-active-coefficient",
    title="Where one coefficient is active at a time, as many features as dimensions are enough for every token",
    statement=LASSO + r"=\min_{s\ge0}\lambda s+\tfrac12(\|x\|-s)^2\quad\forall x,\qquad "
    r"D=[u_1\dots u_p],\ x=\alpha u_i",
    source=f"the part that is true of the conjecture that splitting stops at the dimension; {SPLITTING}",
    relation="=",
    hypotheses="tokens of a subspace along one of p orthonormal directions each, p from 2 to 4; p features with "
    "codes of both signs, or 2p with codes of one",
    expect=HOLDS,
    twin="normal coefficients, all of them active",
    uses=("splitting.feature-of-its-own", "sparsification.orthonormal-one-step"),
    instances=60,
)
def one_active_coefficient(case: Case) -> Outcome:
    """True: each token has a feature of its own. So no dictionary of any width has a lower loss, and further splitting
    does not pay.
    """
    n, p, lam = case.integer("n", 2, 8), case.integer("p", 2, 4), case.log_uniform("lam", 0.01, 1.0)
    X, D = _tokens(case, case.wrong("single", "gaussian"), n, p)
    one_sign = case.choice("codes", ("of both signs", "of one")) == "of one"
    xp = array_namespace(X)
    D = xp.concat([D, -D], axis=1) if one_sign else D
    code = prox.ista_step(X, D, step=1.0, lam=lam, code=0 * (X @ D), nonnegative=one_sign)
    return equal(prox.lasso(X, D, code, lam=lam), _floor(X, lam), size=n * p, scale=_terms(X, D, code))


@claim(
    "splitting.stops-at-the-dimension",
    title="The splitting of the features of a cluster stops at the dimension of its subspace",
    statement=r"\min_{D\in\mathbb R^{d\times m}}\sum_iF_D(x_i)=\min_{D\in\mathbb R^{d\times p}}\sum_iF_D(x_i),"
    r"\quad m\ge p,\qquad x_i\in S,\ \dim S=p",
    source=f"conjecture; {SPLITTING}",
    relation="<=",
    hypotheses="standard normal or Laplace coefficients, p from 2 to 4, lambda from 0.01 to 0.3; the p features are "
    "any in the subspace, or its axes",
    expect=REFUTED,
    twin="one active coefficient, the axes for features, and a further one in any direction",
    uses=("splitting.feature-of-its-own", "splitting.one-active-coefficient"),
    instances=20,
    witness=GAUSSIAN,
)
def stops_at_the_dimension(case: Case) -> Outcome:
    """False of every law of coefficients with more directions than features: one feature more, along the longest token,
    lowers the sum, whatever the p were. A gain for every width follows, so the number of features is a matter of how
    many there is room for. Both minima are enclosed by a value and its duality gap. Learned dictionaries do as the
    loss says: srr experiment feature-splitting.
    """
    n, p, lam = case.integer("n", 2, 8), case.integer("p", 2, 4), case.log_uniform("lam", 0.01, 0.3)
    X, axes = _tokens(case, case.choice("coefficients", ("gaussian", "laplace")) if not case.twin else "single", n, p)
    rng, lengths = case.rng("features of it"), _lengths(X)
    case.assume(lengths.max() > 2 * lam)
    U, tokens = to_numpy(axes), to_numpy(X)
    if case.twin:
        D, more = U, _unit(rng.standard_normal((p + 1, 1)))
    else:
        D = U if case.choice("features", ("axes", "any")) == "axes" else _unit(U @ rng.standard_normal((p, p)))
        longest = tokens[np.argmax(lengths)][:, None]
        case.assume(np.max(np.abs(_unit(longest).T @ D)) < 0.99)
        more = _unit(longest)
    enclosed = []
    for dictionary in (D, np.concatenate([D, more], axis=1)):
        W = case.asarray(dictionary)
        code = prox.fista(X, W, lam=lam, iterations=400, nonnegative=False)
        value = prox.lasso(X, W, code, lam=lam)
        enclosed.append((value - prox.lasso_gap(X, W, code, lam=lam, nonnegative=False), value, _terms(X, W, code)))
    (narrow, _, scale), (_, wide, other) = enclosed
    return at_most(narrow, wide, size=n * p, scale=scale + other, with_p=float(narrow), with_one_more=float(wide))
