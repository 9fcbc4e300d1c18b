"""The audit of trained networks: what it measures, its null controls, its verdicts, and what it refuses."""

import json
import math
import subprocess
import sys
from functools import partial

import networks
import numpy as np
import oracle
import pytest
import torch
from closeness import near
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import srr
import verify
from srr import attention, curvature, layers, prox
from srr.layer import HALVES
from verify import audit_bench, decide
from verify.auditing import certified, coding, counterfactuals, direction, files, nulls, rates, terms, text, weights
from verify.auditing.half import COSINE, LARGEST, STEP
from verify.auditing.network import Network, untrained
from verify.auditing.result import Form, HalfFound
from verify.auditing.running import Key, Running, Spread
from verify.auditing.verdict import ALONE, MORE, NOT, SPECIFIC, UNCLEAR, first, judge
from verify.capture import CaptureError, capture
from verify.claims._steps import official_measure
from verify.layouts import LAYOUTS, LayerParts, Layout, Tap, below
from verify.models.crate import Crate

EPS = 0.5
WITH, WITHOUT = Form("raw", True, EPS), Form("raw", False, EPS)


def rng(seed=0):
    return np.random.Generator(np.random.PCG64(seed))


def tokens(samples, n=9, d=8, *, seed=0, dtype=torch.float64):
    """Samples whose first token is another kind of token than the rest."""
    Z = rng(seed).standard_normal((samples, n, d)) @ np.diag(np.linspace(0.2, 2, d))
    Z[:, 0] *= 3
    return torch.from_numpy(Z).to(dtype)


def bases(K=2, d=8, p=2, *, seed=1, dtype=torch.float64):
    frame = np.linalg.qr(rng(seed).standard_normal((d, d)))[0][:, : K * p]
    return torch.from_numpy(np.ascontiguousarray(frame.reshape(d, K, p).transpose(1, 0, 2))).to(dtype)


def heads(Z, U, eps=(EPS,), *, cls="first"):
    return rates.Heads.of(Z, U, eps=eps, which=cls)


class Half(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, Z):
        return self.f(Z)


class Stack(nn.Module):
    """Layers of any two functions."""

    def __init__(self, *pairs):
        super().__init__()
        self.layers = nn.ModuleList(nn.ModuleList(map(Half, pair)) for pair in pairs)

    def forward(self, Z):
        for compress, sparsify in self.layers:
            Z = sparsify(compress(Z))
        return Z


def described(*parts):
    """A layout of a `Stack`: the parts but for the taps."""

    def read(state):
        return tuple(
            LayerParts(
                i,
                Tap(f"layers.{i}.0", "input"),
                Tap(f"layers.{i}.1", "input"),
                Tap(f"layers.{i}.1", "output"),
                HALVES,
                **p,
            )
            for i, p in enumerate(parts)
        )

    return Layout("stack", "these tests", lambda state: {}, lambda state: (), read, lambda state: None)


def of(layer, **parts):
    """A layer of srr as a pair for `Stack`, and its parts for `described`."""
    return (layer.compress, layer.sparsify), {"layer": layer, **parts}


def audited(*pairs, data=None, **options):
    data = tokens(20) if data is None else data
    steps, parts = zip(*pairs, strict=True)
    return verify.audit(Stack(*steps), data, layout=described(*parts), **{"eps": EPS, "twin": False, **options})


def exact(K=2, seed=1, **options):
    U, D = bases(K, seed=seed), torch.eye(8, dtype=torch.float64)
    return of(layers.crate(U, D, rule="exact", eps=EPS, **options), U=U, D=D)


def small_crate(seed=0, **sizes):
    torch.manual_seed(seed)
    sizes = {"dim": 16, "depth": 2, "heads": 2, **sizes}
    return Crate(image_size=4, patch_size=1 if sizes.pop("fine", False) else 2, num_classes=3, channels=1, **sizes)


# --- what is measured -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "d"), [(3, 5), (5, 3)])
@pytest.mark.parametrize("cls", ["first", "last"])
def test_rates_are_those_of_an_exact_oracle_at_every_precision_with_cls_and_without(n, d, cls):
    Z = tokens(2, n, d)
    eps = (0.1, 0.7, 3.0)
    found = rates.rates(Z, eps=eps, cls=cls)
    for b in range(2):
        whole = Z[b].numpy()
        rest = whole[1:] if cls == "first" else whole[:-1]
        for c, A in enumerate((whole, rest)):
            for e, precision in enumerate(eps):
                exactly = oracle.coding_rate(A, eps=precision)
                value = float(exactly.mid())
                assert oracle.error(found[b, c, e], exactly) <= 1e-13 * value
                # eps for eps^2, the wrong end, and the constant of all tokens for those without [CLS] would be seen
                assert oracle.error(found[b, c, e], oracle.coding_rate(A, eps=math.sqrt(precision))) > 1e-3 * value
                other = whole[:-1] if cls == "first" else whole[1:]
                if c:
                    assert oracle.error(found[b, c, e], oracle.coding_rate(other, eps=precision)) > 1e-3 * value
                    scaled = precision * math.sqrt(n / (n - 1))
                    assert oracle.error(found[b, c, e], oracle.coding_rate(A, eps=scaled)) > 1e-3 * value


def test_rates_survive_where_a_cholesky_factor_does_not():
    Z = torch.zeros(2, 6, 4, dtype=torch.float64)
    Z[0, :, 0] = 1e6
    Z[0, 0, 1] = 1.0
    expected = np.array([float(srr.coding_rate(Z[b].numpy(), eps=1e-4, method="svd")) for b in range(2)])
    near(rates.rates(Z, eps=(1e-4,), cls="none")[:, 0, 0].numpy(), expected, size=6, scale=expected)


