"""Every public function of srr with an example of its arguments, and what kind of argument each is.

``test_backends`` runs the examples on every array library, ``test_bad_input`` spoils them one argument at a time, and
``test_bad_input.test_catalogue_is_complete`` fails when a public function or one of its parameters is missing here.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from srr import attention, curvature, denoising, layers, mcr2, mixtures, objective, prox, rates, segmentation

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
PI = Argument("memberships", np.eye(K)[np.arange(n) % K] * 0.5 + np.eye(K)[np.arange(n) // 2] * 0.5, ("...", n, "K"))
OPTIONAL_U, OPTIONAL_PI = replace(U, optional=True), replace(PI, optional=True)
D = Argument("array", _draw(d, m, seed=2), (d, "m"))
SQUARE_D = Argument("array", _draw(d, d, seed=2), (d, d))
FREE_D = Argument("dictionary", D.example, ("d", "m"))
CODE = Argument("array", np.abs(_draw(2, n, m, seed=3)), ("...", n, m))
OPTIONAL_CODE = Argument("array", CODE.example, ("...", n, m), optional=True)
ANY = Argument("array", _draw(2, n, d, seed=4), ("...",))

# --- numbers ----------------------------------------------------------------------------------------------------

EPS = Argument("positive", 0.5)
OPTIONAL_EPS = Argument("positive", 0.5, optional=True)
POSITIVE = Argument("positive", 0.3)
NONNEGATIVE = Argument("nonnegative", 0.1)
STEP = Argument("positive scalar", 0.3)
OPTIONAL_STEP = Argument("positive scalar", 0.3, optional=True)
SIGNED_STEP = Argument("scalar", -0.3)
LAM = Argument("nonnegative scalar", 0.1)
METHOD = Argument("choice", "auto")
RULE = Argument("choice", "derived")
FLAG = Argument("flag", False)


def count(example, least=1):
    return Argument("count", example, (least,))


# --- functions --------------------------------------------------------------------------------------------------

_rate = {"eps": EPS, "method": METHOD}
_attention = {"Z": Z, "U": U}
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
    "spectrum": Argument("sequence", [1.0, 0.5], (2,), optional=True),
    "weights": Argument("distribution", [0.75, 0.25], (2,), optional=True),
    "coherence": Argument("coherence", [0.3, 1.2]),
    "seed": count(3, least=0),
}
LIKE = Argument("example", np.zeros(1), ("...",), optional=True)


def _of(cls, method, fields):
    """A method as a function of the object's fields and its own arguments."""

    def call(**arguments):
        built = cls(**{name: arguments.pop(name) for name in fields})
        return getattr(built, method)(**arguments)

    return call


def _on_tokens(build):
    """A layer builder as a function of its own arguments and the tokens that the layer is given."""
    return lambda Z, **arguments: build(**arguments)(Z)


class Halves(layers.Layer):
    """The least a layer can be."""

    def compress(self, Z):
        return Z / 2

    def sparsify(self, Z):
        return Z * 3


def _prenorm(Z, layer, first, second):
    return layers.PreNorm(layer, first, second)(Z)


def _drawn(seed, number):
    return list(mixtures.sample(n=n, d=d, K=2, p=2, noise=0.1, seed=seed).draws(number))


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
    "curvature.coding_rate_bounds": Call(curvature.coding_rate_bounds, {"n": count(n), "d": count(d), "eps": EPS}),
    "curvature.partition_rate_bounds": Call(
        curvature.partition_rate_bounds, {"n": count(n), "d": count(d), "eps": EPS}
    ),
    "curvature.expansion": Call(curvature.expansion, {"n": count(n), "d": count(d), "eps": EPS}),
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
    "attention.mssa_official": Call(
        attention.mssa_official,
        {
            **_attention,
            "output": Argument("array", _draw(d, K * p, seed=5), (d, K * p), optional=True),
            "bias": Argument("array", _draw(d, seed=6), (d,), optional=True),
            "scale": OPTIONAL_STEP,
        },
    ),
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
        _on_tokens(layers.crate),
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
        _on_tokens(layers.official),
        {
            "Z": Z,
            "U": FREE_U,
            "D": SQUARE_D,
            "output": Argument("array", _draw(d, K * p, seed=5), (d, K * p), optional=True),
            "bias": Argument("array", _draw(d, seed=6), (d,), optional=True),
            "scale": OPTIONAL_STEP,
            "eta": STEP,
            "lam": LAM,
        },
    ),
    "layers.descent": Call(
        _on_tokens(layers.descent),
        {"Z": Z, "U": FREE_U, "eps": EPS, "lam": NONNEGATIVE, "nonnegative": FLAG},
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
    "rates.RateReport",
    "objective.Terms",
    "layers.HalfStep",
    "layers.Layer",
    "layers.Crate",
    "layers.Official",
    "layers.Descent",
    "mcr2.Optimum",
    "segmentation.Segmentation",
    "mixtures.Mixture",
}
"""Public classes that srr makes for its callers, or that callers derive from."""
