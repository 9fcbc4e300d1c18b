"""Every public function of srr with an example of its arguments, and what kind of argument each is.

``test_backends`` runs the examples on every array library, ``test_bad_input`` spoils them one argument at a time, and
``test_bad_input.test_catalogue_is_complete`` fails when a public function or one of its parameters is missing here.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from srr import (
    aot,
    attention,
    cbsa,
    curvature,
    denoising,
    enclosure,
    flops,
    implicit,
    layers,
    mcr2,
    mixtures,
    objective,
    prox,
    rates,
    redunet,
    redunet_fourier,
    segmentation,
    tost,
)

n, d, K, p, m = 5, 4, 3, 2, 6


@dataclass(frozen=True)
class Argument:
    """An example of an argument; ``kind`` says how it can be wrong."""

    kind: str
    example: Any = None
    shape: tuple[int | str, ...] = ()
    """Of an array: letters are free sizes, ``"..."`` any leading axes."""
    optional: bool = False
    """Whether None is allowed."""


@dataclass(frozen=True)
class Call:
    function: Callable[..., Any]
    arguments: dict[str, Argument]
    fake: bool = True
    """Whether it runs on tensors without values."""
    numpy_only: bool = False
    """Whether it takes NumPy arrays of float64 alone, and refuses all others."""


def _draw(*shape, seed=0):
    # Short enough for float32, so that every backend computes on the same numbers.
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32).astype(np.float64)


def _orthonormal(*shape, seed=0):
    return np.linalg.qr(_draw(*shape, seed=seed))[0]


# --- arrays -----------------------------------------------------------------------------------------------------

Z = Argument("array", _draw(2, n, d), ("...", "n", "d"))
"""Tokens come first: where sizes differ, it is the other argument that does not fit them."""
U = Argument("array", _draw(K, d, p, seed=1), ("K", d, "p"))
FREE_U = Argument("array", U.example, ("K", "d", "p"))
BASES = Argument("orthonormal", _orthonormal(K, d, p, seed=1), ("K", d, "p"))
FREE_BASES = Argument("orthonormal", BASES.example, ("K", "d", "p"))
FAMILY = Argument("orthonormal", _orthonormal(d, d, seed=9).reshape(d, 2, 2).swapaxes(0, 1), ("K", d, "p"))
"""Mutually orthogonal bases."""
PI = Argument("memberships", np.eye(K)[np.arange(n) % K] * 0.5 + np.eye(K)[np.arange(n) // 2] * 0.5, ("...", n, "K"))
OPTIONAL_U, OPTIONAL_PI = replace(U, optional=True), replace(PI, optional=True)
D = Argument("array", _draw(d, m, seed=2), (d, "m"))
SQUARE_D = Argument("array", _draw(d, d, seed=2), (d, d))
FREE_D = Argument("dictionary", D.example, ("d", "m"))
CODE = Argument("array", np.abs(_draw(2, n, m, seed=3)), ("...", n, m))
OPTIONAL_CODE = Argument("array", CODE.example, ("...", n, m), optional=True)
ANY = Argument("array", _draw(2, n, d, seed=4), ("...",))
SIGNALS = Argument("signals", _draw(n, 2, d, seed=9), ("...",))
SIGNAL_PI = Argument("memberships", PI.example, (n, "K"))

# --- numbers ----------------------------------------------------------------------------------------------------

EPS = Argument("positive", 0.5)
OPTIONAL_EPS = Argument("positive", 0.5, optional=True)
POSITIVE = Argument("positive", 0.3)
NONNEGATIVE = Argument("nonnegative", 0.1)
STEP = Argument("positive scalar", 0.3)
OPTIONAL_STEP = Argument("positive scalar", 0.3, optional=True)
SIGNED_STEP = Argument("scalar", -0.3)
LAM = Argument("nonnegative scalar", 0.1)
THRESHOLD = Argument("threshold", 0.6, optional=True)
METHOD = Argument("choice", "auto")
RULE = Argument("choice", "derived")
VARIANT = Argument("choice", "fixed")
FLAG = Argument("flag", False)
SCALING = Argument("choice", "paper")


def count(example, least=1):
    return Argument("count", example, (least,))


# --- functions --------------------------------------------------------------------------------------------------

_rate = {"eps": EPS, "method": METHOD}
_attention = {"Z": Z, "U": U}
_official = {
    "output": Argument("array", _draw(d, K * p, seed=5), (d, K * p), optional=True),
    "bias": Argument("array", _draw(d, seed=6), (d,), optional=True),
    "scale": OPTIONAL_STEP,
}
_redunet = {"Pi": PI, "rule": Argument("choice", "network"), "eps": EPS, "eta": STEP, "sharpness": LAM}
_objective = {"U": FREE_U, "eps": EPS, "lam": NONNEGATIVE}
_mixture = {
    "U": FREE_BASES,
    "variances": Argument("positive array", np.array([[1.0, 0.5], [2.0, 0.25], [1.5, 0.75]]), (K, p)),
    "weights": Argument("positive array", np.array([0.5, 0.25, 0.25]), (K,)),
}
_noisy = {**_mixture, "X": Argument("array", Z.example, ("...", "n", d)), "noise": POSITIVE}
_class = {"share": Argument("share", 0.25), "constant": POSITIVE}
SIZES = Argument("counts", (4, 6))
_sample = {
    "n": count(n),
    "d": count(d),
    "K": count(2),
    "p": count(2),
    "noise": NONNEGATIVE,
    "confined": FLAG,
    "spectrum": Argument("sequence", [1.0, 0.5], (2,), optional=True),
    "weights": Argument("distribution", [0.75, 0.25], (2,), optional=True),
    "coherence": Argument("coherence", [0.3, 1.2]),
    "seed": count(3, least=0),
}
LIKE = Argument("example", np.zeros(1), ("...",), optional=True)
PI_OF_U = replace(PI, shape=("...", n, K))
OUTPUT = Argument("array", _draw(d, K * p, seed=5), (d, K * p), optional=True)
BIAS = Argument("array", _draw(d, seed=6), (d,), optional=True)
PER_HEAD = Argument("array", _draw(K, seed=7), (K,))
OPTIONAL_PER_HEAD = replace(PER_HEAD, optional=True)
POOLS = Argument("array", cbsa.pooling(n, 2), ("r", n))
_heads = {"scale": OPTIONAL_PER_HEAD, "output": OUTPUT, "bias": BIAS}
_causal = {
    "scale": OPTIONAL_PER_HEAD,
    "denominator_bias": Argument("array", _draw(K, n, seed=8), (K, n), optional=True),
}
_steps = {"contract": PER_HEAD, "broadcast": replace(PER_HEAD, example=_draw(K, seed=9))}


def _of(cls, method, fields):
    """A method as a function of the object's fields and its own arguments."""

    def call(**arguments):
        built = cls(**{name: arguments.pop(name) for name in fields})
        return getattr(built, method)(**arguments)

    return call