def test_terms_are_those_of_srr():
    Z, U = tokens(3), bases()
    forms = terms.Forms((0.2, EPS), lam=0.3, cls="first")
    found = terms.terms(terms.Tokens(Z, forms), U)
    for e, eps in enumerate(forms.eps):
        objective = srr.SparseRateReduction(U.numpy(), eps, 0.3)
        for c, part in enumerate((Z.numpy(), Z[:, 1:].numpy())):
            expected = objective.terms(part)
            pairs = {
                "R": expected.rate,
                "Rc": expected.compression,
                "dR": expected.rate_reduction,
                "SRR": expected.value,
            }
            for name, value in pairs.items():
                near(found[name][:, c, e].numpy(), value, size=8, scale=np.abs(expected.rate) + 0.3 * expected.l1)
            near(found["lam|Z|_1 - R"][:, c, e].numpy(), 0.3 * expected.l1 - expected.rate, size=8, scale=expected.l1)
            near(found["|Z|_1"][:, c].numpy(), expected.l1, size=8, scale=expected.l1)
            assert np.array_equal(found["nonzero"][:, c].numpy() * part[0].size, expected.l0)


def test_the_official_measure_normalises_every_token_of_every_head():
    Z, U = tokens(2), bases()
    found = heads(Z, U).official
    for b in range(2):
        for c, part in enumerate((Z[b], Z[b, 1:])):
            expected = official_measure(part.numpy(), U.numpy())
            near(found[b, c].numpy(), np.array(expected), size=9, scale=expected)
            assert abs(float(found[b, c]) - official_measure(part.numpy(), U.numpy(), eps=0.01)) > 0.1 * expected
    scaled = heads(Z * torch.linspace(1, 5, 9, dtype=Z.dtype)[:, None], U).official
    near(scaled.numpy(), found.numpy(), size=9, scale=found.numpy())
    assert torch.isfinite(heads(0 * Z, U).official).all()


def test_the_gradient_step_points_along_the_gradient_and_is_as_long_as_it_is():
    Z, U = tokens(4), bases(seed=3) * 1.7
    eps = (0.2, EPS)
    Y = heads(Z, U, eps)
    for c, part in enumerate((Z, Z[:, 1:])):
        for e, precision in enumerate(eps):
            expected = srr.subspace_coding_rate_and_gradient(part.numpy(), U.numpy(), eps=precision)[1]
            near(Y.gradients[c][e].numpy(), expected, size=9, scale=np.linalg.norm(expected))
    step = 0.3 * curvature.compression_step(U, 9, eps=EPS)
    update = attention.exact_step(Z, U, eps=EPS, step=step) - Z
    cosine = direction.cosines(Y, {"": update})[""]
    near(cosine[:, 0, 1].numpy(), np.ones(4), size=9, scale=1.0)
    assert (cosine[:, 0, 0] < 1 - 1e-6).all()
    assert (cosine[:, 1, 1] < 1 - 1e-6).all()
    sizes = direction.steps(Y, update, cosine, float(curvature.overlap(U)))
    near(sizes[:, 0, 1].numpy(), np.full(4, 0.15), size=9, scale=1.0)
    few = heads(Z[:, :3], bases(K=1, p=4), eps)  # fewer tokens than dimensions: the other side of the Gram matrix
    for c, part in enumerate((Z[:, :3], Z[:, 1:3])):
        expected = srr.subspace_coding_rate_and_gradient(part.numpy(), few.U.numpy(), eps=EPS)
        near(few.Rc[:, c, 1].numpy(), expected[0], size=9, scale=expected[0])
        near(few.gradients[c][1].numpy(), expected[1], size=9, scale=np.linalg.norm(expected[1]))
    none = direction.cosines(Y, {"": 0 * Z})[""]
    assert (none == 0).all()
    assert (direction.steps(Y, 0 * Z, none, 1.0) == 0).all()


def test_the_largest_eigenvalue_tells_where_the_neumann_series_converges():
    Z, U = tokens(2), bases()
    found = direction.largest_eigenvalues(heads(Z, U, cls="last"))
    for c, part in enumerate((Z, Z[:, :-1])):
        Y = part[:, None].numpy() @ U.numpy()
        expected = 2 / (part.shape[1] * EPS**2) * np.linalg.norm(Y, ord=2, axis=(2, 3)).max(1) ** 2
        near(found[:, c, 0].numpy(), expected, size=9, scale=expected)


def test_the_lasso_of_a_code_and_of_codes_that_cost_nothing():
    X, D, A = tokens(3), torch.from_numpy(rng(4).standard_normal((8, 8))), tokens(3, seed=5).clamp(min=0)
    found = coding.measure(X, D, A, lam=0.4, cls="first")
    found |= coding.controls(X, D, A, {"other": D + 1}, lam=0.4, cls="first")
    for c, at in enumerate((slice(None), slice(1, None))):

        def value(code, dictionary=D, at=at):
            return prox.lasso(X[:, at].numpy(), dictionary.numpy(), code[:, at].numpy(), lam=0.4)

        start, end = value(X), value(A)
        for key, expected in {
            Key("lasso", "before"): start,
            Key("lasso", "after"): end,
            Key("lasso", "change"): end - start,
            Key("lasso", "change", coding.RELU): end - value(X.clamp(min=0)),
            Key("lasso", "change", coding.ZERO): end - value(0 * A),
            Key("lasso", "change", "other"): value(A, D + 1) - value(X, D + 1),
        }.items():
            near(found[key][:, c].numpy(), expected, size=72, scale=start + end)
        residual = np.linalg.norm((X - A @ D.T)[:, at].numpy(), axis=(1, 2)) / np.linalg.norm(
            X[:, at].numpy(), axis=(1, 2)
        )
        near(found[Key(coding.RESIDUAL, "value")][:, c].numpy(), residual, size=72, scale=residual)


