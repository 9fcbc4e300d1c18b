"""LayerNorm, which the theory does not have and every code does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from verify.bounded import ULPS, Bounded, sqrt
from verify.forms.form import Constants, Form, Named, Weights


@dataclass(frozen=True)
class LayerNorm(Form):
    """(Z − mean)/√(variance + floor), times a scale, plus a shift."""

    floor: Literal["1e-5", "1e-6", "1e-12", "0", "1e-10", "its own", "its own, outside the root"] = "1e-5"
    centred: Literal["yes", "no"] = "yes"
    variance: Literal["over d", "over d - 1"] = "over d"
    scale: Literal["yes", "no"] = "yes"
    shift: Literal["yes", "no"] = "yes"

    WORDS: ClassVar = {
        "floor": {
            **{value: f"{value} is added to the variance" for value in ("1e-5", "1e-6", "1e-12", "0")},
            "1e-10": "1e-10, the square of 1e-5, is added to the variance",
            "its own": "the floor that it is given is added to the variance",
            "its own, outside the root": "the floor that it is given is added to the deviation",
        },
        "centred": {"yes": "the mean is taken off", "no": "the mean is not taken off (RMS norm)"},
        "variance": {"over d": "the variance is over d", "over d - 1": "the variance is over d - 1"},
        "scale": {"yes": "with its scale", "no": "without its scale"},
        "shift": {"yes": "with its shift", "no": "without its shift"},
    }

    def __call__(self, *reads: Bounded, weights: Weights, constants: Constants) -> Bounded:
        (Z,) = reads
        d, p = Z.shape[-1], Z.precision
        over = d if self.variance == "over d" else max(d - 1, 1)
        if self.centred == "yes":  # or by the mean square less the square of the mean, and x/σ − mean/σ
            mean, square = Z.mean(-1, keepdims=True), (Z**2).sum(-1, keepdims=True) / over
            centred = Z - mean
            variance = ((centred**2).sum(-1, keepdims=True) / over).widened(
                2 * (p.gamma(d) + 4 * p.roundoff) * square.size
            )
            centred = centred.widened(ULPS * p.roundoff * (Z.size + mean.size))
        else:
            centred, variance = Z, (Z**2).sum(-1, keepdims=True) / over
        floor = float(constants["floor"] if self.floor.startswith("its own") else self.floor)
        outside = self.floor == "its own, outside the root"
        normed = centred / (sqrt(variance) + floor if outside else sqrt(variance + floor))
        if self.scale == "yes" and "scale" in weights:
            normed = normed * weights["scale"]
        return normed + weights["shift"] if self.shift == "yes" and "shift" in weights else normed


FORMS = (
    Named("norm.torch", "LayerNorm as in torch", "floor 1e-5", LayerNorm()),
    Named("norm.flax", "LayerNorm as in Flax and timm", "floor 1e-6", LayerNorm(floor="1e-6")),
    Named("norm.bert", "LayerNorm as in BERT", "floor 1e-12", LayerNorm(floor="1e-12")),
)
PAPER = None
