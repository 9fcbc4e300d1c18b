"""Subspace cross-attention: one projection for the queries and for the tokens that they attend to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from verify.bounded import Bounded
from verify.forms.attention import Attention
from verify.forms.form import Constants, Named, Weights


@dataclass(frozen=True)
class CrossAttention(Attention):
    """±[softmax(c X_kY_kᵀ) Y_k]_k Wᵀ + b, X_k = Q U_k, Y_k = Z U_k."""

    roles: Literal["apart", "exchanged", "queries alone", "tokens alone"] = "apart"

    WORDS: ClassVar = {
        **Attention.WORDS,
        "roles": {
            "apart": "queries attend to tokens",
            "exchanged": "tokens attend to queries: the two have changed places",
            "queries alone": "queries attend to themselves",
            "tokens alone": "tokens attend to themselves",
        },
    }

    def __call__(self, *reads: Bounded, weights: Weights, constants: Constants) -> Bounded:
        Z, Q = reads
        roles = {"apart": (Q, Z), "exchanged": (Z, Q), "queries alone": (Q, Q), "tokens alone": (Z, Z)}
        return self._attended(*roles[self.roles], weights, int(constants["heads"]))


FORMS = (
    Named(
        "depict.msca",
        "MSCA with a tied output matrix",
        "Wen and Li 2024 (DEPICT), model/dec_blocks.py of its code",
        CrossAttention(output="tied", bias="left out"),
    ),
)
