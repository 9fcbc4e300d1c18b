"""Layers: each half is the operator it names, the official layer is its code, and descent descends."""

import inspect
import re
from dataclasses import FrozenInstanceError, dataclass
from functools import partial
from itertools import pairwise

import catalogue
import numpy as np
import pytest
from backends import CPU, GPU, NUMPY, parametrize
from closeness import assert_close, near, rounded
from hypothesis import given
from hypothesis import strategies as st

import srr
from srr import attention, curvature, implicit, layers, prox

EPS, LAM = 0.7, 0.15


def instance(n=7, d=6, K=3, p=2, seed=0):
    """Tokens, orthonormal bases that overlap, a dictionary with ‖D‖ about 2."""
    rng = np.random.default_rng(seed)
    U = np.linalg.qr(rng.standard_normal((K, d, p)))[0]
    return rng.standard_normal((n, d)), U, rng.standard_normal((d, d)) / np.sqrt(d)


def instance_for(rule):
    """As `instance`; the implicit rule asks for subspaces that do not overlap, here in every precision."""
    Z, U, D = instance()
    return Z, np.eye(6).reshape(6, 3, 2).swapaxes(0, 1) if rule == "implicit" else U, D


COMPRESS = {
    "exact": lambda Z, U, kappa: attention.exact_step(Z, U, eps=EPS, step=kappa),
    "neumann": lambda Z, U, kappa: attention.neumann_step(Z, U, eps=EPS, step=kappa),
    "derived": lambda Z, U, kappa: attention.derived_step(Z, U, eps=EPS, step=kappa),
    "implicit": lambda Z, U, kappa: implicit.implicit_step(Z, U, eps=EPS, step=kappa),
    "semi-implicit": lambda Z, U, kappa: implicit.semi_implicit_step(Z, U, eps=EPS, step=kappa),
    "residual": lambda Z, U, kappa: attention.residual_step(Z, U, eps=EPS, step=kappa),
    "conceptual": lambda Z, U, kappa: attention.residual_step(Z, U, step=kappa),
}


# --- CRATE --------------------------------------------------------------------------------------------------


def test_every_rule_has_its_test():
    assert tuple(COMPRESS) == layers.RULES


@parametrize(NUMPY, CPU, GPU)
@pytest.mark.parametrize("rule", COMPRESS)
def test_crate_is_the_rule_and_then_ista(backend, rule):
    arrays = rounded(backend, *instance_for(rule))
    with backend.active():
        Z, U, D = (backend.array(a) for a in arrays)
        layer = layers.crate(U, D, rule=rule, eps=EPS, kappa=0.2, eta=0.3, lam=LAM)
        half, after = layer.compress(Z), layer(Z)
        Z, U, D = arrays
        expected = COMPRESS[rule](Z, U, 0.2)
        assert_close(backend, half, expected, size=20, scale=20)
        assert_close(backend, after, prox.ista_step(expected, D, step=0.3, lam=LAM), size=20, scale=60)


def test_default_steps():
    for rule, compress in COMPRESS.items():
        Z, U, D = instance_for(rule)
        safe = curvature.compression_step(U, len(Z), eps=EPS)
        kappa = 1.0 if rule in ("residual", "conceptual") else safe
        layer = layers.crate(U, D, rule=rule, eps=EPS)
        near(layer.compress(Z), compress(Z, U, kappa), size=20, scale=20)
        if kappa is safe:  # which is proportional to the number of tokens
            near(layer.compress(Z[:3]), compress(Z[:3], U, 3 / 7 * safe), size=20, scale=20)
        assert np.array_equal(layer.sparsify(Z), prox.ista_step(Z, D, step=0.1, lam=0.1))
    Z, U, D = instance()
    assert np.array_equal(layers.crate(U, D, eps=EPS)(Z), layers.crate(U, D, rule="residual", eps=EPS)(Z))