def test_weights_that_are_as_in_theory_and_weights_that_are_not():
    U = bases(K=4)
    tied = U.permute(1, 0, 2).reshape(8, 8)
    ideal = weights.of_weights(U, tied, torch.eye(8, dtype=U.dtype))
    for name, value in {"orthonormality": 0, "coherence": 0, "overlap": 1, "alignment": 1, "dictionary": 0}.items():
        assert ideal[name] == pytest.approx(value, abs=1e-12)
    assert ideal["alignment by chance"] == 1 / 8
    other = weights.of_weights(2 * U[[0, 0, 1, 2]], -tied, 2 * torch.eye(8, dtype=U.dtype))
    assert other["orthonormality"] == pytest.approx(3)
    assert other["coherence"] == pytest.approx(1)
    assert other["overlap"] == pytest.approx(8)
    assert other["dictionary"] == pytest.approx(3)
    assert other["dictionary norm"] == pytest.approx(4)
    assert weights.of_weights(U, -tied, None)["alignment"] == pytest.approx(-1)
    assert math.isnan(weights.of_weights(U[:1], None, None)["coherence"])


@pytest.mark.parametrize("sizes", [(7,), (1, 6), (3, 3, 1)])
def test_spreads_do_not_depend_on_the_batches(sizes):
    values = torch.from_numpy(rng().standard_normal((7, 2, 3)))
    running, at = Running.empty(), 0
    for size in sizes:
        part = values[at : at + size]
        running.add({Key("a", "change"): part, Key("b", "change"): -part, Key("c", "value"): part[:, 0, 0]})
        at += size
    shape, spreads = running.spreads()[Key("b", "change")]
    assert shape == (2, 3)
    for spread, column in zip(spreads, (-values).reshape(7, 6).T.numpy(), strict=True):
        assert (spread.count, spread.least, spread.most) == (7, column.min(), column.max())
        assert (spread.below, spread.above) == (sum(column < 0), sum(column > 0))
        near(np.array([spread.mean, spread.deviation]), np.array([column.mean(), column.std(ddof=1)]), size=7, scale=3)
    assert running.spreads()[Key("c", "value")][0] == ()


# --- views ------------------------------------------------------------------------------------------------------


def test_the_views_are_raw_tokens_normed_ones_and_what_the_operator_sees():
    Z, U = tokens(6), bases(K=4)
    norm = partial(layers.layer_norm, scale=torch.linspace(0.5, 2, 8, dtype=Z.dtype))
    bare = layers.crate(U, torch.eye(8, dtype=U.dtype), rule="exact", eps=EPS)
    layer = layers.PreNorm(bare, norm, norm)
    found = audited(of(layer, U=U, norms=(norm, norm)), data=Z).halves
    after = layer.compress(Z)
    ends = {"raw": (Z, after), "normed": (norm(Z), norm(after)), "operator": (norm(Z), norm(Z) + after - Z)}
    for view, pair in ends.items():
        for what, A in zip(("before", "after"), pair, strict=True):
            for c, part in ((True, A), (False, A[:, 1:])):
                expected = float(srr.subspace_coding_rate(part.numpy(), U.numpy(), eps=EPS).mean())
                assert found[0].get("Rc", what, Form(view, c, EPS)).mean == pytest.approx(expected, rel=1e-12)
    # the exact step is one on the tokens that it sees, and on no others
    cosine = {view: found[0].get(COSINE, "value", Form(view, True, EPS)).mean for view in ends}
    assert cosine["operator"] == pytest.approx(1)
    assert cosine["raw"] < 0.999
    assert found[0].get("Rc", "change", Form("operator", True, EPS)).below == 6
    # the second half adds to nothing: what comes out of it is what comes out of its operator
    end = layer.sparsify(after)
    expected = float(srr.coding_rate(end.numpy(), eps=EPS).mean())
    assert found[1].get("R", "after", Form("operator", True, EPS)).mean == pytest.approx(expected, rel=1e-12)
    # without LayerNorm in the measure, everything else
    bare_found = audited(of(layer, U=U), data=Z).halves
    assert bare_found[0].forms("Rc") == (WITH, WITHOUT)


def test_batches_of_any_size_and_any_number_of_samples_at_a_time_give_the_same():
    model, data = small_crate(), torch.from_numpy(rng().standard_normal((7, 1, 4, 4))).float()
    options = {"layout": "crate", "constants": {"heads": 2}, "eps": (0.2, 1.0), "certify": 2, "controls": 5}
    whole = verify.audit(model, data, batch=7, **options)
    split = verify.audit(model, [(data[:2], "labels"), data[2:3].numpy(), [data[3:]]], **options)
    assert (whole.samples, whole.controlled, whole.certified) == (7, 5, 2) == (split.samples, split.controlled, 2)
    compared = 0
    for found, other in ((whole, split), (whole.twin, split.twin)):
        for a, b in zip(found.halves, other.halves, strict=True):
            assert a.numbers.keys() == b.numbers.keys()
            for key, spread in a.numbers.items():
                assert spread.count == b.numbers[key].count
                size = max(1.0, abs(spread.most), abs(spread.least))
                assert b.numbers[key].mean == pytest.approx(spread.mean, abs=2e-5 * size)  # float32 inside the network
                compared += 1
    assert compared > 5000


