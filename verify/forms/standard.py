"""What ordinary transformers have in place of the two halves; the theory has no such step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from verify.bounded import Bounded, affine, gelu, relu, softmax
from verify.forms.attention import Masks, seen_by
from verify.forms.form import Constants, Form, Named, Weights
from verify.forms.heads import joined, split
from verify.repeatable import exponential


@dataclass(frozen=True)
class QkvAttention(Form):
    """[softmax(c Q_kK_kᵀ) V_k]_k Wᵀ + b, with three projections."""

    scale: Literal["p^-1/2", "1"] = "p^-1/2"
    mask: Masks = "none"
    shared: Literal["none", "Q = K", "all"] = "none"

    WORDS: ClassVar = {
        "scale": {"p^-1/2": "the softmax has the scale p^-1/2", "1": "the softmax has no scale"},
        "mask": {
            "none": "there is no mask",
            "causal": "later tokens are masked",
            "reversed": "earlier tokens are masked",
        },
        "shared": {
            "none": "query, key and value have projections of their own",
            "Q = K": "the key has the projection of the query",
            "all": "query and key have the projection of the value, as subspace attention has",
        },
    }

    def __call__(self, *reads: Bounded, weights: Weights, constants: Constants) -> Bounded:
        (Z,) = reads
        K = int(constants["heads"])
        of = {"none": ("query", "key"), "Q = K": ("query", "query"), "all": ("value", "value")}[self.shared]
        Q, Key, V = (_projected(Z, weights, name, K) for name in (*of, "value"))
        c = Q.shape[-1] ** -0.5 if self.scale == "p^-1/2" else 1.0
        logits = (Q @ Key.mT) * c
        shares = softmax(logits, -1, seen=seen_by(self.mask, logits))
        return affine(joined(shares @ V), weights["output"].T, weights.get("bias"))


def _projected(Z: Bounded, weights: Weights, name: str, K: int) -> Bounded:
    return split(affine(Z, weights[name].T, weights.get(f"{name}_bias")), K)


@dataclass(frozen=True)
class Mlp(Form):
    """W₂ gelu(W₁ z + b₁) + b₂, gelu(x) = x (1 + erf(x/√2))/2."""

    activation: Literal["gelu", "gelu, by tanh", "relu", "none"] = "gelu"
    biases: Literal["free", "one threshold"] = "free"

    WORDS: ClassVar = {
        "activation": {
            "gelu": "with gelu",
            "gelu, by tanh": "with gelu by tanh",
            "relu": "with relu",
            "none": "with no activation",
        },
        "biases": {
            "free": "with biases",
            "one threshold": "with one threshold for all features, the mean of the first bias, and no second bias",
        },
    }

    def __call__(self, *reads: Bounded, weights: Weights, constants: Constants) -> Bounded:
        (Z,) = reads
        first, second = weights.get("fc1_bias"), weights.get("fc2_bias")
        if self.biases == "one threshold":
            first, second = None if first is None else np.full_like(first, np.mean(first)), None
        hidden = affine(Z, weights["fc1"].T, first)
        active = {"gelu": gelu, "gelu, by tanh": _gelu_by_tanh, "relu": relu, "none": lambda x: x}[self.activation]
        return affine(active(hidden), weights["fc2"].T, second)


def _gelu_by_tanh(x: Bounded) -> Bounded:
    """x (1 + tanh(√(2/π)(x + 0.044715 x³)))/2, whose slope is below 1.13 too."""
    v = x.value
    with np.errstate(over="ignore"):
        value = v * (1 - 1 / (1 + exponential(2 * np.sqrt(2 / np.pi) * (v + 0.044715 * v * v * v))))
    error = 1.13 * x.error + 16 * x.precision.roundoff * (x.size + 1) + x.precision.tiny
    return Bounded(value, error, x.precision)


ATTENTION = (
    Named(
        "transformer.attention",
        "attention of an ordinary transformer",
        "Vaswani et al. 2017 (arXiv 1706.03762)",
        QkvAttention(),
    ),
    Named(
        "transformer.attention-causal",
        "causal attention of an ordinary transformer",
        "Vaswani et al. 2017",
        QkvAttention(mask="causal"),
    ),
    Named(
        "transformer.attention-tied",
        "MSSA written with three projections",
        "Yu et al. 2023 (arXiv 2306.01129), eq. 115, where all three are one",
        QkvAttention(shared="all"),
    ),
)
MLP = (
    Named("transformer.mlp", "the MLP of an ordinary transformer", "Vaswani et al. 2017 (arXiv 1706.03762)", Mlp()),
    Named("transformer.mlp-tanh", "the MLP of GPT-2", "Radford et al. 2019", Mlp(activation="gelu, by tanh")),
    Named(
        "alpha.ista-as-mlp",
        "one ISTA step from zero in a wide dictionary and a second dictionary, written as an MLP",
        "Yang et al. 2024 (arXiv 2405.20299), W1 = eta D^T, b1 = -eta lam",
        Mlp(activation="relu", biases="one threshold"),
    ),
)
