"""ReduNet's operators, and the increment that they make."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from array_api_compat import array_namespace
from flint import fmpq, fmpq_mat

from srr import flops
from srr.redunet import class_subspaces, nearest_subspace, on_sphere, operators, parameters, redunet
from srr.redunet_fourier import shift_invariant_redunet
from verify import derivatives
from verify.arrays import to_numpy
from verify.case import Case
from verify.claims._instances import direction, memberships, norm, rotation, tokens
from verify.claims._sources import BOOK, REDUNET
from verify.claims.redunet._labelled import labelled_tokens
from verify.claims.redunet._signals import labelled_signals
from verify.figures import redunet as figures
from verify.ledger import HOLDS, REFUTED, Outcome, claim
from verify.multiplications import multiplications
from verify.outcome import all_of, at_most, equal, exactly


@claim(
    "redunet.onto-the-sphere",
    title="The second half divides every token, and every signal with all its channels, by its norm",
    statement=r"\mathcal P_{\mathbb S}(z_i)=\frac{z_i}{\|z_i\|}",
    source=f"{REDUNET}, the normalisation of its layers; code: a norm of at least 1e-8",
    relation="=",
    hypotheses="tokens in two classes; signals of one and two channels, on a cycle or a torus; of norm 0.01 to 100",
    expect=HOLDS,
    twin="by half of it",
    instances=60,
)
def onto_the_sphere(case: Case) -> Outcome:
    """Of the layers of both forms."""
    scale = case.log_uniform("norm", 0.01, 100.0)
    form = case.choice("form", ("tokens", "signals"))
    t = labelled_tokens(case) if form == "tokens" else labelled_signals(case)
    drawn = scale * case.rng("divided").standard_normal(t.Z.shape)
    norms = np.sqrt(np.sum(drawn**2, axis=tuple(range(1, drawn.ndim)), keepdims=True))
    layer = (redunet if form == "tokens" else shift_invariant_redunet)(t.Z, t.Pi, eps=t.eps)
    return equal(layer.sparsify(case.asarray(drawn)), case.wrong(1, 2) * drawn / norms, size=drawn.size, scale=1.0)


@claim(
    "redunet.subspaces-written-out",
    title="Features are classified by the leading directions of each class, of which the nearest keeps most",
    statement=r"U_kU_k^\top=\text{the projector on }p\text{ leading eigenvectors of }Z_kZ_k^\top,\qquad"
    r"\hat k(z)=\arg\max_k\|U_k^\top z\|",
    source=f"{REDUNET}, its nearest subspace classifier",
    relation="=",
    hypotheses="hard memberships in two classes of 4 tokens, p = 1 or 2 of 3 dimensions; singular values apart",
    expect=HOLDS,
    twin="the last directions",
    instances=60,
)
def subspaces_written_out(case: Case) -> Outcome:
    """Against singular value decompositions class by class, in NumPy. A basis itself is determined to signs only."""
    p, Z = case.integer("p", 1, 2), case.asarray(case.rng().standard_normal((8, 3)))
    Pi, tokens = np.eye(2)[np.arange(8) % 2], to_numpy(Z)
    values, vectors = np.linalg.svd(np.stack([tokens[Pi[:, k] > 0] for k in range(2)]))[1:]
    case.assume(np.min(values[:, :-1] - values[:, 1:]) > 0.05)
    kept = vectors[:, -p:] if case.twin else vectors[:, :p]
    projectors = kept.swapaxes(1, 2) @ kept
    U = class_subspaces(Z, case.asarray(Pi), p)
    found = to_numpy(U) @ to_numpy(U).swapaxes(1, 2)
    shares = np.linalg.norm(tokens @ projectors, axis=2)
    nearest = nearest_subspace(Z, case.asarray(kept.swapaxes(1, 2)))
    case.assume(np.abs(shares[0] - shares[1]).min() > 1e-3)
    return all_of(
        equal(case.asarray(found), projectors, size=3, scale=1 + np.max(values) ** 2 / 0.05**2),
        exactly(np.array_equal(to_numpy(nearest), np.argmax(shares, axis=0))),
    )


@claim(
    "redunet.cost",
    title="What a layer stores, and what its matrix products cost",
    statement=r"\#\text{numbers}=(K+1)d^2+K,\qquad\#\text{multiplications}=(K+1)nd^2",
    source=f"{REDUNET}: E, C_k and the shares; counted here",
    relation="=",
    hypotheses="up to ten tokens in two or three classes, counted while the first half runs",
    expect=HOLDS,
    twin="without E",
    instances=30,
)
def cost(case: Case) -> Outcome:
    """E and K matrices C_k, each applied to every token. In NumPy whatever the ledger computes with."""
    n, d, K = case.integer("n", 3, 10), case.integer("d", 1, 6), case.integer("K", 2, 3)
    Z = on_sphere(case.rng().standard_normal((n, d)))
    layer = redunet(Z, np.eye(K)[np.arange(n) % K], eps=1.0)
    stored = sum(math.prod(a.shape) for a in (layer.E, layer.C, layer.gamma))
    counted, matrices = multiplications(layer.compress, Z), K + case.wrong(1, 0)
    claimed = (matrices * d**2 + K, matrices * n * d**2)
    stated = parameters(d, K), flops.of_layer(layer, n) // 2
    return exactly((stored, counted) == claimed == stated, stored=stored, counted=counted)


def _increment(case: Case, shares: str) -> Outcome:
    # The increment along a direction against the exact derivative of ΔR, with the shares γ_k of that name.
    rng = case.rng()
    t = tokens(case, rng, sizes=((2, 1), (3, 3), (2, 4), (5, 3)))
    Pi, H = memberships(case, rng, t.n, K=(2,)), direction(rng, (t.n, t.d))
    case.assume(to_numpy(Pi).sum(axis=0).min() > 0)
    E, C, gamma = operators(t.Z, Pi, eps=t.eps)
    gamma = {"n_k/n": gamma, "1": gamma / gamma, "n_k/d": gamma * t.n / t.d}[shares]
    xp = array_namespace(E)
    by_class = xp.matmul(t.Z[None, ...], C) * (gamma[:, None] * xp.matrix_transpose(Pi))[..., None]
    along = xp.sum((xp.matmul(t.Z, E) - xp.sum(by_class, axis=0)) * case.asarray(H))
    exact = derivatives.rate_along(t.Z, H, eps=t.eps).first
    exact -= derivatives.partition_rate_along(t.Z, H, Pi, eps=t.eps).first
    # A Cholesky factor of I + αZᵀZ is that of a matrix off by u times its norm.
    conditioned = 1 + t.alpha * norm(t.Z) ** 2 / float(xp.min(gamma) if shares == "n_k/n" else 1 / t.n)
    return equal(along, float(exact), size=t.n + t.d, scale=t.alpha * norm(t.Z) * np.linalg.norm(H) * conditioned)


@claim(
    "redunet.increment-is-the-gradient",
    title="ReduNet's increment with given memberships is the gradient of the rate reduction",
    statement=r"EZ-\sum_k\gamma_kC_kZ\Pi_k=\nabla_Z\Delta R(Z\mid\Pi),\qquad E=\alpha(I+\alpha ZZ^\top)^{-1},\ "
    r"C_k=\alpha_k(I+\alpha_kZ\Pi_kZ^\top)^{-1},\ \gamma_k=\tfrac{n_k}n",
    source=f"{REDUNET}, the layer of true labels",
    relation="=",
    hypotheses="any Z, hard or soft memberships in two classes",
    expect=HOLDS,
    twin="without the shares gamma_k",
    proof=("gradient-of-the-rate-reduction",),
    derivations=("redunet-operators-are-the-gradient",),
    uses=("rates.gradient", "rates.gradient-partition"),
    instances=60,
)
def increment_is_the_gradient(case: Case) -> Outcome:
    """γ_k α_k = α. Along a direction, against the exact derivative."""
    return _increment(case, case.wrong("n_k/n", "1"))


@claim(
    "redunet.shares-of-the-book",
    title="The shares that the book's algorithm prints, n_k over the dimension, give the gradient",
    statement=r"EZ-\sum_k\gamma_kC_kZ\Pi_k=\nabla_Z\Delta R(Z\mid\Pi),\qquad\gamma_k=\frac{\mathrm{tr}\,\Pi_k}{d}",
    source=f"{BOOK}, algorithm of ReduNet's layers",
    relation="=",
    hypotheses="any Z, hard or soft memberships in two classes",
    expect=REFUTED,
    twin="n_k over the number of tokens",
    derivations=("gradient-of-the-rate-reduction",),
    uses=("redunet.increment-is-the-gradient",),
    instances=60,
    witness={"seed": 2, "n, d": (2, 1), "eps": 1.0, "scale": 1.0, "rank": "full", "K": 2, "memberships": "hard"},
)
def shares_of_the_book(case: Case) -> Outcome:
    """False: a misprint, which counts where there are more or fewer tokens than dimensions. The code has n_k/n."""
    return _increment(case, case.wrong("n_k/d", "n_k/n"))


@claim(
    "redunet.expansion-is-a-regression-residual",
    title="E z is alpha times what a ridge regression of z on the tokens leaves over",
    statement=r"Ez=\alpha(z-Zq^*),\qquad q^*=\arg\min_q\ \alpha\|z-Zq\|^2+\|q\|^2",
    source=f"{REDUNET}, remark on regression",
    relation="=",
    hypotheses="any Z and z; q* in rational arithmetic",
    expect=HOLDS,
    twin="a penalty twice as heavy",
    proof=("redunet-expansion-is-a-regression-residual", "redunet-regression-minimum"),
    instances=100,
)
def expansion_is_a_regression_residual(case: Case) -> Outcome:
    """q* solves (I + αZᵀZ) q = αZᵀz, by Woodbury."""
    rng = case.rng()
    t = tokens(case, rng)
    z = direction(rng, (1, t.d))
    E = operators(t.Z, case.asarray(np.ones((t.n, 1))), eps=t.eps)[0]
    Z, alpha = derivatives.rational(to_numpy(t.Z)), fmpq(t.d, t.n) / fmpq(*t.eps.as_integer_ratio()) ** 2
    gram = Z * Z.transpose() * alpha + fmpq_mat(
        t.n, t.n, [int(i == j) * case.wrong(1, 2) for i in range(t.n) for j in range(t.n)]
    )
    best = gram.solve(Z * derivatives.rational(z.T) * alpha)
    left = (derivatives.rational(z.T) - Z.transpose() * best) * alpha
    exact = np.array([[float(Fraction(int(x.p), int(x.q))) for x in left.entries()]])
    computed = array_namespace(E).matmul(case.asarray(z), E)
    scale = t.alpha * np.linalg.norm(z) * (1 + t.alpha * norm(t.Z) ** 2)
    return equal(computed, exact, size=t.n + t.d, scale=scale)


@claim(
    "redunet.operators-are-bounded",
    title="E lies between zero and alpha, C_k between zero and alpha_k",
    statement=r"0\preceq E\preceq\alpha I,\qquad0\preceq C_k\preceq\alpha_kI,\qquad\alpha_k=\frac{d}{n_k\varepsilon^2}",
    source=f"{REDUNET}, the operators",
    relation="<=",
    hypotheses="any Z, hard or soft memberships in two classes",
    expect=HOLDS,
    twin="C_k at most alpha",
    proof=("redunet-expansion-is-positive", "redunet-expansion-is-at-most-alpha"),
    uses=("redunet.increment-is-the-gradient",),
    instances=100,
    figure=figures.eigenvalues_of_the_operators,
)
def operators_are_bounded(case: Case) -> Outcome:
    """Inverses of I and a Gram matrix; C_k is E of the tokens times the roots of their memberships, at α_k. It reaches
    α_k in every direction that class k leaves free.
    """
    rng = case.rng()
    t = tokens(case, rng, sizes=((2, 1), (3, 3), (2, 4), (5, 3)))
    Pi = memberships(case, rng, t.n, K=(2,))
    case.assume(to_numpy(Pi).sum(axis=0).min() > 0)
    E, C, gamma = operators(t.Z, Pi, eps=t.eps)
    xp = array_namespace(E)
    ends = (xp.linalg.eigvalsh(E) / t.alpha, case.wrong(gamma[:, None], 1.0) * xp.linalg.eigvalsh(C) / t.alpha)
    conditioned = 1 + t.alpha * norm(t.Z) ** 2 / float(xp.min(gamma))
    return all_of(*(at_most(xp.abs(x - 0.5), 0.5, size=t.n + t.d, scale=conditioned) for x in ends))


@claim(
    "redunet.rotation-equivariance",
    title="A layer built from rotated tokens is the layer, rotated",
    statement=r"f_{QZ}(QX)=Q\,f_Z(X),\qquad Q^\top Q=I",
    source=f"{REDUNET}; derived",
    relation="=",
    hypotheses="any tokens Z on the sphere, any held-out tokens X, the network's layer",
    expect=HOLDS,
    twin="Q twice a rotation",
    uses=("redunet.operators-are-bounded",),
    instances=100,
)
def rotation_equivariance(case: Case) -> Outcome:
    """E and C_k of QZ are QEQᵀ and QC_kQᵀ, and a norm does not see Q."""
    t = labelled_tokens(case)
    case.assume(t.alpha < 100)  # λ α_k ‖z‖ is what rounding acts on in the memberships
    rng = case.rng("rotation")
    Q, X = case.wrong(1, 2) * rotation(rng, t.d), rng.standard_normal((3, t.d))
    Q, X = map(case.asarray, (Q, X))
    there = redunet(t.Z @ Q, t.Pi, eps=t.eps, sharpness=1.0)(X @ Q)
    here = redunet(t.Z, t.Pi, eps=t.eps, sharpness=1.0)(X) @ Q
    scale = (1 + t.alpha * t.n) * t.n * t.alpha * (1 + norm(X)) + 1
    return equal(there, here, size=t.n + t.d, scale=scale)