def test_an_audit_that_was_broken_off_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr("verify.auditing.store.SECONDS", 0.0)
    model, data = small_crate(), torch.from_numpy(rng().standard_normal((6, 1, 4, 4))).float()
    options = {"layout": "crate", "constants": {"heads": 2}, "eps": EPS, "certify": 1}
    whole = verify.audit(model, data, batch=2, **options)
    state, seen = tmp_path / "state.npz", []

    def breaking():
        yield data[:2]
        yield data[2:4]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify.audit(model, breaking(), resume=state, **options)
    with pytest.raises(ValueError, match="of another audit"):
        verify.audit(model, data, batch=2, resume=state, **{**options, "eps": 1.0})
    with pytest.raises(ValueError, match="batches must be those"):
        verify.audit(model, data, batch=3, resume=state, **options)
    resumed = verify.audit(model, data, batch=2, resume=state, progress=seen.append, **options)
    assert seen == [4, 2]
    assert not state.exists()
    assert files.to_json(resumed) == files.to_json(whole)
    state.write_bytes(b"PK\x03\x04 damaged")
    with pytest.raises(ValueError, match="resume must be a whole file"):
        verify.audit(model, data, resume=state, **options)


# --- controls and verdicts --------------------------------------------------------------------------------------


def test_null_updates_have_the_size_of_the_layers_and_know_nothing_of_it():
    Z, size = tokens(3), torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    noise = nulls.noise(4, 3, 9, 8, seed=0, like=Z)
    made = nulls.updates(Z, size, noise)
    assert set(made) == set(nulls.UPDATES)
    for update in made.values():
        near(torch.linalg.vector_norm(update, dim=(1, 2)).numpy(), size.numpy(), size=72, scale=2)
    for name in (nulls.CONSTANT, nulls.MEAN):
        assert torch.equal(made[name], made[name][:, :1].expand_as(Z))
    assert torch.allclose(
        made[nulls.MEAN][:, 0] / Z.mean(1), (made[nulls.MEAN][:, :1, :1] / Z.mean(1)[:, None, :1])[:, 0]
    )
    assert (made[nulls.SHRINK] * Z <= 0).all()
    assert torch.equal(noise[1:2], nulls.noise(5, 1, 9, 8, seed=0, like=Z))
    assert not torch.equal(noise[:1], nulls.noise(4, 1, 9, 8, seed=1, like=Z))
    centred = Z - Z.mean(1, keepdim=True)
    assert (
        torch.linalg.vector_norm(nulls.updates(centred - centred.mean(1, keepdim=True) * 0, size, noise)[nulls.MEAN])
        < 4
    )


@pytest.mark.parametrize("K", [2, 6])
def test_random_bases_are_orthonormal_and_rotated_ones_keep_every_inner_product(K):
    U = torch.from_numpy(rng().standard_normal((K, 8, 2)))
    made = nulls.bases(U, None, 3, seed=0)
    assert set(made) == {nulls.ORTHONORMAL, nulls.ROTATED}
    V = made[nulls.ORTHONORMAL]
    assert torch.allclose(V.mT @ V, torch.eye(2, dtype=V.dtype).expand(K, 2, 2))
    if K == 2:
        assert float(curvature.overlap(V)) == pytest.approx(1)
    turned = made[nulls.ROTATED]
    assert torch.allclose(turned[:, None].mT @ turned[None], U[:, None].mT @ U[None])
    assert not torch.allclose(turned, U)
    assert nulls.bases(U, U, 3, seed=0)[nulls.OTHER] is U


def test_exact_gradient_steps_fall_by_more_than_every_null():
    found = audited(exact(seed=1), exact(seed=2), data=tokens(20))
    for verdict in first(found):
        if verdict.half == "compress":
            assert (verdict.quantity, verdict.way, verdict.shown, verdict.word) == ("Rc", "fell", 20, MORE)
            assert all(null.is_beaten for null in verdict.as_often)
            assert nulls.SHRINK in {null.name for null in verdict.as_often}
            assert {null.name for null in verdict.nulls} == {*nulls.UPDATES, *nulls.BASES}
    half = found.halves[0]
    assert half.get(COSINE, "value", WITH).mean == pytest.approx(1)
    assert half.get(STEP, "value", WITH).mean == pytest.approx(0.5)
    assert half.get("Rc", "change", WITH, counterfactuals.EXACT).mean == pytest.approx(
        half.get("Rc", "change", WITH).mean
    )
    assert half.get(LARGEST, "value", WITH).least > 0


def test_judged_by_another_layers_bases_the_same_steps_are_not_specific():
    """The wrong bases for the right layer: seen."""
    pair, parts = exact(seed=1)
    wrong = {**parts, "U": bases(seed=2)}
    found = audited((pair, wrong), exact(seed=2), data=tokens(20))
    verdict = first(found)[0]
    assert verdict.word in (NOT, UNCLEAR)
    assert found.halves[0].get(COSINE, "value", WITH).mean < 0.9


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_random_networks_are_not_specific(seed):
    model = small_crate(seed, dim=32, depth=3, heads=4)
    data = torch.from_numpy(rng(seed).standard_normal((24, 1, 4, 4))).float()
    found = verify.audit(model, data, layout="crate", constants={"heads": 4}, eps=EPS, twin=False)
    assert {v.word for v in first(found) if v.half == "compress"} <= {NOT, UNCLEAR}


