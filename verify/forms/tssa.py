"""Token statistics self-attention: second moments in place of products of tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from verify.bounded import Bounded, affine, at_least, softmax
from verify.forms.form import Constants, Form, Named, Weights
from verify.forms.heads import joined, split


@dataclass(frozen=True)
class Tssa(Form):
    """−[Diag(π_k) Y_k Diag(1/(1 + v_k))]_k Wᵀ + b, v_k = Σ_j π_jk (Y_k)²_j/Σ_j π_jk.

    π_j = softmax_k(t_k Σ_i s_jki), squares s_jki = (Y_k)²_ji shared out over the tokens: s_jki/max(Σ_j' s_j'ki, 1e-24),
    or 1e-12 where sums are over the tokens so far. t is ``scale``, one where it is not given.
    """

    normalised: Literal["over the tokens", "over the features", "no"] = "over the tokens"
    softmax: Literal["heads", "tokens"] = "heads"
    moments: Literal["mean", "sum"] = "mean"
    floor: Literal["1e-8", "0"] = "1e-8"
    damping: Literal["1/(1 + v)", "1/v", "none"] = "1/(1 + v)"
    sums: Literal["all", "up to each"] = "all"
    output: Literal["free", "tied"] = "free"
    sign: Literal["-", "+"] = "-"
    bias: Literal["added", "left out"] = "added"

    WORDS: ClassVar = {
        "normalised": {
            "over the tokens": "squares are shared out over the tokens before the softmax",
            "over the features": "squares are shared out over the features before the softmax",
            "no": "squares enter the softmax as they are",
        },
        "softmax": {"heads": "the softmax is over the heads", "tokens": "the softmax is over the tokens"},
        "moments": {"mean": "moments are weighted means", "sum": "moments are weighted sums"},
        "floor": {
            "1e-8": "moments are divided by the sum of the weights and 1e-8",
            "0": "moments are divided by the sum",
        },
        "damping": {
            "1/(1 + v)": "features are damped by 1/(1 + v)",
            "1/v": "features are damped by 1/v",
            "none": "features are not damped",
        },
        "sums": {"all": "sums are over all tokens", "up to each": "sums are over the tokens so far"},
        "output": {"free": "a free output matrix", "tied": "the output is mapped back by the bases themselves"},
        "sign": {"-": "with sign -", "+": "with sign +"},
        "bias": {"added": "with a bias", "left out": "without the bias"},
    }

    def __call__(self, *reads: Bounded, weights: Weights, constants: Constants) -> Bounded:
        (Z,) = reads
        flat = affine(Z, weights["projection"].T, weights.get("projection_bias"))
        Y = split(flat, int(constants["heads"]))
        square = Y**2
        floor = 1e-12 if self.sums == "up to each" else 1e-24  # of what is divided by: a norm of at least 1e-12
        match self.normalised:
            case "over the tokens":
                shares = square / at_least(self._total(square), floor)
            case "over the features":
                shares = square / at_least(square.sum(-1, keepdims=True), floor)
            case "no":
                shares = square
        logits = shares.sum(-1)  # (..., K, n)
        if "denominator_bias" in weights:
            logits = logits + Y.shape[-1] * weights["denominator_bias"][:, : Z.shape[-2]]
        if "scale" in weights:
            logits = logits * weights["scale"].reshape(-1, 1)
        pi = softmax(logits, -2 if self.softmax == "heads" else -1).shaped(lambda a: a[..., None])
        v = self._total(pi * square)
        if self.moments == "mean":
            mass = self._total(pi)
            v = v / (mass + 1e-8 if self.floor == "1e-8" else mass)
        kept = {"1/(1 + v)": lambda: 1 / (1 + v), "1/v": lambda: 1 / v, "none": lambda: 1.0}[self.damping]()
        attended = joined(pi * Y * kept)
        attended = -attended if self.sign == "-" else attended
        back = weights["projection"] if self.output == "tied" or "output" not in weights else weights["output"].T
        return affine(attended, back, weights.get("bias") if self.bias == "added" else None)

    def _total(self, a: Bounded) -> Bounded:
        return a.sum(-2, keepdims=True) if self.sums == "all" else a.cumsum(-2)


_TOST = "Wu et al. 2024 (arXiv 2412.17810)"
FORMS = (
    Named("tost.tssa", "TSSA as in the code for images", f"{_TOST}, tost_vision, AttentionTSSA", Tssa()),
    Named(
        "tost.tssa-causal",
        "TSSA as in the code for text",
        f"{_TOST}, tost_lang, CausalSelfAttention_TSSA",
        Tssa(sums="up to each"),
    ),
    Named(
        "tost.tssa-paper",
        "TSSA as in the paper, less tau/n and at c = 1",
        f"{_TOST}, the TSSA operator",
        Tssa(normalised="no", floor="0", output="tied", bias="left out"),
    ),
)
PAPER = FORMS[2]