@dataclass(frozen=True)
class OnTokens:
    """A layer builder as a function of its own arguments and the tokens that the layer is given."""

    build: Callable[..., Any]

    def __call__(self, Z, **arguments):
        return self.build(**arguments)(Z)


def _on_tokens_built_from(build):
    """A layer builder as a function of its arguments, among them the tokens, which the layer is then given."""
    return lambda Z, **arguments: build(Z, **arguments)(Z)


class Halves(layers.Layer):
    """The least a layer can be."""

    def compress(self, Z):
        return Z / 2

    def sparsify(self, Z):
        return Z * 3


def _real(build):
    """Complex results as real and imaginary parts."""

    def call(**arguments):
        *operators, gamma = build(**arguments)
        xp = array_namespace(gamma)
        return [part(a) for a in operators for part in (xp.real, xp.imag)], gamma

    return call


def _prenorm(Z, layer, first, second):
    return layers.PreNorm(layer, first, second)(Z)


def _drawn(seed, number):
    return list(mixtures.sample(n=n, d=d, K=2, p=2, noise=0.1, seed=seed).draws(number))


_tokens = {"Z": Z}
_pair = {"before": Z, "after": Argument("array", _draw(2, n, d, seed=9), (2, n, d))}
_codes = {"Z": Z, "D": D}
_enclosures = {
    "coding_rate": _tokens | {"eps": EPS},
    "subspace_coding_rate": _tokens | {"U": U, "eps": EPS},
    "partition_coding_rate": _tokens | {"Pi": PI, "eps": EPS},
    "l1": _tokens,
    "lasso": _codes | {"A": CODE, "lam": NONNEGATIVE},
    "loss": _tokens | {"U": U, "eps": EPS, "lam": NONNEGATIVE},
    "coding_rate_change": _pair | {"eps": EPS},
    "subspace_coding_rate_change": _pair | {"U": U, "eps": EPS},
    "partition_coding_rate_change": _pair | {"Pi": PI, "eps": EPS},
    "l1_change": _pair,
    "lasso_change": _codes | {"before": CODE, "after": CODE, "lam": NONNEGATIVE},
    "loss_change": _pair | {"U": U, "eps": EPS, "lam": NONNEGATIVE},
}

