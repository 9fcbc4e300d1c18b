"""Features of dictionaries that grow: whether there is an end to their splitting, and at what number."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from srr import prox
from verify.arrays import to_numpy
from verify.case import Case
from verify.claims._instances import norm, rotation
from verify.experiments import feature_splitting
from verify.figures import splitting as figures
from verify.ledger import HOLDS, REFUTED, Outcome, claim
from verify.outcome import all_of, at_most, equal

LASSO = r"F_D(x)=\min_a\lambda\|a\|_1+\tfrac12\|x-Da\|^2"
GAUSSIAN = {"p": 2, "n": 3, "lam": 0.1, "coefficients": "gaussian", "seed": 1, "features of it": 0, "features": "axes"}
"""Three tokens of a plane, and its axes for features."""
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
    # The sum of what a lasso adds up.
    return (norm(X) + norm(code) * norm(D)) ** 2


def _own(X: Any, lam: float) -> tuple[np.ndarray, np.ndarray]:
    # A feature along each token, and the codes that reach the floor with them.
    lengths = _lengths(X)
    return (to_numpy(X) / lengths[:, None]).T, np.diag(np.maximum(lengths - lam, 0))


def _dual(X: Any, D: Any, *, lam: float, nonnegative: bool) -> tuple[Any, float]:
    # Σ F_D(x) from below, and its scale: the better of two dual values, that of the zero code needing no convergence.
    code = prox.fista(X, D, lam=lam, iterations=400, nonnegative=nonnegative)
    duals = [
        prox.lasso(X, D, a, lam=lam) - prox.lasso_gap(X, D, a, lam=lam, nonnegative=nonnegative)
        for a in (code, 0 * code)
    ]
    return max(duals), _terms(X, D, code)


def _directions(X: np.ndarray) -> int:
    # At least so many of the tokens lie along different lines: none is within 5e-5 of one before it.
    Y = X / np.linalg.norm(X, axis=1, keepdims=True)
    return int(np.sum(~np.any(np.tril(np.abs(Y @ Y.T) > 1 - 1e-9, -1), axis=1)))


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
    feature along it, one more lowers the loss. F_D is bounded from below by its dual.
    """
    n, d, m = case.integer("n", 1, 4), case.integer("d", 1, 4), case.integer("m", 1, 8)
    lam, scale, rng = case.log_uniform("lam", 0.01, 1.0), case.log_uniform("scale", 0.1, 10.0), case.rng()
    one_sign = case.choice("codes", ("of both signs", "of one")) == "of one"
    X = case.asarray(scale * case.entries("X", rng.standard_normal((n, d))))
    case.assume(_lengths(X).min() > 0)
    D = case.wrong(1.0, 2.0) * _unit(rng.standard_normal((d, m)))
    features, codes = _own(X, lam)
    own = case.asarray(np.concatenate([D, features], axis=1))
    D = case.asarray(D)
    dual, scale = _dual(X, D, lam=lam, nonnegative=one_sign)
    along = np.concatenate([np.zeros((n, m)), codes], axis=1)
    least, size = _floor(X, lam), n * (d + m)
    return all_of(
        at_most(least, dual, size=size, scale=scale),
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
    r"\quad\|d_j\|=1,\ m\ge p,\qquad x_i\in S,\ \dim S=p",
    source=f"conjecture; {SPLITTING}",
    relation="<=",
    hypotheses="n > p tokens with standard normal or Laplace coefficients, more than p of them longer than lambda and "
    "in pairwise different directions up to sign; p from 2 to 4, lambda from 0.01 to 0.3; unit features, codes of both "
    "signs",
    expect=REFUTED,
    twin="one active coefficient, and the axes for features",
    uses=("splitting.feature-of-its-own", "splitting.one-active-coefficient"),
    instances=20,
    witness=GAUSSIAN,
)
def stops_at_the_dimension(case: Case) -> Outcome:
    """False. For every D the sum is at least Σ h(‖xᵢ‖), what one feature each allows, and equal only if every token
    longer than λ has a feature along it (`splitting.feature-of-its-own`). p features lie along at most p directions, ±d
    being one for codes of both signs. So where tokens longer than λ have more directions than p, every D of p features
    is above that bound, and so is the least of them, unit features being compact; n features, one along each token,
    reach it.

    So much is argued, for every D. Computed are the number of directions, the value of the n features, and that the
    dual of one D of p (the axes, any, or the directions of p tokens) is above the bound. Where values and directions
    disagree the instance is undecided. Learned dictionaries do as the loss says: srr experiment feature-splitting.
    """
    p, lam = case.integer("p", 2, 4), case.log_uniform("lam", 0.01, 0.3)
    n = case.integer("n", p + 1, 8)
    kind = case.choice("coefficients", ("gaussian", "laplace")) if not case.twin else "single"
    X, axes = _tokens(case, kind, n, p)
    rng, lengths, tokens, D = case.rng("features of it"), _lengths(X), to_numpy(X), to_numpy(axes)
    case.assume(lengths.min() > 0)
    directions, floor = _directions(tokens[lengths > lam]), _floor(X, lam)
    if not case.twin:
        case.assume(directions > p)
        features = case.choice("features", ("axes", "any", "tokens"))
        D = {"axes": D, "any": _unit(D @ rng.standard_normal((p, p))), "tokens": _unit(tokens[:p].T)}[features]
    narrow, scale = _dual(X, case.asarray(D), lam=lam, nonnegative=False)
    own, along = (case.asarray(a) for a in _own(X, lam))
    wide, other = prox.lasso(X, own, along, lam=lam), _terms(X, own, along)
    reached = equal(wide, floor, size=n * p, scale=other)
    stops = at_most(narrow, wide, size=n * p, scale=scale + other, with_p=float(narrow), with_n=float(wide))
    agree = reached.holds and stops.holds == (directions <= p)
    return stops if agree else replace(stops, holds=None)
