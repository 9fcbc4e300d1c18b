"""What the code computes is what its formula says: functions of `srr` against the same formula written out in NumPy.

For what has no rational value, or is put together from several functions. Nothing of srr is on the other side but its
arguments.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

import srr
from srr import attention, curvature, denoising, layers, mixtures, prox
from verify.arrays import to_numpy
from verify.case import Case
from verify.claims._instances import bases, memberships, norm, tokens
from verify.claims._sources import N23
from verify.ledger import HOLDS, Outcome, claim
from verify.outcome import all_of, at_most, equal

Array = Any
SMALL: dict[str, Any] = {"sizes": ((1, 2), (2, 1), (3, 2), (2, 4)), "eps": (0.3, 3.0), "scale": (0.1, 3.0)}


def _double(a: Array) -> np.ndarray:
    return to_numpy(a).astype(np.float64)


def _softmax(A: np.ndarray) -> np.ndarray:
    """Over rows."""
    E = np.exp(A - A.max(axis=-1, keepdims=True))
    return E / E.sum(axis=-1, keepdims=True)


def _half_log_det(Y: np.ndarray, constant: float) -> float:
    return float(np.linalg.slogdet(np.eye(Y.shape[1]) + constant * Y.T @ Y)[1]) / 2


def _layer_norm(Z: np.ndarray, scale: np.ndarray, shift: np.ndarray, floor: float = 1e-5) -> np.ndarray:
    centred = Z - Z.mean(axis=1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + floor) * scale + shift


# --- attention and layers -----------------------------------------------------------------------------------


@claim(
    "plain.attention",
    title="ssa, mssa and mssa_official compute the attention of the paper and of its code",
    statement=r"\mathtt{mssa}=\beta\sum_kU_k\,Y_k\,\mathrm{softmax}(Y_k^\top Y_k),\qquad"
    r"\mathtt{mssa\_official}=W\big[Y_k\,\mathrm{softmax}(c\,Y_k^\top Y_k)\big]_k+b1^\top",
    source=f"{N23}, eq. 11, 12 and 115, and model/crate.py of its code",
    relation="=",
    hypotheses="any tokens, bases, output matrix, bias and scale",
    expect=HOLDS,
    twin="the softmax over the other axis",
    instances=50,
)
def attention_written_out(case: Case) -> Outcome:
    """The Gram matrix is symmetric, its softmax is not."""
    rng = case.rng()
    t = tokens(case, rng, **SMALL)
    U = bases(case, rng, t.d)
    K, d, p = U.shape
    W, b = case.asarray(rng.standard_normal((d, K * p))), case.asarray(rng.standard_normal(d))
    c = case.log_uniform("scale of the scores", 0.3, 3.0)
    Y, V = _double(t.Z) @ _double(U), _double(U)
    scores = Y @ Y.swapaxes(1, 2)

    def attended(scale: float) -> np.ndarray:
        S = _softmax(scale * scores)
        return case.wrong(S, S.swapaxes(1, 2)) @ Y

    beta = p / (t.n * t.eps**2)
    joined = attended(c).swapaxes(0, 1).reshape(t.n, K * p)
    scale = (1 + c) * (1 + float(np.max(np.abs(scores)))) * norm(Y)
    sizes = {"size": t.n + t.d + p}
    return all_of(
        equal(attention.ssa(t.Z, U), attended(1), scale=scale, **sizes),
        equal(
            attention.mssa(t.Z, U, eps=t.eps),
            beta * np.sum(attended(1) @ V.swapaxes(1, 2), axis=0),
            scale=beta * scale * norm(V),
            **sizes,
        ),
        equal(
            attention.mssa_official(t.Z, U, output=W, bias=b, scale=c),
            joined @ _double(W).T + _double(b),
            scale=scale * norm(W) + norm(b),
            **sizes,
        ),
    )


@claim(
    "plain.crate-layer",
    title="crate builds the layer of the paper, with each explicit compression rule",
    statement=r"Z^{\ell+\frac12}=\text{the step named, of size }\kappa,\qquad "
    r"Z^{\ell+1}=\mathrm{ReLU}\big(Z^{\ell+\frac12}+\eta D^\top(Z^{\ell+\frac12}-DZ^{\ell+\frac12})-\eta\lambda1\big)",
    source=f"{N23}, eq. 9, 10, 17 and 18",
    relation="=",
    hypotheses="any tokens, bases, dictionary and steps",
    expect=HOLDS,
    twin="D and its transpose exchanged",
    uses=("plain.attention",),
    instances=60,
)
def crate_written_out(case: Case) -> Outcome:
    """The gradient by an explicit inverse, the attention by an explicit softmax."""
    rng = case.rng()
    t = tokens(case, rng, **{**SMALL, "sizes": ((1, 2), (3, 2), (2, 4))})
    U, D = bases(case, rng, t.d), case.asarray(rng.standard_normal((t.d, t.d)))
    rule = case.choice("rule", [rule for rule in layers.RULES if "implicit" not in rule])
    kappa, eta, lam = (case.log_uniform(name, 0.03, 0.3) for name in ("kappa", "eta", "lam"))
    layer = layers.crate(U, D, rule=rule, eps=t.eps, kappa=kappa, eta=eta, lam=lam)
    beta, Z, V = U.shape[2] / (t.n * t.eps**2), _double(t.Z), _double(U)
    half = Z + _update(rule, Z, V, beta, kappa)
    found_half = layer.compress(t.Z)
    growth = 1 + kappa * beta * (1 + beta) * (1 + norm(V) ** 2 * (1 + norm(Z) ** 2)) ** 2
    A, dictionary = _double(found_half), case.wrong(_double(D), _double(D).T)
    end = np.maximum(A + eta * (A - A @ dictionary.T) @ dictionary - eta * lam, 0)
    return all_of(
        equal(found_half, half, size=t.n + t.d, scale=growth * norm(Z)),
        equal(
            layer.sparsify(found_half), end, size=2 * t.d, scale=norm(A) * (1 + eta * (1 + norm(D)) ** 2) + eta * lam
        ),
    )


def _update(rule: str, Z: np.ndarray, U: np.ndarray, beta: float, kappa: float) -> np.ndarray:
    """What each compression rule adds to the tokens."""
    Y, U_T = Z @ U, U.swapaxes(1, 2)
    attended = np.sum(_softmax(Y @ Y.swapaxes(1, 2)) @ Y @ U_T, axis=0)
    gram = beta * Y.swapaxes(1, 2) @ Y
    one = np.eye(U.shape[2])
    match rule:
        case "exact":
            return -kappa * beta * np.sum(Y @ np.linalg.inv(one + gram) @ U_T, axis=0)
        case "neumann":
            return -kappa * beta * np.sum(Y @ (one - gram) @ U_T, axis=0)
        case "derived":
            return kappa * beta * (beta * attended - Z)
        case "residual":
            return kappa * beta * attended
        case "conceptual":
            return kappa * attended
        case _:
            raise ValueError(f"no formula is written out for {rule}")


@claim(
    "plain.official-layer",
    title="PreNorm of official is the layer of the published code",
    statement=r"Z^{\ell+\frac12}=Z+W\big[Y_k\,\mathrm{softmax}(c\,Y_k^\top Y_k)\big]_k+b1^\top,\ "
    r"Y_k=U_k^\top\mathrm{LN}_1(Z),\qquad Z^{\ell+1}=\mathrm{ReLU}\big(\hat Z+\eta D^\top(\hat Z-D\hat Z)"
    r"-\eta\lambda1\big),\ \hat Z=\mathrm{LN}_2(Z^{\ell+\frac12})",
    source=f"model/crate.py of the code of {N23}",
    relation="=",
    hypotheses="any tokens, weights, output matrix, bias and LayerNorm parameters",
    expect=HOLDS,
    twin="the skip carries the normalised tokens",
    uses=("plain.attention",),
    instances=50,
)
def official_layer(case: Case) -> Outcome:
    """LayerNorm with scale and shift, attention with a free output matrix, ISTA without a skip."""
    rng = case.rng()
    n, d = case.choice("n, d", ((1, 2), (3, 2), (2, 4)))
    U = bases(case, rng, d, kinds=("any",))
    K, p = U.shape[0], U.shape[2]
    Z, D, W = (case.asarray(rng.standard_normal(shape)) for shape in ((n, d), (d, d), (d, K * p)))
    b, *norms = (case.asarray(rng.standard_normal(d)) for _ in range(5))
    c, eta, lam = (case.log_uniform(name, 0.03, 1.0) for name in ("scale of the scores", "eta", "lam"))
    first, second = (partial(layers.layer_norm, scale=w, shift=s) for w, s in zip(norms[::2], norms[1::2], strict=True))
    inner = layers.official(U, D, output=W, bias=b, scale=c, eta=eta, lam=lam)
    layer = layers.PreNorm(inner, first, second)

    w1, s1, w2, s2 = map(_double, norms)
    tokens_, dictionary = _double(Z), _double(D)
    N = _layer_norm(tokens_, w1, s1)
    Y = N @ _double(U)
    scores = c * Y @ Y.swapaxes(1, 2)
    joined = (_softmax(scores) @ Y).swapaxes(0, 1).reshape(n, K * p)
    half = case.wrong(tokens_, N) + joined @ _double(W).T + _double(b)
    found_half = layer.compress(Z)
    A = _layer_norm(_double(found_half), w2, s2)
    end = np.maximum(A + eta * (A - A @ dictionary.T) @ dictionary - eta * lam, 0)
    # A token of nearly equal entries is divided by little: LayerNorm then enlarges their rounding.
    steepness = 1 + max(norm(X) / math.sqrt(np.min(X.var(axis=1)) + 1e-5) for X in (tokens_, _double(found_half)))
    scores_size = (1 + float(np.max(np.abs(scores)))) ** 2
    return all_of(
        equal(
            found_half,
            half,
            size=K * p + d + n,
            scale=steepness * scores_size * (1 + norm(N) * norm(U) * norm(W)) + norm(b) + norm(Z),
        ),
        equal(
            layer.sparsify(found_half),
            end,
            size=2 * d,
            scale=steepness * (1 + norm(w2) + norm(A)) * (1 + eta * (1 + norm(D)) ** 2) + eta * lam,
        ),
    )


@claim(
    "plain.layer-norm",
    title="layer_norm takes the mean off every token and divides it by its standard deviation",
    statement=r"\mathrm{LN}(z)=\frac{z-\bar z1}{\sqrt{\frac1d\|z-\bar z1\|^2+\delta}}",
    source="definition; delta is the eps of torch",
    relation="=",
    hypotheses="Gaussian tokens of dimension two to four, delta from 1e-6 to 1",
    expect=HOLDS,
    twin="d - 1 for d",
    instances=50,
)
def layer_norm_written_out(case: Case) -> Outcome:
    """Each row by itself."""
    rng = case.rng()
    n, d = case.integer("n", 1, 4), case.integer("d", 2, 4)
    Z, floor = case.asarray(rng.standard_normal((n, d))), case.log_uniform("floor", 1e-6, 1.0)
    centred = _double(Z) - _double(Z).mean(axis=1, keepdims=True)
    variance = np.sum(centred**2, axis=1, keepdims=True) / (d - case.wrong(0, 1))
    steep = 1 + norm(Z) / math.sqrt(float(np.min(variance)) + floor)
    return equal(layers.layer_norm(Z, floor=floor), centred / np.sqrt(variance + floor), size=d, scale=steep**2)


# --- the objective ------------------------------------------------------------------------------------------


@claim(
    "plain.objective",
    title="SparseRateReduction computes every term of the objective",
    statement=r"R,\ R^c,\ \Delta R=R-R^c,\ \|Z\|_0,\ \|Z\|_1,\ \mathrm{SRR}=\Delta R-\lambda\|Z\|_1,\ "
    r"\mathcal L=-\mathrm{SRR}",
    source=f"{N23}, eq. 1, 7 and 8",
    relation="=",
    hypotheses="any tokens, bases and threshold of ||Z||_0",
    expect=HOLDS,
    twin="eps for eps^2",
    instances=50,
)
def objective_written_out(case: Case) -> Outcome:
    """By determinants, in float64."""
    rng = case.rng()
    t = tokens(case, rng, **SMALL)
    U, lam = bases(case, rng, t.d), case.log_uniform("lam", 0.01, 1.0)
    threshold = case.log_uniform("threshold", 0.01, 1.0)
    objective = srr.SparseRateReduction(U, t.eps, lam)
    Z, square = _double(t.Z), case.wrong(t.eps**2, t.eps)
    rate = _half_log_det(Z, t.d / (t.n * square))
    compression = sum(_half_log_det(Y, U.shape[2] / (t.n * square)) for Y in Z @ _double(U))
    l0, l1 = int(np.sum(np.abs(Z) > threshold)), float(np.sum(np.abs(Z)))
    value = rate - compression - lam * l1
    expected = (rate, compression, rate - compression, l0, l1, value, -value)
    scale = (1 + t.alpha * norm(Z) ** 2) * (1 + norm(U) ** 2) * (1 + U.shape[0]) + l0 + (1 + lam) * l1
    found = (*objective.terms(t.Z, threshold=threshold), objective.value(t.Z), objective.loss(t.Z))
    pairs = zip(found, (*expected, value, -value), strict=True)
    return all_of(*(equal(a, b, size=t.n * t.d, scale=scale) for a, b in pairs))


@claim(
    "plain.rate-reduction",
    title="rate_reduction computes R less the rate within subspaces or classes",
    statement=r"\Delta R=\tfrac12\log\det(I+\alpha ZZ^\top)-R^c,\qquad "
    r"R^c=\sum_k\tfrac12\log\det(I+\beta Y_k^\top Y_k)\ \text{or}\ "
    r"\sum_k\tfrac{n_k}{2n}\log\det\big(I+\tfrac d{n_k\varepsilon^2}Z\Pi_kZ^\top\big)",
    source=f"{N23}, eq. 1",
    relation="=",
    hypotheses="any tokens, bases and memberships",
    expect=HOLDS,
    twin="n + 1 for n",
    instances=50,
)
def rate_reduction_written_out(case: Case) -> Outcome:
    """By determinants, in float64."""
    rng = case.rng()
    t = tokens(case, rng, **SMALL)
    U, Pi = bases(case, rng, t.d), memberships(case, rng, t.n)
    Z, n = _double(t.Z), t.n + case.wrong(0, 1)
    whole = _half_log_det(Z, t.d / (n * t.eps**2))
    within = sum(_half_log_det(Y, U.shape[2] / (n * t.eps**2)) for Y in Z @ _double(U))
    parts = 0.0
    for pi in _double(Pi).T:
        if (size := float(pi.sum())) > 0:
            parts += size / t.n * _half_log_det(np.sqrt(pi)[:, None] * Z, t.d / (size * t.eps**2))
    scale = (1 + t.alpha * norm(Z) ** 2) * (1 + norm(U) ** 2) * (2 + U.shape[0]) * t.n
    return all_of(
        equal(srr.rate_reduction(t.Z, U=U, eps=t.eps), whole - within, size=t.n + t.d, scale=scale),
        equal(srr.rate_reduction(t.Z, Pi=Pi, eps=t.eps), whole - parts, size=t.n + t.d, scale=scale),
    )


@claim(
    "plain.curvature",
    title="The curvature bounds and the step sizes of bases whose overlap is known",
    statement=r"\lambda_{\max}\Big(\sum_kU_kU_k^\top\Big)=m,\qquad L_c=\beta m,\qquad "
    r"s_c=\frac1{L_c},\quad s_R=\frac8\alpha,\quad s=\frac1{L_c+\alpha/8}",
    source="derivations curvature-of-the-compression-rate-from-above and -below, curvature-of-the-smooth-loss",
    relation="=",
    hypotheses="K random axes each, m of which are the same, each axis scaled: d from 1 to 4",
    expect=HOLDS,
    twin="K for m",
    instances=50,
)
def curvature_of_axes(case: Case) -> Outcome:
    """Σ_k U_kU_kᵀ is diagonal there: m is the largest sum of squares on one axis, for which integers are taken."""
    rng = case.rng()
    n, d, K = case.integer("n", 1, 4), case.integer("d", 1, 4), case.integer("K", 1, 4)
    eps = case.log_uniform("eps", 0.1, 10.0)
    axes, lengths = rng.integers(d, size=K), rng.integers(1, 4, size=K).astype(float)
    U = np.zeros((K, d, 1))
    U[np.arange(K), axes, 0] = lengths
    m = float(np.max(np.bincount(axes, weights=lengths**2)))
    case.assume(m != K)  # or the twin would be right
    alpha, beta, m = d / (n * eps**2), 1 / (n * eps**2), case.wrong(m, float(K))
    bases_ = case.asarray(U)
    pairs = [
        (curvature.overlap(bases_), m),
        (curvature.subspace_rate(bases_, n, eps=eps), beta * m),
        (curvature.subspace_rate_bounds(bases_, n, eps=eps)[0], -beta * m / 8),
        (curvature.subspace_rate_bounds(bases_, n, eps=eps)[1], beta * m),
        (curvature.compression_step(bases_, n, eps=eps), 1 / (beta * m)),
        (curvature.loss_step(bases_, n, eps=eps), 1 / (beta * m + alpha / 8)),
        (curvature.expansion(n, d, eps=eps), alpha / 8),
        (curvature.expansion_step(n, d, eps=eps), 8 / alpha),
    ]
    u = case.asarray(np.ones(1))  # the numbers are Python's, the bases of the dtype at hand
    return all_of(*(equal(u * a, u * b, size=d * K, scale=abs(b)) for a, b in pairs))


# --- mixtures -----------------------------------------------------------------------------------------------


@claim(
    "plain.mixture-density",
    title="SubspaceMixture computes density and memberships of a noisy mixture",
    statement=r"q(x)=\sum_k\pi_k\,\mathcal N\big(x;0,U_k\Lambda_kU_k^\top+\sigma^2I\big),\qquad"
    r"\mathtt{memberships}_k=\pi_k\mathcal N_k(x)/q(x)",
    source=f"{N23}, proposition 1",
    relation="=",
    hypotheses="one to three subspaces, any variances, weights and noise",
    expect=HOLDS,
    twin="sigma for sigma^2",
    instances=50,
)
def mixture_density(case: Case) -> Outcome:
    """The covariances are written out, and so are their determinants and inverses."""
    rng = case.rng()
    K, d, p = case.choice("K, d, p", ((1, 1, 1), (2, 2, 1), (3, 3, 2)))
    sigma = case.log_uniform("sigma", 0.3, 3.0)
    U = np.linalg.qr(rng.standard_normal((K, d, p)))[0]
    law = denoising.SubspaceMixture(
        case.asarray(U), case.asarray(10 ** rng.uniform(-1, 1, (K, p))), case.asarray(rng.uniform(0.1, 1, K))
    )
    X = case.asarray(2 * rng.standard_normal((4, d)))
    x, weights = _double(X), _double(law.weights) / _double(law.weights).sum()
    covariances = (_double(law.U) * _double(law.variances)[:, None, :]) @ _double(law.U).swapaxes(1, 2)
    covariances = covariances + case.wrong(sigma**2, sigma) * np.eye(d)
    square = np.einsum("ni,kij,nj->nk", x, np.linalg.inv(covariances), x)
    logits = np.log(weights) - (square + np.linalg.slogdet(2 * np.pi * covariances)[1]) / 2
    total = np.logaddexp.reduce(logits, axis=1)
    scale = (1 + float(np.max(np.abs(logits)))) * (1 + 10 / sigma**2)
    return all_of(
        equal(law.log_density(X, noise=sigma), total, size=d + K, scale=scale),
        equal(law.memberships(X, noise=sigma), np.exp(logits - total[:, None]), size=d + K, scale=scale),
    )


@claim(
    "plain.mixture-tokens",
    title="sample draws tokens of the mixture it says, and draw(0) gives them again",
    statement=r"z_i\in\mathrm{span}\,U_{s_i},\qquad \tfrac1{n_k}\sum_{s_i=k}U_k^\top z_iz_i^\top U_k\to\Lambda_k",
    source="definition",
    relation="limit",
    hypotheses="no noise, 2,000 tokens, orthogonal and random subspaces, spectra from 1/4 to 4; a mean of squares "
    "within 7 of its standard deviations",
    expect=HOLDS,
    twin="standard deviations for variances",
    instances=20,
)
def mixture_tokens(case: Case) -> Outcome:
    """A mean of m squares of N(0, v) has standard deviation v √(2/m)."""
    n, K, p, d = 2000, 2, 2, 5
    spectrum = [[case.log_uniform(f"variance {k}{i}", 0.25, 4.0) for i in range(p)] for k in range(K)]
    case.assume(max(abs(math.log(v)) for row in spectrum for v in row) > 1)  # where v and √v are far enough apart
    kind, seed = case.choice("coherence", ("orthogonal", "random")), case.seed()
    like = case.asarray(np.zeros(1))
    mixture = mixtures.sample(n=n, d=d, K=K, p=p, spectrum=spectrum, coherence=kind, seed=seed, like=like)
    Z, U, labels = _double(mixture.Z), _double(mixture.U), to_numpy(mixture.labels)
    outcomes = [
        equal(mixture.draw(0).Z, mixture.Z, size=1, scale=norm(mixture.Z)),
        equal(mixture.draw(0).U, mixture.U, size=1, scale=1.0),
        equal(mixture.draw(3).Z, list(mixture.draws(3))[2], size=1, scale=norm(mixture.Z)),
    ]
    for k in range(K):
        mine = Z[labels == k]
        code = mine @ U[k]
        outcomes.append(equal(like * 0 + norm(code @ U[k].T - mine), np.zeros(1), size=d * n, scale=norm(mine)))
        variances = np.array(spectrum[k]) if not case.twin else np.sqrt(spectrum[k])
        off = np.abs((code**2).mean(axis=0) - variances) / (variances * math.sqrt(2 / len(mine)))
        outcomes.append(at_most(float(np.max(off)), 7.0, size=1, scale=0.0))
    return all_of(*outcomes)


@claim(
    "plain.principal-angles",
    title="principal_angles and coherence of subspaces that were put at known angles",
    statement=r"U_2=U_1\cos\theta+V\sin\theta,\ U_1^\top V=0:\qquad \mathtt{principal\_angles}=\theta,\ "
    r"\mathtt{coherence}=\cos\min_i\theta_i",
    source="definition",
    relation="=",
    hypotheses="two subspaces of dimension two, angles from 0.1 to 1.4",
    expect=HOLDS,
    twin="sine for cosine",
    instances=50,
)
def principal_angles_known(case: Case) -> Outcome:
    """In random position."""
    rng = case.rng()
    theta = np.sort([case.uniform(name, 0.1, 1.4) for name in ("first angle", "second angle")])
    case.assume(abs(theta[0] - math.pi / 4) > 0.01)  # where sine and cosine are the same
    Q = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    U = case.asarray(np.stack([Q[:, :2], Q[:, :2] * np.cos(theta) + Q[:, 2:4] * np.sin(theta)]))
    nearest = case.wrong(math.cos(theta[0]), math.sin(theta[0]))
    return all_of(
        equal(mixtures.principal_angles(U)[0, 1, ...], theta, size=5, scale=1.0),
        equal(mixtures.coherence(U), nearest, size=5, scale=1.0),
    )


# --- sparse coding ------------------------------------------------------------------------------------------


@claim(
    "plain.lasso-optimum",
    title="fista ends at the least lasso, and lasso_gap is primal less dual",
    statement=r"\mathrm{gap}(A)=F(A)-\Big(\tfrac12\|z\|^2-\tfrac12\|z-sr\|^2\Big),\ r=z-Da,\quad"
    r"\mathrm{gap}(\mathtt{fista})\to0",
    source="definition; the dual point s r is the best feasible multiple of the residual",
    relation="limit",
    hypotheses="one token, well-conditioned square dictionaries, 300 steps; gaps at random codes A >= 0",
    expect=HOLDS,
    twin="the dictionary transposed in the gap",
    uses=("code.lasso",),
    instances=40,
)
def lasso_optimum(case: Case) -> Outcome:
    """The least lasso is certified by its gap, which is recomputed as a difference, in float64."""
    rng = case.rng()
    d = case.integer("d", 2, 4)
    D = case.asarray(np.linalg.qr(rng.standard_normal((d, d)))[0] @ np.diag(rng.uniform(0.5, 1.5, d)))
    z, lam = case.asarray(rng.standard_normal((1, d))), case.log_uniform("lam", 0.05, 0.5)
    code = case.asarray(np.abs(rng.standard_normal((1, d))))
    best = prox.fista(z, D, lam=lam, iterations=300)

    def gap(A: Array) -> float:
        atoms = case.wrong(_double(D), _double(D).T)
        a, token = _double(A)[0], _double(z)[0]
        r = token - atoms @ a
        s = token @ r / max(r @ r, 1e-300)
        if (steepest := float(np.max(atoms.T @ r))) > 0:
            s = min(s, lam / steepest)
        s = max(s, 0.0)
        dual = (token @ token - (token - s * r) @ (token - s * r)) / 2
        return float(r @ r / 2 + lam * np.sum(np.abs(a)) - dual)

    scale = 4 * (1 + norm(D)) ** 2 * (norm(z) + norm(code)) ** 2 + lam * norm(code)
    one = case.asarray(np.ones(1))
    return all_of(
        equal(prox.lasso_gap(z, D, code, lam=lam), gap(code), size=4 * d, scale=scale),
        at_most(one * gap(best), one * 0, size=40 * d, scale=scale),
    )