def test_signed_codes_and_negative_steps():
    Z, U, D = instance()
    layer = layers.crate(U, D, eps=EPS, kappa=-1.0, nonnegative=False)
    near(layer.compress(Z), Z - attention.mssa(Z, U, eps=EPS), size=20, scale=20)
    assert np.array_equal(layer.sparsify(Z), prox.ista_step(Z, D, step=0.1, lam=0.1, nonnegative=False))
    assert (layer(Z) < 0).any()


@pytest.mark.parametrize("rule", COMPRESS)
def test_a_layer_is_equivariant_to_permutations_of_the_tokens(rule):
    Z, U, D = instance_for(rule)
    order = np.random.default_rng(1).permutation(len(Z))
    layer = layers.crate(U, D, rule=rule, eps=EPS)
    near(layer(Z[order]), layer(Z)[order], size=20, scale=20)


# --- the official code --------------------------------------------------------------------------------------


def official_block(x, qkv, to_out, bias, D, norms, heads):
    """``model/crate.py``: PreNorm attention with a skip, PreNorm feed-forward without."""
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    x, qkv, to_out, bias, D = (torch.tensor(a) for a in (x, qkv, to_out, bias, D))
    (w1, b1), (w2, b2) = (tuple(torch.tensor(a) for a in norm) for norm in norms)
    w = F.linear(F.layer_norm(x, x.shape[-1:], w1, b1), qkv).unflatten(-1, (heads, -1)).transpose(-3, -2)
    attended = torch.softmax(w @ w.transpose(-1, -2) * w.shape[-1] ** -0.5, dim=-1) @ w
    half = F.linear(attended.transpose(-3, -2).flatten(-2), to_out, bias) + x
    y = F.layer_norm(half, x.shape[-1:], w2, b2)
    grad = F.linear(F.linear(F.linear(y, D), D.T), torch.eye(len(D), dtype=D.dtype))  # Dᵀ D y
    return half.numpy(), F.relu(y + 0.1 * (F.linear(y, D.T) - grad) - 0.1 * 0.1).numpy()


@parametrize(NUMPY, CPU, GPU)
def test_the_official_layer(backend):
    d, K, p = 6, 3, 2
    rng = np.random.default_rng(0)
    shapes = ((2, 7, d), (K * p, d), (d, K * p), (d,), (d, d), (d,), (d,), (d,), (d,))
    x, qkv, to_out, bias, D, *norms = rounded(backend, *map(rng.standard_normal, shapes))
    half, after = official_block(x, qkv, to_out, bias, D, (norms[:2], norms[2:]), K)
    with backend.active():
        array = backend.array
        first, second = (partial(layers.layer_norm, scale=array(w), shift=array(b)) for w, b in (norms[:2], norms[2:]))
        U = array(qkv.reshape(K, p, d).transpose(0, 2, 1))
        bare = layers.official(U, array(D), output=array(to_out), bias=array(bias))
        layer = layers.PreNorm(bare, first, second)
        assert_close(backend, layer.compress(array(x)), half, size=20, scale=60)
        assert_close(backend, layer.sparsify(array(half)), after, size=20, scale=60)


def test_the_official_layer_with_the_theoretical_output():
    Z, U, D = instance()
    layer = layers.official(U, D, scale=1.0, eta=0.2, lam=0.3)
    near(layer.compress(Z), attention.residual_step(Z, U), size=20, scale=20)
    assert np.array_equal(layer.sparsify(Z), prox.ista_step(Z, D, step=0.2, lam=0.3))


@parametrize(NUMPY, CPU, GPU)
def test_layer_norm(backend):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    Z, w, b = rounded(backend, 3 + rng.standard_normal((2, 4, 5)), *rng.standard_normal((2, 5)))
    Z[0, 0] = 2  # a constant token: variance zero
    reference = partial(torch.nn.functional.layer_norm, torch.tensor(Z), (5,))
    with backend.active():
        z, scale, shift = backend.array(Z), backend.array(w), backend.array(b)
        # a rounding of the variance, relative to the mean's square, passes through 1/√
        assert_close(backend, layers.layer_norm(z), reference().numpy(), size=20, scale=50)
        both = layers.layer_norm(z, scale, shift, floor=1e-3)
        expected = reference(torch.tensor(w), torch.tensor(b), eps=1e-3).numpy()
        assert_close(backend, both, expected, size=20, scale=50)
        only_shift = layers.layer_norm(z, shift=shift)
        assert_close(backend, only_shift, reference(None, torch.tensor(b)).numpy(), size=20, scale=50)


