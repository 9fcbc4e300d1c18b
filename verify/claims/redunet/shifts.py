"""The shift-invariant form, and its evaluation by Fourier transform."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from flint import fmpq, fmpq_mat

import srr
from srr.redunet import redunet
from srr.redunet_fourier import (
    all_shifts,
    shift_invariant_operators,
    shift_invariant_rate_reduction,
    shift_invariant_redunet,
)
from verify import derivatives
from verify.arrays import to_numpy
from verify.case import Case
from verify.claims._instances import direction
from verify.claims._sources import REDUNET
from verify.claims.redunet._signals import Signals, labelled_signals
from verify.ledger import HOLDS, REFUTED, Outcome, claim
from verify.outcome import all_of, equal, exactly

Array = Any


def _repeated(case: Case, t: Signals) -> Array:
    return case.asarray(np.repeat(to_numpy(t.Pi), t.samples, axis=0))


@claim(
    "redunet.shifts-written-out",
    title="All shifts of a signal, channel beside channel, are as many tokens as it has samples",
    statement=r"\mathrm{circ}(z)=\big[P^sz\big]_{s},\qquad(P^sz)_{c,t}=z_{c,t-s}",
    source=f"{REDUNET}, section on shift invariance",
    relation="=",
    hypotheses="one and two channels, on a cycle or a torus",
    expect=HOLDS,
    twin="shifted the other way",
    instances=40,
)
def shifts_written_out(case: Case) -> Outcome:
    """Sample by sample; nothing is computed, so nothing is rounded."""
    t = labelled_signals(case)
    signals, size = to_numpy(t.Z), t.Z.shape[2:]
    places = list(np.ndindex(*size))
    back = case.wrong(1, -1)
    expected = [
        [
            z[(c, *((i - back * j) % m for i, j, m in zip(at, shift, size, strict=True)))]
            for c in range(len(z))
            for at in places
        ]
        for z in signals
        for shift in places
    ]
    return exactly(np.array_equal(to_numpy(all_shifts(t.Z)), np.array(expected)))


@claim(
    "redunet.expansion-commutes-with-shifts",
    title="If all shifts of the tokens are tokens, the expansion commutes with the shift",
    statement=r"PE=EP,\qquad E=\alpha(I+\alpha\,\mathrm{circ}(Z)\mathrm{circ}(Z)^\top)^{-1},"
    r"\ P\text{ the cyclic shift}",
    source=f"{REDUNET}, section on shift invariance",
    relation="=",
    hypotheses="one to three whole-numbered signals of 2 to 5 samples; in rational arithmetic",
    expect=HOLDS,
    twin="one shift of one signal left out",
    proof=("gram-matrix-of-shifted-tokens", "redunet-expansion-commutes-with-shifts"),
    derivations=("circulant-matrices-commute-with-the-shift",),
    uses=("redunet.operators-are-bounded",),
    instances=100,
)
def expansion_commutes_with_shifts(case: Case) -> Outcome:
    """So E is circulant, and E z the cyclic convolution of z with its first column, which is checked as well."""
    n, T, rng = case.integer("n", 1, 3), case.integer("T", 2, 5), case.rng()
    signals = direction(rng, (n, 1, T)) + np.eye(1, T) * 10
    Y = derivatives.rational(all_shifts(signals)[: case.wrong(None, -1)])
    eps = case.log_uniform("eps", 0.1, 10.0)
    alpha = fmpq(T, Y.nrows()) / fmpq(*eps.as_integer_ratio()) ** 2
    gram = Y.transpose() * Y * alpha
    E = (gram + fmpq_mat(T, T, [int(i == j) for i in range(T) for j in range(T)])).inv() * alpha
    z = [fmpq(int(x)) for x in direction(rng, (T,))]
    convolved = [sum((E[(i - j) % T, 0] * z[j] for j in range(T)), fmpq(0)) for i in range(T)]
    applied = (E * fmpq_mat(T, 1, z)).entries()
    commutes = all(E[(i + 1) % T, (j + 1) % T] == E[i, j] for i in range(T) for j in range(T))
    return exactly(commutes and applied == convolved)


@claim(
    "redunet.network-is-shift-equivariant",
    title="Layers of the shift-invariant form commute with cyclic shifts of any signal",
    statement=r"f^3\circ f^2\circ f^1(Pz)=P\,f^3\circ f^2\circ f^1(z)",
    source=f"{REDUNET}, section on shift invariance",
    relation="=",
    hypotheses="one and two channels, on a cycle or a torus; three layers, estimated memberships",
    expect=HOLDS,
    twin="the layers of the plain form, built from the signals without their shifts",
    uses=("redunet.expansion-commutes-with-shifts",),
    instances=60,
)
def network_is_shift_equivariant(case: Case) -> Outcome:
    """Memberships and normalisation do not see a shift, so the features of shifted signals are shifted features, and
    the next layer is built from all shifts again.
    """
    t = labelled_signals(case)
    case.assume(t.scale < 1e4)
    xp, axes = array_namespace(t.Z), tuple(range(2, t.Z.ndim))
    X = case.asarray(case.rng("signal").standard_normal(t.Z.shape))
    shifted, Z = xp.roll(X, (1,) * len(axes), axis=axes), t.Z
    network = {"eps": t.eps, "eta": 0.5 / t.alpha, "sharpness": 1 / t.alpha}
    for _ in range(3):
        if case.twin:
            flat = redunet(xp.reshape(Z, (Z.shape[0], -1)), t.Pi, **network)
            Z, X, shifted = (xp.reshape(flat(xp.reshape(a, (a.shape[0], -1))), a.shape) for a in (Z, X, shifted))
        else:
            layer = shift_invariant_redunet(Z, t.Pi, **network)
            Z, X, shifted = map(layer, (Z, X, shifted))
    return equal(shifted, xp.roll(X, (1,) * len(axes), axis=axes), size=t.size, scale=1 + t.scale / t.alpha)


@claim(
    "redunet.fourier-evaluates-the-layer",
    title="The layer by Fourier transform is the plain layer built from all shifts",
    statement=r"\hat E(p)=\alpha\Big(I_C+\alpha\sum_i\hat z_i(p)\hat z_i(p)^*\Big)^{-1},"
    r"\quad\alpha=\frac C{n\varepsilon^2},\quad\hat z\text{ the un-normalised transform}",
    source=f"{REDUNET}, theorems on the Fourier transform in one and two dimensions",
    relation="=",
    hypotheses="one and two channels, on a cycle or a torus; given or estimated memberships",
    expect=HOLDS,
    twin="the scaling of the code",
    derivations=("redunet-expansion-by-frequencies",),
    uses=("redunet.expansion-commutes-with-shifts",),
    instances=60,
)
def fourier_evaluates_the_layer(case: Case) -> Outcome:
    """The Gram matrix of all shifts has C × C circulant blocks, which the transform makes diagonal: S inverses of
    size C in place of one of size CS. The compressed signals are compared, with all their shifts.
    """
    t = labelled_signals(case)
    rule = case.choice("memberships", ("gradient", "network"))
    network = {"rule": rule, "eps": t.eps, "eta": 1 / t.alpha, "sharpness": 1 / t.alpha}
    by_frequency = shift_invariant_redunet(t.Z, t.Pi, scaling=case.wrong("paper", "official"), **network).compress(t.Z)
    tokens = all_shifts(t.Z)
    plain = redunet(tokens, _repeated(case, t), **network).compress(tokens)
    return equal(all_shifts(by_frequency), plain, size=t.size, scale=1 + t.scale / t.alpha)


@claim(
    "redunet.channels-are-coupled",
    title="The operators act on every channel by itself",
    statement=r"\hat E(p)\text{ is diagonal at every frequency}",
    source=f"asked here: {REDUNET} compares its layers with depth-wise separable convolution",
    relation="=",
    hypotheses="two channels, on a cycle or a torus",
    expect=REFUTED,
    twin="where only one channel is not zero",
    derivations=("gram-matrix-of-all-shifts",),
    uses=("redunet.fourier-evaluates-the-layer",),
    instances=40,
    witness={"n, C, size": (3, 2, (4,)), "seed": 0, "eps": 1.0},
)
def channels_are_coupled(case: Case) -> Outcome:
    """False: channels that are correlated are coupled, as columns of any Gram matrix."""
    t = labelled_signals(case)
    case.assume(t.Z.shape[1] > 1)
    Z = to_numpy(t.Z).copy()
    Z[:, 1:] *= case.wrong(1, 0)
    E = shift_invariant_operators(case.asarray(Z), t.Pi, eps=t.eps)[0]
    size = to_numpy(array_namespace(E).abs(E))
    off = size * (1 - np.eye(size.shape[-1]))
    return equal(case.asarray(off), 0 * off, size=t.size, scale=t.scale)


@claim(
    "redunet.rate-by-frequency",
    title="The rate reduction of all shifts, from one determinant of size C at each frequency",
    statement=r"\tfrac1S\Delta R(\mathrm{circ}(Z)\mid\Pi)=\frac1{2S}\sum_p\Big["
    r"\log\det\big(I+\alpha\hat Z(p)\hat Z(p)^*\big)"
    r"-\sum_k\gamma_k\log\det\big(I+\alpha_k\hat Z(p)\Pi_k\hat Z(p)^*\big)\Big]",
    source=f"{REDUNET}, section on shift invariance",
    relation="=",
    hypotheses="one and two channels, on a cycle or a torus, two classes",
    expect=HOLDS,
    twin="the unitary transform in place of the un-normalised one",
    derivations=("coding-rate-of-all-shifts",),
    uses=("redunet.fourier-evaluates-the-layer",),
    instances=60,
)
def rate_by_frequency(case: Case) -> Outcome:
    """The determinant of a block-circulant matrix. A unitary transform makes of ε² Sε²."""
    t = labelled_signals(case)
    found = shift_invariant_rate_reduction(t.Z, t.Pi, eps=t.eps * case.wrong(1, math.sqrt(t.samples)))
    tokens = all_shifts(t.Z)
    whole = srr.coding_rate(tokens, eps=t.eps, method="svd")
    rest = srr.partition_coding_rate(tokens, _repeated(case, t), eps=t.eps, method="svd")
    return equal(found, (whole - rest) / t.samples, size=t.size, scale=1 + float(whole + rest))


def _along(case: Case, t: Signals, H: np.ndarray, eps: float) -> float:
    # The exact derivative of (1/S) ΔR of all shifts, as H moves the signals.
    tokens, moved, Pi = to_numpy(all_shifts(t.Z)), all_shifts(H), np.repeat(to_numpy(t.Pi), t.samples, axis=0)
    whole = derivatives.rate_along(tokens, moved, eps=eps).first
    return float(whole - derivatives.partition_rate_along(tokens, moved, Pi, eps=eps).first) / t.samples


def _step_along(case: Case, t: Signals, H: np.ndarray, **build: Any) -> Array:
    # The increment of the layer with given memberships, along H.
    eta = 1 / t.alpha
    layer = shift_invariant_redunet(t.Z, t.Pi, rule="gradient", eta=eta, **build)
    return array_namespace(t.Z).sum((layer.compress(t.Z) - t.Z) * case.asarray(H)) / eta


@claim(
    "redunet.shift-invariant-increment-is-the-gradient",
    title="The increment of the shift-invariant layer is the gradient of the rate reduction of all shifts",
    statement=r"\bar Ez_i-\sum_k\gamma_k\Pi_{ik}\bar C_kz_i=\nabla_{z_i}\tfrac1S\Delta R(\mathrm{circ}(Z)\mid\Pi),"
    r"\qquad\alpha=\frac C{n\varepsilon^2},\ \alpha_k=\frac C{n_k\varepsilon^2}",
    source=f"{REDUNET}, section on shift invariance; the constants derived",
    relation="=",
    hypotheses="one and two channels, on a cycle or a torus; along a direction, against the exact derivative",
    expect=HOLDS,
    twin="the objective with 1/(n eps^2) in place of C/(n eps^2)",
    uses=("redunet.fourier-evaluates-the-layer", "redunet.increment-is-the-gradient"),
    instances=20,
)
def shift_invariant_increment_is_the_gradient(case: Case) -> Outcome:
    """All S shifts of a signal move with it, and have the gradient, shifted: a factor S, which 1/S takes off."""
    t = labelled_signals(case)
    case.assume(t.Z.shape[1] > 1)
    H = direction(case.rng("direction"), t.Z.shape)
    exact = _along(case, t, H, t.eps * case.wrong(1, math.sqrt(t.Z.shape[1])))
    computed = _step_along(case, t, H, eps=t.eps)
    return equal(computed, exact, size=t.size, scale=t.scale * np.linalg.norm(H) * t.samples)


@claim(
    "redunet.official-transform",
    title="The official code's Fourier layer has the operators of the paper",
    statement=r"\hat E_{\rm code}(p)=\hat E(p)",
    source=f"code of {REDUNET}, Fourier1D and Fourier2D: fft(norm='ortho') with alpha = C/(n eps^2)",
    relation="=",
    hypotheses="one and two channels, on a cycle or a torus",
    expect=REFUTED,
    twin="S times those of the paper at precision sqrt(S) eps",
    derivations=("redunet-expansion-with-the-unitary-transform",),
    uses=("redunet.fourier-evaluates-the-layer",),
    instances=40,
    witness={"n, C, size": (2, 1, (3,)), "seed": 0, "eps": 1.0},
)
def official_transform(case: Case) -> Outcome:
    """False: a unitary transform divides the Gram matrix by S and leaves the α in front, as if ε² were Sε² inside the
    inverse only.
    """
    t = labelled_signals(case)
    code = shift_invariant_operators(t.Z, t.Pi, eps=t.eps, scaling="official")[:2]
    factor, eps = case.wrong((1, t.eps), (t.samples, math.sqrt(t.samples) * t.eps))
    paper = shift_invariant_operators(t.Z, t.Pi, eps=eps)[:2]
    xp = array_namespace(t.Z)
    pairs = (xp.abs(a - factor * b) for a, b in zip(code, paper, strict=True))
    return all_of(*(equal(x, xp.zeros_like(x), size=t.size, scale=t.scale * t.Z.shape[0]) for x in pairs))


@claim(
    "redunet.official-fourier-step",
    title="The official Fourier layer takes S times the gradient of the loss that the code logs",
    statement=r"\bar E_{\rm code}z_i-\sum_k\gamma_k\Pi_{ik}\bar C_{k,\rm code}z_i=S\,\nabla_{z_i}\mathcal L_{\rm code},"
    r"\quad \mathcal L_{\rm code}=\tfrac1S\Delta R_{\sqrt S\varepsilon}(\mathrm{circ}(Z)\mid\Pi)",
    source=f"code of {REDUNET}: both with fft(norm='ortho')",
    relation="=",
    hypotheses="one and two channels, on a cycle or a torus; true labels; along a direction, against the exact "
    "derivative",
    expect=HOLDS,
    twin="the gradient itself",
    uses=("redunet.shift-invariant-increment-is-the-gradient",),
    instances=20,
)
def official_fourier_step(case: Case) -> Outcome:
    """So the code ascends what it logs, with a step S times as long as its η says."""
    t = labelled_signals(case)
    H = direction(case.rng("direction"), t.Z.shape)
    exact = case.wrong(t.samples, 1) * _along(case, t, H, math.sqrt(t.samples) * t.eps)
    computed = _step_along(case, t, H, eps=t.eps, scaling="official")
    return equal(computed, exact, size=t.size, scale=t.scale * np.linalg.norm(H) * t.samples)


def _rank_of_shifts(signals: np.ndarray) -> int:
    return int(derivatives.rational(all_shifts(signals.astype(np.float64))).rank())


@claim(
    "redunet.shifts-span-the-space",
    title="The shifts of any signal span the space",
    statement=r"\mathrm{rank}\,\mathrm{circ}(z)=T,\qquad z\ne0",
    source=f"asked here of every signal: {REDUNET}, on the trade-off between invariance and sparsity, says it "
    "of generic ones",
    relation="=",
    hypotheses="one whole-numbered signal of 2 to 6 samples; in rational arithmetic",
    expect=REFUTED,
    twin="one sample larger than all others together",
    uses=("redunet.expansion-commutes-with-shifts",),
    instances=100,
    witness={"T": 2, "seed": 1},
)
def shifts_span_the_space(case: Case) -> Outcome:
    """False: each frequency that the signal lacks takes a dimension. With a sample that dominates it lacks none.
    Generic signals do span it, so two classes of shifted signals span the same space and no linear map tells them
    apart.
    """
    T = case.integer("T", 2, 6)
    z = direction(case.rng(), (1, 1, T))
    z[0, 0, 0] += case.wrong(0, 1 + np.abs(z).sum())
    rank = _rank_of_shifts(z)
    return exactly(rank == T, rank=rank)


@claim(
    "redunet.linear-lifting-adds-no-dimension",
    title="Lifted linearly to C channels, all signals and all their shifts still span T dimensions only",
    statement=r"\mathrm{rank}\big[\mathrm{circ}(k_1*z_i),\dots,\mathrm{circ}(k_C*z_i)\big]_i\le T",
    source=f"{REDUNET}, on the trade-off between invariance and sparsity",
    relation="<=",
    hypotheses="two to four whole-numbered signals of 3 to 5 samples, two or three whole-numbered filters; in rational "
    "arithmetic",
    expect=HOLDS,
    twin="rectified after lifting",
    instances=60,
)
def linear_lifting_adds_no_dimension(case: Case) -> Outcome:
    """The lifting is one injection of T dimensions into CT, so that what overlapped still does. A nonlinearity breaks
    that: rectified, the shifts span more, up to CT.
    """
    n, T, C, rng = case.integer("n", 2, 4), case.integer("T", 3, 5), case.integer("C", 2, 3), case.rng()
    signals, filters = direction(rng, (n, T)), direction(rng, (C, T))
    turned = np.stack([np.roll(filters, t, axis=1) for t in range(T)], axis=-1)  # (C, T, T): circ(k_c)
    lifted = np.einsum("cst,nt->ncs", turned, signals)
    rank = _rank_of_shifts(case.wrong(lifted, np.maximum(lifted, 0)))
    return exactly(rank <= T, rank=rank)
