"""Known forms: each is what srr computes under that name, each value of each axis is something else."""

import dataclasses
from functools import partial

import form_instances as instances
import numpy as np
import pytest
import torch
from form_instances import CLASSES, D, K, P, T
from torch.nn import functional as F

import srr
from srr import attention, cbsa, layers, mcr2, prox, rates, redunet, tost
from verify.bounded import PRECISIONS, exact
from verify.forms import KINDS, named

NAMED = {near.slug: kind for kind, entry in KINDS.items() for near in entry.named}


def _bases(W):
    """U ``(K, d, p)`` of a projection ``(K p, d)``."""
    return np.ascontiguousarray(W.reshape(K, P, -1).transpose(0, 2, 1))


def _bounded(form, reads, weights, constants, dtype="float64"):
    return form(*(exact(a, PRECISIONS[dtype]) for a in reads), weights=weights, constants=constants)


def _form(slug, reads, dtype="float64"):
    kind = NAMED[slug]
    return _bounded(named(slug).form, reads, instances.weights(kind, slug=slug), instances.constants(kind), dtype)


# --- what srr computes under each name ----------------------------------------------------------------------------


def _mssa(Z, w, c, f, **given):
    return f(Z, _bases(w["projection"]), **given)


def _msca(Z, Q, w, c):
    """By torch's own attention, head by head."""

    def heads(a):
        return (torch.from_numpy(a) @ torch.from_numpy(w["projection"]).T).unflatten(-1, (K, P)).transpose(-3, -2)

    attended = F.scaled_dot_product_attention(heads(Q), heads(Z), heads(Z)).transpose(-3, -2).flatten(-2)
    return w["step"] * (attended @ torch.from_numpy(w["projection"])).numpy()


def _cbsa(Z, w, c):
    side, n = c["side"], Z.shape[-2] - 1
    A = cbsa.grid_pooling(int(n**0.5), int(n**0.5), side, side)
    A = np.concatenate([A, np.zeros((len(A), 1))], axis=-1).astype(Z.dtype)  # the last token is in no pool
    steps = {"contract": w["step_rep"][:, 0, 0], "broadcast": w["step_x"][:, 0, 0]}
    given = {"output": w["output"], "bias": w["bias"]}
    return cbsa.contract_and_broadcast_official(Z, _bases(w["projection"]), A, **steps, **given)


def _redunet_fourier(v, w, c):
    """On the signals, at the frequencies of a real transform."""
    half, dtype = T // 2 + 1, {"float64": np.complex128, "float32": np.complex64}[v.dtype.name]
    E, C = (np.ascontiguousarray(a).view(dtype)[..., 0] for a in (w["E"][:half], w["C"][:, :half]))
    memberships = np.full((len(v), CLASSES), 1 / CLASSES, dtype=v.dtype)
    layer = layers.ShiftInvariantReduNet(E, C, w["shares"], memberships, (T,), "official", c["eta"], c["lam"])
    signals = np.fft.ifft(np.ascontiguousarray(v).view(dtype)[..., 0], norm="ortho").real.astype(v.dtype)
    found = np.fft.fft(layer(signals), norm="ortho").astype(dtype)
    return np.stack([found.real, found.imag], axis=-1)


def _redunet(Z, w, c):
    layer = redunet.ReduNet(
        np.ascontiguousarray(w["E"].T),
        np.ascontiguousarray(np.swapaxes(w["C"], -1, -2)),
        w["shares"],
        np.full((Z.shape[-2], CLASSES), 1 / CLASSES, dtype=Z.dtype),
        "official",
        0.5,
        c["eta"],
        c["lam"],
    )
    return layer(Z)


def _tost(Z, w, c, f=tost.tssa_official):
    given = {"scale": w["scale"][:, 0], "output": w["output"], "bias": w["bias"]}
    if "denominator_bias" in w:
        given["denominator_bias"] = w["denominator_bias"]
    return f(Z, _bases(w["projection"]), **given)


def _tost_paper(Z, w, c):
    U, n = _bases(w["projection"]), Z.shape[-2]
    Pi = tost.memberships(Z, U, eta=0.5)
    return tost.tssa(Z, Pi, U, eps=D**0.5, step=float(n))


def _overcomplete(Z, w, c):
    U = _bases(instances.weights("attention")["projection"]).astype(Z.dtype)
    layer = layers.crate_alpha_official(U, w["D"], w["decode"], **c)
    return np.matmul(layer.code(Z), w["decode"].T)


