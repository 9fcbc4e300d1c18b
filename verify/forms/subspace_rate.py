"""The coding rate of tokens against subspaces, and what published code measures in its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from verify.bounded import Bounded
from verify.forms import rates
from verify.forms.form import Constants, Form, Named, Weights
from verify.forms.heads import split


@dataclass(frozen=True)
class SubspaceRate(Form):
    """½ Σ_k log det(I + p/(n ε²) Y_kᵀY_k), Y_k = Z U_k."""

    eps: rates.Eps = "eps^2"
    constant: Literal["p/n", "d/n", "p/(n + 1)", "1/n", "1"] = "p/n"
    half: rates.Half = "1/2"
    logarithm: rates.Logarithm = "natural"
    sign: rates.Sign = "+"
    tokens: Literal["as they are", "of norm 1 in each head", "of norm 1"] = "as they are"
    heads: Literal["sum", "mean"] = "sum"
    projection: Literal["blocks", "interleaved"] = "blocks"

    WORDS: ClassVar = {
        **rates.WORDS,
        "constant": {
            "p/n": "the Gram matrices have the factor p/n",
            "d/n": "the factor is d/n, that of the whole dimension",
            "p/(n + 1)": "the factor is p/(n + 1)",
            "1/n": "the factor p is missing",
            "1": "the factor p/n is missing",
        },
        "tokens": {
            "as they are": "tokens enter as they are",
            "of norm 1 in each head": "each token is brought to norm 1 in each head, behind the projection",
            "of norm 1": "each token is brought to norm 1 before the projection",
        },
        "heads": {"sum": "heads are summed", "mean": "heads are averaged"},
        "projection": {"blocks": "heads are blocks of the projection", "interleaved": "heads are interleaved"},
    }

    def __call__(self, *reads: Bounded, weights: Weights, constants: Constants) -> Bounded:
        (Z,) = reads
        K, (n, d) = int(constants["heads"]), Z.shape[-2:]
        Z = rates.of_norm_one(Z) if self.tokens == "of norm 1" else Z
        Y = split(Z @ weights["projection"].T, K, interleaved=self.projection == "interleaved")
        Y = rates.of_norm_one(Y) if self.tokens == "of norm 1 in each head" else Y
        p = Y.shape[-1]
        factor = {"p/n": p / n, "d/n": d / n, "p/(n + 1)": p / (n + 1), "1/n": 1 / n, "1": 1.0}[self.constant]
        found = rates.log_det_of(Y, factor / rates.squared(self.eps, float(constants["eps"])))
        found = found.sum(-1) if self.heads == "sum" else found.mean(-1)
        return rates.scaled(found, self.half, self.logarithm, self.sign)


_CRATE = "Yu et al. 2023 (arXiv 2306.01129)"
FORMS = (
    Named("rate.subspaces", "the rate against subspaces as in the paper", f"{_CRATE}, eq. 8", SubspaceRate()),
    Named(
        "rate.subspaces-official",
        "what the official code measures layer by layer, with tokens of norm 1 in each head and an eps that is eps^2",
        f"{_CRATE}, vis_utils/coding_rate.py of its code",
        SubspaceRate(eps="eps", tokens="of norm 1 in each head"),
    ),
    Named(
        "rate.subspaces-cbsa",
        "the same less the norms, as in the code of CBSA",
        "Wen et al. 2025 (arXiv 2509.16875), coding_rate.py of its code",
        SubspaceRate(eps="eps"),
    ),
    Named(
        "rate.subspaces-segmentation",
        "the rate against subspaces with n + 1 tokens, as printed for segmentation",
        "Yu et al. 2023 (arXiv 2308.16271), eq. 5-6",
        SubspaceRate(constant="p/(n + 1)"),
    ),
)
PAPER = FORMS[0]