@pytest.mark.parametrize("name", nulls.UPDATES)
def test_a_layer_that_is_a_null_control_is_not_specific(name):
    """A half that does what a control does has that control beside it."""
    U = bases(K=4)
    vector = torch.from_numpy(rng(7).standard_normal(8))
    size = torch.full((1,), 3.0, dtype=torch.float64)
    steps = {
        nulls.RANDOM: lambda Z: Z + 2.0 * nulls.noise(99, len(Z), 9, 8, seed=5, like=Z)[:, :-1],
        nulls.CONSTANT: lambda Z: Z + 2 * vector,
        nulls.MEAN: lambda Z: (
            Z + nulls.updates(Z, size.expand(len(Z)), torch.zeros(len(Z), 10, 8, dtype=Z.dtype))[name]
        ),
        nulls.SHRINK: lambda Z: 0.9 * Z,
    }
    found = audited(((steps[name], lambda Z: Z), {"U": U}), data=tokens(24))
    verdict = first(found)[0]
    assert verdict.word == NOT
    null = next(null for null in verdict.nulls if null.name == name)
    assert not null.is_beaten
    assert null.shown >= 0.9 * verdict.shown


def test_a_half_that_does_nothing_has_no_effect():
    found = audited(((lambda Z: Z, lambda Z: Z), {"U": bases()}), data=tokens(8))
    assert {(v.way, v.word) for v in first(found)} == {("stayed", UNCLEAR)}


def test_counterfactuals_are_the_layers_that_they_name():
    Z, U = tokens(5), bases(K=4)
    D = torch.eye(8, dtype=U.dtype)
    norm = partial(layers.layer_norm, shift=torch.ones(8, dtype=U.dtype))
    kinds = {
        counterfactuals.PLUS: layers.PreNorm(layers.official(U, D), norm, norm),
        counterfactuals.MINUS: layers.PreNorm(
            layers.official(U, D, output=-U.permute(1, 0, 2).reshape(8, 8)), norm, norm
        ),
        counterfactuals.DERIVED: layers.crate(U, D, rule="derived", eps=EPS),
        counterfactuals.EXACT: layers.crate(U, D, rule="exact", eps=EPS),
        counterfactuals.DESCENT: layers.descent(U, eps=EPS, lam=0.1),
    }
    for name, layer in kinds.items():
        norms = (norm, norm) if isinstance(layer, layers.PreNorm) else (None, None)
        half = audited(of(layer, U=U, norms=norms), data=Z).halves[0]
        own = half.get("Rc", "change", WITH)
        for other in kinds:
            told = half.get("Rc", "change", WITH, other)
            if other == name:
                assert told.mean == pytest.approx(own.mean, rel=1e-9)
            elif isinstance(layer, layers.PreNorm) == isinstance(kinds[other], layers.PreNorm):
                assert abs(told.mean - own.mean) > 1e-3


def test_the_second_half_is_judged_on_its_own_problem():
    rotation = torch.from_numpy(np.linalg.qr(rng(6).standard_normal((8, 8)))[0])
    U = bases()
    codes = tokens(20).clamp(min=0)
    data = codes @ rotation.T
    layer = layers.crate(U, rotation, rule="exact", eps=EPS, kappa=1e-9, eta=1.0, lam=0.1)
    found = audited(of(layer, U=U, D=rotation), of(layer, U=U, D=rotation.T), data=data)
    half = found.halves[1]
    assert half.get(coding.LASSO, "change", WITH).below == 20
    assert half.controls(coding.LASSO) == ("rotated dictionary", "another layer's dictionary")
    verdict = first(found)[1]
    assert (verdict.quantity, verdict.way, verdict.word) == (coding.LASSO, "fell", MORE)
    # too long a step overshoots, and no control hides it
    wild = layers.crate(U, 3 * rotation, rule="exact", eps=EPS, kappa=1e-9, eta=0.5, lam=0.1)
    half = audited(of(wild, U=U, D=3 * rotation), data=data).halves[1]
    assert half.get(coding.LASSO, "change", WITH).above == 20
    assert half.get(coding.LASSO, "change", WITH, coding.ZERO).above == 20
    # a half that adds to its tokens gives no code
    assert (
        audited(((lambda Z: Z, lambda Z: Z), {"U": U, "D": rotation}), data=data).halves[1].get("lasso", "change", WITH)
        is None
    )


def spread(below, above, count=100):
    return Spread(count, 0.0, 1.0, -1.0, 1.0, below, above)


def half_with(own, *controls):
    numbers = {(Key("Rc", "change"), WITH): own}
    for name, change, margin in controls:
        numbers[Key("Rc", "change", name), WITH] = change
        numbers[Key("Rc", "margin", name), WITH] = margin
    return HalfFound(0, "compress", numbers)