def _overcomplete_paper(Z, w, c):
    U = _bases(instances.weights("attention")["projection"]).astype(Z.dtype)
    return layers.crate_alpha(U, w["D"], eps=1.0, **c).sparsify(Z)


def _decoder(Z, w, c):
    U = _bases(instances.weights("attention")["projection"]).astype(Z.dtype)
    return layers.crate_decoder_official(U, w["A"]).sparsify(Z)


def _decoder_paper(Z, w, c):
    U = _bases(instances.weights("attention")["projection"]).astype(Z.dtype)
    return layers.crate_decoder(U, w["A"]).sparsify(Z)


def _unit(Z, axis=-1):
    return Z / np.sqrt(np.sum(Z**2, axis=axis, keepdims=True))


def _official_measure(Z, w, c):
    """½ Σ_k log det(I + p/(n ε) X_kX_kᵀ), the rows of X_k of norm 1."""
    Y = _unit(np.swapaxes((Z @ w["projection"].T).reshape(-1, K, P), 0, 1))
    gram = np.eye(len(Z)) + P / (len(Z) * c["eps"]) * Y @ np.swapaxes(Y, -1, -2)
    return np.asarray(np.linalg.slogdet(gram)[1].sum() / 2)


def _loss(Z, Pi, c):
    """``loss.py`` of MCR2: −γ₂R + Rᶜ, with 1e-8 in the sizes."""
    (n, d), sizes = Z.shape, Pi.sum(0) + 1e-8
    whole = np.linalg.slogdet(np.eye(d) + c["inner"] * d / (n * c["eps"]) * Z.T @ Z)[1] / 2
    parts = [
        m / n / 2 * np.linalg.slogdet(np.eye(d) + d / (m * c["eps"]) * (Z.T * pi) @ Z)[1]
        for m, pi in zip(sizes, Pi.T, strict=True)
    ]
    return -c["outer"] * whole + sum(parts)


def _torch_attention(Z, w, c, causal=False, shared=False):
    def heads(name):
        flat = torch.from_numpy(Z) @ torch.from_numpy(w["value" if shared else name]).T
        return flat.unflatten(-1, (K, P)).transpose(0, 1)

    attended = F.scaled_dot_product_attention(heads("query"), heads("key"), heads("value"), is_causal=causal)
    flat = attended.transpose(0, 1).flatten(1)
    return F.linear(flat, torch.from_numpy(w["output"]), torch.from_numpy(w["bias"])).numpy()


def _ista_from_zero(Z, w, eta=0.5):
    """D = W₁ᵀ/η, λ = −b₁/η, of a first bias that is one number; W₂ takes the code back."""
    D, threshold = w["fc1"].T / Z.dtype.type(eta), -np.mean(w["fc1_bias"], dtype=np.float64)
    codes = np.maximum(Z @ D * Z.dtype.type(eta) - Z.dtype.type(threshold), 0)
    return codes @ w["fc2"].T


def _torch_mlp(Z, w, c, approximate="none"):
    t = {name: torch.from_numpy(a) for name, a in w.items()}
    hidden = F.gelu(F.linear(torch.from_numpy(Z), t["fc1"], t["fc1_bias"]), approximate=approximate)
    return F.linear(hidden, t["fc2"], t["fc2_bias"]).numpy()


def _norm(Z, w, c, floor):
    return srr.layers.layer_norm(Z, w["scale"], w["shift"], floor=floor)