def test_layer_norm_goes_before_each_half_and_the_skip_around_it():
    Z, U, D = instance()
    double, halve = (lambda Z: 2 * Z), (lambda Z: Z / 2)
    plain = layers.crate(U, D, eps=EPS)
    layer = layers.PreNorm(plain, double, halve)
    near(layer.compress(Z), Z + attention.mssa(2 * Z, U, eps=EPS), size=20, scale=20)
    assert np.array_equal(layer.sparsify(Z), plain.sparsify(Z / 2))
    default = layers.PreNorm(plain)
    update = attention.mssa(layers.layer_norm(Z), U, eps=EPS)
    near(default.compress(Z), Z + update, size=20, scale=20)
    assert np.array_equal(default.sparsify(Z), plain.sparsify(layers.layer_norm(Z)))


# --- the layer that descends --------------------------------------------------------------------------------


@parametrize(NUMPY, CPU, GPU)
def test_descent_is_a_proximal_gradient_step(backend):
    arrays = rounded(backend, *instance()[:2])
    with backend.active():
        Z, U = map(backend.array, arrays)
        layer = layers.descent(U, eps=EPS, lam=LAM)
        half, after = layer.compress(Z), layer(Z)
        keep = layers.descent(U, eps=EPS, lam=LAM, nonnegative=True)(Z)
        Z, U = arrays
        step = curvature.loss_step(U, 7, eps=EPS)
        gradient = srr.SparseRateReduction(U, EPS, LAM).smooth_gradient(Z)
        assert_close(backend, half, Z - step * gradient, size=20, scale=10)
        moved = Z - step * gradient
        expected = np.sign(moved) * np.maximum(np.abs(moved) - step * LAM, 0)
        assert_close(backend, after, expected, size=20, scale=10)
        assert_close(backend, keep, np.maximum(moved - step * LAM, 0), size=20, scale=10)
        if backend is NUMPY:
            assert np.count_nonzero(after) not in (0, after.size)


@given(
    seed=st.integers(0, 2**32),
    shape=st.sampled_from([(7, 6, 3, 2), (3, 6, 2, 4), (6, 6, 1, 6), (1, 4, 2, 2), (9, 1, 1, 1)]),
    log_eps=st.floats(-2, 1),
    log_lam=st.floats(-3, 2),
    log_scale=st.floats(-2, 2),
    nonnegative=st.booleans(),
)
def test_descent_decreases_the_loss_by_what_it_promises(seed, shape, log_eps, log_lam, log_scale, nonnegative):
    Z, U, _ = instance(*shape, seed=seed)
    Z, eps, lam = 10**log_scale * (np.abs(Z) if nonnegative else Z), 10**log_eps, 10**log_lam
    after = layers.descent(U, eps=eps, lam=lam, nonnegative=nonnegative)(Z)
    before, later = (srr.SparseRateReduction(U, eps, lam).terms(z) for z in (Z, after))
    promised = np.sum((after - Z) ** 2) / (2 * curvature.loss_step(U, len(Z), eps=eps))
    size = sum(t.rate + t.compression + lam * t.l1 for t in (before, later))
    assert later.loss <= before.loss - promised + 1e-13 * size


def test_two_and_a_half_times_the_step_does_not_descend():
    # near 0, in a direction that 20 subspaces share, the loss is curved by nearly L_c
    U = np.eye(2)[:, :1][None].repeat(20, axis=0)
    Z = np.array([[1e-3, 0.0]])
    loss = srr.SparseRateReduction(U, 1.0, 0.0).loss
    after = layers.descent(U, eps=1.0, lam=0.0)(Z)
    assert loss(after) < loss(Z) < loss(Z + 2.5 * (after - Z))


