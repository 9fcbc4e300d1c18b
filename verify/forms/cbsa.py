"""Contract-and-broadcast self-attention: attention through a few representatives."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from verify.bounded import Bounded, affine, softmax
from verify.forms.form import Constants, Form, Named, Weights
from verify.forms.heads import joined, split


@dataclass(frozen=True)
class Cbsa(Form):
    """Contract Q ← Q + s A Y, A = softmax(p^−½ Q Yᵀ); compress C = softmax(p^−½ QQᵀ) Q; broadcast s' AᵀC.

    All of these in each head, Y = Z U_k; heads are joined, times Wᵀ, plus b. Q starts at means of the tokens, a square
    of w × w, row by row, over a grid of ``side`` × ``side``: cell i of either axis is ⌊iw/side⌋ … ⌈(i + 1)w/side⌉ − 1.
    """

    pooled: Literal["all but the last", "all but the first"] = "all but the last"
    scale: Literal["p^-1/2", "1"] = "p^-1/2"
    compressed: Literal["attention", "no"] = "attention"
    broadcast: Literal["A^T", "softmax of its own"] = "A^T"
    bias: Literal["added", "left out"] = "added"

    WORDS: ClassVar = {
        "pooled": {
            "all but the last": "representatives are means of all tokens but the last",
            "all but the first": "representatives are means of all tokens but the first, the class token",
        },
        "scale": {"p^-1/2": "softmaxes have the scale p^-1/2", "1": "softmaxes have no scale"},
        "compressed": {
            "attention": "representatives attend to one another",
            "no": "representatives do not attend to one another",
        },
        "broadcast": {
            "A^T": "tokens take back by the transpose of the contraction",
            "softmax of its own": "tokens take back by a softmax over the representatives",
        },
        "bias": {"added": "with a bias", "left out": "without the bias"},
    }

    def __call__(self, *reads: Bounded, weights: Weights, constants: Constants) -> Bounded:
        (Z,) = reads
        Y = split(Z @ weights["projection"].T, int(constants["heads"]))
        c = Y.shape[-1] ** -0.5 if self.scale == "p^-1/2" else 1.0
        kept = slice(None, -1) if self.pooled == "all but the last" else slice(1, None)
        Q = _pooling(Y.shape[-2] - 1, int(constants.get("side", 8))) @ Y.shaped(lambda a: a[..., kept, :])
        A = softmax((Q @ Y.mT) * c)
        Q = Q + (A @ Y) * weights["step_rep"].reshape(-1, 1, 1)
        C = softmax((Q @ Q.mT) * c) @ Q if self.compressed == "attention" else Q
        back = A.mT if self.broadcast == "A^T" else softmax((Y @ Q.mT) * c)
        result = joined((back @ C) * weights["step_x"].reshape(-1, 1, 1))
        return affine(result, weights["output"].T, weights.get("bias") if self.bias == "added" else None)


def _pooling(n: int, side: int) -> np.ndarray:
    """Means of a square of n tokens over a grid of side × side, ``(side², n)``, as adaptive pooling takes them."""
    width = math.isqrt(max(n, 0))
    if n < 1 or width**2 != n:
        raise ValueError(f"the tokens must be a square and one more, got {n + 1}")
    line = np.zeros((side, width))
    for i in range(side):
        start, stop = i * width // side, -(-(i + 1) * width // side)
        line[i, start:stop] = 1 / (stop - start)
    return np.kron(line, line)


FORMS = (Named("cbsa.attention", "CBSA as in its code", "Wen et al. 2025, attn_layers.py of its code", Cbsa()),)