WHAT_SRR_COMPUTES = {
    "crate.mssa": lambda Z, w, c: _mssa(Z, w, c, attention.mssa_official, output=w["output"], bias=w["bias"]),
    "crate.mssa-paper": lambda Z, w, c: _mssa(Z, w, c, attention.mssa),
    "crate.mssa-causal": lambda Z, w, c: _mssa(Z, w, c, attention.causal_mssa, output=w["output"], bias=w["bias"]),
    "depict.mssa": lambda Z, w, c: _mssa(Z, w, c, attention.mssa_official),
    "depict.msca": _msca,
    "crate.ista": lambda Z, w, c: prox.ista_step(Z, w["D"], step=c["eta"], lam=c["lam"]),
    "norm.torch": partial(_norm, floor=1e-5),
    "norm.flax": partial(_norm, floor=1e-6),
    "norm.bert": partial(_norm, floor=1e-12),
    "alpha.ista": _overcomplete,
    "alpha.ista-paper": _overcomplete_paper,
    "decoder.linear": _decoder,
    "decoder.linear-paper": _decoder_paper,
    "tost.tssa": _tost,
    "tost.tssa-causal": partial(_tost, f=tost.tssa_official_causal),
    "tost.tssa-paper": _tost_paper,
    "cbsa.attention": _cbsa,
    "redunet.layer": _redunet,
    "redunet.layer-fourier": _redunet_fourier,
    "rate.coding-rate": lambda Z, w, c: rates.coding_rate(Z, eps=c["eps"]),
    "rate.coding-rate-of-codes": lambda Z, w, c: rates.coding_rate(Z, eps=c["eps"] ** 0.5),
    "rate.normalised": lambda Z, w, c: rates.coding_rate(_unit(Z), eps=c["eps"]),
    "rate.normalised-of-codes": lambda Z, w, c: rates.coding_rate(_unit(Z), eps=c["eps"] ** 0.5),
    "rate.subspaces": lambda Z, w, c: rates.subspace_coding_rate(Z, _bases(w["projection"]), eps=c["eps"]),
    "rate.subspaces-official": _official_measure,
    "rate.subspaces-cbsa": lambda Z, w, c: rates.subspace_coding_rate(Z, _bases(w["projection"]), eps=c["eps"] ** 0.5),
    "rate.subspaces-segmentation": lambda Z, w, c: rates.subspace_coding_rate(
        Z, _bases(w["projection"]), eps=c["eps"] * ((len(Z) + 1) / len(Z)) ** 0.5
    ),
    "mcr2.rate-reduction": lambda Z, Pi, w, c: mcr2.contrastive(
        Z, Pi, eps=c["eps"], inner=c["inner"], outer=c["outer"]
    ),
    "mcr2.loss": lambda Z, Pi, w, c: _loss(Z, Pi, c),
    "mcr2.loss-regularised": lambda Z, Pi, w, c: _loss(Z, Pi, c) + c["penalty"] * (Z**2).sum(),
    "transformer.attention": _torch_attention,
    "transformer.attention-causal": partial(_torch_attention, causal=True),
    "transformer.attention-tied": partial(_torch_attention, shared=True),
    "transformer.mlp": _torch_mlp,
    "transformer.mlp-tanh": partial(_torch_mlp, approximate="tanh"),
    "alpha.ista-as-mlp": lambda Z, w, c: _ista_from_zero(Z, w),
    "crate.skip": lambda Z, update, normed, w, c: Z + update,
    "decoder.skip": lambda Z, update, normed, w, c: Z - update,
    "crate.skip-of-norm": lambda Z, update, normed, w, c: normed + update,
    "crate.no-skip": lambda Z, update, normed, w, c: update,
    "network.passed-on": lambda Z, w, c: Z,
}


def _computed(slug, reads, dtype="float64"):
    kind = NAMED[slug]
    weights = {name: a.astype(dtype) for name, a in instances.weights(kind, slug=slug).items()}
    return np.asarray(
        WHAT_SRR_COMPUTES[slug](*(a.astype(dtype) for a in reads), weights, instances.constants(kind)),
        dtype=np.float64,
    )


@pytest.mark.parametrize("slug", NAMED)
@pytest.mark.parametrize("scale", [1.0, 1e-2, 5.0])
def test_a_named_form_is_what_srr_computes(slug, scale):
    reads = instances.reads(NAMED[slug], scale=scale)
    wanted, found = _form(slug, reads), _computed(slug, reads)
    assert found.shape == wanted.value.shape
    assert (np.abs(found - wanted.value) <= wanted.error).all()
    assert wanted.error.max() < 1e-7 * max(np.abs(wanted.value).max(), scale)


@pytest.mark.parametrize("slug", [slug for slug in NAMED if not slug.startswith(("mcr2.loss", "rate.subspaces-off"))])
def test_so_it_is_in_float32_within_the_bound_of_float32(slug):
    kind, p = NAMED[slug], PRECISIONS["float32"]
    reads = tuple(p.rounded(a) for a in instances.reads(kind))
    weights = {name: p.rounded(a) for name, a in instances.weights(kind, slug=slug).items()}
    wanted = _bounded(named(slug).form, reads, weights, instances.constants(kind), "float32")
    found = np.asarray(
        WHAT_SRR_COMPUTES[slug](
            *(a.astype(np.float32) for a in reads),
            {name: a.astype(np.float32) for name, a in weights.items()},
            instances.constants(kind),
        )
    )
    assert found.dtype == np.float32
    assert (np.abs(found.astype(np.float64) - wanted.value) <= wanted.error).all()
    assert wanted.error.max() < 0.01 * np.abs(wanted.value).max()


