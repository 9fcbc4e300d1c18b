"""The sparsification of the decoder: a linear map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from verify.bounded import Bounded, affine, relu
from verify.forms.form import Constants, Form, Named, Weights


@dataclass(frozen=True)
class Linear(Form):
    """Z Aᵀ."""

    matrix: Literal["A", "A^T"] = "A"
    activation: Literal["none", "relu"] = "none"
    skip: Literal["none", "added"] = "none"

    WORDS: ClassVar = {
        "matrix": {"A": "the weight maps each token", "A^T": "its transpose maps each token"},
        "activation": {"none": "no activation", "relu": "relu after it"},
        "skip": {"none": "no skip", "added": "the tokens are added again"},
    }

    def __call__(self, *reads: Bounded, weights: Weights, constants: Constants) -> Bounded:
        (Z,) = reads
        result = affine(Z, weights["A"].T if self.matrix == "A" else weights["A"], weights.get("bias"))
        result = relu(result) if self.activation == "relu" else result
        return result + Z if self.skip == "added" else result


FORMS = (
    Named(
        "decoder.linear",
        "A z, as in the code of the decoder",
        "Pai et al. 2024 (arXiv 2404.02446), crate_decoder.py of its code",
        Linear(),
    ),
    Named(
        "decoder.linear-paper", "A^T z, as in the book", "Ma et al., the chapter on applications", Linear(matrix="A^T")
    ),
)
PAPER = FORMS[1]
