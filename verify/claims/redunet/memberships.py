"""Estimated memberships, and what becomes of the ascent with them."""

from __future__ import annotations

import math

import numpy as np

import srr
from srr.redunet import on_sphere, operators, redunet, soft_memberships
from verify.arrays import to_numpy
from verify.case import Case
from verify.claims._sources import REDUNET
from verify.claims.redunet._labelled import ascends, labelled_tokens
from verify.claims.redunet._layers import never_falls, three_clusters
from verify.decide import partition_rate_reduction_change
from verify.figures import redunet as figures
from verify.ledger import HOLDS, HOLDS_UNDER, REFUTED, Outcome, claim
from verify.outcome import at_most, decided, equal


@claim(
    "redunet.memberships-off-the-classes",
    title="A token that no class explains goes to the larger class",
    statement=r"z\perp Z\ \Longrightarrow\ "
    r"\hat\pi_k(z)=\frac{e^{-\lambda\alpha_k\|z\|}}{\sum_je^{-\lambda\alpha_j\|z\|}}",
    source=f"{REDUNET}, the estimated membership; derived",
    relation="=",
    hypotheses="two classes of different sizes, a unit token orthogonal to all of theirs",
    expect=HOLDS,
    twin="each class alike",
    uses=("redunet.operators-are-bounded",),
    instances=100,
)
def memberships_off_the_classes(case: Case) -> Outcome:
    """There ‖C_kz‖ = α_k‖z‖, and α_k = d/(n_kε²) is larger for the smaller class. So λα_k, which says how hard the
    memberships are, is not the same for all classes.
    """
    small, large = case.choice("sizes", ((1, 2), (1, 3), (2, 3)))
    d, rng = 3, case.rng()
    weight = case.log_uniform("lambda alpha", 0.01, 10.0)
    Z = on_sphere(case.asarray(np.append(rng.standard_normal((small + large, d - 1)), np.zeros((small + large, 1)), 1)))
    Pi = case.asarray(np.repeat(np.eye(2), (small, large), axis=0))
    eps = case.log_uniform("eps", 0.1, 3.0)
    alpha = d / ((small + large) * eps**2)
    C = operators(Z, Pi, eps=eps)[1]
    estimated = soft_memberships(case.asarray(np.eye(d)[-1:]), C, sharpness=weight / alpha)
    logits = -weight * (small + large) / np.array([small, large])
    weights = np.exp(logits - logits.max())
    exact = case.wrong(weights / weights.sum(), np.full(2, 0.5))
    return equal(estimated, exact[None], size=small + large + d, scale=1 + weight * (1 + alpha * (small + large) ** 2))


@claim(
    "redunet.uniform-memberships-contract",
    title="Without memberships the increment shrinks every token, in every direction",
    statement=r"\lambda=0\ \Longrightarrow\ Ez-\hat\sigma(z)=-Az,\quad A=\alpha\Big(\tfrac1K\sum_kM_k-M\Big)\succeq0",
    source=f"the increment of {REDUNET} in the limit of soft memberships; derived",
    relation="<=",
    hypotheses="two or three classes of one size, any tokens",
    expect=HOLDS,
    twin="half of the compressions",
    uses=("redunet.radial-gradients-add-up",),
    instances=100,
    figure=figures.gradients_point_outwards,
)
def uniform_memberships_contract(case: Case) -> Outcome:
    """The harmonic mean of the M_k is at most their mean. All tokens are moved by the one linear map I − ηA, least
    where A is least, and normalised: power iteration, at whose end all lie on one line (`redunet.soft-ascent`).
    """
    K, m, d = case.choice("K, m, d", ((2, 1, 2), (2, 2, 3), (3, 2, 3)))
    eps, rng = case.log_uniform("eps", 0.1, 3.0), case.rng()
    Z = on_sphere(case.asarray(rng.standard_normal((K * m, d))))
    E, C, gamma = operators(Z, case.asarray(np.repeat(np.eye(K), m, axis=0)), eps=eps)
    mean = np.mean(to_numpy(gamma)[:, None, None] * to_numpy(C), axis=0)
    alpha = d / (K * m * eps**2)
    least = np.linalg.eigvalsh(case.wrong(1, 0.5) * mean - to_numpy(E))[0]
    return at_most(case.asarray(np.array(-least)), 0.0, size=K * m + d, scale=alpha * (1 + alpha * K * m))