def test_descent_keeps_its_fixed_points():
    _, U, _ = instance()
    zero = np.zeros((5, 6))
    assert np.array_equal(layers.descent(U, eps=EPS, lam=LAM)(zero), zero)


# --- unrolling ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Shift(srr.Layer):
    by: float

    def compress(self, Z):
        return Z + self.by

    def sparsify(self, Z):
        return 2 * Z


def test_unroll_yields_every_half_step():
    Z = np.ones((3, 2))
    steps = list(srr.unroll([Shift(1.0), Shift(-5.0)], Z))
    assert [(s.index, s.half) for s in steps] == [
        (0, "compress"),
        (0, "sparsify"),
        (1, "compress"),
        (1, "sparsify"),
    ]
    assert [float(s.before[0, 0]) for s in steps] == [1, 2, 4, -1]
    assert [float(s.after[0, 0]) for s in steps] == [2, 4, -1, -2]
    assert steps[0].before is Z
    assert all(a.after is b.before for a, b in pairwise(steps))
    with pytest.raises(FrozenInstanceError):
        steps[0].half = "sparsify"
    assert len(set(steps)) == 4  # by identity


def test_a_layer_need_not_derive_from_the_class():
    class Own:
        def compress(self, Z):
            return 2 * Z

        def sparsify(self, Z):
            return Z - 1

    assert [step.half for step in srr.unroll([Own()], Z0)] == ["compress", "sparsify"]


def test_unroll_is_lazy_and_calling_composes():
    Z, U, D = instance()
    layer = layers.crate(U, D, eps=EPS)
    steps = srr.unroll(iter([layer, layer]), Z)
    assert next(steps).half == "compress"
    *_, last = steps
    assert np.array_equal(last.after, layer(layer(Z)))
    assert list(srr.unroll([], Z)) == []


def test_a_layer_needs_both_halves():
    class Half(srr.Layer):
        def compress(self, Z):
            return Z

    with pytest.raises(TypeError, match="sparsify"):
        Half()


def test_layers_are_values():
    _, U, D = instance()
    for layer in (layers.crate(U, D, eps=EPS), layers.official(U, D), layers.descent(U, eps=EPS, lam=LAM)):
        with pytest.raises(FrozenInstanceError):
            layer.U = U
        with pytest.raises(FrozenInstanceError):
            layers.PreNorm(layer).layer = layer
        assert len({layer, layer, layers.descent(U.copy(), eps=EPS, lam=LAM)}) == 2  # by identity


def test_batched_equals_a_stack_of_singles():
    Z, U, D = instance()
    batch = np.stack([Z, 2 * Z, Z + 1])[:, None]
    orthogonal = np.linalg.qr(np.concatenate(list(U), axis=1))[0][:, : U.shape[2]][None]
    every = [layers.crate(orthogonal if rule == "implicit" else U, D, rule=rule, eps=EPS) for rule in layers.RULES]
    for layer in (*every, layers.PreNorm(layers.official(U, D)), layers.descent(U, eps=EPS, lam=LAM)):
        stack = np.stack([layer(z) for z in batch[:, 0]])[:, None]
        near(layer(batch), stack, size=20, scale=10 + np.abs(stack))