def test_verdicts_follow_the_counts():
    fell = spread(81, 19)
    often, seldom = spread(79, 21), spread(40, 60)
    beaten, level = spread(97, 3), spread(55, 45)
    cases = [
        (half_with(fell, (nulls.RANDOM, seldom, level)), SPECIFIC),
        (half_with(fell, (nulls.RANDOM, often, level)), NOT),
        (half_with(fell, (nulls.RANDOM, often, beaten)), MORE),
        (half_with(fell, (nulls.RANDOM, often, beaten), (nulls.MEAN, often, level)), NOT),
        (half_with(spread(19, 81), (nulls.RANDOM, often, level)), SPECIFIC),
        (half_with(spread(55, 45), (nulls.RANDOM, seldom, level)), UNCLEAR),
        (half_with(spread(0, 0)), UNCLEAR),
        (half_with(spread(100, 0)), ALONE),
        (half_with(spread(5, 0, 5), (nulls.RANDOM, spread(0, 5, 5), spread(5, 0, 5))), UNCLEAR),
    ]
    for found, word in cases:
        assert judge(found, None, "Rc", WITH).word == word
    few, still = judge(cases[8][0], None, "Rc", WITH), judge(cases[6][0], None, "Rc", WITH)
    assert few.sentence == "Rc fell on 5 of 5 samples: too few samples to tell from chance."
    assert still.sentence == "Rc stayed on 100 of 100 samples: no effect that these samples could show."
    said = judge(cases[1][0], half_with(spread(80, 20)), "Rc", WITH)
    assert said.sentence == (
        "Rc fell on 81 of 100 samples; a random update of the same norm: on 79: not specific to the layer. "
        "In the untrained network it fell on 80, so it was not learned."
    )
    assert said.learned is False
    assert judge(cases[1][0], half_with(spread(30, 70)), "Rc", WITH).learned is True
    assert judge(cases[0][0], None, "official Rc", WITH) is None


# --- the untrained twin -----------------------------------------------------------------------------------------


def test_the_untrained_twin_has_other_weights_of_the_same_kind_and_the_network_keeps_its_own():
    model = small_crate(dim=32)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    kept = {name: a.clone() for name, a in model.state_dict().items()}
    twin = untrained(model, seed=0)
    for name, a in model.state_dict().items():
        assert torch.equal(a, kept[name])
    fresh = twin.state_dict()
    assert torch.equal(fresh["transformer.layers.0.0.norm.weight"], torch.ones(32))
    D = fresh["transformer.layers.0.1.fn.weight"]
    assert float(D.abs().max()) <= math.sqrt(6 / 32)
    assert float(fresh["pos_embedding"].std()) == pytest.approx(float(kept["pos_embedding"].std()), rel=0.2)
    assert not torch.equal(fresh["pos_embedding"], kept["pos_embedding"])
    again = untrained(model, seed=0).state_dict()
    assert all(torch.equal(a, again[name]) for name, a in fresh.items())
    assert not torch.equal(D, untrained(model, seed=1).state_dict()["transformer.layers.0.1.fn.weight"])


def test_the_twin_may_be_given_or_left_out():
    model, data = small_crate(), torch.from_numpy(rng().standard_normal((3, 1, 4, 4))).float()
    options = {"layout": "crate", "constants": {"heads": 2}, "eps": EPS}
    itself = verify.audit(model, data, twin=model, name="net", **options)
    assert itself.twin.name == "net, untrained"
    for a, b in zip(itself.halves, itself.twin.halves, strict=True):
        assert a.numbers[Key("Rc", "change"), WITH] == b.numbers[Key("Rc", "change"), WITH]
    assert verify.audit(model, data, twin=False, **options).twin is None


# --- certified --------------------------------------------------------------------------------------------------


def test_certified_signs_are_those_of_exact_and_ball_arithmetic():
    model, data = small_crate(), torch.from_numpy(rng().standard_normal((4, 1, 4, 4))).float()
    options = {"layout": "crate", "constants": {"heads": 2}, "eps": (0.2, EPS), "twin": False}
    found = verify.audit(model, data, certify=3, **options)
    network = Network.of(model, "crate", {"heads": 2})
    half, before, after = network.halves(dtype=torch.float64, seed=0, lam=0.1)[0]
    passed = capture(model, lambda: model(data), network.taps)
    expected = [
        decide.subspace_rate_change(passed[before][i], passed[after][i], half.U.numpy(), eps=EPS).sign for i in range(3)
    ]
    told = found.halves[0].get("Rc", "certified", WITH)
    assert (told.count, told.below, told.above) == (3, expected.count(-1), expected.count(1))
    assert found.halves[0].get("Rc", "undecided", WITH).above == 0
    for half_found in found.halves:
        for quantity in ("Rc", "lam|Z|_1 - R", "lasso"):
            signs, floats = half_found.get(quantity, "certified", WITH), half_found.get(quantity, "change", WITH)
            assert signs is None or (signs.count == 3 and signs.below <= floats.below)


def test_what_no_precision_decides_is_counted_as_undecided():
    open_ = certified._recorded(
        "Rc", [decide.Decision(None, -1.0, 1.0, "balls"), decide.Decision(-1, -2.0, -1.0, "balls")]
    )
    assert open_[Key("Rc", "undecided")].flatten().tolist() == [1, 0]
    assert open_[Key("Rc", "certified")].flatten().tolist() == [0, -1]


# --- every known network -----------------------------------------------------------------------------------------


def inputs_of(name):
    if name in ("crate", "crate_alpha", "crate_mae", "vit"):
        return torch.from_numpy(rng().standard_normal((3, 3, 8, 8)))
    if name in ("crate_gpt", "crate_overcomplete", "tost_lang", "bert", "gpt2"):
        return torch.from_numpy(rng().integers(0, 11, (3, 7)))
    return torch.from_numpy(rng().standard_normal((3, 9, 6) if name == "redunet" else (3, 10, 12)))