@claim(
    "redunet.soft-ascent",
    title="With estimated memberships, too, the layers raise the rate reduction, while lambda alpha_k is above six",
    statement=r"\Delta R(Z^{\ell+1}\mid\Pi)\ge\Delta R(Z^\ell\mid\Pi),\quad\ell<100,\qquad\lambda\alpha_k>6",
    source=f"{REDUNET}: the network maximises rate reduction; the condition found here",
    relation="monotone",
    hypotheses="three orthogonal Gaussian clusters in three dimensions, sigma = 0.1, 10 a class; eta alpha = 1/2; "
    "layers that change the tokens by more than rounding could",
    expect=HOLDS_UNDER,
    twin="the layers the other way",
    uses=("redunet.labelled-ascent", "redunet.uniform-memberships-contract"),
    instances=10,
    witness={"seed": 0, "lambda alpha_k": 1.0},
    figure=figures.clusters_become_orthogonal,
)
def soft_ascent(case: Case) -> Outcome:
    """The memberships of separate clusters are those of the labels, up to e^{−λα_k}, once λα_k is above a few. Below,
    ΔR climbs at first; then the common contraction wins, all tokens end on one line, and ΔR falls to nothing. Over
    1000 layers the limit was 2.2 to 2.6 for σ = 0.1, and 3 to 5 for σ = 0.3. Where clusters overlap there is none:
    `redunet.overlapping-clusters-ascend`.
    """
    Z, Pi = three_clusters(case, 10, sigma=0.1)
    softness = case.log_uniform("lambda alpha_k", 0.1, 300.0)
    case.condition("1/(lambda alpha_k)", 1 / softness, 1 / 6)
    eps, alpha = math.sqrt(0.1), 3 / (30 * 0.1)
    eta = case.wrong(0.5, -0.5) / alpha
    if not case.twin:
        return never_falls(case, Z, Pi, layers=100, eps=eps, eta=eta, sharpness=softness / (3 * alpha))
    layer = redunet(Z, Pi, eps=eps, eta=-eta, sharpness=softness / (3 * alpha))
    after = layer.sparsify(2 * Z - layer.compress(Z))
    return decided(partition_rate_reduction_change(Z, after, Pi, eps=eps), ">=")


@claim(
    "redunet.overlapping-clusters-ascend",
    title="Where clusters overlap the layers raise the rate reduction too, once memberships are hard",
    statement=r"\Delta R(Z^{\ell+1}\mid\Pi)\ge\Delta R(Z^\ell\mid\Pi),\quad\ell<60,\qquad\lambda\alpha_k>6",
    source=f"{REDUNET}: the network maximises rate reduction",
    relation="monotone",
    hypotheses="three orthogonal Gaussian clusters in three dimensions, sigma = 0.5, 10 a class; eta alpha = 1/2",
    expect=REFUTED,
    twin="memberships given",
    uses=("redunet.soft-ascent",),
    instances=6,
    witness={"seed": 0, "lambda alpha_k": 25.5},
)
def overlapping_clusters_ascend(case: Case) -> Outcome:
    """False, in half of the runs or more: some layer moves tokens that it takes for those of another class so that
    the labels lose up to 0.006 nats. With a tenth of the step, as with 100 a class, three runs of 500 layers had none.
    """
    Z, Pi = three_clusters(case, 10, sigma=0.5)
    softness, rule = case.log_uniform("lambda alpha_k", 6.0, 300.0), case.wrong("network", "gradient")
    eps, alpha = math.sqrt(0.1), 3 / (30 * 0.1)
    return never_falls(case, Z, Pi, layers=60, rule=rule, eps=eps, eta=0.5 / alpha, sharpness=softness / (3 * alpha))


@claim(
    "redunet.hard-estimates-ascend",
    title="With hard estimated memberships every layer raises the rate reduction of the labels",
    statement=r"\lambda=500:\quad\Delta R(Z^{\ell+1}\mid\Pi)\ge\Delta R(Z^\ell\mid\Pi)",
    source=f"{REDUNET}: the network maximises rate reduction",
    relation="monotone",
    hypotheses="tokens on the sphere, in any direction or near the axes; two classes; lambda = 500, eta = 1/(2 alpha)",
    expect=REFUTED,
    twin="memberships given",
    uses=("redunet.soft-ascent", "redunet.labelled-ascent"),
    instances=60,
    witness={"seed": 4, "n, d": (6, 3), "tokens": "any", "eps": 2.0},
)
def hard_estimates_ascend(case: Case) -> Outcome:
    """False: a token whose class does not explain it best is moved as one of another class, and so are all that lie
    like it. What the layer raises is ΔR of the memberships that it estimates.
    """
    t = labelled_tokens(case)
    step = 0.5 / t.alpha
    return ascends(case, t, redunet(t.Z, t.Pi, rule=case.wrong("network", "gradient"), eps=t.eps, eta=step)(t.Z), step)


@claim(
    "redunet.logged-loss-is-of-the-labels",
    title="The loss that the code logs is the rate reduction of the labels",
    statement=r"\Delta R(Z^{\ell+1}\mid\hat\Pi^\ell)=\Delta R(Z^{\ell+1}\mid\Pi),\qquad"
    r"\hat\Pi^\ell\text{ the class of least }\|C_kz\|",
    source=f"code of {REDUNET}: its trace takes the predicted classes, on the output of the layer",
    relation="=",
    hypotheses="tokens on the sphere, two classes, the network's layer",
    expect=REFUTED,
    twin="where all predictions are right",
    uses=("redunet.hard-estimates-ascend",),
    instances=40,
    witness={"seed": 0, "n, d": (3, 2), "tokens": "any", "eps": 1.0},
)
def logged_loss_is_of_the_labels(case: Case) -> Outcome:
    """False where a token is predicted into another class, and then, as a rule, higher: prediction favours classes
    that compress well.
    """
    t = labelled_tokens(case)
    layer = redunet(t.Z, t.Pi, rule="official", eps=t.eps)
    predicted = np.eye(2)[to_numpy(soft_memberships(t.Z, layer.C)).argmax(axis=1)]
    if case.twin:
        case.assume(np.array_equal(predicted, to_numpy(t.Pi)))
    after = layer(t.Z)
    logged = srr.rate_reduction(after, Pi=case.asarray(predicted), eps=t.eps, method="svd")
    labelled = srr.rate_reduction(after, Pi=t.Pi, eps=t.eps, method="svd")
    return equal(logged, labelled, size=t.n + t.d, scale=1 + float(srr.coding_rate(after, eps=t.eps)))