# --- derivatives and tracing --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*layers.RULES, "official", "descent", "implicit descent"])
def test_layers_are_differentiable_under_jit_and_in_torch(name):
    torch, jax = pytest.importorskip("torch"), pytest.importorskip("jax")
    arrays = instance_for(name)

    def run(Z, U, D):
        if name == "official":
            layer = layers.PreNorm(layers.official(U, D))
        elif name == "descent":
            layer = layers.descent(U, eps=EPS, lam=LAM)
        elif name == "implicit descent":
            layer = layers.implicit_descent(U, eps=EPS, lam=LAM)
        else:
            layer = layers.crate(U, D, rule=name, eps=EPS)
        return layer(Z)

    H = np.random.default_rng(1).standard_normal(arrays[0].shape)
    h = 1e-6
    slope = (run(arrays[0] + h * H, *arrays[1:]) - run(arrays[0] - h * H, *arrays[1:])).sum() / (2 * h)
    Z, U, D = (torch.tensor(a, requires_grad=True) for a in arrays)
    run(Z, U, D).sum().backward()
    assert np.sum(Z.grad.numpy() * H) == pytest.approx(slope, rel=1e-6, abs=1e-6)
    assert torch.isfinite(U.grad).all()
    with jax.enable_x64(True):
        gradient = jax.jit(jax.grad(lambda *arrays: run(*arrays).sum()))(*map(jax.numpy.asarray, arrays))
        assert np.sum(gradient * H) == pytest.approx(slope, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("name", [*layers.RULES, "descent", "implicit descent"])
def test_layers_map_over_a_batch_axis(name):
    torch, jax = pytest.importorskip("torch"), pytest.importorskip("jax")
    Z, U, D = instance_for(name)
    batch = np.stack([Z, 2 * Z, Z + 1])

    def layer(U, D):
        if name == "descent":
            return layers.descent(U, eps=EPS, lam=LAM)
        if name == "implicit descent":
            return layers.implicit_descent(U, eps=EPS, lam=LAM)
        return layers.crate(U, D, rule=name, eps=EPS)

    expected = layer(U, D)(batch)
    mapped = torch.func.vmap(layer(torch.tensor(U), torch.tensor(D)))(torch.tensor(batch))
    near(mapped.numpy(), expected, size=20, scale=20)
    with jax.enable_x64(True):
        mapped = jax.vmap(layer(jax.numpy.asarray(U), jax.numpy.asarray(D)))(jax.numpy.asarray(batch))
        near(mapped, expected, size=20, scale=20)


def test_steps_may_be_learned():
    torch = pytest.importorskip("torch")
    Z, U, D = map(torch.tensor, instance())
    kappa, eta, lam = (torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in (0.2, 0.3, 0.1))
    layers.crate(U, D, rule="exact", eps=EPS, kappa=kappa, eta=eta, lam=lam)(Z).sum().backward()
    assert all(float(a.grad) != 0 for a in (kappa, eta, lam))


BUILDERS = {name: call for name, call in catalogue.CALLS.items() if isinstance(call.function, catalogue.OnTokens)}
DEFAULTS = {"eta": 0.1, "lam": 0.1}
OTHERS = {
    "layers.tost": {"eta": 0.5},
    "layers.aot": {"step": 1.0, "threshold": 0.6},
    "layers.crate_variant": {"scale": 1.0},
    "layers.crate_decoder": {"kappa": 1.0},
    "layers.implicit_descent": {"iterations": 4},
}


@pytest.mark.parametrize("name", BUILDERS)
def test_what_a_layer_has_unless_told_otherwise(name):
    build = BUILDERS[name].function.build
    given = {k: a.example for k, a in BUILDERS[name].arguments.items() if k != "Z"}
    free = {k: a.default for k, a in inspect.signature(build).parameters.items() if a.default is not a.empty}
    layer = build(**{k: a for k, a in given.items() if k not in free})
    for parameter, value in (DEFAULTS | OTHERS.get(name, {})).items():
        assert parameter not in free or getattr(layer, parameter) == value, parameter


@pytest.mark.parametrize(
    ("name", "argument"),
    [(name, k) for name, call in BUILDERS.items() for k, a in call.arguments.items() if a.optional],
)
def test_no_argument_of_a_layer_is_forgotten(name, argument):
    call = BUILDERS[name]
    given = {k: a.example for k, a in call.arguments.items()}
    assert np.abs(call.function(**given) - call.function(**{**given, argument: None})).max() > 1e-6


# --- bad input ----------------------------------------------------------------------------------------------

Z0, U0, D0 = instance()
V0 = np.ones(6)
GOOD = {
    layers.crate: {"U": U0, "D": D0, "rule": "exact", "eps": 0.5, "kappa": 0.1, "eta": 0.1, "lam": 0.1}
    | {"nonnegative": True},
    layers.official: {"U": U0, "D": D0, "output": D0, "bias": V0, "scale": 1.0, "eta": 0.1, "lam": 0.1},
    layers.descent: {"U": U0, "eps": 0.5, "lam": 0.1, "nonnegative": True},
    layers.layer_norm: {"Z": Z0, "scale": V0, "shift": V0, "floor": 1e-5},
    layers.PreNorm: {
        "layer": layers.crate(U0, D0, eps=0.5),
        "first": layers.layer_norm,
        "second": layers.layer_norm,
    },
    layers.unroll: {"layers": [Shift(1.0)], "Z": Z0},
}
VECTORS = (V0[:5], V0[None], V0 * np.nan, V0.astype(np.float32), V0.tolist())
BAD = {
    "Z": (Z0[0], Z0[:0], Z0 * np.nan, Z0.astype(np.float16), Z0.tolist()),
    "U": (U0[0], U0 * np.nan, U0.astype(np.float16), U0.transpose(0, 2, 1), U0.tolist()),
    "D": (D0[:5], D0[:, :5], D0 * np.nan, D0.astype(np.float32), D0.tolist()),
    "output": (D0[:5], D0[:, :5], D0 * np.nan, D0.astype(np.float32), D0.tolist()),
    "rule": ("attention", "", None, ["exact"]),
    "eps": (0, -0.5, np.nan, np.inf, "1", True, None),
    "kappa": (0, -0.1, np.nan, "1", True, np.ones(2)),
    "eta": (0, -0.1, np.nan, "1", True, np.ones(2), None),
    "lam": (-0.1, np.nan, "1", True, None),
    "nonnegative": (1, "yes", None),
    "bias": VECTORS,
    "shift": VECTORS,
    "floor": (0, -1e-5, np.nan, "1", True, None),
    "layer": (None, lambda Z: Z),
    "layers": (None, Shift(1.0), [Shift(1.0), None]),
    "first": (None, 1.0),
    "second": (None, 1.0),
}
SCALES = {layers.official: (0, -1.0, np.nan, "1", True, np.ones(2)), layers.layer_norm: VECTORS}


@pytest.mark.parametrize(
    ("function", "name", "value"),
    [
        (f, name, value)
        for f, good in GOOD.items()
        for name in good
        for value in (SCALES[f] if name == "scale" else BAD[name])
    ],
)
def test_bad_input_is_named(function, name, value):
    function(**GOOD[function])
    with pytest.raises((TypeError, ValueError), match=rf"\b{name}\b"):
        function(**(GOOD[function] | {name: value}))


def test_bad_tokens_are_named_by_every_half():
    every = [layers.crate(U0, D0, rule=rule, eps=0.5) for rule in layers.RULES]
    for layer in (
        *every,
        layers.official(U0, D0),
        layers.PreNorm(every[0]),
        layers.descent(U0, eps=0.5, lam=0.1),
    ):
        for half in (layer.compress, layer.sparsify):
            for Z in (Z0 * np.nan, Z0.astype(np.float16)):
                with pytest.raises((TypeError, ValueError), match=r"\b(Z|A)\b"):
                    half(Z)


@pytest.mark.parametrize("build", [layers.descent, layers.implicit_descent])
@pytest.mark.parametrize(("Z", "rule"), [(np.ones(4), "n, d"), (np.ones((3, 5)), "n, 4"), (np.ones((0, 4)), "n")])
def test_each_half_of_a_descent_layer_checks_its_tokens(build, Z, rule):
    layer = build(np.eye(4)[None, :, :2], eps=0.5, lam=0.1)
    message = rf"Z must have shape \(\.\.\., {rule}.*got {re.escape(str(Z.shape))}"
    with pytest.raises(ValueError, match=f"^{message}"):
        layer.sparsify(Z)
    with pytest.raises(ValueError, match=rf"^({message}|U must have shape \(K, 5, p\))"):
        layer.compress(Z)
    for half in (layer.sparsify, layer.compress):
        with pytest.raises(TypeError, match=r"^(U and Z|Z and U) must have one dtype"):
            half(np.ones((3, 4), dtype=np.float32))
