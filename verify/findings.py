"""The central question, layer family by layer family: does a layer lower what its theory says that it lowers?

Here is which claims ask it of which half; the answers are those of a run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from verify.ledger import HOLDS, HOLDS_UNDER, REFUTED
from verify.results import Result

HALVES = {
    "compress": "First half: compression",
    "sparsify": "Second half: sparsification",
    "layer": "The whole layer",
}


@dataclass(frozen=True)
class Question:
    """One claim, and in a few words what it asks of a half: the quantity, and under which circumstances."""

    half: str
    asks: str
    slug: str


@dataclass(frozen=True)
class Family:
    """Layers of one kind, and the claims that ask of them what they lower."""

    name: str
    questions: tuple[Question, ...]


def _family(name: str, *questions: tuple[str, str, str]) -> Family:
    return Family(name, tuple(Question(*each) for each in questions))


_FROM_SIGNED = ("sparsify", "the lasso, from the tokens it is given", "sparsification.ista-descends-from-signed-tokens")
_FROM_CODE = ("sparsify", "the lasso, from a non-negative code", "sparsification.ista-descends")

FAMILIES = (
    _family(
        "CRATE with the exact gradient step",
        ("compress", "Rᶜ", "compression.exact-step-descends"),
        ("compress", "Rᶜ − R", "layers.compression-lowers-loss"),
        _FROM_CODE,
        ("layer", "the loss, if each half lowers its own", "layers.halves-add-up"),
    ),
    _family(
        "CRATE with the Neumann step",
        ("compress", "Rᶜ", "compression.neumann-step-descends"),
        _FROM_SIGNED,
        ("layer", "the loss", "layers.crate-neumann-lowers-loss"),
    ),
    _family(
        "CRATE with attention as derived",
        ("compress", "Rᶜ", "compression.derived-step-descends"),
        _FROM_SIGNED,
        ("layer", "the loss", "layers.crate-derived-lowers-loss"),
    ),
    _family(
        "CRATE as its papers define it",
        ("compress", "Rᶜ", "compression.residual-step-descends"),
        _FROM_SIGNED,
        ("sparsify", "λ‖Z‖₁ − R", "sparsification.ista-lowers-sparse-rate"),
        ("layer", "the loss", "layers.crate-lowers-loss"),
    ),
    _family(
        "CRATE as its code has it",
        ("compress", "Rᶜ", "layers.official-compresses"),
        ("compress", "Rᶜ, with the exact step at LN(Z) for attention", "layers.prenorm-step-descends"),
        ("layer", "the loss", "layers.official-lowers-loss"),
    ),
    _family(
        "CRATE with another output matrix",
        ("compress", "Rᶜ, negative", "variants.negative-lowers"),
        ("compress", "Rᶜ, transposed", "variants.transpose-lowers"),
        ("compress", "Rᶜ, fixed", "variants.fixed-lowers"),
        ("compress", "Rᶜ, identity", "variants.identity-lowers"),
    ),
    _family("CRATE for text, causal", ("compress", "Rᶜ", "variants.causal-step-lowers")),
    _family(
        "CRATE-α",
        ("sparsify", "the lasso, from zero", "alpha.ista-from-zero"),
        ("sparsify", "the distance, back by a second dictionary", "alpha.second-dictionary"),
    ),
    _family("CRATE's decoder", ("compress", "−Rᶜ: it expands", "decoder.minus-attention-expands")),
    _family(
        "ToST",
        ("compress", "its rate, memberships held", "tost.step-descends"),
        ("compress", "its rate, memberships held, in its code's form", "tost.official-step-descends"),
        ("compress", "the rate that this bounds", "tost.step-lowers-the-rate-it-bounds"),
        ("layer", "its rate, memberships following the tokens", "tost.layer-descends"),
    ),
    _family(
        "AoT",
        ("layer", "the noise, by its theorem's factor in every layer", "aot.snr-grows-at-every-depth"),
        ("layer", "the noise, with softmax", "aot.softmax-raises-snr"),
    ),
    _family(
        "CBSA",
        ("compress", "the rate of its representatives", "cbsa.representatives-descend"),
        ("compress", "Rᶜ, representatives by pooling", "cbsa.pooled-step-compresses"),
        ("compress", "Rᶜ, representatives by attention", "cbsa.attention-step-compresses"),
        ("compress", "Rᶜ, its code", "cbsa.official-operator-compresses"),
    ),
    _family(
        "ReduNet",
        ("layer", "−ΔR, with labels", "redunet.labelled-ascent"),
        ("layer", "−ΔR, with estimated memberships", "redunet.soft-ascent"),
        ("layer", "−ΔR, with hard estimates", "redunet.hard-estimates-ascend"),
    ),
    _family(
        "CRATE with an implicit step",
        ("compress", "Rᶜ, implicit", "implicit.step-descends"),
        ("compress", "Rᶜ, semi-implicit", "implicit.semi-implicit-step-descends"),
        ("compress", "Rᶜ, one head after another", "implicit.cycle-descends"),
    ),
    _family(
        "The descent layer",
        ("layer", "the loss", "layers.descent-lowers-loss"),
        ("layer", "the loss, behind LayerNorm", "layers.layernorm-keeps-descent"),
    ),
    _family("The implicit descent layer", ("layer", "the loss", "implicit.layer-lowers-loss")),
)


@dataclass(frozen=True)
class Finding:
    """What a run found of one family: each question with its result."""

    name: str
    answers: tuple[tuple[Question, Result], ...]

    def of(self, half: str) -> list[tuple[Question, Result]]:
        """The answers on one half."""
        return [(question, result) for question, result in self.answers if question.half == half]


def findings(results: Mapping[str, Result]) -> list[Finding]:
    """The families of which a run judged a claim, by the results of its claims."""
    found = (
        Finding(family.name, tuple((q, results[q.slug]) for q in family.questions if q.slug in results))
        for family in FAMILIES
    )
    return [finding for finding in found if finding.answers]


def in_words(found: Iterable[Finding]) -> str:
    """The sum of the findings in two or three sentences."""
    found = list(found)
    answers = [result for finding in found for _, result in finding.answers]
    always = sum(result.verdict == HOLDS for result in answers)
    under = sum(result.verdict == HOLDS_UNDER for result in answers)
    never = sum(result.verdict == REFUTED for result in answers)
    losses = [(f.name, {q.asks: r.verdict for q, r in f.of("layer")}.get("the loss")) for f in found]
    lower = [name for name, verdict in losses if verdict == HOLDS]
    asked = sum(verdict is not None for _, verdict in losses)
    said = (
        f"Asked {_times(len(answers))}, of {len(found)} families: {_times(always)} it does, {_times(under)} under a "
        f"condition, {_times(never)} it does not"
        + (f", {_times(open_)} it was not decided." if (open_ := len(answers) - always - under - never) else ".")
    )
    if not asked:
        return said
    names = " and ".join(name.replace("The ", "the ") for name in lower) or "none"
    return f"{said} Of the {asked} whose whole layer should lower the loss, {names} {'do' if lower[1:] else 'does'}."


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