@pytest.mark.parametrize("name", networks.SMALL)
def test_every_known_network_is_recognised_and_audited(name):
    model = networks.network(name)
    if name.startswith("redunet_fourier"):
        with pytest.raises(ValueError, match="every layer must have bases to be audited by, got none in layer 1"):
            verify.audit(model, inputs_of(name), eps=EPS)
        return
    if name == "depict_decoder":
        with pytest.raises(
            ValueError, match=r"layers must change the tokens that they attend to, got in cnet queries of others"
        ):
            verify.audit(model, inputs_of(name), eps=EPS)
        return
    found = verify.audit(model, inputs_of(name), eps=EPS, cls="none", twin=False)
    network = Network.of(model, None, {})
    passed = capture(model, lambda: model(inputs_of(name)), network.taps)
    assert len(found.halves) == 2 * len(network.parts)
    for half, (part, before, after) in zip(
        found.halves, network.halves(dtype=torch.float64, seed=0, lam=0.1), strict=True
    ):
        assert (half.layer, half.half) == (part.layer, part.half)
        for what, tap in (("before", before), ("after", after)):
            expected = srr.subspace_coding_rate(passed[tap].numpy(), part.U.numpy(), eps=EPS).mean()
            assert half.get("Rc", what, WITH).mean == pytest.approx(float(expected), rel=1e-9)
    assert "[CLS]" not in str(found.main)
    lasso = any(half.get(coding.LASSO, "change", WITH) for half in found.halves)
    assert lasso == (name in ("crate", "crate_mae", "crate_gpt", "cbsa"))


def test_the_layers_of_a_decoder_in_which_tokens_attend_to_one_another_are_audited_as_it_says():
    model = networks.network("depict_decoder")
    found = verify.audit(model, inputs_of("depict"), layout=below(LAYOUTS["depict"], "snet."), eps=EPS, cls="none")
    alone = verify.audit(model.snet, inputs_of("depict"), eps=EPS, cls="none")
    assert [half.numbers for half in found.halves] == [half.numbers for half in alone.halves]
    assert [half.half for half in found.halves] == ["compress", "sparsify"]


def test_a_network_that_takes_more_than_its_data_is_refused_in_one_sentence():
    """As the published decoder of DEPICT does, whose masks have the size of an image that it is told."""
    model = networks.network("depict_decoder")
    forward = model.forward
    model.forward = lambda z, im_size=None: forward(z, (im_size[0], im_size[1]))
    layout = below(LAYOUTS["depict"], "snet.")
    with pytest.raises(CaptureError, match=r"must run on its data alone, \(3, 10, 12\) in float64; got TypeError: "):
        verify.audit(model, inputs_of("depict"), layout=layout, eps=EPS, cls="none")
    assert not hooks(model)


@pytest.mark.parametrize("name", ["vit", "gpt2", "bert"])
def test_the_bases_of_a_standard_transformer_are_the_projections_that_are_named(name):
    model = networks.network(name)
    options = {"eps": EPS, "cls": "none", "twin": False, "controls": 0}
    by = {
        which: verify.audit(model, inputs_of(name), constants={"subspaces": which}, **options)
        .halves[0]
        .get("Rc", "before", WITH)
        for which in ("value", "key", "query")
    }
    assert len({spread.mean for spread in by.values()}) == 3


# --- what is refused --------------------------------------------------------------------------------------------