def test_every_named_form_has_its_function():
    assert set(WHAT_SRR_COMPUTES) == set(NAMED)


@pytest.mark.parametrize("slug", NAMED)
def test_every_departure_is_something_else(slug):
    """On generic inputs: an axis whose values cannot be told apart is none."""
    reads = instances.reads(NAMED[slug])
    near, result = named(slug), _computed(slug, reads)
    for form in near.form.departures(1):
        other = _bounded(form, reads, instances.weights(NAMED[slug], slug=slug), instances.constants(NAMED[slug]))
        differs = other.value.shape != result.shape or not (np.abs(other.value - result) <= other.error).all()
        assert differs, form.differences(near.form)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "redunet_fourier"])
def test_forms_compute_set_by_set(kind):
    """A batch is what each of its token sets gives, in every form."""
    constants, reads = instances.constants(kind), instances.reads(kind, batch=(2,))
    for near in KINDS[kind].named:
        weights = instances.weights(kind, slug=near.slug)
        whole = _bounded(near.form, reads, weights, constants)
        for i in range(2):
            one = _bounded(near.form, tuple(a[i] for a in reads), weights, constants)
            assert (np.abs(whole.value[i] - one.value) <= one.error).all()
            np.testing.assert_allclose(whole.error[i], one.error, rtol=0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_every_choice_has_its_words(kind):
    for near in KINDS[kind].named:
        choices = near.form.choices()
        assert set(choices) == set(near.form.WORDS)
        for axis, values in choices.items():
            assert set(values) == set(near.form.WORDS[axis])
            assert len(set(near.form.WORDS[axis].values())) == len(values)
            assert not any(words.endswith(".") or not words for words in near.form.WORDS[axis].values())
            assert getattr(near.form, axis) in values


def test_slugs_and_forms_are_unique():
    slugs = [near.slug for kind in KINDS.values() for near in kind.named]
    assert len(set(slugs)) == len(slugs)
    for kind in KINDS.values():
        assert len({near.form for near in kind.named}) == len(kind.named)
        assert len({type(near.form) for near in kind.named}) == 1
        assert kind.theory is None or kind.theory in kind.named
        for near in kind.named:
            assert near.name
            assert near.source or kind.title == "what comes between two submodules"
            assert dataclasses.is_dataclass(near.form)


def test_an_unknown_slug_is_refused():
    with pytest.raises(ValueError, match=r"form must be one of crate\.mssa, .*got 'crate\.none'"):
        named("crate.none")


# --- whole halves -------------------------------------------------------------------------------------------------


def test_forms_put_together_are_the_official_layer():
    """LayerNorm, attention and skip; LayerNorm and ISTA."""
    w, D_, c = instances.weights("attention"), instances.weights("ista")["D"], instances.constants("ista")
    norms = [instances.weights("layer_norm", seed) for seed in (1, 2)]
    (Z,) = instances.reads("attention")
    layer = layers.official(_bases(w["projection"]), D_, output=w["output"], bias=w["bias"], **c)
    whole = layers.PreNorm(layer, *(partial(layers.layer_norm, **norm) for norm in norms))
    start = exact(Z, PRECISIONS["float64"])
    normed = named("norm.torch").form(start, weights=norms[0], constants={})
    update = named("crate.mssa").form(normed, weights=w, constants={"heads": K})
    half = named("crate.skip").form(start, update, normed, weights={}, constants={})
    assert (np.abs(whole.compress(Z) - half.value) <= half.error).all()
    normed = named("norm.torch").form(half, weights=norms[1], constants={})
    end = named("crate.ista").form(normed, weights={"D": D_}, constants=c)
    assert (np.abs(whole(Z) - end.value) <= end.error).all()
    assert end.error.max() < 1e-10


def test_forms_put_together_are_a_layer_of_the_decoder():
    w, A = instances.weights("attention"), instances.weights("linear")["A"]
    (Z,) = instances.reads("attention")
    layer = layers.crate_decoder_official(_bases(w["projection"]), A, output=w["output"], bias=w["bias"])
    start = exact(Z, PRECISIONS["float64"])
    half = named("decoder.linear").form(start, weights={"A": A}, constants={})
    update = named("crate.mssa").form(half, weights=w, constants={"heads": K})
    end = named("decoder.skip").form(half, update, half, weights={}, constants={})
    assert (np.abs(layer.compress(layer.sparsify(Z)) - end.value) <= end.error).all()


def test_a_layer_of_redunet_that_is_built_from_labels():
    rng = np.random.default_rng(0)
    Z = redunet.on_sphere(rng.standard_normal((20, D)))
    Pi = np.eye(CLASSES)[np.arange(20) % CLASSES]
    layer = layers.redunet(Z, Pi, rule="official", eps=0.1**0.5, eta=0.5, sharpness=20.0)
    weights = {"E": layer.E, "C": layer.C, "shares": layer.gamma}
    found = _bounded(named("redunet.layer").form, (Z,), weights, {"eta": 0.5, "lam": 20.0})
    assert (np.abs(layer(Z) - found.value) <= found.error).all()
    assert found.error.max() < 1e-8


def test_a_membership_that_rounding_may_change_is_open():
    """Two classes at the same distance: either may be the nearest."""
    near = named("redunet.layer")
    form = dataclasses.replace(near.form, memberships="hard")
    w = instances.weights("redunet")
    weights = {**w, "C": np.stack([w["C"][0], w["C"][0], w["C"][2] * 9])}
    reads = instances.reads("redunet")
    found = _bounded(form, reads, weights, instances.constants("redunet"))
    for first in (0, 1):
        Pi = np.eye(CLASSES)[np.full(len(reads[0]), first)]
        up = reads[0] @ w["E"].T - sum(
            w["shares"][j] * Pi[:, j : j + 1] * (reads[0] @ weights["C"][j].T) for j in range(CLASSES)
        )
        moved = reads[0] + 0.5 * up
        assert (np.abs(_unit(moved) - found.value) <= found.error).all()


# --- LayerNorm by other formulas ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mean", [0.0, 1.0, 30.0])
def test_layer_norm_by_the_mean_square_is_within_the_bound(mean):
    """As Flax computes it, and with the mean taken off last."""
    rng = np.random.default_rng(0)
    Z = (rng.standard_normal((50, 64)) + mean).astype(np.float32)
    found = _bounded(named("norm.flax").form, (Z.astype(np.float64),), {}, {}, "float32")
    average, square = Z.mean(-1, keepdims=True), (Z**2).mean(-1, keepdims=True)
    scale = 1 / np.sqrt(np.maximum(square - average**2, 0) + np.float32(1e-6))
    for result in ((Z - average) * scale, Z * scale - average * scale):
        assert result.dtype == np.float32
        assert (np.abs(result - found.value) <= found.error).all()
    assert found.error.max() < (3e-2 if mean == 30 else 1e-3)


def test_layer_norm_of_torch_is_within_the_bound():
    rng = np.random.default_rng(0)
    for name, mean in (("float32", 0.0), ("float32", 30.0), ("bfloat16", 0.0), ("float16", 0.0), ("float64", 3.0)):
        Z = torch.from_numpy(rng.standard_normal((50, 64)) + mean).to(getattr(torch, name))
        found = _bounded(named("norm.torch").form, (Z.double().numpy(),), {}, {}, name)
        assert (np.abs(F.layer_norm(Z, (64,)).double().numpy() - found.value) <= found.error).all()


# --- rates --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [3, 30])
@pytest.mark.parametrize("eps", [0.05, 0.5])
def test_a_rate_holds_from_both_sides_and_by_every_factorisation(n, eps):
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((n, 8)).astype(np.float32) / np.float32(8**0.5)
    wide = Z.astype(np.float64)
    found = _bounded(named("rate.coding-rate").form, (wide,), {}, {"eps": eps}, "float32")
    sure = srr.enclosure.coding_rate(wide, eps=eps)
    narrow = _bounded(named("rate.coding-rate").form, (wide,), {}, {"eps": eps})
    assert narrow.value - narrow.error <= sure.upper
    assert narrow.value + narrow.error >= sure.lower
    assert narrow.error < 1e-9 * narrow.value
    c = np.float32(8 / (n * eps**2))
    for gram in (c * Z.T @ Z, c * Z @ Z.T):
        I_M = np.eye(len(gram), dtype=np.float32) + gram
        by = (
            np.linalg.slogdet(I_M)[1] / 2,
            np.log(np.diag(np.linalg.cholesky(I_M))).sum(),
            torch.logdet(torch.from_numpy(I_M)).numpy() / 2,
        )
        for value in by:
            assert abs(float(value) - found.value) <= found.error
    assert np.isinf(_bounded(named("rate.coding-rate").form, (1e4 * wide,), {}, {"eps": eps}, "float32").error)