CALLS = {
    "rates.coding_rate": Call(rates.coding_rate, {"Z": Z, **_rate, "report": FLAG}),
    "rates.coding_rate_and_gradient": Call(rates.coding_rate_and_gradient, {"Z": Z, **_rate}),
    "rates.subspace_coding_rate": Call(rates.subspace_coding_rate, {"Z": Z, "U": U, **_rate, "report": FLAG}),
    "rates.subspace_coding_rate_and_gradient": Call(rates.subspace_coding_rate_and_gradient, {"Z": Z, "U": U, **_rate}),
    "rates.partition_coding_rate": Call(rates.partition_coding_rate, {"Z": Z, "Pi": PI, **_rate, "report": FLAG}),
    "rates.partition_coding_rate_and_gradient": Call(
        rates.partition_coding_rate_and_gradient, {"Z": Z, "Pi": PI, **_rate}
    ),
    "rates.rate_reduction": Call(
        rates.rate_reduction,
        {"Z": Z, "U": OPTIONAL_U, "Pi": Argument("absent"), **_rate, "report": FLAG},
    ),
    "rates.rate_reduction with Pi": Call(rates.rate_reduction, {"Z": Z, "Pi": OPTIONAL_PI, **_rate}),
    "rates.rate_reduction_and_gradient": Call(
        rates.rate_reduction_and_gradient, {"Z": Z, "U": OPTIONAL_U, "Pi": Argument("absent"), **_rate}
    ),
    "rates.rate_reduction_and_gradient with Pi": Call(
        rates.rate_reduction_and_gradient, {"Z": Z, "Pi": OPTIONAL_PI, **_rate}
    ),
    "objective.SparseRateReduction": Call(objective.SparseRateReduction, _objective),
    "objective.SparseRateReduction.terms": Call(
        _of(objective.SparseRateReduction, "terms", _objective),
        {**_objective, "Z": Z, "threshold": NONNEGATIVE},
    ),
    **{
        f"objective.SparseRateReduction.{name}": Call(
            _of(objective.SparseRateReduction, name, _objective), {**_objective, "Z": Z}
        )
        for name in ("value", "loss", "smooth_gradient")
    },
    **{
        f"enclosure.{name}": Call(getattr(enclosure, name), arguments, fake=False, numpy_only=True)
        for name, arguments in _enclosures.items()
    },
    "curvature.coding_rate_bounds": Call(curvature.coding_rate_bounds, {"n": count(n), "d": count(d), "eps": EPS}),
    "curvature.partition_rate_bounds": Call(
        curvature.partition_rate_bounds, {"n": count(n), "d": count(d), "eps": EPS}
    ),
    **{
        f"curvature.{name}": Call(getattr(curvature, name), {"n": count(n), "d": count(d), "eps": EPS})
        for name in ("rate_reduction_bounds", "partition_step", "reduction_step", "sphere_step")
    },
    "curvature.sphere_step_at": Call(curvature.sphere_step_at, {"Z": Z, "Pi": PI, "eps": EPS}),
    "curvature.expansion": Call(curvature.expansion, {"n": count(n), "d": count(d), "eps": EPS}),
    "curvature.expansion_at": Call(curvature.expansion_at, {"Z": Z, "eps": EPS}),
    "curvature.expansion_step": Call(curvature.expansion_step, {"n": count(n), "d": count(d), "eps": EPS}),
    "curvature.overlap": Call(curvature.overlap, {"U": FREE_U}),
    "curvature.subspace_rate": Call(curvature.subspace_rate, {"U": FREE_U, "n": count(n), "eps": EPS}),
    "curvature.subspace_rate_bounds": Call(curvature.subspace_rate_bounds, {"U": FREE_U, "n": count(n), "eps": EPS}),
    "curvature.compression_step": Call(
        curvature.compression_step,
        {"U": Argument("dictionary", U.example, ("K", "d", "p")), "n": count(n), "eps": EPS},
    ),
    "curvature.loss_step": Call(curvature.loss_step, {"U": FREE_U, "n": count(n), "eps": EPS}),
    "prox.soft_threshold": Call(prox.soft_threshold, {"A": ANY, "threshold": LAM}),
    "prox.nonnegative_soft_threshold": Call(prox.nonnegative_soft_threshold, {"A": ANY, "threshold": LAM}),
    "prox.ista_step": Call(
        prox.ista_step,
        {"Z": Z, "D": D, "step": STEP, "lam": LAM, "code": OPTIONAL_CODE, "nonnegative": FLAG},
    ),
    "prox.ista": Call(
        prox.ista, {"Z": Z, "D": D, "step": STEP, "lam": LAM, "iterations": count(3), "nonnegative": FLAG}
    ),
    "prox.fista": Call(
        prox.fista,
        {"Z": Z, "D": D, "lam": LAM, "iterations": count(3), "nonnegative": FLAG, "code": OPTIONAL_CODE},
    ),
    "prox.lasso": Call(prox.lasso, {"Z": Z, "D": D, "A": CODE, "lam": LAM}),
    "prox.lasso_gap": Call(prox.lasso_gap, {"Z": Z, "D": D, "A": CODE, "lam": POSITIVE, "nonnegative": FLAG}),
    "prox.lasso_step": Call(prox.lasso_step, {"D": FREE_D}),
    "attention.exact_step": Call(attention.exact_step, {**_attention, "eps": EPS, "step": STEP}),
    "attention.neumann_step": Call(attention.neumann_step, {**_attention, "eps": EPS, "step": STEP}),
    "attention.derived_step": Call(attention.derived_step, {**_attention, "eps": EPS, "step": STEP}),
    "attention.residual_step": Call(attention.residual_step, {**_attention, "eps": OPTIONAL_EPS, "step": SIGNED_STEP}),
    "attention.ssa": Call(attention.ssa, _attention),
    "attention.mssa": Call(attention.mssa, {**_attention, "eps": OPTIONAL_EPS}),
    "attention.mssa_official": Call(attention.mssa_official, {**_attention, **_official}),
    "attention.causal_mssa": Call(attention.causal_mssa, {**_attention, **_official}),
    **{
        f"mcr2.{function.__name__}": Call(function, {"Z": Z, "Pi": PI, "eps": EPS, "lam": NONNEGATIVE})
        for function in (mcr2.regularised, mcr2.regularised_and_gradient)
    },
    "mcr2.contrastive": Call(mcr2.contrastive, {"Z": Z, "Pi": PI, "eps": EPS, "inner": POSITIVE, "outer": POSITIVE}),
    "mcr2.closed_loop_distance": Call(
        mcr2.closed_loop_distance,
        {"Z": Z, "other": Argument("array", _draw(2, n, d, seed=9), ("...", n, d)), "eps": EPS},
    ),
    "mcr2.shape": Call(mcr2.shape, {"x": NONNEGATIVE, **_class}),
    **{
        f"mcr2.{function.__name__}": Call(function, _class)
        for function in (mcr2.turning_point, mcr2.tangent_point, mcr2.largest_weight)
    },
    "mcr2.stationary_points": Call(mcr2.stationary_points, {**_class, "lam": POSITIVE}),
    "mcr2.optimum": Call(
        mcr2.optimum, {"sizes": SIZES, "dimensions": Argument("counts", (2, 2)), "d": count(d), "eps": EPS}
    ),
    "mcr2.regularised_optimum": Call(
        mcr2.regularised_optimum, {"sizes": SIZES, "d": count(d), "eps": EPS, "lam": POSITIVE}
    ),
    "implicit.shrink": Call(implicit.shrink, {"s": ANY, "beta": POSITIVE, "step": STEP}),
    "implicit.implicit_step": Call(implicit.implicit_step, {"Z": Z, "U": FAMILY, "eps": EPS, "step": STEP}),
    "implicit.cyclic_step": Call(implicit.cyclic_step, {"Z": Z, "U": BASES, "eps": EPS, "step": STEP}),
    "implicit.semi_implicit_step": Call(implicit.semi_implicit_step, {**_attention, "eps": EPS, "step": STEP}),
    "segmentation.coding_length": Call(segmentation.coding_length, {"Z": Z, "eps": EPS, "overhead": FLAG}),
    "segmentation.segmented_length": Call(
        segmentation.segmented_length, {"Z": Z, "Pi": PI, "eps": EPS, "overhead": FLAG}
    ),
    "segmentation.pairwise_steepest_descent": Call(
        segmentation.pairwise_steepest_descent,
        {"Z": Argument("array", _draw(n, d), ("n", "d")), "eps": EPS, "overhead": FLAG},
        fake=False,
    ),
    "layers.crate": Call(
        OnTokens(layers.crate),
        {
            "Z": Z,
            "U": FREE_U,
            "D": SQUARE_D,
            "rule": RULE,
            "eps": EPS,
            "kappa": OPTIONAL_STEP,
            "eta": STEP,
            "lam": LAM,
            "nonnegative": FLAG,
        },
    ),
    "layers.official": Call(
        OnTokens(layers.official), {"Z": Z, "U": FREE_U, "D": SQUARE_D, **_official, "eta": STEP, "lam": LAM}
    ),
    "layers.output_matrix": Call(layers.output_matrix, {"U": FREE_U, "variant": VARIANT, "seed": count(3, least=0)}),
    "layers.crate_variant": Call(
        OnTokens(layers.crate_variant),
        {
            "Z": Z,
            "U": FREE_U,
            "D": SQUARE_D,
            "variant": VARIANT,
            "seed": count(3, least=0),
            "scale": OPTIONAL_STEP,
            "eta": STEP,
            "lam": LAM,
        },
    ),
    "layers.crate_causal": Call(
        OnTokens(layers.crate_causal), {"Z": Z, "U": FREE_U, "D": SQUARE_D, **_official, "eta": STEP, "lam": LAM}
    ),
    "layers.crate_causal_overcomplete": Call(
        OnTokens(layers.crate_causal_overcomplete),
        {"Z": Z, "U": FREE_U, "D": D, **_official, "eta": STEP, "lam": LAM},
    ),
    "layers.crate_alpha": Call(
        OnTokens(layers.crate_alpha), {"Z": Z, "U": FREE_U, "D": D, "eps": EPS, "eta": STEP, "lam": LAM}
    ),
    "layers.crate_alpha_official": Call(
        OnTokens(layers.crate_alpha_official),
        {
            "Z": Z,
            "U": FREE_U,
            "D": D,
            "decode": Argument("array", _draw(d, m, seed=9), (d, m)),
            "output": _official["output"],
            "eta": STEP,
            "lam": LAM,
        },
    ),
    "layers.tost": Call(
        OnTokens(layers.tost),
        {
            "Z": Z,
            "U": Argument("dictionary", U.example, ("K", "d", "p")),
            "eps": EPS,
            "eta": STEP,
            "step": OPTIONAL_STEP,
        },
    ),
    "layers.tost_official": Call(OnTokens(layers.tost_official), {"Z": Z, "U": FREE_U, **_heads}),
    "layers.tost_block": Call(
        OnTokens(layers.tost_block),
        {
            "Z": Z,
            "U": FREE_U,
            **_heads,
            "up": Argument("array", _draw(2 * d, d, seed=10), ("m", d)),
            "down": Argument("array", _draw(d, 2 * d, seed=11), (d, 2 * d)),
            "up_bias": Argument("array", _draw(2 * d, seed=12), (2 * d,), optional=True),
            "down_bias": Argument("array", _draw(d, seed=13), (d,), optional=True),
            "gamma1": Argument("array", _draw(d, seed=14), (d,), optional=True),
            "gamma2": Argument("array", _draw(d, seed=15), (d,), optional=True),
        },
    ),
    "layers.aot": Call(OnTokens(layers.aot), {"Z": Z, "U": FREE_U, "step": SIGNED_STEP, "threshold": THRESHOLD}),
    "layers.cbsa": Call(
        OnTokens(layers.cbsa),
        {
            "Z": Z,
            "U": FREE_U,
            "D": SQUARE_D,
            "r": count(2),
            "contraction": Argument("choice", "attention"),
            "eps": EPS,
            "kappa": OPTIONAL_STEP,
            "eta": STEP,
            "lam": LAM,
        },
    ),
    "layers.crate_decoder": Call(
        OnTokens(layers.crate_decoder), {"Z": Z, "U": FREE_U, "D": SQUARE_D, "eps": OPTIONAL_EPS, "kappa": STEP}
    ),
    "layers.crate_decoder_official": Call(
        OnTokens(layers.crate_decoder_official), {"Z": Z, "U": FREE_U, "A": SQUARE_D, **_official}
    ),
    "layers.crate_autoencoder": Call(
        lambda **given: len(layers.crate_autoencoder(**given)),
        {"layers": Argument("layers", [layers.official(_draw(K, d, p), _draw(d, d))] * 2)},
    ),
    "layers.cbsa_official": Call(
        OnTokens(layers.cbsa_official),
        {
            "Z": Z,
            "U": FREE_U,
            "D": SQUARE_D,
            "r": count(2),
            **{name: replace(argument, optional=True) for name, argument in _steps.items()},
            "output": OUTPUT,
            "bias": BIAS,
            "eta": STEP,
            "lam": LAM,
        },
    ),
    "tost.variational_rate": Call(tost.variational_rate, {"Z": Z, "Pi": PI_OF_U, "U": U, "eps": EPS}),
    "tost.variational_rate_and_gradient": Call(
        tost.variational_rate_and_gradient, {"Z": Z, "Pi": PI_OF_U, "U": U, "eps": EPS}
    ),
    "tost.descent_step": Call(
        tost.descent_step,
        {"U": Argument("dictionary", U.example, ("K", "d", "p")), "n": count(n), "eps": EPS},
    ),
    "tost.memberships": Call(tost.memberships, {"Z": Z, "U": U, "eta": STEP}),
    "tost.memberships_official": Call(tost.memberships_official, {"Z": Z, "U": U, "scale": OPTIONAL_PER_HEAD}),
    "tost.memberships_official_causal": Call(tost.memberships_official_causal, {"Z": Z, "U": U, **_causal}),
    "tost.tssa": Call(tost.tssa, {"Z": Z, "Pi": PI_OF_U, "U": U, "eps": EPS, "step": STEP}),
    "tost.tssa_causal": Call(tost.tssa_causal, {"Z": Z, "Pi": PI_OF_U, "U": U, "eps": EPS, "step": STEP}),
    "tost.tssa_official": Call(tost.tssa_official, {"Z": Z, "U": U, **_heads}),
    "tost.tssa_official_causal": Call(tost.tssa_official_causal, {"Z": Z, "U": U, **_causal, **_heads}),
    "aot.attention_weights": Call(aot.attention_weights, {**_attention, "threshold": THRESHOLD}),
    "aot.mssa_thresholded": Call(aot.mssa_thresholded, {**_attention, "threshold": THRESHOLD}),
    "aot.denoising_step": Call(aot.denoising_step, {**_attention, "step": SIGNED_STEP, "threshold": THRESHOLD}),
    "aot.snr": Call(aot.snr, {"Z": Z, "Pi": PI_OF_U, "U": U}),
    "cbsa.pooling": Call(cbsa.pooling, {"n": count(5), "r": count(3), "beside": LIKE}),
    "cbsa.grid_pooling": Call(
        cbsa.grid_pooling,
        {"height": count(4), "width": count(5), "rows": count(2), "columns": count(3), "beside": LIKE},
    ),
    "cbsa.attention_contraction": Call(cbsa.attention_contraction, {**_attention, "A": POOLS}),
    "cbsa.representatives": Call(cbsa.representatives, {**_attention, "A": POOLS}),
    "cbsa.cbsa_step": Call(cbsa.cbsa_step, {**_attention, "A": POOLS, "eps": EPS, "step": STEP}),
    "cbsa.contract_and_broadcast_official": Call(
        cbsa.contract_and_broadcast_official,
        {**_attention, "A": POOLS, **_steps, "output": OUTPUT, "bias": BIAS},
    ),
    "layers.descent": Call(
        OnTokens(layers.descent),
        {"Z": Z, "U": FREE_U, "eps": EPS, "lam": NONNEGATIVE, "nonnegative": FLAG},
    ),
    "layers.redunet": Call(_on_tokens_built_from(layers.redunet), {"Z": Z, **_redunet}),
    "layers.shift_invariant_redunet": Call(
        _on_tokens_built_from(layers.shift_invariant_redunet),
        {**_redunet, "Z": SIGNALS, "Pi": SIGNAL_PI, "scaling": SCALING},
    ),
    "redunet.construct": Call(
        lambda **given: [Z for _, Z in redunet.construct(**given)], {"Z": Z, **_redunet, "layers": count(2)}
    ),
    "redunet.operators": Call(redunet.operators, {"Z": Z, "Pi": PI, "eps": EPS}),
    "redunet.soft_memberships": Call(
        redunet.soft_memberships,
        {"Z": Z, "C": Argument("array", _draw(K, d, d, seed=10), ("...", "K", d, d)), "sharpness": LAM},
    ),
    "redunet.on_sphere": Call(redunet.on_sphere, {"Z": Z, "floor": NONNEGATIVE}),
    "redunet.class_subspaces": Call(
        lambda **given: (lambda U: array_namespace(U).abs(U))(redunet.class_subspaces(**given)),
        {"Z": Z, "Pi": PI, "p": count(p)},
    ),
    "redunet.nearest_subspace": Call(
        redunet.nearest_subspace, {"Z": Argument("array", Z.example, ("...", "n", d)), "U": FREE_BASES}
    ),
    "redunet.parameters": Call(redunet.parameters, {"d": count(d), "K": count(K)}),
    "redunet_fourier.all_shifts": Call(redunet_fourier.all_shifts, {"Z": SIGNALS}),
    "redunet_fourier.shift_invariant_operators": Call(
        _real(redunet_fourier.shift_invariant_operators),
        {"Z": SIGNALS, "Pi": SIGNAL_PI, "eps": EPS, "scaling": SCALING},
    ),
    "redunet_fourier.shift_invariant_rate_reduction": Call(
        redunet_fourier.shift_invariant_rate_reduction, {"Z": SIGNALS, "Pi": SIGNAL_PI, "eps": EPS}
    ),
    "layers.implicit_descent": Call(
        OnTokens(layers.implicit_descent),
        {"Z": Z, "U": FREE_U, "eps": EPS, "lam": NONNEGATIVE, "nonnegative": FLAG, "iterations": count(3)},
    ),
    "layers.layer_norm": Call(
        layers.layer_norm,
        {
            "Z": Z,
            "scale": Argument("array", _draw(d, seed=7), (d,), optional=True),
            "shift": Argument("array", _draw(d, seed=8), (d,), optional=True),
            "floor": POSITIVE,
        },
    ),
    "layers.PreNorm": Call(
        _prenorm,
        {
            "Z": Z,
            "layer": Argument("layer", Halves()),
            "first": Argument("callable", layers.layer_norm),
            "second": Argument("callable", partial(layers.layer_norm, floor=0.1)),
        },
    ),
    "layers.unroll": Call(
        lambda **given: list(layers.unroll(**given)),
        {"layers": Argument("layers", [Halves(), Halves()]), "Z": Z},
    ),
    **{
        f"flops.{operator.__name__}": Call(operator, {name: count(2) for name in "ndKp"})
        for operator in (
            flops.attention,
            flops.neumann,
            flops.gradient,
            flops.implicit,
            flops.semi_implicit,
            flops.token_statistics,
        )
    },
    "flops.contract_and_broadcast": Call(flops.contract_and_broadcast, {name: count(2) for name in "ndKpr"}),
    "flops.ista_step": Call(flops.ista_step, {"n": count(n), "d": count(d), "m": count(m)}),
    "flops.ista": Call(flops.ista, {"n": count(n), "d": count(d), "m": count(m), "iterations": count(2)}),
    "flops.of_layer": Call(
        flops.of_layer,
        {"layer": Argument("layer", layers.official(_draw(K, d, p), _draw(d, d))), "n": count(n)},
    ),
    "mixtures.sample": Call(mixtures.sample, {**_sample, "like": LIKE}, fake=False),
    "mixtures.Mixture.draws": Call(_drawn, {"seed": count(0, least=0), "number": count(2)}),
    "mixtures.Mixture.draw": Call(
        lambda index: mixtures.sample(n=n, d=d, K=2, p=2, seed=0).draw(index), {"index": count(2, least=0)}
    ),
    "mixtures.coherence": Call(mixtures.coherence, {"U": FREE_BASES}),
    "mixtures.principal_angles": Call(mixtures.principal_angles, {"U": FREE_BASES}),
    "denoising.SubspaceMixture": Call(denoising.SubspaceMixture, _mixture),
    **{
        f"denoising.SubspaceMixture.{name}": Call(_of(denoising.SubspaceMixture, name, _mixture), _noisy)
        for name in ("log_density", "memberships", "posterior_mean", "score")
    },
    "denoising.attention_denoiser": Call(
        denoising.attention_denoiser,
        {"X": Argument("array", Z.example, ("...", "n", d)), "U": FREE_BASES, "noise": POSITIVE},
    ),
}

