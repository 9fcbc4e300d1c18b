"""The decoder of CRATE-MAE: which halves of an encoder can be undone, by what, and how exactly."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from srr import attention, curvature, mixtures, prox, subspace_coding_rate_and_gradient
from srr.layers import crate, crate_autoencoder, crate_decoder, crate_decoder_official, layer_norm, official
from verify import decide
from verify.arrays import to_numpy, unit_roundoff
from verify.case import Case, Instance
from verify.claims._instances import ONE_TOKEN, norm
from verify.claims._sources import BOOK, MAE
from verify.claims._steps import assume_visible, attended, coarseness, heads, inner
from verify.experiments.decoder_inversion import flowed, velocity
from verify.figures import decoder as figures
from verify.ledger import HOLDS, HOLDS_UNDER, REFUTED, Outcome, claim
from verify.outcome import all_of, at_most, decided, equal, exactly

SMALL: dict[str, Any] = {"n": (1, 8), "d": (1, 6), "K": (1, 3), "p": (1, 2)}


def _gradient(m: Instance, Z: Any) -> Any:
    return subspace_coding_rate_and_gradient(Z, m.U, eps=m.eps)[1]


def _rotation(case: Case, d: int) -> Any:
    return case.asarray(np.linalg.qr(case.rng("dictionary").standard_normal((d, d)))[0])


@claim(
    "decoder.written-out",
    title="The decoder layers compute a linear map and then attention with the other sign",
    statement=r"\tilde Z^{\ell+1/2}=\tilde D^\top\tilde Z^\ell\text{ or }A\tilde Z^\ell,\qquad"
    r"\tilde Z^{\ell+1}=\tilde Z^{\ell+1/2}-\kappa\,\mathrm{MSSA}(\tilde Z^{\ell+1/2})",
    source=f"{BOOK}, the chapter on applications; code, model/crate_ae/crate_decoder.py",
    relation="=",
    hypotheses="any tokens, bases, matrices, output matrix, bias, precision and step; less LayerNorm",
    expect=HOLDS,
    twin="attention added",
    instances=80,
)
def written_out(case: Case) -> Outcome:
    """One token after the other in NumPy; nothing of srr on the other side."""
    kind = case.choice("layer", ("paper", "official"))
    n, K, p = case.integer("n", 1, 5), case.integer("K", 1, 3), case.integer("p", 1, 2)
    d, rng = case.integer("d", p, 4), case.rng()
    eps, kappa = case.log_uniform("eps", 0.3, 3.0), case.log_uniform("kappa", 0.1, 1.0)
    shapes = ((n, d), (K, d, p), (d, d), (d, K * p), (d,))
    Z, U, M, W, b = (case.asarray(rng.standard_normal(shape)) for shape in shapes)
    side, matrix = np.hstack(list(to_numpy(U))), to_numpy(M)
    if kind == "paper":
        layer, linear = crate_decoder(U, M, eps=eps, kappa=kappa), matrix
        output, shift, scale = kappa * p / (n * eps**2) * side, np.zeros(d), 1.0
    else:
        layer, linear = crate_decoder_official(U, M, output=W, bias=b), matrix.T
        output, shift, scale = to_numpy(W), to_numpy(b), p**-0.5
    found = layer.sparsify(Z)
    after = to_numpy(found) - case.wrong(1, -1) * (attended(found, U, scale=scale) @ output.T + shift)
    scores = 1 + float(np.max(np.sum(to_numpy(heads(found, U)) ** 2, axis=2)))
    size = scores * norm(found) * (1 + norm(U) * norm(output)) + norm(shift)
    return all_of(
        equal(found, to_numpy(Z) @ linear, size=d, scale=norm(Z) * norm(M)),
        equal(layer.compress(found), after, size=n + d, scale=size),
        equal(layer(Z), layer.compress(found), size=1, scale=size),
    )


# --- compression and its undoing ----------------------------------------------------------------------------


@claim(
    "decoder.exact-round-trip",
    title="An exact step and the step back return the tokens to within h^2 L_c |grad R^c|",
    statement=r"\|(I+h\nabla R^c)\circ(I-h\nabla R^c)(Z)-Z\|_F\le h^2L_c\,\|\nabla R^c(Z)\|_F",
    source=f"{MAE}: the decoder as the flow of the encoder backwards in time; the constant is ours",
    relation="tight",
    hypotheses="any subspaces and tokens, h L_c from 0.01 to 1",
    expect=HOLDS,
    twin="half the constant",
    uses=("curvature.subspace-rate",),
    instances=120,
    figure=figures.round_trip,
)
def exact_round_trip(case: Case) -> Outcome:
    """True: the error is h times the change of the gradient over the step, and the gradient is L_c-Lipschitz. Short
    tokens, for which the gradient is linear, attain it. So the compression half is undone to second order.
    """
    m = case.mixture(**SMALL, scale=(1e-3, 10.0), eps=(0.1, 10.0))
    L = curvature.subspace_rate(m.U, m.n, eps=m.eps)
    h = case.log_uniform("h L_c", 0.01, 1.0) / L
    gradient = _gradient(m, m.Z)
    there = m.Z - h * gradient
    back = there + h * _gradient(m, there)
    allowed = case.wrong(1.0, 0.5) * h**2 * L * norm(gradient)
    return at_most(norm(back - m.Z), allowed, size=m.n + m.d, scale=(1 + h * L) * norm(m.Z) * coarseness(m.Z))


@claim(
    "decoder.attention-round-trip",
    title="Attention added and taken away again returns the tokens to second order in the step",
    statement=r"\|(I-hM)\circ(I+hM)(Z)-Z\|_F=\Theta(h^2),\qquad M=\sum_kU_k\mathrm{SSA}(\cdot|U_k)",
    source=f"{MAE}, its decoder layer; {BOOK}, the chapter on applications",
    relation="limit",
    hypotheses="any subspaces, tokens of norm up to 10; a step h of 0.001 (0.03 in float32) against h/2: four times, "
    "to 30 %",
    expect=HOLDS,
    twin="third order: eight times",
    instances=100,
    figure=figures.round_trip_of_attention,
)
def attention_round_trip(case: Case) -> Outcome:
    """True: the error is h(M(Z + hM(Z)) − M(Z)), and M is smooth. The step of the layer is h = 1, where this says
    little.
    """
    m = case.mixture(**SMALL, scale=(0.1, 2.0))
    h = 1e-3 if case.arrays.dtype != "float32" else 0.03
    case.assume(h * norm(m.Z) ** 2 < 0.1)

    def error(h: float) -> float:
        there = attention.residual_step(m.Z, m.U, step=h)
        return norm(attention.residual_step(there, m.U, step=-h) - m.Z)

    case.assume(error(h) > 1e3 * unit_roundoff(m.Z) * norm(m.Z))
    ratio = error(h) / error(h / 2) / case.wrong(4.0, 8.0)
    return at_most(abs(ratio - 1), 0.3, size=1, scale=1, ratio=ratio)


@claim(
    "decoder.depth-round-trip",
    title="With layers of size T/L the error of encoder and decoder is halved as their depth is doubled",
    statement=r"\big\|(I+h\nabla R^c)^L\circ(I-h\nabla R^c)^L(Z)-Z\big\|_F=\Theta(1/L),\qquad h=T/L",
    source=f"{MAE}: many layers as a flow in time",
    relation="limit",
    hypotheses="any subspaces and tokens, T L_c = 1; 32 layers against 64: half, to 10 %",
    expect=HOLDS,
    twin="a quarter",
    uses=("decoder.exact-round-trip",),
    instances=60,
    figure=figures.round_trip_by_depth,
)
def depth_round_trip(case: Case) -> Outcome:
    """True: Euler's method is of first order, forwards and backwards. Twelve layers are twelve times as exact as one,
    at most, and only if each of them does a twelfth of the work.
    """
    m = case.mixture(**SMALL, scale=(0.1, 10.0), eps=(0.1, 10.0))
    time = curvature.compression_step(m.U, m.n, eps=m.eps)

    def error(depth: int) -> float:
        Z = m.Z
        for sign in (-1, 1):
            for _ in range(depth):
                Z = Z + sign * time / depth * _gradient(m, Z)
        return norm(Z - m.Z)

    errors = error(32), error(64)
    case.assume(errors[1] > 1e4 * unit_roundoff(m.Z) * norm(m.Z))
    ratio = errors[1] / errors[0] / case.wrong(0.5, 0.25)
    return at_most(abs(ratio - 1), 0.1, size=1, scale=1, ratio=ratio)


@claim(
    "decoder.exact-step-is-injective",
    title="The exact step loses nothing of the tokens while it is shorter than 1/L_c",
    statement=r"\|T(Z)-T(W)\|_F\ge(1-\kappa L_c)\,\|Z-W\|_F>0,\quad T=I-\kappa\nabla R^c,\qquad\kappa L_c<1",
    source=f"{MAE}, which takes the encoder to be invertible layer by layer; the condition is ours",
    relation="<=",
    hypotheses="any subspaces, two token sets; outside the condition one token that the step sends to 0",
    expect=HOLDS_UNDER,
    twin="half of kappa L_c",
    uses=("compression.exact-step-descends", "decoder.exact-round-trip"),
    instances=150,
    witness={"kappa L_c": 1.5, "eps": 1.0},
    figure=figures.least_stretch,
)
def exact_step_is_injective(case: Case) -> Outcome:
    """True, the gradient being L_c-Lipschitz; and false between 1/L_c and 2/L_c, where the step still descends. On a
    line z ↦ z − κβz/(1 + βz²) is zero at z = 0 and at βz² = κβ − 1: the layer cannot be undone by any decoder.
    """
    bend = case.uniform("kappa L_c", 0.1, 1.9)
    if not case.condition("kappa L_c", bend, 1):
        eps = case.log_uniform("eps", 0.1, 10.0)
        beta = 1 / eps**2
        Z, U = (case.asarray(np.reshape(a, s)) for a, s in ((math.sqrt((bend - 1) / beta), (1, 1)), (1.0, (1, 1, 1))))
        after = attention.exact_step(Z, U, eps=eps, step=bend / beta)
        return at_most(norm(Z) / 2, norm(after), size=1, scale=norm(Z))
    m = case.mixture(**SMALL, scale=(1e-2, 10.0), eps=(0.1, 10.0))
    L = curvature.subspace_rate(m.U, m.n, eps=m.eps)
    share = case.log_uniform("distance", 1e-3, 1.0)
    W = m.Z + case.asarray(share * norm(m.Z) / math.sqrt(m.n * m.d) * case.rng("other").standard_normal((m.n, m.d)))
    images = [attention.exact_step(tokens, m.U, eps=m.eps, step=bend / L) for tokens in (m.Z, W)]
    least = (1 - case.wrong(bend, bend / 2)) * norm(m.Z - W)
    scale = (1 + bend) * (norm(m.Z) + norm(W)) * coarseness(m.Z)
    return at_most(least, norm(images[0] - images[1]), size=m.n + m.d, scale=scale)


@claim(
    "decoder.minus-attention-expands",
    title="The decoder's attention, taken away, expands what the encoder's compressed",
    statement=r"R^c\big(Z-\mathrm{MSSA}(Z|U_{[K]})\big)\ge R^c(Z)",
    source=f"{MAE} and {BOOK}: the decoder goes along +grad R^c",
    relation="<=",
    hypotheses="orthogonal subspaces; MSSA without its prefactor, or with p^-1/2 as in the code",
    expect=REFUTED,
    twin="the exact step with the other sign, Z + kappa grad R^c, at any length",
    uses=("compression.residual-step-descends", "variants.negative-lowers"),
    instances=120,
    witness=ONE_TOKEN | {"scale of the softmax": "paper"},
)
def minus_attention_expands(case: Case) -> Outcome:
    """False, and nearly always the other way round: as adding attention expands, taking it away compresses. Encoder
    and decoder have exchanged their parts, and only relative to one another do they keep them.
    """
    m = case.mixture(**{**SMALL, "d": 1, "coherence": ("orthogonal",)}, scale=(0.1, 10.0), eps=(0.1, 10.0))
    gradient = _gradient(m, m.Z)
    kind = case.choice("scale of the softmax", ("paper", "code"))
    if case.twin:
        after = m.Z + case.log_uniform("kappa beta", 0.01, 10.0) * (m.n * m.eps**2 / m.p) * gradient
    else:
        scale = 1.0 if kind == "paper" else None
        after = crate_decoder_official(m.U, case.asarray(np.eye(m.d)), scale=scale).compress(m.Z)
    assume_visible(case, abs(inner(gradient, after - m.Z)), m.Z, after, norm(gradient))
    return decided(decide.subspace_rate_change(m.Z, after, m.U, eps=m.eps), ">=")


@claim(
    "decoder.encoder-denoises",
    title="The encoder's attention takes noise off the tokens, as a flow of denoising and diffusion would",
    statement=r"\mathrm{SNR}\big((I+hM)^L(Z)\big)\ge\mathrm{SNR}(Z),\quad h=1/L,"
    r"\qquad M=\sum_kU_k\mathrm{SSA}(\cdot|U_k)",
    source=f"{MAE}: the encoder as structured denoising, the decoder as diffusion",
    relation="monotone",
    hypotheses="two to four orthogonal subspaces that fill the space, fewer tokens in each than its dimension p, "
    "from 4 to 16, noise from 0.05 to 0.3, tokens of norm about one, eps = 0.1; up to four layers",
    expect=REFUTED,
    twin="along the gradient of R^c itself, as far as 1/L_c",
    uses=("decoder.depth-round-trip", "denoising.compression-step-takes-noise"),
    instances=20,
    witness={"K": 2, "p": 4, "tokens": 2, "layers": 1, "noise": 0.1, "seed": 0},
)
def encoder_denoises(case: Case) -> Outcome:
    """False of nine instances in ten: in a head of another subspace attention adds to the noise of a token a mean of
    those that belong there, which is longer. The gradient, with few tokens, takes noise and leaves signal; the decoder
    undoes either. Decided in exact arithmetic, by the share of the squares that lies outside the subspaces of the
    labels. In NumPy whatever the ledger computes with.
    """
    K, p = case.integer("K", 2, 4), case.integer("p", 4, 16)
    each, layers = case.integer("tokens", 2, p - 1), case.integer("layers", 1, 4)
    drawn = mixtures.sample(n=K * each, d=K * p, K=K, p=p, noise=case.uniform("noise", 0.05, 0.3), seed=case.seed())
    Z = drawn.Z / math.sqrt(p)
    along = velocity(case.wrong("attention", "exact"), drawn.U, K * each, eps=0.1)
    encoded = flowed(Z, along, layers=layers, time=1.0)
    return decided(decide.noise_share_change(Z, encoded, drawn.Pi, drawn.U), "<=")


# --- what is not undone -------------------------------------------------------------------------------------


@claim(
    "decoder.printed-transpose",
    title="The decoder's linear half, with the dictionary of the layer that it undoes, gives the tokens back",
    statement=r"\tilde D^\top A=Z\quad\text{where}\quad A=\mathrm{ISTA}(Z\mid D),\ Z=DA,\ \tilde D=D",
    source=f"{BOOK}, the chapter on applications: D-tilde of decoder layer l about D of encoder layer L + 1 - l",
    relation="=",
    hypotheses="orthonormal D, tokens that a code A >= 0 reconstructs, eta = 1, lambda = 0: the best case there is",
    expect=REFUTED,
    twin="the transpose of D in its place",
    uses=("sparsification.orthonormal-one-step",),
    instances=80,
    witness={"n": 1, "d": 3, "seed": 0, "dictionary": 0},
)
def printed_transpose(case: Case) -> Outcome:
    """False: ISTA applies Dᵀ, and Dᵀ once more undoes it for symmetric D only. What gives the tokens back is D
    itself. The code has a free matrix there, which can learn it.
    """
    n, d, rng = case.integer("n", 1, 6), case.integer("d", 1, 6), case.rng()
    D = _rotation(case, d)
    Z = case.asarray(np.maximum(rng.standard_normal((n, d)), 0)) @ D.T
    U = case.asarray(np.eye(d)[None, :, :1])
    encoder = crate(U, D, eps=1.0, eta=1.0, lam=0.0)
    A = encoder.sparsify(Z)
    decoder = case.wrong(crate_decoder(U, D), crate_autoencoder([encoder])[1])
    return equal(decoder.sparsify(A), Z, size=d, scale=norm(Z))


@claim(
    "decoder.ista-is-injective",
    title="The sparsification half can be undone",
    statement=r"\mathrm{ISTA}(Z\mid D)=\mathrm{ISTA}(W\mid D)\ \Longrightarrow\ Z=W",
    source=f"asked here: in {MAE} every half of the encoder has its half in the decoder",
    relation="=",
    hypotheses="orthonormal D; W is Z with the tokens' negative parts Dᵀz made longer",
    expect=REFUTED,
    twin="the linear half of the decoder",
    instances=80,
    witness={"n": 1, "d": 1, "seed": 4, "dictionary": 0, "longer": 2.0},
)
def ista_is_injective(case: Case) -> Outcome:
    """False: the ReLU forgets every negative entry. About half of the entries of signed tokens are lost in each
    layer, LayerNorm making tokens signed again.
    """
    n, d, rng = case.integer("n", 1, 6), case.integer("d", 1, 6), case.rng()
    D = _rotation(case, d)
    A = rng.standard_normal((n, d))
    longer = np.where(A < 0, case.uniform("longer", 1.5, 3.0) * A, A)
    Z, W = (case.asarray(tokens) @ D.T for tokens in (A, longer))
    case.assume(norm(Z - W) > 1e-2 * norm(Z))
    f = case.wrong(lambda tokens: prox.ista_step(tokens, D, step=1.0, lam=0.1), lambda tokens: tokens @ D)
    return at_most(norm(Z - W) / 2, norm(f(Z) - f(W)), size=d, scale=norm(Z) + norm(W))


@claim(
    "decoder.layernorm-is-injective",
    title="LayerNorm can be undone",
    statement=r"\mathrm{LN}(z)=\mathrm{LN}(w)\ \Longrightarrow\ z=w",
    source=f"asked here: the layers of {MAE} begin with it, encoder and decoder alike",
    relation="=",
    hypotheses="whole entries, w = z + c: the mean is taken off without rounding, d a power of two",
    expect=REFUTED,
    twin="LayerNorm together with the mean that it takes off",
    instances=40,
    witness={"log d": 1, "c": 1, "seed": 0},
)
def layernorm_is_injective(case: Case) -> Outcome:
    """False, exactly: w = z + c has the same normed token. Its length is lost as well, but for the 10⁻⁵ under the
    root.
    """
    d, c, rng = 2 ** case.integer("log d", 1, 4), case.integer("c", 1, 9), case.rng()
    z = case.asarray(rng.integers(-9, 10, size=(1, d)).astype(float))
    w = z + c
    same = bool(np.array_equal(to_numpy(layer_norm(z)), to_numpy(layer_norm(w))))
    xp = array_namespace(z)
    return exactly(not (same and case.wrong(True, float(xp.mean(z)) == float(xp.mean(w)))), z=z, w=w)


@claim(
    "decoder.layer-round-trip",
    title="A short encoder layer and its decoder layer return the tokens about as they were",
    statement=r"\|g_h(f_h(Z))-Z\|_F\to0\quad(h\to0),\qquad f_h=\mathrm{ISTA}\circ(I+hM),\ g_h=(I-hM)\circ D",
    source=f"{MAE}: the decoder layer undoes the encoder layer",
    relation="limit",
    hypotheses="orthonormal D, eta = 1, lambda = 0.1, signed tokens; h = 10^-3, error at most 5 %",
    expect=REFUTED,
    twin="the compression halves alone",
    uses=("decoder.attention-round-trip", "decoder.ista-is-injective"),
    instances=60,
    witness=ONE_TOKEN | {"dictionary": 0},
)
def layer_round_trip(case: Case) -> Outcome:
    """False: what the ReLU drops stays dropped however short the step. The inverse is one of the compression; of the
    layer it can be one in distribution only, which is all that the paper claims.
    """
    m = case.mixture(**SMALL, scale=(0.3, 2.0), noise=(0.3, 1.0))
    D = _rotation(case, m.d)
    encoder = crate(m.U, D, rule="conceptual", eps=m.eps, kappa=1e-3, eta=1.0, lam=0.1)
    decoder = crate_autoencoder([encoder])[1]
    back = case.wrong(decoder(encoder(m.Z)), decoder.compress(encoder.compress(m.Z)))
    return at_most(norm(back - m.Z), 0.05 * norm(m.Z), size=m.d, scale=norm(m.Z))


# --- sizes --------------------------------------------------------------------------------------------------

PUBLISHED = {"CRATE-MAE-S": (576, 12, 12, 25.4), "CRATE-MAE-B": (768, 12, 12, 44.6)}
"""d, K, layers of the encoder and as many of the decoder, and millions of parameters as published."""


@claim(
    "decoder.parameters",
    title="The published parameter counts of CRATE-MAE",
    statement=r"\#=2L(3d^2+5d)+(Pd+d)+2d+2(n+1)d+(d^2+d)+4d+(Pd+P),\qquad P=768,\ n=196",
    source=f"{MAE}, as {BOOK} restates its table; code, model/crate_ae",
    relation="=",
    hypotheses="the two published sizes, to the decimal printed",
    expect=HOLDS,
    twin="without the weights that the code makes and never uses",
    instances=20,
)
def parameters(case: Case) -> Outcome:
    """True, counted from the arrays of the layers, with all that the code makes: an embedding d × d in front of the
    decoder, and positions of the encoder, that no forward pass touches (0.7 million in B), and fixed positions. What is
    trained is 25.2 and 44.3 million.
    """
    d, K, depth, published = PUBLISHED[case.choice("model", tuple(PUBLISHED))]
    U, square, bias = map(case.asarray, (np.zeros((K, d, d // K)), np.zeros((d, d)), np.zeros(d)))
    encoder = official(U, square, output=square, bias=bias)
    decoder = crate_autoencoder([encoder])[1]
    halves = (encoder.U, encoder.D, encoder.output, encoder.bias, decoder.U, decoder.A, decoder.output, decoder.bias)
    layers = depth * (sum(math.prod(a.shape) for a in halves) + 8 * d)
    pixels, positions = 768, 197 * d
    unused = d * d + d + positions
    around = (pixels * d + d) + 2 * d + 2 * positions + (d * d + d) + 4 * d + (pixels * d + pixels)
    total = layers + around - case.wrong(0, unused)
    return exactly(round(total / 1e6, 1) == published, total=total, published=published)
