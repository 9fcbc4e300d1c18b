"""Subspace self-attention: one projection for query, key and value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from verify.bounded import Bounded, affine, softmax
from verify.forms.form import Constants, Form, Named, Weights
from verify.forms.heads import joined, split

Masks = Literal["none", "causal", "reversed"]


@dataclass(frozen=True)
class Attention(Form):
    """±[softmax(c Y_kY_kᵀ) Y_k]_k Wᵀ + b, Y_k = Z U_k."""

    projection: Literal["rows", "columns"] = "rows"
    heads: Literal["blocks", "interleaved"] = "blocks"
    scale: Literal["p^-1/2", "1", "p^-1", "d^-1/2", "p^1/2"] = "p^-1/2"
    softmax: Literal["rows", "columns", "heads", "none"] = "rows"
    mask: Masks = "none"
    output: Literal["none", "tied", "free", "free, transposed"] = "free"
    bias: Literal["added", "left out"] = "added"
    sign: Literal["+", "-"] = "+"

    WORDS: ClassVar = {
        "projection": {
            "rows": "tokens are projected by the transpose of the weight",
            "columns": "by the weight itself",
        },
        "heads": {"blocks": "heads are blocks of the projection", "interleaved": "heads are interleaved"},
        "scale": {
            "p^-1/2": "the softmax has the scale p^-1/2",
            "1": "the softmax has no scale",
            "p^-1": "the softmax has the scale 1/p",
            "d^-1/2": "the softmax has the scale d^-1/2",
            "p^1/2": "the softmax has the scale p^1/2",
        },
        "softmax": {
            "rows": "the softmax is over the keys",
            "columns": "the softmax is over the queries",
            "heads": "the softmax is over the heads",
            "none": "there is no softmax",
        },
        "mask": {
            "none": "there is no mask",
            "causal": "later tokens are masked",
            "reversed": "earlier tokens are masked",
        },
        "output": {
            "free": "a free output matrix",
            "free, transposed": "the output matrix is transposed",
            "tied": "the output is mapped back by the bases themselves",
            "none": "heads are left side by side",
        },
        "bias": {"added": "with a bias", "left out": "without the bias"},
        "sign": {"+": "with sign +", "-": "with sign -"},
    }

    def __call__(self, *reads: Bounded, weights: Weights, constants: Constants) -> Bounded:
        (Z,) = reads
        return self._attended(Z, Z, weights, int(constants["heads"]))

    def _attended(self, queries: Bounded, Z: Bounded, weights: Weights, K: int) -> Bounded:
        """What queries make of tokens Z, which may be themselves."""
        weight = weights["projection"]
        W = weight.T if self.projection == "rows" else weight
        if W.shape[0] != Z.shape[-1]:
            raise ValueError("the weight does not fit")
        Y = self._projected(Z, W, weights, K)
        X = Y if queries is Z else self._projected(queries, W, weights, K)
        attended = self._weights(X, Y, self._scale(Y.shape[-1], Z.shape[-1])) @ Y
        result = joined(attended, interleaved=self.heads == "interleaved")
        result = result * weights["step"] if "step" in weights else result
        result = -result if self.sign == "-" else result
        back, bias = self._output(weights, W), weights.get("bias") if self.bias == "added" else None
        return result if back is None else affine(result, back, bias)

    def _projected(self, Z: Bounded, W: np.ndarray, weights: Weights, K: int) -> Bounded:
        flat = affine(Z, W, weights.get("projection_bias"))
        return split(flat, K, interleaved=self.heads == "interleaved")

    def _scale(self, p: int, d: int) -> float:
        return {"p^-1/2": p**-0.5, "1": 1.0, "p^-1": 1 / p, "d^-1/2": d**-0.5, "p^1/2": p**0.5}[self.scale]

    def _weights(self, X: Bounded, Y: Bounded, c: float) -> Bounded:
        logits = (X @ Y.mT) * c
        seen = seen_by(self.mask, logits)
        match self.softmax:
            case "none":
                return logits if seen is None else logits * seen.astype(float)
            case "rows":
                return softmax(logits, -1, seen=seen)
            case "columns":
                return softmax(logits, -2, seen=seen)
            case "heads":
                shares = softmax(logits, -3)
                return shares if seen is None else shares * seen.astype(float)

    def _output(self, weights: Weights, W: np.ndarray) -> np.ndarray | None:
        if self.output == "tied":
            return W.T
        if self.output == "none" or "output" not in weights:
            return None
        return weights["output"].T if self.output == "free" else weights["output"]


def seen_by(mask: Masks, logits: Bounded) -> np.ndarray | None:
    """Which tokens each query sees, by the last two axes of its logits; None if all."""
    if mask == "none":
        return None
    whole = np.ones(logits.shape[-2:], dtype=bool)
    return np.tril(whole) if mask == "causal" else np.triu(whole)


_CRATE = "Yu et al. 2023 (arXiv 2306.01129)"
FORMS = (
    Named("crate.mssa", "MSSA as in the official code", f"{_CRATE}, model/crate.py of its code", Attention()),
    Named(
        "crate.mssa-paper",
        "MSSA as in the paper, less its factor p/(n eps^2)",
        f"{_CRATE}, eq. 11-12",
        Attention(scale="1", output="tied", bias="left out"),
    ),
    Named(
        "crate.mssa-causal",
        "causal MSSA as in the official code",
        f"{_CRATE}, model/crate_gpt.py of its code",
        Attention(mask="causal"),
    ),
    Named(
        "depict.mssa",
        "MSSA with a tied output matrix",
        "Wen and Li 2024 (DEPICT), model/dec_blocks.py of its code",
        Attention(output="tied", bias="left out"),
    ),
)
PAPER = FORMS[1]