RESULTS = {
    "enclosure.Enclosure",
    "rates.RateReport",
    "objective.Terms",
    "layers.HalfStep",
    "layers.Layer",
    "layers.Crate",
    "layers.Official",
    "layers.Causal",
    "layers.CausalOvercomplete",
    "layers.Alpha",
    "layers.AlphaOfficial",
    "layers.Decoder",
    "layers.DecoderOfficial",
    "layers.Descent",
    "layers.Aot",
    "layers.AttentionOnly",
    "layers.Cbsa",
    "layers.CbsaOfficial",
    "layers.ReduNet",
    "layers.ShiftInvariantReduNet",
    "layers.Tost",
    "layers.TostBlock",
    "layers.TostOfficial",
    "mcr2.Optimum",
    "layers.ImplicitDescent",
    "segmentation.Segmentation",
    "mixtures.Mixture",
}
"""Public classes that srr makes for its callers, or that callers derive from."""

MOMENTS = {
    f"streaming.{name}"
    for name in (
        "Moments",
        "blocks",
        "coding_rate",
        "gradient_factor",
        "merge",
        "moments",
        "partition_coding_rate",
        "rate_reduction",
        "second_moments",
        "subspace_coding_rate",
        "subspace_gradient_factor",
    )
} | {"enclosure.streamed_coding_rate", "enclosure.streamed_subspace_coding_rate"}
"""What takes or makes second moments in place of tokens: ``test_streaming`` runs and spoils these."""