def hooks(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_a_sample_that_is_not_finite_is_named():
    model, data = small_crate(), torch.from_numpy(rng().standard_normal((7, 1, 4, 4))).float()
    data[5, 0, 1, 2] = torch.nan
    options = {"layout": "crate", "constants": {"heads": 2}, "eps": EPS}
    for batch in (2, 7):
        with pytest.raises(ValueError, match="data must be finite, got numbers that are not in sample 5"):
            verify.audit(model, data, batch=batch, **options)
    assert hooks(model) == 0


def test_tokens_that_overflow_are_named_with_their_sample_and_place():
    pair = (lambda Z: Z, lambda Z: Z * torch.where(Z.abs().amax((1, 2), keepdim=True) > 1e3, torch.inf, 1.0))
    data = tokens(6)
    data[4] *= 1e6
    with pytest.raises(ValueError, match=r"the output of layers\.0\.1 must be finite, .* in sample 4"):
        audited((pair, {"U": bases()}), data=data, batch=3)


def test_hooks_are_gone_after_an_exception_and_the_network_is_as_it_was():
    def fails(Z):
        raise RuntimeError("out of order")

    model = Stack((lambda Z: Z, fails))
    model.train()
    layout = described({"U": bases()})
    with pytest.raises(CaptureError, match="got RuntimeError: out of order"):
        verify.audit(model, tokens(2), layout=layout, eps=EPS, twin=False)
    assert hooks(model) == 0
    assert model.training


def test_a_layer_that_is_not_what_it_seems_is_refused():
    def in_place(Z):
        return Z.mul_(0.5)

    with pytest.raises(CaptureError, match="in place"):
        audited(((in_place, lambda Z: Z), {"U": bases()}))
    drawn = iter(range(100))
    with pytest.raises(CaptureError, match="the same for the same input"):
        audited(((lambda Z: Z + next(drawn), lambda Z: Z), {"U": bases()}))
    with pytest.raises(ValueError, match=r"tokens of layer 1 compress must be \(b, n, d\)"):
        audited(((lambda Z: Z[:, 1:], lambda Z: Z), {"U": bases()}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eps": 0.0}, "eps must be > 0"),
        ({"eps": ()}, "eps must be one number or several, got none"),
        ({"eps": (0.5, 0.5)}, "eps must be different numbers"),
        ({"eps": math.nan}, "eps must be finite"),
        ({"lam": -1.0}, "lam must be >= 0"),
        ({"cls": "middle"}, "cls must be one of"),
        ({"tokens": ("raw", "other")}, "tokens must be one of"),
        ({"tokens": ()}, "tokens must be different ones of"),
        ({"controls": -1}, "controls must be >= 0"),
        ({"certify": 1.5}, "certify must be an integer"),
        ({"batch": 0}, "batch must be >= 1"),
        ({"dtype": torch.float16}, "dtype must be torch.float64 or torch.float32"),
        ({"layout": "none such"}, "layout must be one of"),
        ({"data": []}, "data must have at least one sample"),
        ({"data": ["text"]}, "data must give tensors"),
    ],
)
def test_bad_arguments_get_one_clear_error(options, message):
    model = small_crate()
    given = {"data": torch.zeros(2, 1, 4, 4), "layout": "crate", "constants": {"heads": 2}, **options}
    with pytest.raises((ValueError, TypeError), match=message):
        verify.audit(model, given.pop("data"), **given)


def test_weights_that_are_not_finite_are_refused_by_name():
    model = small_crate()
    with torch.no_grad():
        model.transformer.layers[1][1].fn.weight[0, 0] = torch.inf
    with pytest.raises(ValueError, match=r"the weights must be finite, got some of 'transformer.layers.1.1.fn.weight'"):
        verify.audit(model, torch.zeros(1, 1, 4, 4), layout="crate", constants={"heads": 2})


def test_a_network_in_half_precision_is_audited_in_its_own_floats():
    model, data = small_crate().bfloat16(), torch.from_numpy(rng().standard_normal((4, 1, 4, 4))).float()
    found = verify.audit(model, data, layout="crate", constants={"heads": 2}, eps=EPS, twin=False)
    assert found.halves[0].get("Rc", "change", WITH).count == 4


# --- for reading ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trace():
    model, data = small_crate(depth=3), torch.from_numpy(rng().standard_normal((10, 1, 4, 4))).float()
    options = {"layout": "crate", "constants": {"heads": 2}, "certify": 2, "name": "a small network"}
    return verify.audit(model, data, **options)


def test_the_tables_fit_80_columns_and_say_every_verdict(trace, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text.show(trace)
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    said = " ".join(out.split())
    for verdict in first(trace):
        assert verdict.sentence in said
        assert f"{verdict.shown}/{verdict.count}" in said
    assert "(2c)" in said or "(1c)" in said or "(0c)" in said


def test_the_data_are_whole(trace, tmp_path):
    read = json.loads(files.to_json(trace))
    assert read["format"] == files.FORMAT
    assert (read["samples"], len(read["halves"]), len(read["untrained"]["halves"])) == (10, 6, 6)
    half = read["halves"][0]
    row = next(r for r in half["numbers"] if r[:6] == ["Rc", "change", "", "raw", True, 0.5])
    spread = trace.halves[0].get("Rc", "change", WITH)
    assert dict(zip(half["columns"], row, strict=True))["below"] == spread.below
    (tmp_path / "a.npz").write_bytes(files.to_npz(trace))
    with np.load(tmp_path / "a.npz", allow_pickle=False) as arrays:
        assert set(arrays.files) == set(files.COLUMNS)
        at = (
            (arrays["quantity"] == "Rc")
            & (arrays["what"] == "change")
            & (arrays["control"] == "")
            & (arrays["cls"] == 1)
        )
        at &= (
            (arrays["tokens"] == "raw")
            & (arrays["eps"] == 0.5)
            & (arrays["layer"] == 0)
            & (arrays["half"] == "compress")
        )
        assert arrays["mean"][at & (arrays["network"] == "a small network")] == [spread.mean]
    assert files.to_json(trace) == files.to_json(trace)


# --- what it costs ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_products_of_the_benchmark_are_those_that_torch_counts():
    torch.manual_seed(0)
    model = Crate(image_size=224, patch_size=16, num_classes=3, dim=audit_bench.D, depth=audit_bench.DEPTH, heads=6)
    images = torch.randn(2, 3, 224, 224)

    def counted(run):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            run()
        return counter.get_total_flops()

    own = counted(lambda: model(images[:1]))
    options = {"layout": "crate", "constants": {"heads": 6}, "twin": False, "batch": 1}
    for kind in ({"eps": EPS, "tokens": "raw", "controls": 0}, {"controls": 0}):
        one, two = (
            counted(lambda n=n, kind=kind: verify.audit(model, images[:n], **options, **kind)) for n in (1, 2)
        )  # what is done once, for bases and weights, falls out
        needed = audit_bench.products(1 if "eps" in kind else 3, 1 if "tokens" in kind else 3, controls=False)
        assert needed <= two - one - own <= 1.06 * needed


MEMORY = """
import resource, sys, torch, verify
from verify.models.crate import Crate
torch.manual_seed(0)
torch.set_num_threads(1)
model = Crate(image_size=224, patch_size=16, num_classes=3, dim=384, depth=12, heads=6)
def audited(samples):
    batches = (torch.randn(4, 3, 224, 224) for _ in range(samples // 4))
    options = {"eps": 0.5, "tokens": "raw", "controls": 4, "twin": False}
    assert verify.audit(model, batches, layout="crate", constants={"heads": 6}, **options).samples == samples
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(audited(8), audited(48))
"""


@pytest.mark.slow
def test_memory_is_flat_in_the_number_of_samples():
    run = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    few, many = map(float, run.stdout.split())
    # The tokens of forty samples at the 25 places where they are seen would be 289 MiB.
    assert many - few < 32
